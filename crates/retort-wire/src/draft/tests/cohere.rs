//! `cohere-v2`.

use super::*;

const COHERE: WireProtocol = WireProtocol::CohereV2;

fn event(value: &Value) -> String {
    let kind = value["type"].as_str().unwrap_or("message");
    format!("event: {kind}\ndata: {value}\n\n")
}

fn delta(content: &Value) -> String {
    event(&json!({"type": "content-delta", "index": 0, "delta": {"message": {"content": content}}}))
}

fn end(reason: &str) -> String {
    event(
        &json!({"type": "message-end", "delta": {"finish_reason": reason, "usage": {
            "billed_units": {"input_tokens": 1, "output_tokens": 2},
            "tokens": {"input_tokens": 10, "output_tokens": 20, "reasoning_tokens": 5},
            "cached_tokens": 3,
        }}}),
    )
}

fn decode(body: impl Into<Vec<u8>>) -> Decoded {
    Answer::new(COHERE, body).decode()
}

#[test]
fn whole_answers() {
    let body = json!({
        "id": "r-1", "finish_reason": "MAX_TOKENS",
        "message": {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hel"},
            {"type": "text", "text": "lo"}, {"type": "image"},
        ], "tool_calls": [{"id": "t", "function": {"name": "n", "arguments": "{}"}}]},
        "usage": {"billed_units": {"input_tokens": 11, "output_tokens": 2}},
        "logprobs": [
            {"text": "Hel", "token_ids": [1], "logprobs": [-0.5]},
            {"text": "lo!", "token_ids": [2, 3], "logprobs": [-1.0, -2.0]},
        ],
    });
    let decoded = decode(body.to_string());
    assert_eq!(words(&decoded), (Some("Hello"), Some("hm"), Some("field")));
    assert_eq!(decoded.outcome, Outcome::Answered);
    let reply = decoded.reply;
    assert_eq!(reply.response_id.as_deref(), Some("r-1"));
    assert_eq!(reply.finish_reason, Some(FinishReason::MaxTokens));
    // What is paid for counts where nothing else is told.
    assert_eq!(
        (reply.usage.input_tokens, reply.usage.output_tokens),
        (Some(11), Some(2))
    );
    let tokens: Vec<_> = reply
        .tokens
        .iter()
        .map(|token| (token.token.as_deref(), token.logprob, token.arrived_ms))
        .collect();
    // Which token of several is which part of a text is not told.
    let expected = [
        (Some("Hel"), Some(-0.5), None),
        (None, Some(-1.0), None),
        (None, Some(-2.0), None),
    ];
    assert_eq!(tokens, expected);
    assert!(reply.tool_calls.unwrap().contains("\"n\""));
    let plain = decode(r#"{"finish_reason":"COMPLETE","message":{"content":"a"}}"#);
    assert_eq!(words(&plain).0, Some("a"));
}

#[test]
fn a_stream_is_put_together() {
    let piece = json!({"text": "Hel", "token_ids": [7], "logprobs": [-0.25]});
    let body = [
        event(
            &json!({"type": "message-start", "id": "r-1", "delta": {"message": {
            "role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}}}),
        ),
        event(
            &json!({"type": "content-start", "index": 0, "delta": {"message": {"content":
            {"type": "thinking", "thinking": "h"}}}}),
        ),
        event(
            &json!({"type": "content-delta", "index": 0, "delta": {"message": {"content":
            {"thinking": "m"}}}, "logprobs": {"text": "m", "logprobs": [-1]}}),
        ),
        event(
            &json!({"type": "content-start", "index": 1, "delta": {"message": {"content":
            {"type": "text", "text": ""}}}}),
        ),
        event(
            &json!({"type": "content-delta", "index": 1, "delta": {"message": {"content":
            {"text": "Hel"}}}, "logprobs": piece}),
        ),
        delta(&json!({"text": "lo"})),
        event(
            &json!({"type": "tool-call-start", "delta": {"message": {"tool_calls":
            {"id": "t", "function": {"name": "n", "arguments": ""}}}}}),
        ),
        event(
            &json!({"type": "tool-call-delta", "delta": {"message": {"tool_calls":
            {"function": {"arguments": "{}"}}}}}),
        ),
        event(&json!({"type": "citation-start", "delta": {"message": {"citations": {}}}})),
        event(&json!({"type": "something-new", "delta": {}})),
        end("COMPLETE"),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    let decoded = decode(body);
    assert_eq!(words(&decoded), (Some("Hello"), Some("hm"), Some("field")));
    assert_eq!(
        (decoded.outcome, decoded.late_fault),
        (Outcome::Answered, None)
    );
    let reply = decoded.reply;
    assert_eq!(reply.response_id.as_deref(), Some("r-1"));
    assert_eq!(
        reply.tool_calls.as_deref(),
        Some(r#"[{"id":"t","type":"function","function":{"name":"n","arguments":"{}"}}]"#)
    );
    let tokens: Vec<_> = reply
        .tokens
        .iter()
        .map(|t| (t.segment, t.logprob))
        .collect();
    let expected = [
        (TokenSegment::Reasoning, Some(-1.0)),
        (TokenSegment::Response, Some(-0.25)),
    ];
    assert_eq!(tokens, expected);
    let usage = Usage {
        input_tokens: Some(10),
        output_tokens: Some(20),
        reasoning_tokens: Some(5),
        cache_read_tokens: Some(3),
        cache_write_tokens: None,
    };
    assert_eq!(reply.usage, usage);
}

#[test]
fn the_end_of_a_stream_decides() {
    let text = delta(&json!({"text": "a"}));
    assert_eq!(decode(text.clone()).outcome, Outcome::Cut);
    // A mark that the stream is over does not stand for the answer's own end.
    assert_eq!(
        decode(format!("{text}data: [DONE]\n\n")).outcome,
        Outcome::Cut
    );
    let whole = format!("{text}{}", end("COMPLETE"));
    assert_eq!(decode(whole.clone()).outcome, Outcome::Answered);
    // Its last empty line is often forgotten, and what breaks after it does no harm.
    assert_eq!(decode(whole.trim_end()).outcome, Outcome::Answered);
    let late = Answer::new(COHERE, whole).broken().decode();
    assert_eq!(late.outcome, Outcome::Answered);
    assert!(late.late_fault.is_some());
    let broken = format!(
        "data: {{\"type\":\"content-delta\",\"del\n\n{}",
        end("COMPLETE")
    );
    assert_eq!(decode(broken).outcome, Outcome::Undecodable);
}

#[test]
fn finish_reasons_mean_what_they_say() {
    for (reason, outcome, finish) in [
        ("COMPLETE", Outcome::Answered, FinishReason::Stop),
        ("STOP_SEQUENCE", Outcome::Answered, FinishReason::Stop),
        ("MAX_TOKENS", Outcome::Answered, FinishReason::MaxTokens),
        ("TOOL_CALL", Outcome::Answered, FinishReason::ToolCalls),
        ("ERROR", Outcome::ProviderError, FinishReason::Unknown),
        ("TIMEOUT", Outcome::Timeout, FinishReason::Unknown),
        (
            "ERROR_TOXIC",
            Outcome::Filtered,
            FinishReason::ContentFilter,
        ),
        ("ERROR_LIMIT", Outcome::Answered, FinishReason::ModelLength),
    ] {
        let decoded = decode(format!("{}{}", delta(&json!({"text": "a"})), end(reason)));
        assert_eq!(decoded.outcome, outcome, "{reason}");
        assert_eq!(decoded.reply.finish_reason, Some(finish), "{reason}");
        let is_failure = !matches!(outcome, Outcome::Answered | Outcome::Filtered);
        assert_eq!(
            decoded.stream_end == Some(StreamEnd::Error),
            is_failure,
            "{reason}"
        );
    }
}

#[test]
fn errors_within_success() {
    let text = delta(&json!({"text": "a"}));
    for error in [
        "data: {\"message\":\"too many requests\"}\n\n",
        "event: error\ndata: {\"message\":\"rate limit\"}\n\n",
        "data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"ERROR\",\"error\":\"rate limit\"}}\n\n",
        "data: {\"type\":\"other\",\"error\":{\"message\":\"too many requests\"}}\n\n",
    ] {
        let decoded = decode(format!("{text}{error}"));
        assert_eq!(decoded.outcome, Outcome::RateLimited, "{error}");
        assert_eq!(decoded.stream_end, Some(StreamEnd::Error), "{error}");
        assert!(decoded.error.is_some());
    }
    let whole = decode(r#"{"id":"x","message":"internal server_error"}"#);
    assert_eq!(whole.outcome, Outcome::ProviderError);
    let context = Answer::new(
        COHERE,
        r#"{"error_type":"TOO_MANY_TOKENS","message":"too many tokens"}"#,
    );
    assert_eq!(
        context.with(400, &[]).decode().outcome,
        Outcome::ContextLength
    );
}
