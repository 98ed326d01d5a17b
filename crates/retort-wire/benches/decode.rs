//! What decoding costs: a chat answer of 1.2 KB, and one event of a streamed answer.
//!
//! Goals, in a release build on one core: 20 µs for the answer, 2 µs for an event.

#[path = "../tests/frames/mod.rs"]
mod frames;

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue};
use retort_types::catalog::WireOptions;
use retort_types::{Outcome, Timestamp, WireProtocol};
use retort_wire::{AnswerHead, BodyEnd, Decoded, Decoder};
use serde_json::{Value, json};

/// Length of a whole answer, in bytes.
const ANSWER_BYTES: usize = 1_200;

/// Events of a streamed answer with text: as many as a short answer has tokens.
const EVENTS: u64 = 256;

/// Returns headers as providers send them.
fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("date", "Tue, 24 Nov 2026 09:00:00 GMT"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-limit-tokens", "200000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-remaining-tokens", "199968"),
        ("x-ratelimit-reset-requests", "8.64s"),
        ("x-ratelimit-reset-tokens", "9ms"),
        ("x-request-id", "req_0123456789abcdef"),
    ] {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    headers
}

fn decode(protocol: WireProtocol, headers: &HeaderMap, pieces: &[Vec<u8>]) -> Decoded {
    let head = AnswerHead {
        status: 200,
        headers,
        received_at: Timestamp::from_micros(1_790_000_000_000_000),
    };
    let options = WireOptions::default();
    let mut decoder = Decoder::new(protocol, &options, pieces.len() > 1, &head);
    for piece in pieces {
        decoder.push(piece, Duration::from_millis(1));
    }
    decoder.finish(BodyEnd::Complete)
}

/// Returns a whole answer whose text fills it up.
fn whole(protocol: WireProtocol) -> Vec<u8> {
    let with = |text: &str| -> Value {
        match protocol {
            WireProtocol::OpenaiChat => json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1_790_000_000,
                "model": "some-model-2026-01-01", "system_fingerprint": "fp_1",
                "choices": [{"index": 0, "finish_reason": "stop", "logprobs": null,
                    "message": {"role": "assistant", "content": text, "refusal": null}}],
                "usage": {"prompt_tokens": 19, "completion_tokens": 200, "total_tokens": 219,
                    "completion_tokens_details": {"reasoning_tokens": 0}},
            }),
            WireProtocol::BedrockConverse => json!({
                "metrics": {"latencyMs": 800}, "stopReason": "end_turn",
                "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
                "usage": {"inputTokens": 19, "outputTokens": 200, "totalTokens": 219},
            }),
            WireProtocol::CohereV2 => json!({
                "id": "r-1", "finish_reason": "COMPLETE",
                "message": {"role": "assistant", "content": [{"type": "text", "text": text}]},
                "usage": {"tokens": {"input_tokens": 19, "output_tokens": 200}},
            }),
            WireProtocol::Ollama => json!({
                "model": "m", "created_at": "2026-11-24T09:00:00Z", "done": true,
                "message": {"role": "assistant", "content": text}, "done_reason": "stop",
                "prompt_eval_count": 19, "eval_count": 200, "total_duration": 1_000_000_000_u64,
            }),
            WireProtocol::OpenaiCompletions => json!({
                "id": "cmpl-1", "object": "text_completion", "created": 1_790_000_000,
                "model": "some-model-2026-01-01",
                "choices": [{"index": 0, "finish_reason": "stop", "logprobs": null, "text": text}],
                "usage": {"prompt_tokens": 19, "completion_tokens": 200, "total_tokens": 219},
            }),
            WireProtocol::OpenaiResponses => json!({
                "id": "resp_1", "object": "response", "created_at": 1_790_000_000,
                "model": "some-model-2026-01-01", "status": "completed", "error": null,
                "output": [{"type": "message", "role": "assistant", "status": "completed",
                    "content": [{"type": "output_text", "text": text, "annotations": []}]}],
                "usage": {"input_tokens": 19, "output_tokens": 200, "total_tokens": 219},
            }),
            WireProtocol::AnthropicMessages => json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": "some-model",
                "content": [{"type": "text", "text": text}], "stop_reason": "end_turn",
                "usage": {"input_tokens": 19, "output_tokens": 200},
            }),
            WireProtocol::Gemini => json!({
                "candidates": [{"content": {"parts": [{"text": text}], "role": "model"},
                    "finishReason": "STOP", "index": 0}],
                "usageMetadata": {"promptTokenCount": 19, "candidatesTokenCount": 200},
                "modelVersion": "some-model", "responseId": "r",
            }),
        }
    };
    let around = with("").to_string().len();
    let mut text = String::new();
    while text.len() + around < ANSWER_BYTES {
        text.push_str("Ein Satz wie viele. ");
    }
    with(&text).to_string().into_bytes()
}

/// Returns the pieces of a streamed answer: `event` for each text, and the `end`.
fn pieces(event: impl Fn(&str) -> Vec<u8>, end: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut text = String::new();
    let events = (0..EVENTS).map(|number| {
        text.clear();
        write!(text, " word{number}").expect("a string takes all");
        event(&text)
    });
    let mut pieces: Vec<Vec<u8>> = events.collect();
    pieces.extend_from_slice(end);
    pieces
}

fn sse(value: &Value) -> Vec<u8> {
    format!("data: {value}\n\n").into_bytes()
}

/// Returns a streamed answer, one piece an event, as it comes from the network.
fn streamed(protocol: WireProtocol) -> Vec<Vec<u8>> {
    match protocol {
        WireProtocol::OpenaiChat => chat(),
        WireProtocol::OpenaiCompletions => completion(),
        WireProtocol::OpenaiResponses => response(),
        WireProtocol::AnthropicMessages => message(),
        WireProtocol::Gemini => gemini(),
        WireProtocol::BedrockConverse => bedrock(),
        WireProtocol::CohereV2 => cohere(),
        WireProtocol::Ollama => ollama(),
    }
}

fn chat() -> Vec<Vec<u8>> {
    let chunk = |delta: Value, reason: Option<&str>| {
        sse(&json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk",
            "created": 1_790_000_000, "model": "some-model-2026-01-01",
            "system_fingerprint": "fp_1",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        }))
    };
    let end = [chunk(json!({}), Some("stop")), b"data: [DONE]\n\n".to_vec()];
    pieces(|text| chunk(json!({"content": text}), None), &end)
}

fn completion() -> Vec<Vec<u8>> {
    let chunk = |text: &str, reason: Option<&str>| {
        sse(&json!({
            "id": "cmpl-1", "object": "text_completion", "created": 1_790_000_000,
            "model": "some-model-2026-01-01",
            "choices": [{"index": 0, "text": text, "finish_reason": reason}],
        }))
    };
    let end = [chunk("", Some("stop")), b"data: [DONE]\n\n".to_vec()];
    pieces(|text| chunk(text, None), &end)
}

fn response() -> Vec<Vec<u8>> {
    let end =
        json!({"type": "response.completed", "response": {"id": "resp_1", "status": "completed"}});
    let delta = |text: &str| {
        sse(
            &json!({"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0,
            "content_index": 0, "sequence_number": 7, "delta": text, "obfuscation": "abcdefgh"}),
        )
    };
    pieces(delta, &[sse(&end)])
}

fn message() -> Vec<Vec<u8>> {
    let end = [
        sse(
            &json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 200}}),
        ),
        sse(&json!({"type": "message_stop"})),
    ];
    let delta = |text: &str| {
        sse(&json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": text}}))
    };
    pieces(delta, &end)
}

fn gemini() -> Vec<Vec<u8>> {
    let chunk = |text: &str, reason: Option<&str>| {
        sse(&json!({
            "candidates": [{"content": {"parts": [{"text": text}], "role": "model"},
                "finishReason": reason, "index": 0}],
            "usageMetadata": {"promptTokenCount": 19}, "modelVersion": "some-model",
        }))
    };
    pieces(|text| chunk(text, None), &[chunk("", Some("STOP"))])
}

fn bedrock() -> Vec<Vec<u8>> {
    let end = [
        frames::event(b"messageStop", br#"{"stopReason":"end_turn"}"#),
        frames::event(
            b"metadata",
            br#"{"usage":{"inputTokens":19,"outputTokens":200}}"#,
        ),
    ];
    let delta = |text: &str| {
        let delta = json!({"contentBlockIndex": 0, "delta": {"text": text},
            "p": "abcdefghijklmnop"});
        frames::event(b"contentBlockDelta", delta.to_string().as_bytes())
    };
    pieces(delta, &end)
}

fn cohere() -> Vec<Vec<u8>> {
    let end = json!({"type": "message-end", "delta": {"finish_reason": "COMPLETE"}});
    let delta = |text: &str| {
        sse(&json!({"type": "content-delta", "index": 0,
            "delta": {"message": {"content": {"text": text}}}}))
    };
    pieces(delta, &[sse(&end)])
}

fn ollama() -> Vec<Vec<u8>> {
    let line = |text: &str, is_done: bool| {
        let line = json!({"model": "m", "created_at": "2026-11-24T09:00:00.123456Z",
            "message": {"role": "assistant", "content": text}, "done": is_done});
        format!("{line}\n").into_bytes()
    };
    pieces(|text| line(text, false), &[line("", true)])
}

fn measure(criterion: &mut Criterion, kind: &str, answer: fn(WireProtocol) -> Vec<Vec<u8>>) {
    let headers = headers();
    for protocol in WireProtocol::ALL {
        let pieces = answer(protocol);
        let decoded = decode(protocol, &headers, &pieces);
        assert_eq!(decoded.outcome, Outcome::Answered, "{protocol} {kind}");
        let mut group = criterion.benchmark_group(kind);
        // Of a stream, what counts is the time per event: time by elements.
        group.throughput(Throughput::Elements(pieces.len() as u64));
        group.bench_function(protocol.as_str(), |bencher| {
            bencher.iter(|| decode(protocol, black_box(&headers), black_box(&pieces)));
        });
        group.finish();
    }
}

fn benches(criterion: &mut Criterion) {
    measure(criterion, "whole", |protocol| vec![whole(protocol)]);
    measure(criterion, "streamed", streamed);
}

criterion_group!(decoding, benches);
criterion_main!(decoding);
