//! Server-sent events, split out of bytes that arrive in any pieces.
//!
//! Follows the HTML standard's rules: lines end at CR, LF or CRLF and nowhere else, a leading byte
//! order mark and comments are ignored, `data` lines of one event join. One departure: an event
//! that the end of the body leaves without its empty line still counts, as providers forget it.

/// Longest line and longest event, in bytes. A whole answer with log probabilities may come as one
/// event; the largest recorded one is under a hundredth of this.
pub(crate) const EVENT_MAX_BYTES: usize = 16 << 20;

/// Longest event name that is kept, in bytes. Known ones are short words.
const NAME_MAX_BYTES: usize = 64;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Splits bytes into events.
pub(crate) struct SseParser {
    /// The begun line.
    line: Vec<u8>,
    /// The begun event's data.
    data: Vec<u8>,
    /// The begun event's name.
    name: String,
    has_data: bool,
    has_events: bool,
    /// The last line ended with CR, so that an LF next belongs to it.
    after_cr: bool,
    position: Position,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Before the end of the first line, where a byte order mark may stand.
    FirstLine,
    Later,
    /// A line or an event exceeded the cap; nothing is read any more.
    Overflown,
}

impl SseParser {
    pub(crate) const fn new() -> Self {
        Self {
            line: Vec::new(),
            data: Vec::new(),
            name: String::new(),
            has_data: false,
            has_events: false,
            after_cr: false,
            position: Position::FirstLine,
        }
    }

    /// Returns whether any event was handed out.
    pub(crate) const fn has_events(&self) -> bool {
        self.has_events
    }

    /// Returns whether a line or an event exceeded [`EVENT_MAX_BYTES`].
    pub(crate) fn is_overflown(&self) -> bool {
        self.position == Position::Overflown
    }

    /// Reads `bytes` and hands each event that they complete to `on_event` as (name, data).
    pub(crate) fn push(&mut self, mut bytes: &[u8], on_event: &mut impl FnMut(&str, &str)) {
        while let Some(&first) = bytes.first() {
            if self.is_overflown() {
                return;
            }
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                self.extend_line(bytes);
                return;
            };
            let (head, tail) = bytes.split_at(end);
            self.after_cr = tail.first() == Some(&b'\r');
            bytes = tail.get(1..).unwrap_or_default();
            if self.line.is_empty() {
                self.end_line(head, on_event);
            } else {
                self.extend_line(head);
                let mut line = std::mem::take(&mut self.line);
                self.end_line(&line, on_event);
                line.clear();
                self.line = line;
            }
        }
    }

    /// Takes the end of the body as the end of the begun line and event.
    pub(crate) fn finish(&mut self, on_event: &mut impl FnMut(&str, &str)) {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.end_line(&line, on_event);
        }
        if !self.is_overflown() {
            self.dispatch(on_event);
        }
    }

    fn extend_line(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > EVENT_MAX_BYTES {
            self.overflow();
        } else {
            self.line.extend_from_slice(bytes);
        }
    }

    fn overflow(&mut self) {
        let has_events = self.has_events;
        *self = Self {
            position: Position::Overflown,
            has_events,
            ..Self::new()
        };
    }

    fn end_line(&mut self, line: &[u8], on_event: &mut impl FnMut(&str, &str)) {
        if self.is_overflown() || line.len() > EVENT_MAX_BYTES {
            self.overflow();
            return;
        }
        let line = match self.position {
            Position::FirstLine => line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line),
            Position::Later | Position::Overflown => line,
        };
        self.position = Position::Later;
        if line.is_empty() {
            self.dispatch(on_event);
            return;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => self.add_data(value),
            b"event" => {
                let name = value.get(..NAME_MAX_BYTES).unwrap_or(value);
                self.name = String::from_utf8_lossy(name).into_owned();
            }
            // Comments (an empty field), ids and retry hints say nothing about an answer.
            _ => {}
        }
    }

    fn add_data(&mut self, value: &[u8]) {
        if self.data.len() + value.len() >= EVENT_MAX_BYTES {
            self.overflow();
            return;
        }
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
    }

    fn dispatch(&mut self, on_event: &mut impl FnMut(&str, &str)) {
        if !self.data.is_empty() {
            self.has_events = true;
            on_event(&self.name, &String::from_utf8_lossy(&self.data));
        }
        self.data.clear();
        self.name.clear();
        self.has_data = false;
    }
}
