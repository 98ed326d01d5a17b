//! How answers end: whole, broken off, too large, or with an error in the middle.

use super::super::framing::ANSWER_MAX_BYTES;
use super::*;

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

/// Cuts a body after every byte; the answer may count only when its end is among what arrived.
#[track_caller]
pub(super) fn check_cuts(protocol: WireProtocol, body: &str, has_ended: impl Fn(&str) -> bool) {
    for length in 0..body.len() {
        let arrived = body.get(..length).unwrap_or_default();
        let expected = if has_ended(arrived) {
            Outcome::Answered
        } else {
            Outcome::Cut
        };
        let answer = Answer {
            body: &body.as_bytes()[..length],
            ..Answer::new("").protocol(protocol)
        }
        .broken();
        assert_eq!(answer.decode().outcome, expected, "after {length} bytes");
    }
}

#[test]
fn an_answer_that_broke_off_is_never_an_answer() {
    check_cuts(
        CHAT,
        &chat(&json!({"content": "Hällo", "reasoning": "r"}), "stop"),
        |_| false,
    );
    let words = [
        json!({"role": "assistant"}),
        json!({"content": "Hä"}),
        json!({"content": "llo"}),
    ];
    let body = stream(&words, DONE);
    check_cuts(CHAT, &body, |arrived| arrived.contains("data: [DONE]"));
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n";
    let body = stream(&words, &format!("{FINISHED}{usage}{DONE}")).replace('\n', "\r\n");
    check_cuts(CHAT, &body, |arrived| {
        arrived.contains("\"finish_reason\":\"stop\"}]}")
    });
}
