//! Reads recorded exchanges that are kept outside the repository. Runs on demand:
//! `RETORT_FIXTURES=<folder of exchanges/> cargo test -p retort-wire --test fixtures`.

#[path = "fixtures/binary.rs"]
mod binary;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use retort_types::catalog::WireOptions;
use retort_types::reply::{StreamEnd, Usage};
use retort_types::{Counted, Outcome, Timestamp, WireProtocol};
use retort_wire::{AnswerHead, BodyEnd, Decoded, Decoder};
use serde_json::Value;

fn cases(protocol: WireProtocol) -> Vec<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "where recorded exchanges are kept is not the repository's to know"
    )]
    let root = std::env::var("RETORT_FIXTURES")
        .expect("RETORT_FIXTURES names the folder that holds exchanges/");
    let folder = Path::new(&root)
        .join("exchanges/cases")
        .join(protocol.as_str());
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the folder of the protocol's cases is readable")
        .map(|entry| entry.expect("an entry of the folder is readable").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no cases in {}", folder.display());
    paths
}

/// Returns the body of `case`, which is in base64 where it is no text.
fn body(case: &Value) -> Vec<u8> {
    let response = &case["response"];
    match response["body_base64"].as_str() {
        Some(coded) => binary::from_base64(coded),
        None => response["body_text"]
            .as_str()
            .expect("a body is text")
            .as_bytes()
            .to_vec(),
    }
}

fn decode(protocol: WireProtocol, case: &Value, piece: usize) -> Decoded {
    decode_part(protocol, case, (&body(case), piece), BodyEnd::Complete)
}

fn decode_part(
    protocol: WireProtocol,
    case: &Value,
    (body, piece): (&[u8], usize),
    end: BodyEnd,
) -> Decoded {
    let response = &case["response"];
    let mut headers = HeaderMap::new();
    for (name, value) in response["headers"]
        .as_object()
        .expect("headers are an object")
    {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).expect("a recorded name is a name"),
            HeaderValue::from_str(value.as_str().expect("a header is text"))
                .expect("a recorded value is a value"),
        );
    }
    let status = response["status"].as_u64().expect("a status is a number");
    let head = AnswerHead {
        status: u16::try_from(status).expect("a status has three digits"),
        headers: &headers,
        received_at: Timestamp::from_micros(1_790_000_000_000_000),
    };
    let streamed = case["stream"].as_bool().expect("stream is a flag");
    let mut decoder = Decoder::new(protocol, &WireOptions::default(), streamed, &head);
    for (at, bytes) in body.chunks(piece).enumerate() {
        decoder.push(bytes, Duration::from_millis(at as u64));
    }
    decoder.finish(end)
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value[name].as_str().filter(|text| !text.is_empty())
}

fn count(value: &Value, name: &str) -> Option<u32> {
    value[name]
        .as_u64()
        .and_then(|count| u32::try_from(count).ok())
}

fn outcome(kind: Option<&str>) -> Option<Outcome> {
    let outcome = match kind {
        None => Outcome::Answered,
        Some("auth" | "permission") => Outcome::Unauthorized,
        Some("not_found") => Outcome::NotFound,
        Some("context_length") => Outcome::ContextLength,
        Some("content_filter") => Outcome::Filtered,
        Some("quota") => Outcome::QuotaExhausted,
        Some("rate_limit") => Outcome::RateLimited,
        Some("overloaded") => Outcome::Overloaded,
        Some("timeout") => Outcome::Timeout,
        Some("server") => Outcome::ProviderError,
        Some("invalid_request") => Outcome::InvalidRequest,
        Some("malformed") => Outcome::Undecodable,
        Some(_) => return None,
    };
    Some(outcome)
}

fn check_reply(id: &str, decoded: &Decoded, expected: &Value) {
    let reply = &decoded.reply;
    let told = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let pairs = [
        ("text", &reply.text),
        ("reasoning_text", &reply.reasoning_text),
        ("refusal", &reply.refusal_text),
        ("finish_reason", &reply.finish_reason_raw),
        ("served_model", &reply.served_model),
        ("system_fingerprint", &reply.system_fingerprint),
        ("response_id", &reply.response_id),
        ("upstream_provider", &reply.upstream_provider),
    ];
    for (name, ours) in pairs {
        assert_eq!(
            told(ours).as_deref(),
            text(expected, name),
            "{name} of {id}"
        );
    }
    let usage = &expected["usage"];
    let expected_usage = Usage {
        input_tokens: count(usage, "input"),
        output_tokens: count(usage, "output"),
        reasoning_tokens: count(usage, "reasoning"),
        cache_read_tokens: count(usage, "cached"),
        cache_write_tokens: count(usage, "cache_write"),
    };
    assert_eq!(reply.usage, expected_usage, "usage of {id}");
    let tokens = count(expected, "logprobs_count").unwrap_or(0);
    assert_eq!(
        reply.tokens.len() as u64,
        u64::from(tokens),
        "tokens of {id}"
    );
    if let Some(most) = count(expected, "top_logprobs_max") {
        let ours = reply.tokens.iter().map(|token| token.top.len()).max();
        assert_eq!(
            ours.map(|n| n as u64),
            Some(u64::from(most)),
            "alternatives of {id}"
        );
    }
}

fn check_limits(id: &str, decoded: &Decoded, expected: &Value) {
    for (name, counted) in [
        ("requests", Counted::Requests),
        ("tokens", Counted::Tokens),
        ("input_tokens", Counted::InputTokens),
        ("output_tokens", Counted::OutputTokens),
    ] {
        let told = &expected["rate_limit"][name];
        let ours = decoded
            .limits
            .counts
            .iter()
            .find(|limit| limit.counted == counted);
        assert_eq!(ours.is_some(), told.is_object(), "{name} limit of {id}");
        if let Some(ours) = ours {
            assert_eq!(ours.limit, told["limit"].as_u64(), "{name} limit of {id}");
            assert_eq!(
                ours.remaining,
                told["remaining"].as_u64(),
                "{name} remaining of {id}"
            );
            if let Some(reset_ms) = told["reset_ms"].as_u64() {
                let reset = ours.reset.map(|reset| reset.as_millis());
                assert_eq!(reset, Some(u128::from(reset_ms)), "{name} reset of {id}");
            }
        }
    }
    if let Some(told) = expected["retry_after_ms"].as_u64() {
        // Of two headers that disagree the larger is taken.
        let ours = decoded.limits.retry_after.map(|wait| wait.as_millis());
        assert!(
            ours >= Some(u128::from(told)),
            "retry after of {id}: {ours:?}"
        );
    }
}

fn check(protocol: WireProtocol) {
    for path in cases(protocol) {
        let json = fs::read_to_string(&path).expect("a case is readable");
        let case: Value = serde_json::from_str(&json).expect("a case is JSON");
        let id = case["id"].as_str().expect("a case has an id");
        let expected = &case["expected"];
        let decoded = decode(protocol, &case, usize::MAX);
        assert_eq!(
            Some(decoded.outcome),
            outcome(expected["error_kind"].as_str()),
            "outcome of {id}"
        );
        check_limits(id, &decoded, expected);
        if decoded.outcome == Outcome::Answered {
            check_reply(id, &decoded, expected);
            assert_eq!(decoded.stream_end, Some(StreamEnd::Complete), "end of {id}");
            let is_events = expected["stream_events"].is_u64();
            let has_words = text(expected, "text")
                .or(text(expected, "reasoning_text"))
                .is_some();
            assert_eq!(
                decoded.ttft.is_some(),
                is_events && has_words,
                "first word of {id}"
            );
        } else if decoded.outcome == Outcome::Filtered && decoded.error.is_none() {
            check_reply(id, &decoded, expected);
        } else {
            assert!(decoded.error.is_some(), "error of {id}");
        }
        let mut in_bytes = decode(protocol, &case, 1);
        in_bytes.ttft = decoded.ttft;
        for (token, whole) in in_bytes.reply.tokens.iter_mut().zip(&decoded.reply.tokens) {
            token.arrived_ms = whole.arrived_ms;
        }
        assert_eq!(in_bytes, decoded, "{id} byte by byte");
    }
}

#[test]
fn recorded_chats() {
    check(WireProtocol::OpenaiChat);
}

#[test]
fn recorded_completions() {
    check(WireProtocol::OpenaiCompletions);
}
