//! Exchanges through their records and back, and records that were changed.

use proptest::prelude::*;

use super::*;
use crate::testing::{START, sample};

const REQUEST_HEADERS: [(&str, &[u8]); 1] = [("authorization", b"Bearer [redacted]")];

fn exchange<'a>(
    headers: &'a [(&'a str, &'a [u8])],
    body: &'a [u8],
    redacted: &'a [String],
) -> Exchange<'a> {
    Exchange {
        attempt_id: "01900000-0000-7000-8000-000000000001",
        sample_id: sample(1).sample_id,
        sent_at: Timestamp::from_micros(START),
        target_uri: "http://localhost:1/v1/chat/completions",
        request_headers: headers,
        request_body: b"{\"model\":\"m\"}",
        request_digest: None,
        answer: Some(Answer {
            received_at: Timestamp::from_micros(START + 1_234),
            status: 200,
            version: "HTTP/2",
            headers: vec![
                ("content-type", b"application/json"),
                ("transfer-encoding", b"chunked"),
                ("x-odd", b"caf\xe9"),
            ],
            body,
            body_digest: None,
        }),
        ending: "complete",
        redacted,
        decoder: "{\"protocol\":\"openai-chat\"}",
    }
}

#[test]
fn a_record_is_what_readers_of_warc_expect() {
    let headers = REQUEST_HEADERS;
    let redacted = ["request header authorization".to_owned()];
    let bytes = Archiver::new().records(&exchange(&headers, b"{}", &redacted));
    let mut text = String::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (plain, behind) = gzip::take_member(rest, 1 << 20).unwrap();
        text.push_str(&String::from_utf8_lossy(&plain));
        text.push_str("=====\n");
        rest = behind;
    }
    insta::assert_snapshot!(text.replace('\r', ""));
}

#[test]
fn an_attempt_without_an_answer_has_metadata() {
    let headers = REQUEST_HEADERS;
    let mut said = exchange(&headers, b"", &[]);
    said.answer = None;
    said.ending = "no connection: refused";
    let stored = read(&Archiver::new().records(&said)).unwrap();
    assert_eq!(stored.answer, None);
    assert_eq!(stored.ending, "no connection: refused");
    assert_eq!(stored.request.unwrap().body, b"{\"model\":\"m\"}");
    said.request_headers = &[];
    said.ending = "not sent: bad header value";
    let stored = read(&Archiver::new().records(&said)).unwrap();
    assert_eq!((stored.request, stored.answer), (None, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_body_comes_back(body in prop::collection::vec(any::<u8>(), 0..5_000), copies in 1_usize..40) {
        let body = body.repeat(copies);
        let headers = REQUEST_HEADERS;
        let mut archiver = Archiver::new();
        let first = archiver.records(&exchange(&headers, &body, &[]));
        let again = archiver.records(&exchange(&headers, &body, &[]));
        prop_assert_eq!(&first, &again, "a used compressor gives the same bytes");
        let stored = read(&first).unwrap();
        let answer = stored.answer.unwrap();
        prop_assert_eq!(answer.body, body);
        prop_assert_eq!(answer.status, 200);
        prop_assert_eq!(&answer.headers[2].1, b"caf\xe9");
        prop_assert_eq!(answer.received_at, Timestamp::from_micros(START + 1_234));
    }

    #[test]
    fn a_flipped_bit_or_a_cut_is_an_error_and_no_panic(at in any::<prop::sample::Index>(), bit in 0_u8..8, cut: bool) {
        let headers = REQUEST_HEADERS;
        let bytes = Archiver::new().records(&exchange(&headers, b"a body", &[]));
        let whole = read(&bytes).unwrap();
        let at = at.index(bytes.len());
        let mut changed = bytes.to_vec();
        if cut {
            changed.truncate(at);
        } else {
            changed[at] ^= 1 << bit;
        }
        // Flags, time and system of a gzip head may change without changing the content, and a cut
        // between members leaves the first whole; the SHA-256 of the row tells both.
        if let Ok(read) = read(&changed) {
            prop_assert!(cut || read == whole);
        }
    }
}

#[test]
fn a_row_cannot_lead_out_of_the_folder() {
    assert!(is_exchange_file("exchanges/date=2026-11-24/w-1.warc.gz"));
    for path in [
        "exchanges/../campaign.json",
        "exchanges/../../x.warc.gz",
        "/etc/x.warc.gz",
        "exchanges//x.warc.gz",
        "exchanges/x.parquet",
        "exchanges\\x.warc.gz",
    ] {
        assert!(!is_exchange_file(path), "{path}");
    }
}
