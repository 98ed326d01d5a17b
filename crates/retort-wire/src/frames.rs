//! Binary frames of `application/vnd.amazon.eventstream`, split out of bytes in any pieces.
//!
//! A frame is: total length and length of headers (four bytes each, big-endian), a CRC-32 of these
//! eight bytes, headers, payload, a CRC-32 of all before it. Nothing is believed before its sum is
//! right, and nothing is allocated for a length that was only announced.

use crate::sse::EVENT_MAX_BYTES;

/// Put before the type of an exception to make the name of its event.
pub(crate) const EXCEPTION: &str = "exception ";

/// Put before the code of an error, which has no payload, to make the name of its event.
pub(crate) const ERROR: &str = "error ";

/// Both lengths and their sum.
const PRELUDE_BYTES: usize = 12;

/// A frame's own sum at its end.
const SUM_BYTES: usize = 4;

/// Longest headers of a frame, in bytes: the format's own bound.
const HEADERS_MAX_BYTES: usize = 128 << 10;

/// Splits bytes into frames.
pub(crate) struct FrameParser {
    /// The begun frame.
    frame: Vec<u8>,
    /// Its length, once its prelude is complete.
    length: Option<usize>,
    has_frames: bool,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// A frame is longer than the cap; nothing is read any more.
    Overflown,
    /// A frame is not what its sums say or cannot be read; where the next begins is not known.
    Corrupt,
}

/// A frame cannot be read.
struct Corrupt;

impl FrameParser {
    pub(crate) const fn new() -> Self {
        Self {
            frame: Vec::new(),
            length: None,
            has_frames: false,
            state: State::Reading,
        }
    }

    /// Returns whether any frame was handed out.
    pub(crate) const fn has_frames(&self) -> bool {
        self.has_frames
    }

    /// Returns whether a frame exceeded the cap.
    pub(crate) fn is_overflown(&self) -> bool {
        self.state == State::Overflown
    }

    /// Returns whether a frame could not be read.
    pub(crate) fn is_corrupt(&self) -> bool {
        self.state == State::Corrupt
    }

    /// Returns whether the bytes so far end within a frame.
    pub(crate) const fn is_within_frame(&self) -> bool {
        !self.frame.is_empty()
    }

    /// Reads `bytes` and hands each frame that they complete to `on_event` as (name, payload).
    pub(crate) fn push(&mut self, mut bytes: &[u8], on_event: &mut impl FnMut(&str, &str)) {
        while !bytes.is_empty() && self.state == State::Reading {
            let wanted = self.length.unwrap_or(PRELUDE_BYTES) - self.frame.len();
            let (head, tail) = bytes.split_at(wanted.min(bytes.len()));
            self.frame.extend_from_slice(head);
            bytes = tail;
            if head.len() == wanted {
                self.step(on_event);
            }
        }
    }

    /// Goes on after a prelude or a frame is complete.
    fn step(&mut self, on_event: &mut impl FnMut(&str, &str)) {
        if self.length.is_none() {
            match length_of(&self.frame) {
                Ok(length) if length > EVENT_MAX_BYTES => self.stop(State::Overflown),
                Ok(length) => self.length = Some(length),
                Err(Corrupt) => self.stop(State::Corrupt),
            }
            return;
        }
        match read(&self.frame) {
            Ok((name, payload)) => {
                self.has_frames = true;
                on_event(&name, &payload);
                self.frame.clear();
                self.length = None;
            }
            Err(Corrupt) => self.stop(State::Corrupt),
        }
    }

    fn stop(&mut self, state: State) {
        self.state = state;
        self.frame = Vec::new();
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*bytes))
}

/// Returns the length of the frame that begins with `prelude`.
fn length_of(prelude: &[u8]) -> Result<usize, Corrupt> {
    let (lengths, sum) = prelude.split_at(PRELUDE_BYTES - SUM_BYTES);
    let length = number(lengths, 0).ok_or(Corrupt)? as usize;
    let headers = number(lengths, 4).ok_or(Corrupt)? as usize;
    let is_right = number(sum, 0) == Some(crc32fast::hash(lengths));
    let fits = headers <= HEADERS_MAX_BYTES && headers + PRELUDE_BYTES + SUM_BYTES <= length;
    if is_right && fits {
        Ok(length)
    } else {
        Err(Corrupt)
    }
}

/// Returns name and payload of a complete frame.
fn read(frame: &[u8]) -> Result<(String, String), Corrupt> {
    let (summed, sum) = frame.split_last_chunk::<SUM_BYTES>().ok_or(Corrupt)?;
    if number(sum, 0) != Some(crc32fast::hash(summed)) {
        return Err(Corrupt);
    }
    let headers_bytes = number(frame, 4).ok_or(Corrupt)? as usize;
    let body = summed.get(PRELUDE_BYTES..).ok_or(Corrupt)?;
    let (headers, payload) = body.split_at_checked(headers_bytes).ok_or(Corrupt)?;
    let headers = Headers::of(headers)?;
    let payload = || String::from_utf8_lossy(payload).into_owned();
    match headers.message_type {
        b"event" => Ok((text(headers.event_type), payload())),
        b"exception" => Ok((
            format!("{EXCEPTION}{}", text(headers.exception_type)),
            payload(),
        )),
        b"error" => Ok((
            format!("{ERROR}{}", text(headers.error_code)),
            text(headers.error_message),
        )),
        _ => Err(Corrupt),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The headers that say what a frame is. Absent ones are empty.
#[derive(Default)]
struct Headers<'a> {
    message_type: &'a [u8],
    event_type: &'a [u8],
    exception_type: &'a [u8],
    error_code: &'a [u8],
    error_message: &'a [u8],
}

impl<'a> Headers<'a> {
    fn of(mut bytes: &'a [u8]) -> Result<Self, Corrupt> {
        let mut headers = Self::default();
        while let Some((name_bytes, rest)) = bytes.split_first() {
            let split = rest.split_at_checked(usize::from(*name_bytes));
            let (name, rest) = split.ok_or(Corrupt)?;
            let (value, rest) = value(rest).ok_or(Corrupt)?;
            bytes = rest;
            match name {
                b":message-type" => headers.message_type = value,
                b":event-type" => headers.event_type = value,
                b":exception-type" => headers.exception_type = value,
                b":error-code" => headers.error_code = value,
                b":error-message" => headers.error_message = value,
                _ => {}
            }
        }
        Ok(headers)
    }
}

/// Returns the value that `bytes` begin with, after its type, and what follows it.
fn value(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (length, rest) = match kind {
        // True and false.
        0 | 1 => (0, rest),
        // Numbers of one, two, four and eight bytes; a point in time; a UUID.
        2 => (1, rest),
        3 => (2, rest),
        4 => (4, rest),
        5 | 8 => (8, rest),
        9 => (16, rest),
        // Bytes and text, with their length before them.
        6 | 7 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
pub(crate) mod tests;
