//! Spans of attempts, in the words of OpenTelemetry's conventions for generative models where they
//! have some. Fields are names of ours, numbers and hashes: never a prompt, an answer, a header or a
//! key, and no text of a provider's, which may repeat any of them.

use retort_types::catalog::host_and_port;
use retort_types::record::AttemptRecord;
use retort_types::{Mode, Outcome};
use tracing::Span;
use tracing::field::Empty;

use super::ask::Target;
use super::attempt::Turn;

/// Returns the span of the attempt about to be made. It costs a look at a flag where nobody takes it
/// down.
pub(super) fn attempt(target: &Target, turn: &Turn) -> Span {
    let span = tracing::debug_span!(
        "attempt",
        otel.name = Empty,
        otel.kind = "client",
        otel.status_code = Empty,
        "error.type" = Empty,
        gen_ai.operation.name = Empty,
        gen_ai.provider.name = Empty,
        gen_ai.request.model = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        http.response.status_code = Empty,
        server.address = Empty,
        server.port = Empty,
        retort.attempt = turn.attempt_no,
        retort.campaign.id = Empty,
        retort.domain.id = Empty,
        retort.final_outcome = Empty,
        retort.model = Empty,
        retort.outcome = Empty,
        retort.sample.id = Empty,
    );
    if span.is_disabled() {
        return span;
    }
    let (endpoint, sample) = (&target.endpoint, &turn.sample);
    let operation = match sample.input.mode() {
        Mode::Chat => "chat",
        Mode::Completion => "text_completion",
    };
    let name = format!("{operation} {}", endpoint.request_model);
    span.record("otel.name", name);
    span.record("gen_ai.operation.name", operation);
    span.record("gen_ai.provider.name", provider(endpoint.provider.as_str()));
    span.record("gen_ai.request.model", &endpoint.request_model);
    let (host, port) = address(&endpoint.base_url);
    span.record("server.address", host);
    span.record("server.port", port);
    span.record("retort.campaign.id", sample.campaign.as_str());
    span.record("retort.domain.id", endpoint.domain.as_str());
    span.record("retort.model", endpoint.name.as_str());
    span.record(
        "retort.sample.id",
        tracing::field::display(sample.sample_id),
    );
    span
}

/// Takes down how an attempt ended.
pub(super) fn ended(span: &Span, record: &AttemptRecord) {
    if span.is_disabled() {
        return;
    }
    let usage = &record.reply.usage;
    span.record("gen_ai.usage.input_tokens", usage.input_tokens);
    span.record("gen_ai.usage.output_tokens", usage.output_tokens);
    span.record("http.response.status_code", record.http.status);
    span.record("retort.outcome", record.outcome.as_str());
    span.record(
        "retort.final_outcome",
        record.final_outcome.map(Outcome::as_str),
    );
    if !is_said(record.outcome) {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", record.outcome.as_str());
    }
}

/// Returns whether a model said something, whatever it was.
const fn is_said(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Answered | Outcome::Refused | Outcome::Filtered
    )
}

/// Returns the convention's name of a built-in provider; others go by their own.
fn provider(name: &str) -> &str {
    match name {
        "azure-foundry" => "azure.ai.inference",
        "azure-openai" | "azure-openai-responses" => "azure.ai.openai",
        "bedrock" => "aws.bedrock",
        "deepseek-completions" => "deepseek",
        "gemini" => "gcp.gemini",
        "mistral" => "mistral_ai",
        "moonshot" => "moonshot_ai",
        "openai-completions" | "openai-responses" => "openai",
        "vertex" => "gcp.vertex_ai",
        "xai" | "xai-responses" => "x_ai",
        own => own,
    }
}

/// Returns the host of a URL and its port.
fn address(url: &str) -> (&str, u16) {
    let usual = if url.starts_with("http:") { 80 } else { 443 };
    let authority = host_and_port(url);
    let split = authority.rsplit_once(':');
    // What follows the last colon of an address in brackets is a part of it.
    let told = split.and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = told.unwrap_or((authority, usual));
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let check = |url, host, port| assert_eq!(address(url), (host, port), "{url}");
        check("https://api.openai.com/v1", "api.openai.com", 443);
        check("http://127.0.0.1:8000/v1", "127.0.0.1", 8000);
        check("http://localhost", "localhost", 80);
        check("http://[::1]:8000/v1", "::1", 8000);
        check("https://[2001:db8::1]/v1", "2001:db8::1", 443);
    }
}
