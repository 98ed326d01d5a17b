//! `ollama`.

use super::*;

const OLLAMA: WireProtocol = WireProtocol::Ollama;

fn decode(body: impl Into<Vec<u8>>) -> Decoded {
    Answer::new(OLLAMA, body).decode()
}

const DONE: &str = "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\
    \"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":3,\"eval_count\":2,\
    \"total_duration\":8625649709}\n";

fn chunk(message: &Value) -> String {
    format!(
        "{}\n",
        json!({"model": "m", "message": message, "done": false})
    )
}

#[test]
fn whole_answers_of_both_endpoints() {
    let chat = json!({
        "model": "m", "remote_host": "https://ollama.com:443", "done": true, "done_reason": "length",
        "message": {"role": "assistant", "thinking": "hm", "content": "Hello"},
        "eval_count": 7,
        "logprobs": [{"token": "Hello", "logprob": -0.5, "bytes": [72],
            "top_logprobs": [{"token": "Hi", "logprob": -0.25}, {"token": "Hello", "logprob": -0.5}]}],
    });
    // Written over several lines, too, it is one answer.
    for body in [
        chat.to_string(),
        serde_json::to_string_pretty(&chat).unwrap(),
    ] {
        let decoded = decode(body);
        assert_eq!(words(&decoded), (Some("Hello"), Some("hm"), Some("field")));
        assert_eq!((decoded.outcome, decoded.ttft), (Outcome::Answered, None));
        let reply = decoded.reply;
        assert_eq!(reply.finish_reason, Some(FinishReason::MaxTokens));
        assert_eq!(reply.served_model.as_deref(), Some("m"));
        assert_eq!(
            reply.upstream_provider.as_deref(),
            Some("https://ollama.com:443")
        );
        assert_eq!(reply.usage.output_tokens, Some(7));
        assert_eq!(reply.usage_raw.as_deref(), Some("{\"eval_count\":7}"));
        let token = &reply.tokens[0];
        assert_eq!((token.rank, token.top.len()), (Some(2), 2));
        assert_eq!(
            (token.segment, token.arrived_ms),
            (TokenSegment::Response, None)
        );
    }
    let raw = decode(r#"{"model":"m","response":" there","done":true,"done_reason":"stop"}"#);
    assert_eq!(words(&raw).0, Some(" there"));
    assert_eq!(raw.outcome, Outcome::Answered);
    // Older servers give no reason.
    let old = decode(r#"{"model":"m","response":"a","done":true}"#);
    assert_eq!(
        (old.outcome, old.reply.finish_reason),
        (Outcome::Answered, None)
    );
}

#[test]
fn lines_are_put_together() {
    let logprobs = json!([{"token": "h", "logprob": -1.0}]);
    let thinking = json!({"model": "m", "message": {"content": "", "thinking": "h"},
        "logprobs": logprobs, "done": false});
    let call = json!({"content": "", "tool_calls": [{"function": {"name": "n", "arguments": {}}}]});
    let body = [
        format!("{thinking}\n"),
        chunk(&json!({"content": "", "thinking": "m"})),
        chunk(&json!({"content": "Hel"})),
        chunk(&json!({"content": "lo"})),
        chunk(&call),
        DONE.to_owned(),
    ]
    .concat();
    let decoded = decode(body);
    assert_eq!(words(&decoded), (Some("Hello"), Some("hm"), Some("field")));
    assert_eq!(decoded.outcome, Outcome::Answered);
    assert_eq!(decoded.ttft, Some(Duration::from_millis(5)));
    assert_eq!(decoded.reply.usage.input_tokens, Some(3));
    assert_eq!(decoded.reply.tokens[0].segment, TokenSegment::Reasoning);
    assert_eq!(decoded.reply.tokens[0].arrived_ms, Some(5.0));
    assert!(decoded.reply.tool_calls.unwrap().contains("\"n\""));
}

#[test]
fn a_think_tag_is_reasoning() {
    let tagged = |text: &str, reason: &str| {
        let body = json!({"message": {"content": text}, "done": true, "done_reason": reason});
        decode(body.to_string())
    };
    let decoded = tagged("<think>hm</think>a", "stop");
    assert_eq!(words(&decoded), (Some("a"), Some("hm"), Some("think-tag")));
    let decoded = tagged("<think>hm", "length");
    assert_eq!(words(&decoded), (Some(""), Some("hm"), Some("think-tag")));
    let decoded = tagged("<think>hm", "stop");
    assert_eq!(words(&decoded), (Some("<think>hm"), None, None));
}

#[test]
fn the_end_of_a_stream_decides() {
    let text = chunk(&json!({"content": "a"}));
    let half: String = DONE.chars().take(40).collect();
    assert_eq!(decode(text.clone()).outcome, Outcome::Cut);
    assert_eq!(decode(format!("{text}{half}")).outcome, Outcome::Cut);
    let late = Answer::new(OLLAMA, format!("{text}{DONE}"))
        .broken()
        .decode();
    assert_eq!(late.outcome, Outcome::Answered);
    assert!(late.late_fault.is_some());
    let broken = format!("{{\"message\":{{\"content\":\"a\n{DONE}");
    assert_eq!(decode(broken).outcome, Outcome::Undecodable);
    let loaded = decode(r#"{"model":"m","done":true,"done_reason":"load"}"#);
    assert_eq!(loaded.outcome, Outcome::ProviderError);
    assert_eq!(decode("").outcome, Outcome::Undecodable);
}

#[test]
fn errors_within_success() {
    let text = chunk(&json!({"content": "a"}));
    let error = "{\"error\":\"an error was encountered while running the model\"}\n";
    let decoded = decode(format!("{text}{error}"));
    assert_eq!(decoded.outcome, Outcome::ProviderError);
    assert_eq!(decoded.stream_end, Some(StreamEnd::Error));
    assert_eq!(words(&decoded).0, Some("a"));
    let late = decode(format!("{text}{DONE}{error}"));
    assert_eq!(late.outcome, Outcome::Answered);
    assert_eq!(late.late_fault.as_deref(), Some("error after the end"));
    let missing = Answer::new(OLLAMA, r#"{"error":"model 'x' not found"}"#);
    assert_eq!(missing.with(404, &[]).decode().outcome, Outcome::NotFound);
}
