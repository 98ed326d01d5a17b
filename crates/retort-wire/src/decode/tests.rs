//! What answers and errors come to, whole, streamed and broken off.

use http::{HeaderName, HeaderValue};
use retort_types::reply::{FinishReason, TokenSegment, Usage};
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
fn texts_come_in_many_shapes() {
    let thinking = json!([
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}, {"type": "text", "text": "m"}]},
        {"type": "text", "text": "He"},
        {"type": "reference", "reference_ids": [1]},
        {"type": "text", "text": "llo"},
    ]);
    for (message, text, reasoning, source) in [
        (json!({"content": "Hello"}), "Hello", None, None),
        (json!({"content": ""}), "", None, None),
        (json!({"content": null}), "", None, None),
        (
            json!({"content": thinking}),
            "Hello",
            Some("hmm"),
            Some("field"),
        ),
        (
            json!({"content": "a", "reasoning_content": "r"}),
            "a",
            Some("r"),
            Some("field"),
        ),
        (
            json!({"content": "a", "reasoning": "r"}),
            "a",
            Some("r"),
            Some("field"),
        ),
        (
            json!({"content": "a", "reasoning_content": "", "reasoning": null}),
            "a",
            None,
            None,
        ),
        (
            json!({"content": "a", "reasoning": "r", "reasoning_details":
                [{"type": "reasoning.text", "text": "r"}]}),
            "a",
            Some("r"),
            Some("field"),
        ),
        (
            json!({"content": "a", "reasoning_details":
                [{"type": "reasoning.text", "text": "r"}, {"text": "s"}, 7]}),
            "a",
            Some("rs"),
            Some("field"),
        ),
        (
            json!({"content": "a", "reasoning_details":
                [{"type": "reasoning.summary", "summary": "s"}, {"data": "xx"}]}),
            "a",
            Some("s"),
            Some("summary"),
        ),
        (
            json!({"content": "a", "reasoning_details":
                [{"type": "reasoning.encrypted", "data": "xx"}]}),
            "a",
            None,
            Some("encrypted"),
        ),
        (
            json!({"content": "<think>r</think>\n\na"}),
            "\n\na",
            Some("r"),
            Some("think-tag"),
        ),
        (
            json!({"content": "\n<think>r</think>a</think>"}),
            "a</think>",
            Some("r"),
            Some("think-tag"),
        ),
        (
            json!({"content": "<think></think>a"}),
            "a",
            None,
            Some("think-tag"),
        ),
        (
            json!({"content": "<think> is a tag"}),
            "<think> is a tag",
            None,
            None,
        ),
        (
            json!({"content": "a <think>r</think>"}),
            "a <think>r</think>",
            None,
            None,
        ),
        (
            json!({"content": "<think>x</think>a", "reasoning": "r"}),
            "<think>x</think>a",
            Some("r"),
            Some("field"),
        ),
    ] {
        let streamed = stream(&[message.clone()], FINISHED);
        for body in [chat(&message, "stop"), streamed] {
            let decoded = decode(&body);
            assert_eq!(decoded.outcome, Outcome::Answered, "{body}");
            assert_eq!(decoded.stream_end, Some(StreamEnd::Complete), "{body}");
            assert_eq!(decoded.reply.text.as_deref(), Some(text), "{body}");
            assert_eq!(decoded.reply.reasoning_text.as_deref(), reasoning, "{body}");
            assert_eq!(decoded.reply.reasoning_source.as_deref(), source, "{body}");
        }
    }
}

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
fn the_first_word_is_timed() {
    let body = stream(
        &[
            json!({"role": "assistant"}),
            json!({"content": ""}),
            json!({"reasoning": "r"}),
            json!({"content": "a"}),
        ],
        FINISHED,
    );
    let mut decoder = Answer::new("").decoder();
    for (at, event) in body.split_inclusive("\n\n").enumerate() {
        decoder.push(event.as_bytes(), Duration::from_millis(10 * at as u64));
    }
    assert_eq!(
        decoder.finish(BodyEnd::Complete).ttft,
        Some(Duration::from_millis(20))
    );
    assert_eq!(
        decode(&chat(&json!({"content": "a"}), "stop")).ttft,
        None,
        "not a stream"
    );
}

#[test]
fn the_end_of_a_stream() {
    let words = [json!({"content": "a"})];
    let ended = (Outcome::Answered, Some(StreamEnd::Complete));
    let cut = (Outcome::Cut, Some(StreamEnd::Cut));
    let unreadable = (Outcome::Undecodable, Some(StreamEnd::Cut));
    for (end, expected) in [
        (DONE, ended),
        (FINISHED, ended),
        ("data: [DONE]", ended),
        (FINISHED.trim_end(), ended),
        ("", cut),
        (": keep-alive\n\n", cut),
        ("data: ping\n\n", cut),
        ("data: {\"choices\":[{\"finish_reason\":\"\"}]}\n\n", cut),
        (
            "data: {\"choices\":[{\"finish_reason\":\"null\"}]}\n\n",
            cut,
        ),
        (
            "data: {\"choices\":[{\"delta\":\n\ndata: {\"a\":1}\n\n",
            unreadable,
        ),
    ] {
        for is_broken in [false, true] {
            let body = stream(&words, end);
            let answer = Answer::new(&body);
            let decoded = if is_broken { answer.broken() } else { answer }.decode();
            let expected = if is_broken && expected == unreadable {
                cut
            } else {
                expected
            };
            assert_eq!((decoded.outcome, decoded.stream_end), expected, "{end}");
            let late = (is_broken && expected == ended).then_some("connection reset");
            assert_eq!(decoded.late_fault.as_deref(), late, "{end}");
            assert_eq!(decoded.reply.text.as_deref(), Some("a"), "{end}");
        }
    }
    let body = stream(
        &words,
        "data: {\"choices\":[{\"delta\":oops}]}\n\ndata: [DONE]\n\n",
    );
    assert_eq!(
        decode(&body).outcome,
        Outcome::Undecodable,
        "text may be missing"
    );
    for empty in [DONE, "data: {\"choices\":[]}\n\ndata: [DONE]\n\n"] {
        assert_eq!(decode(empty).outcome, Outcome::Undecodable, "{empty}");
    }
}

#[test]
fn the_end_of_a_whole_answer() {
    let body = chat(&json!({"content": "a"}), "stop");
    let expect = |answer: Answer<'_>, outcome, stream_end| {
        let decoded = answer.decode();
        assert_eq!((decoded.outcome, decoded.stream_end), (outcome, stream_end));
        decoded
    };
    let (complete, cut) = (Some(StreamEnd::Complete), Some(StreamEnd::Cut));
    let late = expect(Answer::new(&body).broken(), Outcome::Answered, complete);
    assert_eq!(late.late_fault.as_deref(), Some("connection reset"));
    let (half, _) = body.split_at(body.len() / 2);
    expect(Answer::new(half), Outcome::Undecodable, complete);
    expect(Answer::new(half).broken(), Outcome::Cut, cut);
    expect(
        Answer {
            end: BodyEnd::TooLarge,
            ..Answer::new(half)
        },
        Outcome::Undecodable,
        cut,
    );
    expect(Answer::new(""), Outcome::Undecodable, None);
    expect(Answer::new(" \n\u{feff}"), Outcome::Undecodable, None);
    expect(Answer::new("").broken(), Outcome::Cut, cut);
    for body in [
        "{}",
        "[]",
        "7",
        "null",
        "internal error",
        "<html></html>",
        "{\"choices\":{}}",
        "{\"choices\":[]}",
        "{\"choices\":[{}]}",
        "{\"choices\":[{\"message\":{\"role\":\"x\"}}]}",
        "{\"choices\":[{\"message\":{\"content\":5},\"finish_reason\":\"stop\"}]}",
    ] {
        expect(Answer::new(body), Outcome::Undecodable, complete);
    }
}

#[test]
fn framing_shows_in_the_first_bytes() {
    let whole = chat(&json!({"content": "a"}), "stop");
    let events = stream(&[json!({"content": "a"})], FINISHED);
    for kind in [
        "application/json",
        "text/event-stream; charset=utf-8",
        "text/plain",
    ] {
        for body in [&whole, &events] {
            for lead in ["", "\n\n  ", "\u{feff}", "\r\n\u{feff}"] {
                let body = format!("{lead}{body}");
                let headers = [("content-type", kind)];
                let decoded = Answer {
                    headers: &headers,
                    ..Answer::new(&body)
                }
                .decode();
                assert_eq!(decoded.outcome, Outcome::Answered, "{kind} {body}");
                assert_eq!(decoded.reply.text.as_deref(), Some("a"), "{kind} {body}");
            }
        }
    }
    for comment in [": hi\n\n", "event: ping\n\n", "id: 1\n", "retry: 5\n"] {
        assert_eq!(
            decode(&format!("{comment}{events}")).outcome,
            Outcome::Answered,
            "{comment}"
        );
    }
}

#[test]
fn errors_inside_a_success() {
    let half = stream(&[json!({"content": "half"})], "");
    for (event, outcome) in [
        (
            r#"{"error":{"code":"server_error","message":"gone"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#,
            Outcome::ProviderError,
        ),
        (
            r#"{"error":{"code":429,"message":"slow"}}"#,
            Outcome::RateLimited,
        ),
        (
            r#"{"error":{"code":502,"message":"bad gateway"}}"#,
            Outcome::ProviderError,
        ),
        (
            r#"{"error":{"type":"insufficient_quota","message":"pay"}}"#,
            Outcome::QuotaExhausted,
        ),
        (
            r#"{"error":{"type":"overloaded_error","message":"later"}}"#,
            Outcome::Overloaded,
        ),
        (
            r#"{"error":{"code":"context_length_exceeded","message":"long"}}"#,
            Outcome::ContextLength,
        ),
        (r#"{"error":"plain words"}"#, Outcome::ProviderError),
        (
            r#"{"choices":[{"index":0,"delta":{},"error":{"code":502,"message":"upstream"}}]}"#,
            Outcome::ProviderError,
        ),
        (
            r#"{"choices":[{"index":0,"error":{"code":"content_filter","message":"no"}}]}"#,
            Outcome::Filtered,
        ),
        (
            r#"{"object":"error","message":"bad","type":"BadRequestError","code":400}"#,
            Outcome::InvalidRequest,
        ),
        (
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"m"}}"#,
            Outcome::RateLimited,
        ),
        (
            r#"{"x_groq":{"id":"g","error":"over capacity"},"choices":[]}"#,
            Outcome::ProviderError,
        ),
        (
            r#"[{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}]"#,
            Outcome::Overloaded,
        ),
    ] {
        let decoded = decode(event);
        assert_eq!(decoded.outcome, outcome, "{event}");
        assert_eq!(decoded.stream_end, Some(StreamEnd::Error), "{event}");
        assert!(decoded.error.is_some(), "{event}");
        if event.starts_with('{') {
            let decoded = decode(&format!("{half}data: {event}\n\n{DONE}"));
            assert_eq!(decoded.outcome, outcome, "{event}");
            assert_eq!(decoded.stream_end, Some(StreamEnd::Error), "{event}");
            assert_eq!(decoded.reply.text.as_deref(), Some("half"), "{event}");
        }
    }
    let named = format!("{half}event: error\ndata: {{\"message\":\"Rate limit reached\"}}\n\n");
    assert_eq!(decode(&named).outcome, Outcome::RateLimited);
    for quiet in ["null", "\"\"", "{}", "false"] {
        let body = format!(r#"{{"error":{quiet},"choices":[{{"message":{{"content":"a"}}}}]}}"#);
        assert_eq!(decode(&body).outcome, Outcome::Answered, "{quiet}");
    }
}

#[test]
fn an_error_after_the_end_does_not_take_the_answer_back() {
    let tail = format!("{FINISHED}data: {{\"error\":{{\"message\":\"late\"}}}}\n\n");
    let decoded = decode(&stream(&[json!({"content": "a"})], &tail));
    assert_eq!(decoded.outcome, Outcome::Answered);
    assert_eq!(decoded.late_fault.as_deref(), Some("error after the end"));
    assert_eq!(
        decoded.error.and_then(|error| error.message).as_deref(),
        Some("late")
    );
    let tail = format!("{DONE}data: {{\"error\":{{\"message\":\"late\"}}}}\n\n");
    let decoded = decode(&stream(&[json!({"content": "a"})], &tail));
    assert_eq!((decoded.outcome, decoded.error), (Outcome::Answered, None));
}

#[test]
fn a_stream_is_done_with_its_last_word() {
    let mut decoder = Answer::new("").decoder();
    for (event, is_done) in [(FINISHED, false), ("data: [DONE]\n", false), ("\n", true)] {
        decoder.push(event.as_bytes(), Duration::ZERO);
        assert_eq!(decoder.is_done(), is_done, "{event}");
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
    let wrong = [
        json!(7),
        json!(-0.5),
        json!("7"),
        json!([[], 1]),
        json!({"a": {"b": []}}),
        json!(true),
        Value::Null,
    ];
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
    for place in places {
        for value in &wrong {
            let mut body = whole.clone();
            *body.pointer_mut(&place).expect("the place exists") = value.clone();
            let decoded = decode(&body.to_string());
            assert_eq!(decoded.outcome, Outcome::Answered, "{place} {value}");
            assert_eq!(
                decoded.reply.text.as_deref(),
                Some("kept"),
                "{place} {value}"
            );
        }
    }
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

#[test]
fn depth_and_size_are_bounded() {
    for deep in ["[".repeat(500_000), "{\"a\":".repeat(500_000)] {
        for body in [
            deep.clone(),
            format!("{{\"choices\":{deep}"),
            format!("{{\"error\":{deep}"),
            format!("data: {{\"choices\":{deep}\n\n"),
        ] {
            assert_ne!(decode(&body).outcome, Outcome::Answered);
            Answer::new(&body).status(500).decode();
        }
    }
    let mut decoder = Answer::new("").decoder();
    decoder.push(
        b"{\"choices\":[{\"message\":{\"content\":\"",
        Duration::ZERO,
    );
    let piece = vec![b'a'; 1 << 20];
    for _ in 0..=(ANSWER_MAX_BYTES >> 20) {
        decoder.push(&piece, Duration::ZERO);
    }
    decoder.push(b"\"},\"finish_reason\":\"stop\"}]}", Duration::ZERO);
    let decoded = decoder.finish(BodyEnd::Complete);
    assert_eq!(
        (decoded.outcome, decoded.stream_end),
        (Outcome::Undecodable, Some(StreamEnd::Cut))
    );
}

#[test]
fn a_stream_with_too_much_text_is_not_an_answer() {
    let mut decoder = Answer::new("").decoder();
    let event = stream(&[json!({"content": "a".repeat(1 << 20)})], "");
    for _ in 0..=32 {
        decoder.push(event.as_bytes(), Duration::ZERO);
    }
    decoder.push(FINISHED.as_bytes(), Duration::ZERO);
    assert_eq!(
        decoder.finish(BodyEnd::Complete).outcome,
        Outcome::Undecodable
    );
}

#[test]
fn a_complete_answer_is_an_answer_whatever_its_headers_say() {
    let body = chat(&json!({"content": "a"}), "stop");
    let headers = [
        ("x-ratelimit-limit-requests", "3"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "20s"),
    ];
    let decoded = Answer {
        headers: &headers,
        ..Answer::new(&body)
    }
    .decode();
    assert_eq!(decoded.outcome, Outcome::Answered);
    assert_eq!(decoded.limits.retry_after, None);
    assert_eq!(decoded.limits.counts[0].remaining, Some(0));
    let decoded = Answer {
        headers: &headers,
        ..Answer::new("").status(429)
    }
    .decode();
    assert_eq!(decoded.outcome, Outcome::RateLimited);
    assert_eq!(decoded.limits.retry_after, Some(Duration::from_secs(20)));
}

#[test]
fn logprobs_in_the_shape_of_chats() {
    let logprobs = json!({"content": [
        {"token": "He", "logprob": -0.1, "bytes": [72, 101], "top_logprobs": [
            {"token": "He", "logprob": -0.1, "bytes": [72, 101]},
            {"token": "She", "logprob": -2.5, "bytes": null}]},
        {"token": "\u{fffd}", "logprob": -1.0, "bytes": [226], "top_logprobs": [
            {"token": "\u{fffd}", "logprob": -3.0, "bytes": [240]},
            {"token": "\u{fffd}", "logprob": -1.0, "bytes": [226]},
            {"token": "x", "logprob": 1e300}, {"logprob": -1}]},
        {"token": "rare", "logprob": -9999.0, "bytes": [1, 999], "top_logprobs": [
            {"token": "common", "logprob": -0.5}]},
    ]});
    let choice = json!({"index": 0, "message": {"content": "He"}, "text": "He",
        "finish_reason": "stop", "logprobs": logprobs});
    let whole = json!({"choices": [choice]}).to_string();
    let streamed = format!("data: {whole}\n\n{DONE}");
    for (body, arrived_ms) in [(whole, None), (streamed, Some(5.0))] {
        for protocol in [CHAT, COMPLETIONS] {
            let tokens = Answer::new(&body).protocol(protocol).decode().reply.tokens;
            let ranks: Vec<_> = tokens.iter().map(|token| token.rank).collect();
            assert_eq!(ranks, [Some(1), Some(1), None]);
            let tops: Vec<_> = tokens.iter().map(|token| token.top.len()).collect();
            assert_eq!(tops, [2, 2, 1]);
            assert_eq!(tokens[0].bytes.as_deref(), Some(b"He".as_slice()));
            assert_eq!(tokens[1].top[0].bytes.as_deref(), Some([226].as_slice()));
            assert_eq!(
                (tokens[2].bytes.as_deref(), tokens[2].logprob),
                (None, Some(-9_999.0))
            );
            assert!(tokens.iter().all(|token| token.arrived_ms == arrived_ms));
            assert!(
                tokens
                    .iter()
                    .all(|token| token.segment == TokenSegment::Response)
            );
        }
    }
}

#[test]
fn logprobs_in_the_shape_of_raw_completions() {
    let body = r#"{"choices":[{"index":0,"text":"Once upon a","finish_reason":"length","logprobs":{
        "tokens":["Once"," upon"," a"],"token_logprobs":[null,-2.0,-0.5],"text_offset":[0,4,9],
        "top_logprobs":[null,{" upon":-2.0," more":-0.25},{" a":-0.5," the":-0.5,"z":"?"}]}}],
        "usage":{"prompt_tokens":2,"completion_tokens":1}}"#;
    for protocol in [CHAT, COMPLETIONS] {
        let tokens = Answer::new(body).protocol(protocol).decode().reply.tokens;
        let segments: Vec<_> = tokens.iter().map(|token| token.segment.as_str()).collect();
        assert_eq!(
            segments,
            ["prompt", "prompt", "response"],
            "the echo is told apart"
        );
        let ranks: Vec<_> = tokens.iter().map(|token| token.rank).collect();
        assert_eq!(ranks, [None, Some(2), Some(1)]);
        let top: Vec<_> = tokens[1].top.iter().map(|top| top.token.as_str()).collect();
        assert_eq!(top, [" more", " upon"], "likeliest first");
        assert_eq!(tokens[2].top.len(), 2);
        assert_eq!(tokens[1].bytes, None);
    }
}

#[test]
fn logprobs_of_reasoning_are_told_apart() {
    let entry = |token: &str| json!({"token": token, "logprob": -0.5});
    let logprobs = json!({"reasoning_content": [entry("r")], "content": [entry("a")]});
    let message = json!({"content": "a", "reasoning_content": "r"});
    let body = json!({"choices": [{"message": message, "logprobs": logprobs}]}).to_string();
    let segments = |body: &str| {
        let tokens = decode(body).reply.tokens;
        tokens
            .iter()
            .map(|token| token.segment.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(segments(&body), ["reasoning", "response"]);
    let tokens: Vec<Value> = ["<think>", "r", "</thi", "nk>", "a"].map(entry).into();
    let body = json!({"choices": [{"message": {"content": "<think>r</think>a"},
        "finish_reason": "stop", "logprobs": {"content": tokens}}]});
    assert_eq!(
        segments(&body.to_string()),
        [
            "reasoning",
            "reasoning",
            "reasoning",
            "reasoning",
            "response"
        ]
    );
}

#[test]
fn more_logprobs_than_are_kept_are_too_large() {
    let entries = ["{}"; (1 << 17) + 2].join(",");
    let body = format!(
        r#"{{"choices":[{{"message":{{"content":"a"}},"logprobs":{{"content":[{entries}]}}}}]}}"#
    );
    assert_eq!(decode(&body).outcome, Outcome::Undecodable);
}

/// Cuts a body after every byte; the answer may count only when its end is among what arrived.
#[track_caller]
fn check_cuts(body: &str, has_ended: impl Fn(&str) -> bool) {
    for length in 0..body.len() {
        let arrived = body.get(..length).unwrap_or_default();
        let expected = if has_ended(arrived) {
            Outcome::Answered
        } else {
            Outcome::Cut
        };
        let answer = Answer {
            body: &body.as_bytes()[..length],
            ..Answer::new("")
        }
        .broken();
        assert_eq!(answer.decode().outcome, expected, "after {length} bytes");
    }
}

#[test]
fn an_answer_that_broke_off_is_never_an_answer() {
    check_cuts(
        &chat(&json!({"content": "Hällo", "reasoning": "r"}), "stop"),
        |_| false,
    );
    let words = [
        json!({"role": "assistant"}),
        json!({"content": "Hä"}),
        json!({"content": "llo"}),
    ];
    let body = stream(&words, DONE);
    check_cuts(&body, |arrived| arrived.contains("data: [DONE]"));
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n";
    let body = stream(&words, &format!("{FINISHED}{usage}{DONE}")).replace('\n', "\r\n");
    check_cuts(&body, |arrived| {
        arrived.contains("\"finish_reason\":\"stop\"}]}")
    });
}
