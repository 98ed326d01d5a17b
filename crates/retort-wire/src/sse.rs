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
                if !self.is_overflown() {
                    line.clear();
                    self.line = line;
                }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Event = (String, String);

    fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
        let mut events = Vec::new();
        let mut parser = SseParser::new();
        let mut on_event = |name: &str, data: &str| {
            events.push((name.to_owned(), data.to_owned()));
        };
        for piece in pieces {
            parser.push(piece, &mut on_event);
        }
        parser.finish(&mut on_event);
        events
    }

    /// Reads a whole text by the letter of the standard: normalise line ends, split, interpret.
    fn oracle(bytes: &[u8]) -> Vec<Event> {
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        let text: Vec<char> = bytes.iter().map(|byte| char::from(*byte)).collect();
        let text: String = text.into_iter().collect();
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let (mut events, mut name, mut data) = (Vec::new(), String::new(), Vec::<String>::new());
        // The text's own end counts as an empty line after its last one.
        for line in text.split('\n').chain([""]) {
            if line.is_empty() {
                let joined = data.join("\n");
                if !joined.is_empty() {
                    events.push((utf8(&name), utf8(&joined)));
                }
                name.clear();
                data.clear();
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "data" => data.push(value.to_owned()),
                "event" => value.clone_into(&mut name),
                _ => {}
            }
        }
        events
    }

    fn utf8(latin1: &str) -> String {
        let bytes: Vec<u8> = latin1.chars().map(|c| u8::try_from(c).unwrap()).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let whole = parse([text.as_bytes()]);
        let expected: Vec<Event> = expected
            .iter()
            .map(|(name, data)| ((*name).to_owned(), (*data).to_owned()))
            .collect();
        assert_eq!(whole, expected);
        assert_eq!(parse(text.as_bytes().chunks(1)), expected, "byte by byte");
    }

    #[test]
    fn lines_end_at_cr_lf_and_crlf_alone() {
        let two = [("", "a"), ("", "b")];
        check("data: a\n\ndata: b\n\n", &two);
        check("data: a\r\rdata: b\r\r", &two);
        check("data: a\r\n\r\ndata: b\r\n\r\n", &two);
        check("data: a\n\r\ndata: b\r\n\n", &two);
        check(
            "data: a\u{2028}\u{85}b\u{b}c\n\n",
            &[("", "a\u{2028}\u{85}b\u{b}c")],
        );
    }

    #[test]
    fn fields_follow_the_standard() {
        check("\u{feff}data:a\n\n", &[("", "a")]);
        check("data\u{feff}:a\n\n", &[]);
        check(": OPENROUTER PROCESSING\n\ndata: a\n\n", &[("", "a")]);
        check(
            "event: error\nid: 7\nretry: 5\ndata: a\ndata:  b\ndata\n\n",
            &[("error", "a\n b\n")],
        );
        check("event: lonely\n\ndata: a\n\n", &[("", "a")]);
        check("data\n\ndata:\n\n", &[]);
        check("data: a", &[("", "a")]);
        check("data: a\ndata: b\n", &[("", "a\nb")]);
        check("", &[]);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let events = parse([b"data: a\xff\xe2".as_slice(), b"\x82\xacb\n\n".as_slice()]);
        assert_eq!(events, [(String::new(), "a\u{fffd}\u{20ac}b".to_owned())]);
    }

    #[test]
    fn a_line_or_event_above_the_cap_ends_reading() {
        let line = vec![b'a'; EVENT_MAX_BYTES / 2];
        for (pieces, is_overflown) in [
            (vec![b"data: ".as_slice(), &line, b"\n\n"], false),
            (vec![b"data: ".as_slice(), &line, &line, b"\n\n"], true),
            (
                vec![b"data: ".as_slice(), &line, b"\ndata: ", &line, b"\n\n"],
                true,
            ),
        ] {
            let mut parser = SseParser::new();
            let mut count = 0;
            for piece in &pieces {
                parser.push(piece, &mut |_, _| count += 1);
            }
            parser.push(b"data: more\n\n", &mut |_, _| count += 1);
            parser.finish(&mut |_, _| count += 1);
            assert_eq!(parser.is_overflown(), is_overflown);
            assert_eq!(count, if is_overflown { 0 } else { 2 });
            assert!(!is_overflown || parser.line.capacity() + parser.data.capacity() == 0);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_read_as_by_the_standard(
            words in prop::collection::vec(
                prop_oneof![
                    Just(b"data".to_vec()), Just(b"event".to_vec()), Just(b":".to_vec()),
                    Just(b" ".to_vec()), Just(b"\n".to_vec()), Just(b"\r".to_vec()),
                    Just(b"\r\n".to_vec()), Just(b"\xef\xbb\xbf".to_vec()),
                    prop::collection::vec(any::<u8>(), 0..4),
                ],
                0..40,
            ),
            piece in 1_usize..7,
        ) {
            let bytes = words.concat();
            let expected = oracle(&bytes);
            prop_assert_eq!(&parse([bytes.as_slice()]), &expected);
            prop_assert_eq!(&parse(bytes.chunks(piece)), &expected);
        }
    }
}
