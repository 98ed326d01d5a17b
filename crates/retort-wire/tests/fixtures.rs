//! Reads recorded exchanges that are kept outside the repository. Runs on demand:
//! `RETORT_FIXTURES=<folder of exchanges/> cargo test -p retort-wire --test fixtures`.

mod recorded;

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use recorded::{Case, Difference, PROTOCOLS};
use retort_types::catalog::WireOptions;
use retort_types::reply::StreamEnd;
use retort_types::{Outcome, Timestamp, WireProtocol};
use retort_wire::{AnswerHead, BodyEnd, Decoded, Decoder};

fn received_at() -> Timestamp {
    Timestamp::from_micros(1_790_000_000_000_000)
}

/// Sizes of pieces that cut characters, line ends and events apart.
const ODD: &[usize] = &[1, 2, 3, 5, 7, 11, 13, 97, 1_021];

fn root() -> PathBuf {
    #[expect(
        clippy::disallowed_methods,
        reason = "where recorded exchanges are kept is not the repository's to know"
    )]
    let root = std::env::var("RETORT_FIXTURES");
    PathBuf::from(root.expect("RETORT_FIXTURES names the folder that holds exchanges/"))
}

fn headers(case: &Case) -> HeaderMap {
    let told = case.json["response"]["headers"].as_object();
    let told = told.expect("headers are an object").iter();
    told.map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a recorded name is a name");
        let value = value.as_str().expect("a header is text");
        (
            name,
            HeaderValue::from_str(value).expect("a recorded value is a value"),
        )
    })
    .collect()
}

/// Decodes `body`, which arrives in pieces of these sizes in turn.
fn decode(case: &Case, body: &[u8], pieces: &[usize], end: BodyEnd) -> Decoded {
    let headers = headers(case);
    let head = AnswerHead {
        status: case.status,
        headers: &headers,
        received_at: received_at(),
    };
    let options = WireOptions::default();
    let mut decoder = Decoder::new(case.protocol, &options, case.streamed, &head);
    let mut rest = body;
    for (at, size) in pieces.iter().cycle().enumerate() {
        let (piece, tail) = rest.split_at((*size).min(rest.len()));
        decoder.push(piece, Duration::from_millis(at as u64));
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    decoder.finish(end)
}

/// Takes out of `decoded` when what arrived.
fn timeless(mut decoded: Decoded) -> Decoded {
    decoded.ttft = decoded.ttft.map(|_| Duration::ZERO);
    for token in &mut decoded.reply.tokens {
        token.arrived_ms = token.arrived_ms.map(|_| 0.0);
    }
    decoded
}

/// Returns the body in forms that mean the same.
fn same_bodies(case: &Case, body: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    if !case.streamed || !recorded::is_events(case) {
        return Vec::new();
    }
    let text = std::str::from_utf8(body).expect("events are text");
    let plain = text.replace("\r\n", "\n");
    let with_comments = plain.replace("\n\n", "\n\n: keep-alive\n\n");
    vec![
        ("LF", plain.clone().into_bytes()),
        ("CRLF", plain.replace('\n', "\r\n").into_bytes()),
        ("comments", with_comments.replace('\n', "\r\n").into_bytes()),
        ("comments in LF", with_comments.into_bytes()),
    ]
}

fn check_cuts(case: &Case, body: &[u8], whole: &Decoded) {
    for percent in [25, 50, 75] {
        let prefix = &body[..body.len() * percent / 100];
        let broken = BodyEnd::Broken("connection reset".to_owned());
        let decoded = decode(case, prefix, &[usize::MAX], broken);
        let silent = decode(case, prefix, &[usize::MAX], BodyEnd::Complete);
        let at = format!("{} cut at {percent} %", case.id);
        check_silent_cut(case, prefix, (&silent, whole), &at);
        if case.streamed && recorded::holds_end(case.protocol, prefix) {
            assert_eq!(decoded.outcome, whole.outcome, "{at}, after its end");
            assert_eq!(decoded.reply.text, whole.reply.text, "{at}, after its end");
            assert!(decoded.late_fault.is_some(), "{at}: the fault is not told");
        } else if decoded.stream_end == Some(StreamEnd::Error) {
            assert_eq!(decoded.outcome, whole.outcome, "{at}, after an error");
        } else {
            assert_eq!(decoded.outcome, Outcome::Cut, "{at}");
            assert_eq!(decoded.stream_end, Some(StreamEnd::Cut), "{at}");
        }
    }
}

/// Checks a cut that the transport says nothing of. A whole body that is no JSON shows no other sign
/// of it.
fn check_silent_cut(case: &Case, prefix: &[u8], (cut, whole): (&Decoded, &Decoded), at: &str) {
    if case.streamed && recorded::holds_end(case.protocol, prefix) {
        assert_eq!(cut.outcome, whole.outcome, "{at} in silence, after its end");
    } else if cut.stream_end == Some(StreamEnd::Error) {
        assert_eq!(
            cut.outcome, whole.outcome,
            "{at} in silence, after an error"
        );
    } else if case.streamed {
        assert_eq!(cut.outcome, Outcome::Cut, "{at} in silence");
    } else {
        let is_no_answer = matches!(cut.outcome, Outcome::Cut | Outcome::Undecodable);
        assert!(is_no_answer, "{at} in silence: {}", cut.outcome.as_str());
    }
}

fn check(protocol: WireProtocol) -> Vec<Difference> {
    let mut found = Vec::new();
    let cases = recorded::cases(&root(), protocol);
    for case in &cases {
        let body = recorded::body(case);
        let whole = decode(case, &body, &[usize::MAX], BodyEnd::Complete);
        let date = case.json["response"]["headers"]["date"].as_str();
        let now = recorded::times_count_from(date, received_at());
        found.extend(recorded::differences(case, &whole, now));
        let timeless_whole = timeless(whole.clone());
        for (how, pieces) in [("odd pieces", ODD), ("single bytes", &[1])] {
            let pieces = timeless(decode(case, &body, pieces, BodyEnd::Complete));
            assert_eq!(pieces, timeless_whole, "{} in {how}", case.id);
        }
        for (how, same) in same_bodies(case, &body) {
            for pieces in [&[usize::MAX], ODD, &[1]] {
                let same = timeless(decode(case, &same, pieces, BodyEnd::Complete));
                assert_eq!(same, timeless_whole, "{} with {how}", case.id);
            }
        }
        if case.status < 300 {
            check_cuts(case, &body, &whole);
        }
    }
    recorded::print_passes("read", protocol, cases.len(), &found);
    found
}

#[test]
fn recorded_answers_are_read_as_expected() {
    let found: Vec<Difference> = PROTOCOLS
        .iter()
        .flat_map(|protocol| check(*protocol))
        .collect();
    recorded::check_documented(PROTOCOLS, &found);
}
