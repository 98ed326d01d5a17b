//! What answers say, whole and streamed.

mod anthropic;
mod ends;
mod gemini;
mod logprobs;
mod responses;
mod shapes;

use http::{HeaderName, HeaderValue};
use retort_types::reply::{FinishReason, Usage};
use serde_json::{Value, json};

use super::*;

const CHAT: WireProtocol = WireProtocol::OpenaiChat;
const COMPLETIONS: WireProtocol = WireProtocol::OpenaiCompletions;

fn received_at() -> Timestamp {
    "2026-11-24T09:00:00Z".parse().expect("a time")
}

/// An answer to be decoded.
#[derive(Clone)]
struct Answer<'a> {
    protocol: WireProtocol,
    options: WireOptions,
    status: u16,
    headers: &'a [(&'static str, &'a str)],
    body: &'a [u8],
    end: BodyEnd,
}

impl<'a> Answer<'a> {
    fn new(body: &'a str) -> Self {
        Self {
            protocol: CHAT,
            options: WireOptions::default(),
            status: 200,
            headers: &[],
            body: body.as_bytes(),
            end: BodyEnd::Complete,
        }
    }

    fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    fn protocol(self, protocol: WireProtocol) -> Self {
        Self { protocol, ..self }
    }

    fn broken(self) -> Self {
        Self {
            end: BodyEnd::Broken("connection reset".to_owned()),
            ..self
        }
    }

    fn decoder(&self) -> Decoder {
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let head = AnswerHead {
            status: self.status,
            headers: &headers,
            received_at: received_at(),
        };
        Decoder::new(self.protocol, &self.options, false, &head)
    }

    fn decode(&self) -> Decoded {
        let mut decoder = self.decoder();
        decoder.push(self.body, Duration::from_millis(5));
        decoder.finish(self.end.clone())
    }
}

fn decode(body: &str) -> Decoded {
    Answer::new(body).decode()
}

/// Returns a stream of these events, each under the name that its data tells.
fn events(datas: &[Value]) -> String {
    let event = |data: &Value| match data["type"].as_str() {
        Some(name) => format!("event: {name}\ndata: {data}\n\n"),
        None => format!("data: {data}\n\n"),
    };
    datas.iter().map(event).collect()
}

/// Checks that no value of a wrong type at `places`, paths into `whole`, loses the text "kept".
#[track_caller]
fn check_tolerance(protocol: WireProtocol, whole: &Value, places: &[&str]) {
    let wrong = [
        json!(7),
        json!(-0.5),
        json!("7"),
        json!([[], 1]),
        json!({"a": {"b": []}}),
        json!(true),
        Value::Null,
    ];
    for place in places {
        for value in &wrong {
            let mut body = whole.clone();
            *body.pointer_mut(place).expect("the place exists") = value.clone();
            let decoded = Answer::new(&body.to_string()).protocol(protocol).decode();
            assert_eq!(decoded.outcome, Outcome::Answered, "{place} {value}");
            let text = decoded.reply.text.as_deref();
            assert_eq!(text, Some("kept"), "{place} {value}");
        }
    }
}

/// Checks that more text than is kept, in events that each hold `text`, is no answer.
#[track_caller]
fn check_too_much(protocol: WireProtocol, event: impl Fn(&str) -> Value, end: &[Value]) {
    let words = "a".repeat(4 << 20);
    let many = events(&[event(&words)]);
    let mut decoder = Answer::new("").protocol(protocol).decoder();
    for _ in 0..9 {
        decoder.push(many.as_bytes(), Duration::ZERO);
    }
    decoder.push(events(end).as_bytes(), Duration::ZERO);
    let decoded = decoder.finish(BodyEnd::Complete);
    assert_eq!(decoded.outcome, Outcome::Undecodable);
    assert!(decoded.reply.text.unwrap_or_default().len() <= 32 << 20);
}

/// Returns a chat answer whose message is `message`.
fn chat(message: &Value, finish_reason: &str) -> String {
    json!({"id": "r-1", "model": "m-1", "choices": [
        {"index": 0, "message": message, "finish_reason": finish_reason},
    ]})
    .to_string()
}

/// Returns a stream of chunks with these deltas, the last with a finish reason.
fn stream(deltas: &[Value], end: &str) -> String {
    let chunks = deltas.iter().map(|delta| {
        let chunk = json!({"id": "r-1", "choices": [{"index": 0, "delta": delta}]});
        format!("data: {chunk}\n\n")
    });
    chunks.chain([end.to_owned()]).collect()
}

const FINISHED: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[test]
fn an_unclosed_think_tag_is_reasoning_when_the_answer_was_cut_short() {
    let reply = decode(&chat(&json!({"content": "<think>so far"}), "length")).reply;
    assert_eq!(reply.text.as_deref(), Some(""));
    assert_eq!(reply.reasoning_text.as_deref(), Some("so far"));
    let raw = r#"{"choices":[{"text":"<think>x</think>y","finish_reason":"stop"}]}"#;
    let reply = Answer::new(raw).protocol(COMPLETIONS).decode().reply;
    assert_eq!(
        reply.text.as_deref(),
        Some("<think>x</think>y"),
        "raw text stays raw"
    );
}

#[test]
fn preferred_reasoning_fields_go_first() {
    let message = json!({"content": "a", "reasoning": "r", "thoughts": "t"});
    let body = chat(&message, "stop");
    let mut answer = Answer::new(&body);
    answer.options.reasoning_fields = Some(vec!["thoughts".to_owned()]);
    assert_eq!(answer.decode().reply.reasoning_text.as_deref(), Some("t"));
    answer.options.reasoning_fields = Some(vec!["elsewhere".to_owned()]);
    assert_eq!(answer.decode().reply.reasoning_text.as_deref(), Some("r"));
}

#[test]
fn finish_reasons_decide_how_an_answer_counts() {
    use FinishReason as Reason;
    for (raw, reason, outcome) in [
        ("stop", Reason::Stop, Outcome::Answered),
        ("STOP", Reason::Stop, Outcome::Answered),
        ("eos", Reason::Stop, Outcome::Answered),
        ("length", Reason::MaxTokens, Outcome::Answered),
        ("model_length", Reason::ModelLength, Outcome::Answered),
        ("tool_calls", Reason::ToolCalls, Outcome::Answered),
        ("content_filter", Reason::ContentFilter, Outcome::Filtered),
        ("refusal", Reason::ContentFilter, Outcome::Refused),
        ("whatever", Reason::Unknown, Outcome::Answered),
        ("error", Reason::Unknown, Outcome::ProviderError),
        (
            "insufficient_system_resource",
            Reason::Unknown,
            Outcome::Overloaded,
        ),
    ] {
        let finish = FINISHED.replace("stop", raw);
        for body in [
            chat(&json!({"content": "a"}), raw),
            stream(&[json!({"content": "a"})], &finish),
        ] {
            let decoded = decode(&body);
            assert_eq!(decoded.outcome, outcome, "{body}");
            assert_eq!(decoded.reply.finish_reason, Some(reason), "{body}");
            assert_eq!(
                decoded.reply.finish_reason_raw.as_deref(),
                Some(raw),
                "{body}"
            );
            assert_eq!(
                decoded.reply.text.as_deref(),
                Some("a"),
                "the reply is kept"
            );
            let is_failure = matches!(outcome, Outcome::ProviderError | Outcome::Overloaded);
            let end = if is_failure {
                StreamEnd::Error
            } else {
                StreamEnd::Complete
            };
            assert_eq!(decoded.stream_end, Some(end), "{body}");
        }
    }
}

#[test]
fn a_refusal_field_is_a_refusal() {
    let whole = chat(&json!({"content": null, "refusal": "I cannot."}), "stop");
    let parts = [
        json!({"role": "assistant", "refusal": ""}),
        json!({"refusal": "I "}),
        json!({"refusal": "cannot."}),
    ];
    for body in [whole, stream(&parts, FINISHED)] {
        let decoded = decode(&body);
        assert_eq!(decoded.outcome, Outcome::Refused);
        assert_eq!(decoded.reply.refusal_text.as_deref(), Some("I cannot."));
        assert_eq!(decoded.reply.text, None);
    }
    let decoded = decode(&chat(&json!({"content": "a", "refusal": ""}), "stop"));
    assert_eq!(
        (decoded.outcome, decoded.reply.refusal_text),
        (Outcome::Answered, None)
    );
}

#[test]
fn tool_calls_are_kept() {
    let calls =
        json!([{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let decoded = decode(&chat(
        &json!({"content": null, "tool_calls": calls}),
        "tool_calls",
    ));
    let told: Value = serde_json::from_str(&decoded.reply.tool_calls.unwrap()).unwrap();
    assert_eq!(told, calls);
    assert_eq!(decoded.reply.text, None);
    let deltas = [
        json!({"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f"}}]}),
        json!({"tool_calls": [{"index": 1, "id": "d", "function": {"name": "g", "arguments": ""}}]}),
        json!({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}),
        json!({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}),
    ];
    let decoded = decode(&stream(&deltas, &FINISHED.replace("stop", "tool_calls")));
    let told: Value = serde_json::from_str(&decoded.reply.tool_calls.unwrap()).unwrap();
    assert_eq!(told[0], calls[0]);
    assert_eq!(told[1]["function"]["name"], "g");
}

#[test]
fn usage_is_read_wherever_it_stands() {
    let usage = |input, output, reasoning, read, write| Usage {
        input_tokens: input,
        output_tokens: output,
        reasoning_tokens: reasoning,
        cache_read_tokens: read,
        cache_write_tokens: write,
    };
    for (told, expected) in [
        (
            json!({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}),
            usage(Some(9), Some(3), None, None, None),
        ),
        (
            json!({"prompt_tokens": 9, "completion_tokens": 3,
                "completion_tokens_details": {"reasoning_tokens": 2},
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1}}),
            usage(Some(9), Some(3), Some(2), Some(4), Some(1)),
        ),
        (
            json!({"prompt_tokens": 9, "completion_tokens": 3, "reasoning_tokens": 7,
                "prompt_cache_hit_tokens": 0, "prompt_cache_miss_tokens": 9}),
            usage(Some(9), Some(3), Some(7), Some(0), None),
        ),
        (
            json!({"input_tokens": "9", "output_tokens": -3, "completion_tokens_details": [],
                "cached_tokens": 8, "cache_creation_input_tokens": 1e99}),
            usage(Some(9), None, None, Some(8), None),
        ),
        (json!({"total_tokens": 12}), Usage::default()),
        (json!("none"), Usage::default()),
    ] {
        let choice = json!([{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]);
        let whole = json!({"choices": choice, "usage": told});
        let apart = json!({"choices": [], "usage": told});
        let groq = json!({"choices": [], "x_groq": {"id": "g", "usage": told}});
        let earlier =
            json!({"choices": choice, "usage": {"prompt_tokens": 1, "completion_tokens": 1}});
        let finished = json!({"choices": choice, "usage": null});
        let cumulative = format!("data: {earlier}\n\ndata: {apart}\n\n{DONE}");
        let bodies = [
            whole.to_string(),
            format!("data: {finished}\n\ndata: {apart}\n\n{DONE}"),
            format!("data: {finished}\n\ndata: {groq}\n\n{DONE}"),
        ];
        for body in bodies {
            let reply = decode(&body).reply;
            assert_eq!(reply.usage, expected, "{body}");
            let raw = reply
                .usage_raw
                .map(|raw| serde_json::from_str::<Value>(&raw).unwrap());
            assert_eq!(
                raw,
                (expected != Usage::default()).then(|| told.clone()),
                "{body}"
            );
        }
        if expected != Usage::default() {
            assert_eq!(decode(&cumulative).reply.usage, expected, "the later wins");
        }
    }
}

#[test]
fn who_answered_is_told_once_it_is_not_empty() {
    let body = concat!(
        r#"data: {"id":"","model":"","choices":[],"system_fingerprint":null}"#,
        "\n\n",
        r#"data: {"id":"r","model":"m","provider":"P","system_fingerprint":"fp","choices":[{"delta":{"content":"a"}}]}"#,
        "\n\n",
        r#"data: {"id":"x","model":"x","provider":{"name":"x"},"choices":[{"finish_reason":"stop","delta":{}}]}"#,
        "\n\n",
    );
    let mut answer = Answer::new(body);
    answer.headers = &[("x-request-id", "req-7")];
    let decoded = answer.decode();
    let reply = decoded.reply;
    assert_eq!(reply.response_id.as_deref(), Some("r"));
    assert_eq!(reply.served_model.as_deref(), Some("m"));
    assert_eq!(reply.system_fingerprint.as_deref(), Some("fp"));
    assert_eq!(reply.upstream_provider.as_deref(), Some("P"));
    assert_eq!(decoded.provider_request_id.as_deref(), Some("req-7"));
}

#[test]
fn only_the_first_choice_counts() {
    let body = concat!(
        r#"data: {"choices":[{"index":1,"delta":{"content":"other"}},{"index":0,"delta":{"content":"a"}}]}"#,
        "\n\n",
        r#"data: {"choices":[{"index":1,"delta":{},"finish_reason":"length"}]}"#,
        "\n\n",
        r#"data: {"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}]}"#,
        "\n\n",
        "data: [DONE]\n\n",
    );
    let reply = decode(body).reply;
    assert_eq!(reply.text.as_deref(), Some("ab"));
    assert_eq!(reply.finish_reason, Some(FinishReason::Stop));
    let only_other =
        r#"{"choices":[{"index":1,"message":{"content":"a"},"finish_reason":"stop"}]}"#;
    assert_eq!(decode(only_other).outcome, Outcome::Undecodable);
}

#[test]
fn texts_that_a_chunk_repeats_count_once() {
    // Together writes every delta twice, Perplexity a growing message beside each.
    let body = concat!(
        r#"data: {"choices":[{"index":0,"text":"a","delta":{"content":"a"},"message":{"content":"a"}}]}"#,
        "\n\n",
        r#"data: {"choices":[{"index":0,"text":"b","delta":{"content":"b"},"message":{"content":"ab"}}]}"#,
        "\n\n",
        r#"data: {"choices":[{"index":0,"message":{"content":"ab"},"finish_reason":"stop"}]}"#,
        "\n\n",
    );
    assert_eq!(decode(body).reply.text.as_deref(), Some("ab"));
    assert_eq!(
        Answer::new(body)
            .protocol(COMPLETIONS)
            .decode()
            .reply
            .text
            .as_deref(),
        Some("ab")
    );
    // An imitated stream: one chunk with all of it.
    let body = concat!(
        r#"data: {"choices":[{"message":{"content":"ab"},"finish_reason":"stop"}]}"#,
        "\n\n",
    );
    assert_eq!(decode(body).reply.text.as_deref(), Some("ab"));
    let whole = r#"{"choices":[{"message":{"content":"ab"},"delta":{"content":""},"text":"ab"}]}"#;
    assert_eq!(decode(whole).reply.text.as_deref(), Some("ab"));
}

#[test]
fn raw_completions() {
    let whole = r#"{"choices":[{"text":" there","index":0,"finish_reason":"length"}]}"#;
    let streamed = concat!(
        r#"data: {"choices":[{"text":" th","index":0,"finish_reason":null}]}"#,
        "\r\n\r\n",
        r#"data: {"choices":[{"text":"ere","index":0,"finish_reason":"length"}]}"#,
        "\r\n\r\n",
    );
    for body in [whole, streamed] {
        let decoded = Answer::new(body).protocol(COMPLETIONS).decode();
        assert_eq!(decoded.outcome, Outcome::Answered);
        assert_eq!(decoded.reply.text.as_deref(), Some(" there"));
    }
}

#[test]
fn a_wrong_type_loses_its_field_alone() {
    let whole: Value = json!({
        "id": "r", "object": "o", "created": 1, "model": "m", "system_fingerprint": "fp", "provider": "P",
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {}},
        "x_groq": {"usage": {}},
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": {"content": []}, "native": 1,
            "message": {"role": "assistant", "content": "kept", "reasoning": "r", "refusal": null,
                "reasoning_details": [], "tool_calls": [], "annotations": []}}],
    });
    let mut places: Vec<String> = [
        "id",
        "object",
        "created",
        "model",
        "system_fingerprint",
        "provider",
        "usage",
        "x_groq",
    ]
    .map(|name| format!("/{name}"))
    .into();
    places.extend(["prompt_tokens", "prompt_tokens_details"].map(|name| format!("/usage/{name}")));
    places.extend(["finish_reason", "logprobs", "native"].map(|name| format!("/choices/0/{name}")));
    places.extend(
        [
            "role",
            "reasoning",
            "reasoning_details",
            "tool_calls",
            "annotations",
        ]
        .map(|name| format!("/choices/0/message/{name}")),
    );
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    check_tolerance(CHAT, &whole, &places);
}

#[test]
fn half_characters_and_bytes_that_are_no_text_do_not_lose_the_answer() {
    let body =
        b"{\"choices\":[{\"message\":{\"content\":\"a\\ud83d \xff\"},\"finish_reason\":\"stop\"}]}";
    let decoded = Answer {
        body,
        ..Answer::new("")
    }
    .decode();
    assert_eq!(decoded.reply.text.as_deref(), Some("a\u{fffd} \u{fffd}"));
}
