//! Frames whole, in pieces, damaged and lying about their length.

use proptest::prelude::*;

use super::*;

/// Returns a frame of these text headers.
pub(crate) fn frame(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut told = Vec::new();
    for (name, value) in headers {
        told.push(u8::try_from(name.len()).expect("a short name"));
        told.extend_from_slice(name.as_bytes());
        told.push(7);
        let length = u16::try_from(value.len()).expect("a short value");
        told.extend_from_slice(&length.to_be_bytes());
        told.extend_from_slice(value.as_bytes());
    }
    summed(&told, payload.as_bytes())
}

/// Returns an event as Bedrock sends it.
pub(crate) fn event(name: &str, payload: &str) -> Vec<u8> {
    let headers = [
        (":event-type", name),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    frame(&headers, payload)
}

fn summed(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = headers.len() + payload.len() + PRELUDE_BYTES + SUM_BYTES;
    let mut frame = prelude(length, headers.len());
    frame.extend_from_slice(headers);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame
}

fn prelude(length: usize, headers: usize) -> Vec<u8> {
    let mut prelude = Vec::new();
    for number in [length, headers] {
        let number = u32::try_from(number).expect("four bytes");
        prelude.extend_from_slice(&number.to_be_bytes());
    }
    prelude.extend_from_slice(&crc32fast::hash(&prelude).to_be_bytes());
    prelude
}

fn parse(bytes: &[u8], piece: usize) -> (Vec<(String, String)>, FrameParser) {
    let mut events = Vec::new();
    let mut parser = FrameParser::new();
    for piece in bytes.chunks(piece) {
        parser.push(piece, &mut |name, payload| {
            events.push((name.to_owned(), payload.to_owned()));
        });
    }
    (events, parser)
}

fn told(name: &str, payload: &str) -> (String, String) {
    (name.to_owned(), payload.to_owned())
}

#[test]
fn the_published_frames_are_read() {
    // From the format's public test vectors: no headers, and one of a number.
    let empty = b"\0\0\0\x10\0\0\0\0\x05\xc2\x48\xeb\x7d\x98\xc8\xff";
    assert!(length_of(&empty[..12]).is_ok_and(|length| length == 16));
    let numbered = [
        &b"\0\0\0\x2d\0\0\0\x10\x41\xc4\x24\xb8\x0aevent-type\x04\0\0\xa0\x0c"[..],
        &b"{'foo':'bar'}\x36\xf4\x80\xa0"[..],
    ]
    .concat();
    assert_eq!(numbered.len(), 0x2d);
    let (events, parser) = parse(&numbered, 1);
    // Their sums are right; only what they are is not said.
    assert!(events.is_empty() && parser.is_corrupt());
    let (summed, sum) = numbered.split_last_chunk::<4>().unwrap();
    assert_eq!(u32::from_be_bytes(*sum), crc32fast::hash(summed));
}

#[test]
fn events_exceptions_and_errors_have_names() {
    let bytes = [
        event("messageStart", r#"{"role":"assistant"}"#),
        frame(
            &[
                (":exception-type", "throttlingException"),
                (":message-type", "exception"),
            ],
            r#"{"message":"slow down"}"#,
        ),
        frame(
            &[
                (":error-code", "InternalError"),
                (":error-message", "it broke"),
                (":message-type", "error"),
            ],
            "",
        ),
    ]
    .concat();
    let expected = [
        told("messageStart", r#"{"role":"assistant"}"#),
        told(
            "exception throttlingException",
            r#"{"message":"slow down"}"#,
        ),
        told("error InternalError", "it broke"),
    ];
    for piece in [1, 7, 64, bytes.len()] {
        let (events, parser) = parse(&bytes, piece);
        assert_eq!(events, expected);
        assert!(parser.has_frames() && !parser.is_corrupt() && !parser.is_within_frame());
    }
}

#[test]
fn headers_of_every_type_are_read_over() {
    let mut headers = Vec::new();
    for (kind, length) in [
        (0_u8, 0_usize),
        (1, 0),
        (2, 1),
        (3, 2),
        (4, 4),
        (5, 8),
        (8, 8),
        (9, 16),
    ] {
        headers.extend_from_slice(b"\x01x");
        headers.push(kind);
        headers.extend(std::iter::repeat_n(0xff, length));
    }
    headers.extend_from_slice(b"\x01x\x06\0\x03abc");
    headers.extend_from_slice(b"\x0d:message-type\x07\0\x05event\x0b:event-type\x07\0\x01e");
    let (events, _) = parse(&summed(&headers, b"{}"), usize::MAX);
    assert_eq!(events, [told("e", "{}")]);
    for bad in [&b"\x05x"[..], b"\x01x", b"\x01x\x0a", b"\x01x\x07\0\x05abc"] {
        let (events, parser) = parse(&summed(bad, b"{}"), usize::MAX);
        assert!(events.is_empty() && parser.is_corrupt(), "{bad:?}");
    }
}

#[test]
fn a_length_alone_costs_nothing() {
    // The longest that four bytes can say, and sums that are right.
    for (length, headers, is_overflown) in [
        (u32::MAX as usize, 0, true),
        (EVENT_MAX_BYTES + 1, 0, true),
        (EVENT_MAX_BYTES, 0, false),
        (15, 0, false),
        (0, 0, false),
        (100, 85, false),
        (EVENT_MAX_BYTES, HEADERS_MAX_BYTES + 1, false),
    ] {
        let (_, parser) = parse(&prelude(length, headers), usize::MAX);
        assert_eq!(parser.is_overflown(), is_overflown, "{length} {headers}");
        assert_eq!(
            parser.is_corrupt(),
            !is_overflown && (length, headers) != (EVENT_MAX_BYTES, 0),
            "{length} {headers}"
        );
        assert!(parser.frame.capacity() < 1_024);
    }
}

proptest! {
    #[test]
    fn a_changed_byte_is_noticed(place in any::<prop::sample::Index>(), by in 1..=u8::MAX) {
        let good = event("contentBlockDelta", r#"{"delta":{"text":"Hi"}}"#);
        let mut bytes = good.clone();
        let place = place.index(bytes.len());
        bytes[place] ^= by;
        let (events, _) = parse(&bytes, usize::MAX);
        prop_assert!(events.is_empty());
        // What came before it is kept.
        let (events, _) = parse(&[good, bytes].concat(), 5);
        prop_assert_eq!(events.len(), 1);
    }

    #[test]
    fn pieces_do_not_matter(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        count in 0..4_usize,
        piece in 1..40_usize,
    ) {
        let mut all = event("e", "payload").repeat(count);
        all.extend_from_slice(&bytes);
        let (whole, parser) = parse(&all, usize::MAX);
        let (pieces, in_pieces) = parse(&all, piece);
        prop_assert_eq!(whole, pieces);
        prop_assert_eq!(parser.is_corrupt(), in_pieces.is_corrupt());
        prop_assert_eq!(parser.is_overflown(), in_pieces.is_overflown());
    }
}
