//! What recorded exchanges say, and whether a decoded answer says the same. Shared by the tests that
//! read the recordings and by those that send them through the client.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jiff::fmt::rfc2822;
use retort_types::reply::{Reply, StreamEnd, Usage};
use retort_types::{AnnouncedLimits, Counted, Outcome, Timestamp, WireProtocol};
use retort_wire::Decoded;
use serde_json::{Value, json};

/// Protocols whose recordings are read.
pub(crate) const PROTOCOLS: &[WireProtocol] = &WireProtocol::ALL;

/// Where what is decoded differs from what the recordings expect, and why.
const DEVIATIONS: &str = include_str!("../../../../docs/wire-deviations.md");

/// One recorded exchange.
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) protocol: WireProtocol,
    pub(crate) streamed: bool,
    pub(crate) status: u16,
    pub(crate) json: Value,
}

/// Returns the recordings of `protocol` below `root`, by name.
pub(crate) fn cases(root: &Path, protocol: WireProtocol) -> Vec<Case> {
    let folder = root.join("exchanges/cases").join(protocol.as_str());
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .expect("the folder of the protocol's cases is readable")
        .map(|entry| entry.expect("an entry of the folder is readable").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no cases in {}", folder.display());
    let read = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).expect("a case is readable");
        let json: Value = serde_json::from_str(&text).expect("a case is JSON");
        let status = json["response"]["status"].as_u64();
        Case {
            id: json["id"].as_str().expect("a case has an id").to_owned(),
            protocol,
            streamed: json["stream"].as_bool().expect("stream is a flag"),
            status: u16::try_from(status.expect("a status is a number")).expect("three digits"),
            json,
        }
    };
    paths.iter().map(read).collect()
}

/// Returns the recorded body.
pub(crate) fn body(case: &Case) -> Vec<u8> {
    let response = &case.json["response"];
    match response["body_base64"].as_str() {
        Some(encoded) => from_base64(encoded),
        None => response["body_text"]
            .as_str()
            .expect("a body is text")
            .into(),
    }
}

/// Returns whether the recorded body is one of server-sent events.
pub(crate) fn is_events(case: &Case) -> bool {
    let body = body(case);
    [b"data".as_slice(), b"event", b":"]
        .iter()
        .any(|lead| body.starts_with(lead))
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter(|byte| *byte != b'=');
    let bits: Vec<u32> = digits
        .map(|byte| {
            DIGITS
                .iter()
                .position(|digit| *digit == byte)
                .expect("base64") as u32
        })
        .collect();
    let group = |four: &[u32]| {
        let bits = four.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - four.len()));
        let bytes: [u8; 4] = (bits << 8).to_be_bytes();
        bytes[..four.len() * 6 / 8].to_vec()
    };
    bits.chunks(4).flat_map(group).collect()
}

/// Returns the point in time that an answer's times count from.
pub(crate) fn times_count_from(date: Option<&str>, received_at: Timestamp) -> Timestamp {
    static PARSER: rfc2822::DateTimeParser = rfc2822::DateTimeParser::new();
    let date = date.and_then(|date| PARSER.parse_timestamp(date).ok());
    date.map_or(received_at, |date| {
        Timestamp::from_micros(date.as_microsecond())
    })
}

/// A field that was decoded otherwise than expected.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) case: String,
    pub(crate) field: String,
    /// What is expected, and what was decoded.
    pub(crate) values: String,
}

/// Returns every field in which `decoded` differs from what `case` expects. Times of limits count
/// from `now`.
pub(crate) fn differences(case: &Case, decoded: &Decoded, now: Timestamp) -> Vec<Difference> {
    let expected = &case.json["expected"];
    let mut pairs = reply_pairs(&decoded.reply, expected);
    let outcome = Some(decoded.outcome.as_str());
    let kind = expected["error_kind"].as_str();
    pairs.push((
        "outcome".to_owned(),
        json!(outcome_of(kind)),
        json!(outcome),
    ));
    pairs.extend(limit_pairs(&decoded.limits, expected, now));
    let is_error = case.status >= 300;
    pairs.push((
        "error told".to_owned(),
        json!(expected["error"].is_object()),
        json!(decoded.error.is_some()),
    ));
    if !is_error && !expected["error"].is_object() {
        let end = decoded.stream_end.map(StreamEnd::as_str);
        pairs.push(("end".to_owned(), json!("complete"), json!(end)));
        let is_events = expected["stream_events"].is_u64();
        let has_words = ["text", "reasoning_text"]
            .iter()
            .any(|name| !told(&expected[*name]).is_null());
        pairs.push((
            "first word".to_owned(),
            json!(is_events && has_words),
            json!(decoded.ttft.is_some()),
        ));
    }
    let differing = pairs.into_iter().filter(|(_, theirs, ours)| theirs != ours);
    differing
        .map(|(field, theirs, ours)| Difference {
            case: case.id.clone(),
            field,
            values: format!("expected {theirs}, decoded {ours}"),
        })
        .collect()
}

/// Returns a word or a number as a word, and an empty or absent one as nothing.
fn told(value: &Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() => Value::Null,
        Value::Number(number) => json!(number.to_string()),
        other => other.clone(),
    }
}

/// Name, expected and decoded value of a field.
type Pair = (String, Value, Value);

fn reply_pairs(reply: &Reply, expected: &Value) -> Vec<Pair> {
    let texts = [
        ("text", &reply.text),
        ("reasoning_text", &reply.reasoning_text),
        ("refusal", &reply.refusal_text),
        ("finish_reason", &reply.finish_reason_raw),
        ("served_model", &reply.served_model),
        ("system_fingerprint", &reply.system_fingerprint),
        ("response_id", &reply.response_id),
        ("upstream_provider", &reply.upstream_provider),
    ];
    let mut pairs: Vec<Pair> = texts
        .iter()
        .map(|(name, ours)| {
            (
                (*name).to_owned(),
                told(&expected[*name]),
                told(&json!(ours)),
            )
        })
        .collect();
    let Usage {
        input_tokens,
        output_tokens,
        reasoning_tokens,
        cache_read_tokens,
        cache_write_tokens,
    } = reply.usage;
    for (name, ours) in [
        ("input", input_tokens),
        ("output", output_tokens),
        ("reasoning", reasoning_tokens),
        ("cached", cache_read_tokens),
        ("cache_write", cache_write_tokens),
    ] {
        let theirs = expected["usage"][name].clone();
        pairs.push((format!("usage.{name}"), theirs, json!(ours)));
    }
    let count = expected["logprobs_count"].as_u64().unwrap_or(0);
    let ours = json!(reply.tokens.len());
    pairs.push(("logprobs_count".to_owned(), json!(count), ours));
    if let Some(most) = expected["top_logprobs_max"].as_u64() {
        let ours = reply.tokens.iter().map(|token| token.top.len()).max();
        pairs.push(("top_logprobs_max".to_owned(), json!(most), json!(ours)));
    }
    if let Some(first) = expected["first_logprob"].as_object() {
        let token = reply.tokens.first();
        let ours = token.and_then(|token| token.token.clone());
        pairs.push((
            "first token".to_owned(),
            first["token"].clone(),
            json!(ours),
        ));
        let ours = token.and_then(|token| token.logprob);
        let theirs = first["logprob"].as_f64().map(|number| number as f32);
        pairs.push(("first logprob".to_owned(), json!(theirs), json!(ours)));
    }
    pairs
}

fn outcome_of(kind: Option<&str>) -> &'static str {
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
        Some(other) => unreachable!("the recordings know no error of kind {other}"),
    };
    outcome.as_str()
}

fn limit_pairs(limits: &AnnouncedLimits, expected: &Value, now: Timestamp) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (name, counted) in [
        ("requests", Counted::Requests),
        ("tokens", Counted::Tokens),
        ("input_tokens", Counted::InputTokens),
        ("output_tokens", Counted::OutputTokens),
    ] {
        let theirs = &expected["rate_limit"][name];
        let ours = limits.counts.iter().find(|limit| limit.counted == counted);
        let is_told = json!(theirs.is_object());
        pairs.push((format!("{name} limit told"), is_told, json!(ours.is_some())));
        let Some(ours) = ours else {
            continue;
        };
        for (part, ours) in [("limit", ours.limit), ("remaining", ours.remaining)] {
            pairs.push((format!("{name} {part}"), theirs[part].clone(), json!(ours)));
        }
        let reset_at = theirs["reset_at"].as_str();
        let reset_at = reset_at.map(|time| time.parse::<Timestamp>().expect("a time"));
        let until = reset_at.map(|time| u64::try_from(time.since(now).as_millis()).ok());
        let reset_ms = theirs["reset_ms"].as_u64().or(until.flatten());
        if let Some(reset_ms) = reset_ms {
            let ours = ours.reset.map(|reset| reset.as_millis());
            let ours = json!(ours.and_then(|reset| u64::try_from(reset).ok()));
            pairs.push((format!("{name} reset"), json!(reset_ms), ours));
        }
    }
    if let Some(wait_ms) = expected["retry_after_ms"].as_u64() {
        let ours = limits.retry_after.map(|wait| wait.as_millis());
        let ours = json!(ours.and_then(|wait| u64::try_from(wait).ok()));
        pairs.push(("retry_after_ms".to_owned(), json!(wait_ms), ours));
    }
    pairs
}

/// Returns the documented deviations of `protocols` as (case, field).
fn documented(protocols: &[WireProtocol]) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let mut is_theirs = false;
    for line in DEVIATIONS.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            is_theirs = protocols
                .iter()
                .any(|protocol| protocol.as_str() == heading);
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", case, field, reason, ""] = cells.as_slice()
            && is_theirs
            && case.starts_with('`')
        {
            assert!(!reason.is_empty(), "no reason given for {case} {field}");
            let plain = |cell: &str| cell.trim_matches('`').to_owned();
            assert!(
                found.insert((plain(case), plain(field))),
                "{case} {field} stands there twice"
            );
        }
    }
    found
}

/// Checks that what differs is what is documented for `protocols`, no more and no less.
///
/// # Panics
/// When it is not.
pub(crate) fn check_documented(protocols: &[WireProtocol], found: &[Difference]) {
    let documented = documented(protocols);
    let undocumented: Vec<String> = found
        .iter()
        .filter(|found| !documented.contains(&(found.case.clone(), found.field.clone())))
        .map(|found| format!("{} {}: {}", found.case, found.field, found.values))
        .collect();
    assert!(undocumented.is_empty(), "{}", undocumented.join("\n"));
    let seen: BTreeSet<_> = found
        .iter()
        .map(|found| (found.case.clone(), found.field.clone()))
        .collect();
    let gone: Vec<_> = documented.difference(&seen).collect();
    assert!(gone.is_empty(), "documented, but not so: {gone:?}");
}

/// Prints how many of a protocol's recordings are read as expected, with or without a documented
/// deviation.
#[expect(
    clippy::print_stdout,
    reason = "the table is what these tests are run for"
)]
pub(crate) fn print_passes(what: &str, protocol: WireProtocol, count: usize, found: &[Difference]) {
    let differing: BTreeSet<&str> = found.iter().map(|found| found.case.as_str()).collect();
    let (name, passed) = (protocol.as_str(), count - differing.len());
    println!(
        "{what:<12} {name:<20} {passed:>3} of {count:>3} as expected, {} with documented deviations",
        differing.len()
    );
}

/// Returns whether `prefix` of a streamed body holds the protocol's end: an oracle that looks at the
/// lines alone.
pub(crate) fn holds_end(protocol: WireProtocol, prefix: &[u8]) -> bool {
    if protocol == WireProtocol::BedrockConverse {
        return holds_frame(prefix, b"messageStop");
    }
    let text = String::from_utf8_lossy(prefix);
    let data = text.lines().map(|line| {
        let data = line.strip_prefix("data:").unwrap_or(line);
        (
            data.trim(),
            serde_json::from_str::<Value>(data).unwrap_or_default(),
        )
    });
    let mut data = data;
    data.any(|(word, event)| match protocol {
        WireProtocol::OpenaiChat | WireProtocol::OpenaiCompletions => {
            let choices = event["choices"].as_array().map(Vec::as_slice);
            let mut choices = choices.unwrap_or_default().iter();
            word == "[DONE]"
                || choices.any(|choice| {
                    choice["index"].as_u64().unwrap_or(0) == 0
                        && !told(&choice["finish_reason"]).is_null()
                })
        }
        WireProtocol::OpenaiResponses => {
            let ends = ["completed", "incomplete", "failed", "cancelled"];
            let kind = event["type"].as_str().unwrap_or_default();
            kind.strip_prefix("response.")
                .is_some_and(|end| ends.contains(&end))
        }
        WireProtocol::AnthropicMessages => event["type"] == "message_stop",
        WireProtocol::Gemini => !told(&event["candidates"][0]["finishReason"]).is_null(),
        WireProtocol::CohereV2 => event["type"] == "message-end",
        WireProtocol::Ollama => event["done"] == true,
        WireProtocol::BedrockConverse => unreachable!("its frames are not lines"),
    })
}

/// Returns whether a whole frame, which begins with its length, holds `word`.
fn holds_frame(mut bytes: &[u8], word: &[u8]) -> bool {
    while let Some((length, _)) = bytes.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let Some((frame, rest)) = bytes.split_at_checked(length.max(4)) else {
            return false;
        };
        if frame.windows(word.len()).any(|window| window == word) {
            return true;
        }
        bytes = rest;
    }
    false
}
