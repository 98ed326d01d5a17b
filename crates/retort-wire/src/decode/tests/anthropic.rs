//! Anthropic's messages, whole and streamed.

use super::*;

const ANTHROPIC: WireProtocol = WireProtocol::AnthropicMessages;

fn message(content: &Value, stop_reason: &str) -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x",
        "content": content, "stop_reason": stop_reason, "stop_sequence": null,
        "usage": {"input_tokens": 4, "cache_read_input_tokens": 1_163,
            "cache_creation_input_tokens": 7, "output_tokens": 202,
            "output_tokens_details": {"thinking_tokens": 50}},
    })
}

fn read(body: &Value) -> Decoded {
    Answer::new(&body.to_string()).protocol(ANTHROPIC).decode()
}

fn begun() -> Value {
    let message = json!({"id": "msg_1", "type": "message", "model": "claude-x", "content": [],
        "stop_reason": null, "usage": {"input_tokens": 9, "cache_read_input_tokens": 2,
            "output_tokens": 1}});
    json!({"type": "message_start", "message": message})
}

fn block(index: u32, block: &Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: u32, delta: &Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn text(words: &str) -> Value {
    delta(0, &json!({"type": "text_delta", "text": words}))
}

fn stopped(reason: &str) -> Value {
    json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
        "usage": {"output_tokens": 12}})
}

fn end() -> Value {
    json!({"type": "message_stop"})
}

fn read_events(datas: &[Value]) -> Decoded {
    Answer::new(&events(datas)).protocol(ANTHROPIC).decode()
}

#[test]
fn a_whole_message() {
    let content = json!([
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Hello ", "citations": null},
        {"type": "text", "text": "there"},
    ]);
    let decoded = read(&message(&content, "end_turn"));
    assert_eq!(decoded.outcome, Outcome::Answered);
    let reply = decoded.reply;
    assert_eq!(reply.text.as_deref(), Some("Hello there"));
    assert_eq!(reply.reasoning_text.as_deref(), Some("hm"));
    assert_eq!(reply.reasoning_source.as_deref(), Some("field"));
    assert_eq!(reply.served_model.as_deref(), Some("claude-x"));
    assert_eq!(reply.response_id.as_deref(), Some("msg_1"));
    assert_eq!(
        reply.usage,
        Usage {
            input_tokens: Some(4),
            output_tokens: Some(202),
            reasoning_tokens: Some(50),
            cache_read_tokens: Some(1_163),
            cache_write_tokens: Some(7),
        }
    );
}

#[test]
fn thinking_that_is_not_told() {
    for (hidden, source) in [
        (
            json!({"type": "redacted_thinking", "data": "EmwK"}),
            Some("encrypted"),
        ),
        (
            json!({"type": "thinking", "thinking": "", "signature": "s"}),
            Some("encrypted"),
        ),
        (
            json!({"type": "thinking", "thinking": "", "signature": ""}),
            None,
        ),
        (json!({"type": "something_new", "text": 7}), None),
    ] {
        let content = json!([hidden, {"type": "text", "text": "a"}]);
        let reply = read(&message(&content, "end_turn")).reply;
        assert_eq!(reply.text.as_deref(), Some("a"));
        assert_eq!(reply.reasoning_text, None);
        assert_eq!(reply.reasoning_source.as_deref(), source, "{hidden}");
    }
}

#[test]
fn reasons_to_stop() {
    for (raw, reason, outcome) in [
        ("end_turn", FinishReason::Stop, Outcome::Answered),
        ("stop_sequence", FinishReason::Stop, Outcome::Answered),
        ("max_tokens", FinishReason::MaxTokens, Outcome::Answered),
        (
            "model_context_window_exceeded",
            FinishReason::ModelLength,
            Outcome::Answered,
        ),
        ("tool_use", FinishReason::ToolCalls, Outcome::Answered),
        ("pause_turn", FinishReason::Unknown, Outcome::Answered),
        ("refusal", FinishReason::ContentFilter, Outcome::Refused),
    ] {
        let content = json!([{"type": "text", "text": "a"}]);
        let whole = read(&message(&content, raw));
        let streamed = read_events(&[begun(), text("a"), stopped(raw), end()]);
        for decoded in [whole, streamed] {
            assert_eq!(decoded.outcome, outcome, "{raw}");
            assert_eq!(decoded.reply.finish_reason, Some(reason), "{raw}");
            assert_eq!(decoded.reply.finish_reason_raw.as_deref(), Some(raw));
        }
    }
    let mut refused = message(&json!([]), "refusal");
    refused["stop_details"] = json!({"type": "refusal", "explanation": "no"});
    let decoded = read(&refused);
    assert_eq!(decoded.outcome, Outcome::Refused);
    assert_eq!(decoded.reply.refusal_text.as_deref(), Some("no"));
    assert_eq!(decoded.reply.text, None);
}

#[test]
fn a_stream_comes_together() {
    let decoded = read_events(&[
        begun(),
        json!({"type": "ping"}),
        block(
            0,
            &json!({"type": "thinking", "thinking": "", "signature": ""}),
        ),
        delta(0, &json!({"type": "thinking_delta", "thinking": "h"})),
        delta(0, &json!({"type": "thinking_delta", "thinking": "m"})),
        delta(0, &json!({"type": "signature_delta", "signature": "s"})),
        json!({"type": "content_block_stop", "index": 0}),
        block(1, &json!({"type": "text", "text": ""})),
        delta(1, &json!({"type": "text_delta", "text": "Häl"})),
        delta(1, &json!({"type": "text_delta", "text": "lo"})),
        block(
            2,
            &json!({"type": "tool_use", "id": "t1", "name": "f", "input": {}}),
        ),
        delta(
            2,
            &json!({"type": "input_json_delta", "partial_json": "{\"a\""}),
        ),
        delta(
            2,
            &json!({"type": "input_json_delta", "partial_json": ":1}"}),
        ),
        stopped("tool_use"),
        end(),
    ]);
    assert_eq!(decoded.outcome, Outcome::Answered);
    assert_eq!(decoded.stream_end, Some(StreamEnd::Complete));
    assert!(decoded.ttft.is_some());
    let reply = decoded.reply;
    assert_eq!(reply.text.as_deref(), Some("Hällo"));
    assert_eq!(reply.reasoning_text.as_deref(), Some("hm"));
    assert_eq!(reply.reasoning_source.as_deref(), Some("field"));
    let calls: Value = serde_json::from_str(&reply.tool_calls.unwrap()).unwrap();
    let function = json!({"name": "f", "arguments": "{\"a\":1}"});
    assert_eq!(
        calls,
        json!([{"id": "t1", "type": "function", "function": function}])
    );
    // The end tells no more of the prompt, so that the beginning counts.
    assert_eq!(reply.usage.input_tokens, Some(9));
    assert_eq!(reply.usage.cache_read_tokens, Some(2));
    assert_eq!(reply.usage.output_tokens, Some(12));
    let raw: Value = serde_json::from_str(&reply.usage_raw.unwrap()).unwrap();
    let joined = json!({"input_tokens": 9, "cache_read_input_tokens": 2, "output_tokens": 12});
    assert_eq!(raw, joined);
}

#[test]
fn an_answer_that_broke_off_is_never_an_answer() {
    let content = json!([{"type": "text", "text": "Hällo"}]);
    let whole = message(&content, "end_turn").to_string();
    ends::check_cuts(ANTHROPIC, &whole, |_| false);
    let body = events(&[begun(), text("Hä"), text("llo"), stopped("end_turn"), end()]);
    let is_end = |arrived: &str| arrived.contains("data: {\"type\":\"message_stop\"}");
    ends::check_cuts(ANTHROPIC, &body, is_end);
    ends::check_cuts(ANTHROPIC, &body.replace('\n', "\r\n"), is_end);
    // Not even when the transport calls it whole, and the reason to stop was told.
    for datas in [
        &[begun(), text("a")][..],
        &[begun(), text("a"), stopped("end_turn")],
    ] {
        let decoded = read_events(datas);
        assert_eq!(decoded.outcome, Outcome::Cut);
        assert_eq!(decoded.reply.text.as_deref(), Some("a"));
    }
}

#[test]
fn the_end_ends_it() {
    let mut decoder = Answer::new("").protocol(ANTHROPIC).decoder();
    decoder.push(events(&[begun(), text("a")]).as_bytes(), Duration::ZERO);
    assert!(!decoder.is_done());
    decoder.push(
        events(&[stopped("end_turn"), end()]).as_bytes(),
        Duration::ZERO,
    );
    assert!(decoder.is_done());
    decoder.push(events(&[text("b")]).as_bytes(), Duration::ZERO);
    let decoded = decoder.finish(BodyEnd::Broken("connection reset".to_owned()));
    assert_eq!(decoded.outcome, Outcome::Answered);
    assert_eq!(decoded.reply.text.as_deref(), Some("a"));
    assert_eq!(decoded.late_fault.as_deref(), Some("connection reset"));
}

#[test]
fn errors_inside_a_success() {
    for (kind, outcome) in [
        ("overloaded_error", Outcome::Overloaded),
        ("api_error", Outcome::ProviderError),
        ("rate_limit_error", Outcome::RateLimited),
        ("authentication_error", Outcome::Unauthorized),
        ("permission_error", Outcome::Unauthorized),
        ("billing_error", Outcome::QuotaExhausted),
        ("not_found_error", Outcome::NotFound),
        ("timeout_error", Outcome::Timeout),
        ("invalid_request_error", Outcome::InvalidRequest),
        ("request_too_large", Outcome::InvalidRequest),
    ] {
        let error = json!({"type": "error", "error": {"type": kind, "message": "words"}});
        let streamed = read_events(&[begun(), text("Half"), error.clone()]);
        assert_eq!(streamed.reply.text.as_deref(), Some("Half"));
        for decoded in [streamed, read(&error)] {
            assert_eq!(decoded.outcome, outcome, "{kind}");
            assert_eq!(decoded.stream_end, Some(StreamEnd::Error), "{kind}");
            assert_eq!(decoded.error.unwrap().kind.as_deref(), Some(kind));
        }
    }
    let unreadable = format!("{}event: error\ndata: words\n\n", events(&[begun()]));
    let decoded = Answer::new(&unreadable).protocol(ANTHROPIC).decode();
    assert_eq!(decoded.outcome, Outcome::ProviderError);
}

#[test]
fn a_lost_event_keeps_the_answer_from_being_used() {
    for (lost, outcome) in [
        (
            "data: {\"type\":\"content_block_delta\",\n\n",
            Outcome::Undecodable,
        ),
        ("data: ping\n\n", Outcome::Answered),
        (
            "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":7}}\n\n",
            Outcome::Undecodable,
        ),
        (
            "data: {\"type\":\"something_new\",\"delta\":\"x\"}\n\n",
            Outcome::Answered,
        ),
    ] {
        let (head, tail) = (
            events(&[begun(), text("a")]),
            events(&[stopped("end_turn"), end()]),
        );
        let body = format!("{head}{lost}{tail}");
        assert_eq!(
            Answer::new(&body).protocol(ANTHROPIC).decode().outcome,
            outcome,
            "{lost}"
        );
    }
    let nothing = read_events(&[end()]);
    assert_eq!(
        nothing.outcome,
        Outcome::Undecodable,
        "an end without an answer"
    );
    let nothing = read(&json!({"type": "message", "usage": {"output_tokens": 1}}));
    assert_eq!(nothing.outcome, Outcome::Undecodable);
    for content in [
        json!({"type": "text"}),
        json!(["text"]),
        json!([{"type": "text", "text": 7}]),
    ] {
        let unreadable = read(&message(&content, "end_turn"));
        assert_eq!(unreadable.outcome, Outcome::Undecodable, "{content}");
    }
    let lost = json!({"type": "content_block_delta", "index": 0, "delta": "text"});
    let unreadable = read_events(&[begun(), lost, stopped("end_turn"), end()]);
    assert_eq!(unreadable.outcome, Outcome::Undecodable);
    let plain = read(&message(&json!("text"), "end_turn"));
    assert_eq!(plain.reply.text.as_deref(), Some("text"));
}

#[test]
fn a_wrong_type_beside_the_text_does_not_lose_it() {
    let mut whole = message(
        &json!([{"type": "text", "text": "kept", "citations": []}]),
        "end_turn",
    );
    whole["stop_details"] = json!({"type": "refusal", "explanation": "x"});
    let places = [
        "/id",
        "/type",
        "/role",
        "/model",
        "/stop_reason",
        "/stop_sequence",
        "/usage",
        "/usage/input_tokens",
        "/usage/output_tokens_details",
        "/content/0/citations",
        "/stop_details",
    ];
    check_tolerance(ANTHROPIC, &whole, &places);
}

#[test]
fn a_stream_with_too_much_text_is_not_an_answer() {
    check_too_much(ANTHROPIC, text, &[stopped("end_turn"), end()]);
    let thought = |words: &str| delta(0, &json!({"type": "thinking_delta", "thinking": words}));
    check_too_much(ANTHROPIC, thought, &[stopped("end_turn"), end()]);
}
