//! Headers of an answer that are worth keeping, by allow-list.

use std::borrow::Cow;

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
    "x-debug-trace-id",
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
const REQUEST_IDS: [&str; 13] = [
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
    "x-debug-trace-id",
    "cf-ray",
];

/// Returns the headers that a dataset keeps, sorted by name: (lowercase name, value).
///
/// Values are cut to a bounded length, and bytes that are no text are replaced.
pub fn kept_headers(headers: &HeaderMap) -> Vec<(Cow<'static, str>, String)> {
    let mut kept: Vec<(Cow<'static, str>, String)> = headers
        .iter()
        .filter_map(|(name, value)| Some((kept_name(name.as_str())?, text(value.as_bytes()))))
        .collect();
    kept.sort_by(|a, b| a.0.cmp(&b.0));
    kept.truncate(KEPT_MAX);
    kept
}

/// Returns the name of a header that is kept.
fn kept_name(name: &str) -> Option<Cow<'static, str>> {
    if let Ok(place) = KEPT.binary_search(&name) {
        return KEPT.get(place).copied().map(Cow::Borrowed);
    }
    let is_kept = KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    is_kept.then(|| Cow::Owned(name.to_owned()))
}

fn text(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    if text.len() <= VALUE_MAX_CHARS {
        return text.into_owned();
    }
    text.chars().take(VALUE_MAX_CHARS).collect()
}

/// Returns the provider's id of a request.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    // One look at each header: an answer has fewer of them than this list.
    let told = headers.iter().filter_map(|(name, value)| {
        let mut ids = REQUEST_IDS.iter();
        let rank = ids.position(|id| *id == name.as_str())?;
        (!value.is_empty()).then_some((rank, value))
    });
    // Of equals the first.
    let (_, value) = told.min_by_key(|(rank, _)| *rank)?;
    Some(text(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(&str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, HeaderValue::from_bytes(value).expect("a value"));
        }
        headers
    }

    #[test]
    fn the_list_is_sorted_for_its_search() {
        assert!(KEPT.is_sorted());
    }

    #[test]
    fn only_what_is_listed_is_kept_in_order() {
        let long = [b'v'; 2 * VALUE_MAX_CHARS];
        let given = headers(&[
            ("X-RateLimit-Remaining-Tokens", b"7"),
            ("Set-Cookie", b"session=1"),
            ("Authorization", b"Bearer x"),
            ("X-Api-Key", b"x"),
            ("OpenAI-Organization", b"someone"),
            ("Via", b"1.1 a"),
            ("Via", b"1.1 b"),
            ("Retry-After-Ms", b"12"),
            ("Server", b"caf\xe9"),
            ("Anthropic-RateLimit-Requests-Limit", b"50"),
            ("CF-Ray", &long),
        ]);
        let long = "v".repeat(VALUE_MAX_CHARS);
        let expected = [
            ("anthropic-ratelimit-requests-limit", "50"),
            ("cf-ray", &long),
            ("retry-after-ms", "12"),
            ("server", "caf\u{fffd}"),
            ("via", "1.1 a"),
            ("via", "1.1 b"),
            ("x-ratelimit-remaining-tokens", "7"),
        ];
        let expected = expected.map(|(name, value)| (Cow::from(name), value.to_owned()));
        assert_eq!(kept_headers(&given), expected);
    }

    #[test]
    fn the_most_telling_id_is_taken() {
        for (lines, expected) in [
            (
                vec![("cf-ray", "ray"), ("x-request-id", "req")],
                Some("req"),
            ),
            (vec![("cf-ray", "ray"), ("x-request-id", "")], Some("ray")),
            (vec![("apim-request-id", "apim")], Some("apim")),
            (vec![("server", "x")], None),
        ] {
            let lines: Vec<_> = lines.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
            assert_eq!(request_id(&headers(&lines)).as_deref(), expected);
        }
    }
}
