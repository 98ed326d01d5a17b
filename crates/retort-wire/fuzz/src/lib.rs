//! What every fuzz target does: make an answer of the fuzzer's bytes, decode it whole and in pieces,
//! and see that nothing panics and that the pieces do not matter.
//!
//! Run all targets with `deploy/fuzz.sh [seconds per target]`, or one by hand, after
//! `cargo install cargo-fuzz`:
//!
//! ```text
//! cd crates/retort-wire
//! RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none bedrock_converse -- -max_total_time=600
//! ```
//!
//! The stable toolchain will do: `RUSTC_BOOTSTRAP=1` lets it take the unstable flags that fuzzing
//! needs. A finding is written to `fuzz/artifacts/`; the same command with its path repeats it.
//!
//! The first bytes of an input choose status, content type, whether a stream was asked for, how the
//! body ends and where it is cut; the rest is the body.

#[path = "../../tests/frames/mod.rs"]
mod frames;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use retort_types::catalog::WireOptions;
use retort_types::{Outcome, Timestamp, WireProtocol};
use retort_wire::{AnswerHead, BodyEnd, Decoded, Decoder};

const STATUSES: [u16; 8] = [200, 200, 200, 201, 400, 429, 500, 503];

const CONTENT_TYPES: [Option<&str>; 6] = [
    None,
    Some("application/json"),
    Some("text/event-stream"),
    Some("application/vnd.amazon.eventstream"),
    Some("application/x-ndjson"),
    Some("text/html; charset=utf-8"),
];

/// Bytes that choose how the rest arrives.
const CHOICES: usize = 5;

/// An answer as the fuzzer made it up.
struct Answer {
    protocol: WireProtocol,
    status: u16,
    content_type: Option<&'static str>,
    streamed: bool,
    end: u8,
    body: Vec<u8>,
}

impl Answer {
    fn decode(&self, pieces: &[usize]) -> Decoded {
        let mut headers = HeaderMap::new();
        if let Some(kind) = self.content_type {
            let name = HeaderName::from_static("content-type");
            headers.insert(name, HeaderValue::from_static(kind));
        }
        let head = AnswerHead {
            status: self.status,
            headers: &headers,
            received_at: Timestamp::from_micros(1_790_000_000_000_000),
        };
        let options = WireOptions::default();
        let mut decoder = Decoder::new(self.protocol, &options, self.streamed, &head);
        let mut rest = self.body.as_slice();
        let mut pieces = pieces.iter().cycle();
        while !rest.is_empty() {
            let length = pieces.next().copied().unwrap_or(rest.len());
            let (piece, tail) = rest.split_at(length.clamp(1, rest.len()));
            decoder.push(piece, Duration::ZERO);
            rest = tail;
        }
        decoder.finish(match self.end {
            0 => BodyEnd::Complete,
            1 => BodyEnd::Broken("connection reset".to_owned()),
            _ => BodyEnd::TooLarge,
        })
    }
}

/// Decodes what `data` stands for.
///
/// # Panics
/// When pieces matter, or an answer is none. That is what fuzzing looks for.
pub fn check(protocol: WireProtocol, data: &[u8]) {
    let Some((choices, body)) = data.split_first_chunk::<CHOICES>() else {
        return;
    };
    let [status, kind, flags, first, second] = *choices;
    let answer = Answer {
        protocol,
        status: STATUSES[usize::from(status) % STATUSES.len()],
        content_type: CONTENT_TYPES[usize::from(kind) % CONTENT_TYPES.len()],
        streamed: flags & 1 == 1,
        end: (flags >> 1) % 4 % 3,
        // Half of the binary streams have right sums, or nothing within a frame would be reached.
        body: if protocol == WireProtocol::BedrockConverse && flags & 8 == 8 {
            framed(body)
        } else {
            body.to_vec()
        },
    };
    let whole = answer.decode(&[]);
    let pieces = [usize::from(first) + 1, usize::from(second) + 1];
    assert_eq!(answer.decode(&pieces), whole, "pieces of {pieces:?}");
    assert_eq!(answer.decode(&[1]), whole, "single bytes");
    if whole.outcome == Outcome::Answered {
        assert!((200..300).contains(&answer.status));
    }
    let reply = &whole.reply;
    let texts = [&reply.text, &reply.reasoning_text, &reply.refusal_text];
    let kept: usize = texts.into_iter().flatten().map(String::len).sum();
    // A byte that is no text becomes a character of three.
    assert!(kept <= 3 * answer.body.len(), "{kept} bytes of {}", answer.body.len());
}

/// Names of frames that say something.
const EVENTS: [&str; 6] = [
    "contentBlockDelta",
    "contentBlockStart",
    "messageStart",
    "messageStop",
    "metadata",
    "throttlingException",
];

/// Returns lines of `bytes` as frames with right sums; the first byte of a line chooses its name.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut written = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some((choice, payload)) = line.split_first() else {
            continue;
        };
        let name = EVENTS[usize::from(*choice) % EVENTS.len()];
        written.extend(frames::event(name.as_bytes(), payload));
    }
    written
}
