//! OpenAI's responses, whole and streamed.

use super::*;

const RESPONSES: WireProtocol = WireProtocol::OpenaiResponses;

fn message(parts: &Value) -> Value {
    json!({"type": "message", "role": "assistant", "status": "completed", "content": parts})
}

fn response(output: &[Value], status: &str) -> Value {
    json!({
        "id": "resp_1", "object": "response", "status": status, "model": "gpt-x", "error": null,
        "incomplete_details": null, "output": output,
        "usage": {"input_tokens": 54, "input_tokens_details": {"cached_tokens": 3},
            "output_tokens": 164, "output_tokens_details": {"reasoning_tokens": 128}},
    })
}

fn said(text: &str) -> Value {
    message(&json!([{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]))
}

fn read(body: &Value) -> Decoded {
    Answer::new(&body.to_string()).protocol(RESPONSES).decode()
}

fn begun() -> Value {
    json!({"type": "response.created", "response": response(&[], "in_progress")})
}

fn delta(kind: &str, words: &str) -> Value {
    json!({"type": format!("response.{kind}.delta"), "delta": words, "obfuscation": "x"})
}

fn text(words: &str) -> Value {
    delta("output_text", words)
}

fn ended(response: &Value) -> Value {
    let status = response["status"].as_str().unwrap();
    json!({"type": format!("response.{status}"), "response": response})
}

fn read_events(datas: &[Value]) -> Decoded {
    Answer::new(&events(datas)).protocol(RESPONSES).decode()
}

#[test]
fn a_whole_response() {
    let output = [
        json!({"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}),
        json!({"type": "web_search_call", "status": "completed"}),
        said("Hello "),
        said("there"),
    ];
    let mut body = response(&output, "completed");
    body["provider"] = json!("P");
    body["system_fingerprint"] = json!("fp");
    let decoded = read(&body);
    assert_eq!(decoded.outcome, Outcome::Answered);
    let reply = decoded.reply;
    assert_eq!(reply.text.as_deref(), Some("Hello there"));
    assert_eq!(reply.reasoning_text.as_deref(), Some("hm"));
    assert_eq!(reply.served_model.as_deref(), Some("gpt-x"));
    assert_eq!(reply.response_id.as_deref(), Some("resp_1"));
    assert_eq!(reply.upstream_provider.as_deref(), Some("P"));
    assert_eq!(reply.system_fingerprint.as_deref(), Some("fp"));
    assert_eq!(
        reply.usage,
        Usage {
            input_tokens: Some(54),
            output_tokens: Some(164),
            reasoning_tokens: Some(128),
            cache_read_tokens: Some(3),
            cache_write_tokens: None,
        }
    );
}

#[test]
fn places_of_reasoning() {
    let part = |text: &str| json!({"type": "x", "text": text});
    for (item, expected, source) in [
        (
            json!({"content": [part("a"), part("b")], "summary": [part("s")]}),
            Some("ab"),
            Some("field"),
        ),
        (
            json!({"content": [], "summary": [part("s"), part("t")]}),
            Some("st"),
            Some("summary"),
        ),
        (
            json!({"summary": [], "encrypted_content": "gAAA"}),
            None,
            Some("encrypted"),
        ),
        (json!({"summary": []}), None, None),
        (json!({"summary": "s", "content": 7}), None, None),
    ] {
        let mut item = item;
        item["type"] = json!("reasoning");
        let whole = response(&[item.clone(), said("a")], "completed");
        for decoded in [read(&whole), read_events(&[begun(), ended(&whole)])] {
            let reply = decoded.reply;
            assert_eq!(reply.reasoning_text.as_deref(), expected, "{item}");
            assert_eq!(reply.reasoning_source.as_deref(), source, "{item}");
            assert_eq!(reply.text.as_deref(), Some("a"), "{item}");
        }
    }
    for (kind, source) in [
        ("reasoning_text", "field"),
        ("reasoning", "field"),
        ("reasoning_summary_text", "summary"),
        ("reasoning_summary", "summary"),
    ] {
        let end = ended(&response(&[], "completed"));
        let reply =
            read_events(&[begun(), delta(kind, "h"), delta(kind, "m"), text("a"), end]).reply;
        assert_eq!(reply.reasoning_text.as_deref(), Some("hm"), "{kind}");
        assert_eq!(reply.reasoning_source.as_deref(), Some(source), "{kind}");
    }
}

#[test]
fn statuses() {
    use FinishReason::{ContentFilter, MaxTokens, Stop, Unknown};
    for (status, reason, raw, normal, outcome) in [
        (
            "completed",
            Value::Null,
            "completed",
            Stop,
            Outcome::Answered,
        ),
        (
            "incomplete",
            json!("max_output_tokens"),
            "max_output_tokens",
            MaxTokens,
            Outcome::Answered,
        ),
        (
            "incomplete",
            json!("content_filter"),
            "content_filter",
            ContentFilter,
            Outcome::Filtered,
        ),
        (
            "incomplete",
            Value::Null,
            "incomplete",
            Unknown,
            Outcome::Answered,
        ),
        (
            "failed",
            Value::Null,
            "failed",
            Unknown,
            Outcome::ProviderError,
        ),
        (
            "cancelled",
            Value::Null,
            "cancelled",
            Unknown,
            Outcome::ProviderError,
        ),
    ] {
        let mut whole = response(&[said("Part")], status);
        whole["incomplete_details"] = json!({"reason": reason});
        for decoded in [
            read(&whole),
            read_events(&[begun(), text("Part"), ended(&whole)]),
        ] {
            assert_eq!(decoded.outcome, outcome, "{status} {reason}");
            assert_eq!(
                decoded.reply.finish_reason,
                Some(normal),
                "{status} {reason}"
            );
            assert_eq!(decoded.reply.finish_reason_raw.as_deref(), Some(raw));
            assert_eq!(decoded.reply.text.as_deref(), Some("Part"));
        }
    }
}

#[test]
fn a_pending_answer_is_none_unless_its_event_says_otherwise() {
    let stale =
        json!({"type": "response.completed", "response": response(&[said("a")], "in_progress")});
    let decoded = read_events(&[begun(), stale]);
    assert_eq!(
        decoded.reply.finish_reason_raw.as_deref(),
        Some("completed")
    );
    for pending in ["queued", "in_progress"] {
        let decoded = read(&response(&[], pending));
        assert_eq!(decoded.outcome, Outcome::Undecodable, "{pending}");
    }
}

#[test]
fn refusals_and_calls() {
    let refused = response(
        &[message(&json!([{"type": "refusal", "refusal": "no"}]))],
        "completed",
    );
    let streamed = read_events(&[begun(), delta("refusal", "no"), ended(&refused)]);
    for decoded in [read(&refused), streamed] {
        assert_eq!(decoded.outcome, Outcome::Refused);
        assert_eq!(decoded.reply.refusal_text.as_deref(), Some("no"));
        assert_eq!(decoded.reply.text, None);
    }
    let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
    let called = response(std::slice::from_ref(&call), "completed");
    let done = json!({"type": "response.output_item.done", "item": call});
    let end = ended(&response(&[], "completed"));
    for decoded in [read(&called), read_events(&[begun(), done, end])] {
        assert_eq!(decoded.outcome, Outcome::Answered);
        assert_eq!(decoded.reply.finish_reason, Some(FinishReason::ToolCalls));
        let calls: Value = serde_json::from_str(&decoded.reply.tool_calls.unwrap()).unwrap();
        assert_eq!(
            calls[0]["function"],
            json!({"name": "f", "arguments": "{}"})
        );
        assert_eq!(calls.as_array().unwrap().len(), 1);
    }
}

#[test]
fn the_last_event_is_taken_and_what_it_leaves_out_from_before() {
    for (output, expected) in [(vec![], "Hällo"), (vec![said("Hällo!")], "Hällo!")] {
        let end = ended(&response(&output, "completed"));
        let body = events(&[begun(), text("Häl"), text("lo"), end]);
        let is_data = |line: &&str| !line.starts_with("event:");
        let nameless: String = body.split_inclusive('\n').filter(is_data).collect();
        for body in [body.clone(), nameless, format!("{body}data: [DONE]\n\n")] {
            let decoded = Answer::new(&body).protocol(RESPONSES).decode();
            assert_eq!(decoded.outcome, Outcome::Answered);
            assert_eq!(decoded.reply.text.as_deref(), Some(expected));
            assert!(decoded.ttft.is_some());
            assert_eq!(decoded.late_fault, None);
        }
    }
}

#[test]
fn an_answer_that_broke_off_is_never_an_answer() {
    let whole = response(&[said("Hällo")], "completed");
    ends::check_cuts(RESPONSES, &whole.to_string(), |_| false);
    let body = events(&[begun(), text("Hä"), text("llo"), ended(&whole)]);
    let end = format!("data: {}", ended(&whole));
    ends::check_cuts(RESPONSES, &body, |arrived| arrived.contains(&end));
    let decoded = read_events(&[begun(), text("Hällo")]);
    assert_eq!(
        decoded.outcome,
        Outcome::Cut,
        "not even when the transport calls it whole"
    );
    let done = format!("{}data: [DONE]\n\n", events(&[begun(), text("Hällo")]));
    assert_eq!(
        Answer::new(&done).protocol(RESPONSES).decode().outcome,
        Outcome::Cut
    );
}

#[test]
fn errors_inside_a_success() {
    for (code, outcome) in [
        ("server_error", Outcome::ProviderError),
        ("rate_limit_exceeded", Outcome::RateLimited),
        ("insufficient_quota", Outcome::QuotaExhausted),
        ("invalid_prompt", Outcome::InvalidRequest),
        ("context_length_exceeded", Outcome::ContextLength),
        ("image_content_policy_violation", Outcome::Filtered),
    ] {
        let error = json!({"code": code, "message": "words"});
        let mut failed = response(&[], "failed");
        failed["error"] = error.clone();
        let bare = json!({"type": "error", "code": code, "message": "words", "param": null});
        let wrapped = json!({"type": "error", "error": error});
        let streams = [ended(&failed), bare, wrapped, json!({"error": error})];
        let streamed = streams.map(|end| read_events(&[begun(), text("Half"), end]));
        for decoded in &streamed {
            assert_eq!(decoded.reply.text.as_deref(), Some("Half"), "{code}");
        }
        for decoded in streamed.into_iter().chain([read(&failed)]) {
            assert_eq!(decoded.outcome, outcome, "{code}");
            assert_eq!(decoded.stream_end, Some(StreamEnd::Error), "{code}");
            let told = decoded.error.unwrap();
            assert_eq!(told.code.as_deref(), Some(code));
            assert_eq!(told.message.as_deref(), Some("words"));
        }
    }
    for nothing in ["{}", "[]", "{\"status\":\"completed\"}"] {
        let decoded = Answer::new(nothing).protocol(RESPONSES).decode();
        assert_eq!(decoded.outcome, Outcome::Undecodable, "{nothing}");
    }
}

#[test]
fn log_probabilities_arrive_once() {
    let logprob = |token: &str| {
        json!({"token": token, "logprob": -0.5, "bytes": token.as_bytes(),
        "top_logprobs": [{"token": token, "logprob": -0.5}]})
    };
    let part =
        json!([{"type": "output_text", "text": "ab", "logprobs": [logprob("a"), logprob("b")]}]);
    let whole = response(&[message(&part)], "completed");
    let tokens = read(&whole).reply.tokens;
    assert_eq!(tokens.len(), 2);
    assert_eq!((tokens[0].rank, tokens[0].arrived_ms), (Some(1), None));
    let word = |token: &str| {
        let mut event = text(token);
        event["logprobs"] = json!([logprob(token)]);
        event
    };
    for end in [ended(&whole), ended(&response(&[], "completed"))] {
        let mut decoder = Answer::new("").protocol(RESPONSES).decoder();
        for (at, event) in [begun(), word("a"), word("b"), end].into_iter().enumerate() {
            decoder.push(
                events(&[event]).as_bytes(),
                Duration::from_millis(10 * at as u64),
            );
        }
        let tokens = decoder.finish(BodyEnd::Complete).reply.tokens;
        let told: Vec<_> = tokens
            .iter()
            .map(|token| (token.token.as_deref(), token.arrived_ms))
            .collect();
        assert_eq!(told, [(Some("a"), Some(10.0)), (Some("b"), Some(20.0))]);
    }
}

#[test]
fn a_wrong_type_beside_the_text_does_not_lose_it() {
    let whole = response(
        &[json!({"type": "reasoning", "summary": []}), said("kept")],
        "completed",
    );
    let places = [
        "/id",
        "/object",
        "/status",
        "/model",
        "/incomplete_details",
        "/usage",
        "/usage/input_tokens",
        "/usage/output_tokens_details",
        "/output/0",
        "/output/0/type",
        "/output/0/summary",
        "/output/1/status",
        "/output/1/content/0/annotations",
        "/output/1/content/0/logprobs",
    ];
    check_tolerance(RESPONSES, &whole, &places);
    for content in [
        json!([{"type": "output_text", "text": 7}]),
        json!(["text"]),
        json!(7),
    ] {
        let unreadable = response(&[message(&content)], "completed");
        assert_eq!(read(&unreadable).outcome, Outcome::Undecodable, "{content}");
    }
    let unreadable = response(&[json!("text")], "completed");
    assert_eq!(read(&unreadable).outcome, Outcome::Undecodable);
    let plain = response(&[message(&json!("text"))], "completed");
    assert_eq!(read(&plain).reply.text.as_deref(), Some("text"));
    // What was lost on the way is in the last event.
    let lost = "data: {\"type\":\"response.output_text.delta\",\n\n";
    for (end, outcome) in [
        (ended(&whole), Outcome::Answered),
        (ended(&response(&[], "completed")), Outcome::Undecodable),
    ] {
        let body = format!("{}{lost}{}", events(&[begun()]), events(&[end]));
        assert_eq!(
            Answer::new(&body).protocol(RESPONSES).decode().outcome,
            outcome
        );
    }
}

#[test]
fn a_stream_with_too_much_text_is_not_an_answer() {
    check_too_much(RESPONSES, text, &[ended(&response(&[], "completed"))]);
}
