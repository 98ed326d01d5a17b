//! `bedrock-converse`.

use super::*;
use crate::frames::tests::{event, frame};

const BEDROCK: WireProtocol = WireProtocol::BedrockConverse;

fn exception(name: &str, payload: &str) -> Vec<u8> {
    frame(
        &[(":exception-type", name), (":message-type", "exception")],
        payload,
    )
}

fn delta(delta: &Value) -> Vec<u8> {
    let payload = json!({"contentBlockIndex": 0, "delta": delta, "p": "abc"});
    event("contentBlockDelta", &payload.to_string())
}

fn stop(reason: &str) -> Vec<u8> {
    event("messageStop", &json!({"stopReason": reason}).to_string())
}

fn metadata() -> Vec<u8> {
    let usage = json!({"inputTokens": 9, "outputTokens": 4, "totalTokens": 13,
        "cacheReadInputTokens": 2, "cacheWriteInputTokens": 0});
    event("metadata", &json!({"usage": usage}).to_string())
}

fn whole(content: &Value, reason: &str) -> Decoded {
    let body = json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": reason,
        "usage": {"inputTokens": 9, "outputTokens": 4},
    });
    Answer::new(BEDROCK, body.to_string()).decode()
}

#[test]
fn blocks_of_every_kind() {
    let decoded = whole(
        &json!([
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
            {"text": "Hel"},
            {"citationsContent": {"content": [{"text": "lo"}], "citations": []}},
            {"toolUse": {"toolUseId": "t", "name": "n", "input": {"a": 1}}},
            {"newBlock": {"x": 1}},
            7,
        ]),
        "tool_use",
    );
    assert_eq!(words(&decoded), (Some("Hello"), Some("hm"), Some("field")));
    assert_eq!(decoded.outcome, Outcome::Answered);
    assert_eq!(decoded.reply.finish_reason, Some(FinishReason::ToolCalls));
    assert_eq!(
        decoded.reply.tool_calls.as_deref(),
        Some(r#"[{"id":"t","type":"function","function":{"name":"n","arguments":"{\"a\":1}"}}]"#)
    );
    assert_eq!(
        decoded.reply.usage_raw.as_deref(),
        Some(r#"{"inputTokens":9,"outputTokens":4}"#)
    );
    assert_eq!(decoded.ttft, None);
    let hidden = whole(
        &json!([{"reasoningContent": {"redactedContent": "AAAA"}}, {"text": "a"}]),
        "end_turn",
    );
    assert_eq!(words(&hidden), (Some("a"), None, Some("encrypted")));
}

#[test]
fn a_text_that_is_none_is_no_answer() {
    let decoded = whole(&json!([{"text": {"not": "a text"}}]), "end_turn");
    assert_eq!(decoded.outcome, Outcome::Undecodable);
    let decoded = whole(&json!([]), "end_turn");
    assert_eq!(
        (decoded.outcome, words(&decoded).0),
        (Outcome::Answered, Some(""))
    );
}

#[test]
fn stop_reasons_mean_what_they_say() {
    for (reason, outcome, finish) in [
        ("end_turn", Outcome::Answered, FinishReason::Stop),
        ("stop_sequence", Outcome::Answered, FinishReason::Stop),
        ("max_tokens", Outcome::Answered, FinishReason::MaxTokens),
        (
            "model_context_window_exceeded",
            Outcome::Answered,
            FinishReason::ModelLength,
        ),
        (
            "guardrail_intervened",
            Outcome::Filtered,
            FinishReason::ContentFilter,
        ),
        (
            "content_filtered",
            Outcome::Filtered,
            FinishReason::ContentFilter,
        ),
        ("refusal", Outcome::Refused, FinishReason::ContentFilter),
        (
            "malformed_model_output",
            Outcome::ProviderError,
            FinishReason::Unknown,
        ),
        ("something_new", Outcome::Answered, FinishReason::Unknown),
    ] {
        let decoded = whole(&json!([{"text": "a"}]), reason);
        assert_eq!(decoded.outcome, outcome, "{reason}");
        assert_eq!(decoded.reply.finish_reason, Some(finish), "{reason}");
        assert_eq!(decoded.reply.finish_reason_raw.as_deref(), Some(reason));
    }
}

#[test]
fn a_stream_is_put_together() {
    let start = json!({"start": {"toolUse": {"toolUseId": "t", "name": "n"}}}).to_string();
    let body = [
        event("messageStart", r#"{"role":"assistant"}"#),
        delta(&json!({"reasoningContent": {"text": "h"}})),
        delta(&json!({"reasoningContent": {"text": "m"}})),
        delta(&json!({"reasoningContent": {"signature": "s"}})),
        delta(&json!({"text": "Hel"})),
        delta(&json!({"text": "lo"})),
        event("contentBlockStop", "{}"),
        event("contentBlockStart", &start),
        delta(&json!({"toolUse": {"input": "{\"a\""}})),
        delta(&json!({"toolUse": {"input": ":1}"}})),
        event("somethingNew", "no JSON"),
        stop("end_turn"),
        metadata(),
    ]
    .concat();
    let mut answer = Answer::new(BEDROCK, body);
    answer.headers = vec![
        ("content-type", "application/vnd.amazon.eventstream"),
        ("x-amzn-requestid", "r-1"),
    ];
    let decoded = answer.decode();
    assert_eq!(words(&decoded), (Some("Hello"), Some("hm"), Some("field")));
    assert_eq!(decoded.outcome, Outcome::Answered);
    assert_eq!(decoded.stream_end, Some(StreamEnd::Complete));
    assert_eq!(decoded.provider_request_id.as_deref(), Some("r-1"));
    assert_eq!(decoded.ttft, Some(Duration::from_millis(5)));
    assert_eq!(
        decoded.reply.tool_calls.as_deref(),
        Some(r#"[{"id":"t","type":"function","function":{"name":"n","arguments":"{\"a\":1}"}}]"#)
    );
    let usage = Usage {
        input_tokens: Some(9),
        output_tokens: Some(4),
        reasoning_tokens: None,
        cache_read_tokens: Some(2),
        cache_write_tokens: Some(0),
    };
    assert_eq!(decoded.reply.usage, usage);
}

#[test]
fn the_end_of_a_stream_decides() {
    let text = delta(&json!({"text": "a"}));
    let (end, usage) = (stop("end_turn"), metadata());
    let answered = |parts: &[&[u8]]| Answer::new(BEDROCK, parts.concat());
    let cut = answered(&[&text]).decode();
    assert_eq!(cut.outcome, Outcome::Cut);
    assert_eq!(cut.stream_end, Some(StreamEnd::Cut));
    // Nothing but usage is missing.
    let late = answered(&[&text, &end]).broken().decode();
    assert_eq!(late.outcome, Outcome::Answered);
    assert_eq!(late.late_fault.as_deref(), Some("connection reset"));
    let within = answered(&[&text, &end, &usage[..20]]).decode();
    assert_eq!(within.outcome, Outcome::Answered);
    assert_eq!(
        within.late_fault.as_deref(),
        Some("body ended within a frame")
    );
    let within = answered(&[&text, &end[..20]]).decode();
    assert_eq!((within.outcome, within.late_fault), (Outcome::Cut, None));
}

#[test]
fn a_corrupt_frame_ends_the_reading() {
    let text = delta(&json!({"text": "a"}));
    let mut bad = delta(&json!({"text": "b"}));
    let last = bad.len() - 1;
    bad[last] ^= 1;
    let end = [stop("end_turn"), metadata()].concat();
    let decoded = Answer::new(BEDROCK, [&text[..], &bad, &end].concat()).decode();
    assert_eq!(decoded.outcome, Outcome::Undecodable);
    assert_eq!(decoded.stream_end, Some(StreamEnd::Cut));
    assert_eq!(words(&decoded).0, Some("a"));
    let decoded = Answer::new(BEDROCK, [&text[..], &end, &bad].concat()).decode();
    assert_eq!(decoded.outcome, Outcome::Answered);
    assert_eq!(decoded.late_fault.as_deref(), Some("corrupt frame"));
}

#[test]
fn an_announced_length_is_not_believed() {
    let mut body = delta(&json!({"text": "a"}));
    let mut prelude = u32::MAX.to_be_bytes().to_vec();
    prelude.extend_from_slice(&[0; 4]);
    prelude.extend_from_slice(&crc32fast::hash(&prelude).to_be_bytes());
    body.extend_from_slice(&prelude);
    let decoded = Answer::new(BEDROCK, body).decode();
    assert_eq!(decoded.outcome, Outcome::Undecodable);
    assert_eq!(decoded.stream_end, Some(StreamEnd::Cut));
}

#[test]
fn exceptions_within_a_stream_are_errors() {
    let text = delta(&json!({"text": "a"}));
    for (name, payload, outcome) in [
        (
            "throttlingException",
            r#"{"message":"Too many requests"}"#,
            Outcome::RateLimited,
        ),
        (
            "modelNotReadyException",
            r#"{"message":"wait"}"#,
            Outcome::Overloaded,
        ),
        ("serviceUnavailableException", "{}", Outcome::Overloaded),
        ("internalServerException", "{}", Outcome::ProviderError),
        ("modelTimeoutException", "{}", Outcome::Timeout),
        (
            "validationException",
            r#"{"message":"Input is too long for requested model."}"#,
            Outcome::ContextLength,
        ),
        (
            "validationException",
            r#"{"message":"Malformed input request"}"#,
            Outcome::InvalidRequest,
        ),
        (
            "serviceQuotaExceededException",
            r#"{"message":"m"}"#,
            Outcome::QuotaExhausted,
        ),
        (
            "modelStreamErrorException",
            r#"{"message":"m","originalStatusCode":503}"#,
            Outcome::Overloaded,
        ),
        ("modelStreamErrorException", "{}", Outcome::ProviderError),
        ("exceptionOfTomorrow", "{}", Outcome::ProviderError),
    ] {
        let body = [text.clone(), exception(name, payload)].concat();
        let decoded = Answer::new(BEDROCK, body).decode();
        assert_eq!(decoded.outcome, outcome, "{name} {payload}");
        assert_eq!(decoded.stream_end, Some(StreamEnd::Error), "{name}");
        assert_eq!(words(&decoded).0, Some("a"));
        let kind = decoded.error.and_then(|error| error.kind);
        assert_eq!(kind.as_deref(), Some(name));
    }
    let error = frame(
        &[
            (":error-code", "InternalFailure"),
            (":error-message", "it broke"),
            (":message-type", "error"),
        ],
        "",
    );
    let error = Answer::new(BEDROCK, error).decode();
    assert_eq!(error.outcome, Outcome::ProviderError);
    let told = error.error.unwrap();
    assert_eq!(told.code.as_deref(), Some("InternalFailure"));
    assert_eq!(told.message.as_deref(), Some("it broke"));
    // An answer that had its end is not taken back.
    let body = [
        text,
        stop("end_turn"),
        exception("throttlingException", "{}"),
    ]
    .concat();
    let late = Answer::new(BEDROCK, body).decode();
    assert_eq!(late.outcome, Outcome::Answered);
    assert_eq!(late.late_fault.as_deref(), Some("error after the end"));
}

#[test]
fn errors_outside_streams() {
    for (status, kind, body, outcome) in [
        (
            429,
            "ThrottlingException:http://internal.amazon.com/coral/",
            r#"{"message":"Too many tokens, please wait before trying again."}"#,
            Outcome::RateLimited,
        ),
        (
            429,
            "ModelNotReadyException",
            r#"{"message":"m"}"#,
            Outcome::Overloaded,
        ),
        (400, "ThrottlingException", "{}", Outcome::RateLimited),
        (
            400,
            "ServiceQuotaExceededException",
            r#"{"message":"m"}"#,
            Outcome::QuotaExhausted,
        ),
        (
            403,
            "UnrecognizedClientException",
            r#"{"message":"The security token included in the request is invalid."}"#,
            Outcome::Unauthorized,
        ),
        (
            400,
            "IncompleteSignatureException",
            r#"{"message":"m"}"#,
            Outcome::Unauthorized,
        ),
        (
            400,
            "ValidationException",
            r#"{"message":"The provided model identifier is invalid."}"#,
            Outcome::NotFound,
        ),
        (404, "ResourceNotFoundException", "{}", Outcome::NotFound),
        (424, "ModelErrorException", "{}", Outcome::ProviderError),
        (408, "ModelTimeoutException", "", Outcome::Timeout),
    ] {
        let answer = Answer::new(BEDROCK, body).with(status, &[("x-amzn-errortype", kind)]);
        let decoded = answer.decode();
        assert_eq!(decoded.outcome, outcome, "{status} {kind}");
        assert_eq!(
            decoded.error.and_then(|error| error.kind).as_deref(),
            Some(kind)
        );
    }
    let within = Answer::new(BEDROCK, r#"{"message":"something failed"}"#).decode();
    assert_eq!(within.outcome, Outcome::ProviderError);
    assert_eq!(within.stream_end, Some(StreamEnd::Error));
}
