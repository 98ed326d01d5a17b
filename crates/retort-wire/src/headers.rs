//! Headers of an answer that are worth keeping, by allow-list.

use http::HeaderMap;

/// Longest header value that is kept, in characters. Recorded ones stay under a tenth of this.
const VALUE_MAX_CHARS: usize = 1_024;

/// Most headers that are kept of one answer.
const KEPT_MAX: usize = 96;

/// Headers that say who served an answer, how long it took and what may be asked next. Nothing
/// that may hold a key, a cookie or the name of an account is among them.
const KEPT: &[&str] = &[
    "age",
    "apim-request-id",
    "azureml-model-session",
    "cf-cache-status",
    "cf-ray",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "inference-id",
    "mistral-correlation-id",
    "openai-model",
    "openai-processing-ms",
    "openai-version",
    "request-id",
    "retry-after",
    "retry-after-ms",
    "server",
    "server-timing",
    "traceparent",
    "via",
    "x-accel-buffering",
    "x-amz-cf-id",
    "x-amz-cf-pop",
    "x-amzn-errortype",
    "x-amzn-requestid",
    "x-build-commit",
    "x-cache",
    "x-cloud-trace-context",
    "x-compute-time",
    "x-compute-type",
    "x-correlation-id",
    "x-ds-trace-id",
    "x-envoy-upstream-service-time",
    "x-generation-id",
    "x-groq-region",
    "x-inference-provider",
    "x-inference-version",
    "x-litellm-call-id",
    "x-litellm-version",
    "x-ms-deployment-name",
    "x-ms-region",
    "x-ms-request-id",
    "x-ms-served-model",
    "x-request-id",
    "x-should-retry",
    "x-trace-id",
];

/// Families of headers that announce limits.
const KEPT_PREFIXES: [&str; 5] = [
    "anthropic-ratelimit-",
    "ratelimit",
    "x-rate-limit",
    "x-ratelimit",
    "x-tokenlimit",
];

/// Headers that carry the id of a request, the most telling first.
const REQUEST_IDS: [&str; 12] = [
    "x-request-id",
    "request-id",
    "x-amzn-requestid",
    "apim-request-id",
    "x-ms-request-id",
    "mistral-correlation-id",
    "x-ds-trace-id",
    "x-litellm-call-id",
    "x-generation-id",
    "inference-id",
    "x-correlation-id",
    "cf-ray",
];

/// Returns the headers that a dataset keeps, sorted by name: (lowercase name, value).
///
/// Values are cut to a bounded length, and bytes that are no text are replaced.
pub fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut kept: Vec<(String, String)> = headers
        .iter()
        .filter(|(name, _)| is_kept(name.as_str()))
        .map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes())))
        .collect();
    kept.sort_by(|a, b| a.0.cmp(&b.0));
    kept.truncate(KEPT_MAX);
    kept
}

fn is_kept(name: &str) -> bool {
    KEPT.binary_search(&name).is_ok() || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value)
        .chars()
        .take(VALUE_MAX_CHARS)
        .collect()
}

/// Returns the provider's id of a request.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    REQUEST_IDS
        .iter()
        .filter_map(|name| headers.get(*name))
        .map(|value| text(value.as_bytes()))
        .find(|value| !value.is_empty())
}
