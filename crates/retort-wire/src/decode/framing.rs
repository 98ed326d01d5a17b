//! How the body of an answer is framed, which its protocol and first byte tell.

use std::time::Duration;

use retort_types::WireProtocol;

use super::{Assemble, Assembled, Fault};
use crate::frames::FrameParser;
use crate::sse::SseParser;
use crate::values::ValueParser;

/// Longest body of an answer that is no stream, in bytes: hundreds of times the longest text on
/// offer, and room for twenty alternatives at each of 20,000 tokens.
pub(super) const ANSWER_MAX_BYTES: usize = 32 << 20;

/// How much of an error's body is read, in bytes. The rest could not change what it means.
const ERROR_BODY_MAX_BYTES: usize = 1 << 20;

/// How the body is framed.
pub(super) enum Framing {
    /// Not known before its first telling byte.
    Unknown,
    /// One JSON value, or an error of any kind.
    Whole(Whole),
    /// Server-sent events.
    Events(SseParser),
    /// Binary frames.
    Frames(FrameParser),
    /// JSON values one after another.
    Values(ValueParser),
}

/// A body that is read when it is complete.
pub(super) struct Whole {
    bytes: Vec<u8>,
    max_bytes: usize,
    is_cut: bool,
}

impl Whole {
    const fn up_to(max_bytes: usize) -> Self {
        Self {
            bytes: Vec::new(),
            max_bytes,
            is_cut: false,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = self.max_bytes - self.bytes.len();
        self.is_cut |= bytes.len() > room;
        self.bytes
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }
}

/// What the body turned out to be.
pub(super) struct Body {
    pub(super) kind: BodyKind,
    pub(super) is_overflown: bool,
    /// What is wrong with its frames, in our words.
    pub(super) defect: Option<&'static str>,
}

#[derive(Clone, Copy)]
pub(super) enum BodyKind {
    Empty,
    Whole,
    Events,
}

impl BodyKind {
    const fn of_parts(has_parts: bool) -> Self {
        if has_parts { Self::Events } else { Self::Whole }
    }
}

impl Framing {
    /// Returns the framing of an answer that is an error by its status.
    pub(super) const fn of_error() -> Self {
        Self::Whole(Whole::up_to(ERROR_BODY_MAX_BYTES))
    }

    /// Returns the framing that protocol and first telling byte show, which is surer than the
    /// declared type: JSON answers to streaming requests and events under a JSON type both occur.
    pub(super) const fn of(protocol: WireProtocol, first: u8, is_declared_stream: bool) -> Self {
        match (protocol, first) {
            // The first byte of a frame's length, which is far below 32 MB.
            (WireProtocol::BedrockConverse, 0 | 1) => Self::Frames(FrameParser::new()),
            // Its whole answers are streams of one value.
            (WireProtocol::Ollama, b'{') => Self::Values(ValueParser::new()),
            (_, b'{' | b'[') => Self::Whole(Whole::up_to(ANSWER_MAX_BYTES)),
            (WireProtocol::BedrockConverse, _) if is_declared_stream => {
                Self::Frames(FrameParser::new())
            }
            (WireProtocol::Ollama, _) if is_declared_stream => Self::Values(ValueParser::new()),
            // Of a comment, `data`, `event`, `id` and `retry`; no JSON text that could be an answer
            // begins so.
            (_, b':' | b'd' | b'e' | b'i' | b'r') => Self::Events(SseParser::new()),
            (_, _) if is_declared_stream => Self::Events(SseParser::new()),
            (_, _) => Self::Whole(Whole::up_to(ANSWER_MAX_BYTES)),
        }
    }

    /// Reads `bytes` and hands the events that they complete to `on_event` as (name, data).
    pub(super) fn push(&mut self, bytes: &[u8], on_event: &mut impl FnMut(&str, &str)) {
        match self {
            Self::Unknown => {}
            Self::Whole(whole) => whole.push(bytes),
            Self::Events(parser) => parser.push(bytes, on_event),
            Self::Frames(parser) => parser.push(bytes, on_event),
            Self::Values(parser) => parser.push(bytes, &mut |value| on_event("", value)),
        }
    }

    /// Returns the bytes of a body that was read whole.
    pub(super) fn into_whole(self) -> Vec<u8> {
        match self {
            Self::Whole(whole) => whole.bytes,
            Self::Unknown | Self::Events(_) | Self::Frames(_) | Self::Values(_) => Vec::new(),
        }
    }

    /// Returns what `assembler` put together, given that the body is over.
    pub(super) fn assembled(
        self,
        mut assembler: Box<dyn Assemble>,
        last_arrival: Duration,
    ) -> (Assembled, Body) {
        let mut defect = None;
        let (kind, is_overflown) = match self {
            Self::Unknown => (BodyKind::Empty, false),
            Self::Whole(whole) => {
                // Looking for what is no text while copying takes several times as long as looking.
                match std::str::from_utf8(&whole.bytes) {
                    Ok(text) => assembler.whole(text),
                    Err(_) => assembler.whole(&String::from_utf8_lossy(&whole.bytes)),
                }
                (BodyKind::Whole, whole.is_cut)
            }
            Self::Events(mut parser) => {
                parser.finish(&mut |name, data| assembler.last_event(name, data, last_arrival));
                (
                    BodyKind::of_parts(parser.has_events()),
                    parser.is_overflown(),
                )
            }
            Self::Values(mut parser) => {
                parser.finish(&mut |data| assembler.last_event("", data, last_arrival));
                (
                    BodyKind::of_parts(parser.has_values()),
                    parser.is_overflown(),
                )
            }
            Self::Frames(parser) => {
                if parser.is_corrupt() {
                    defect = Some("corrupt frame");
                } else if parser.is_within_frame() {
                    defect = Some("body ended within a frame");
                }
                // Frames that cannot be read are still no JSON.
                let kind = BodyKind::of_parts(parser.has_frames() || !parser.is_corrupt());
                (kind, parser.is_overflown())
            }
        };
        let is_corrupt = matches!(defect, Some("corrupt frame"));
        let mut assembled = assembler.finish();
        if is_corrupt && !assembled.has_ended {
            assembled.fault.get_or_insert(Fault::Unreadable);
        }
        let body = Body {
            kind,
            is_overflown,
            defect,
        };
        (assembled, body)
    }
}

/// Returns whether `content_type` is one of a stream.
pub(super) fn is_stream(content_type: &str) -> bool {
    let kind = content_type.to_ascii_lowercase();
    // Amazon's binary one is written without the hyphen.
    ["event-stream", "eventstream", "ndjson"]
        .iter()
        .any(|word| kind.contains(word))
}

/// Returns `bytes` without blank space and byte order marks in front, which providers send to keep
/// a connection alive.
pub(super) fn without_lead(bytes: &[u8]) -> &[u8] {
    let is_lead = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf);
    let start = bytes
        .iter()
        .position(|byte| !is_lead(byte))
        .unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}
