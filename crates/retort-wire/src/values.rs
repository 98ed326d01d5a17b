//! JSON values one after another, as lines or in any other spacing, split out of bytes in any pieces.
//!
//! Newline-delimited JSON is the usual form. A value ends where its brackets close, so that one
//! written over several lines by a gateway is read as well; a line break within a string, which no
//! JSON has, ends a broken value.

use crate::sse::EVENT_MAX_BYTES;

/// Splits bytes into JSON objects and lists. What is neither is handed out line by line.
pub(crate) struct ValueParser {
    /// The begun value or line.
    value: Vec<u8>,
    place: Place,
    has_values: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between values.
    Between,
    /// Within a value, this many brackets deep.
    Within { depth: u32, string: InString },
    /// Within a line that is no value.
    Line,
    /// A value or a line exceeded the cap; nothing is read any more.
    Overflown,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum InString {
    No,
    Yes,
    /// After a backslash.
    Escape,
}

impl Place {
    /// Returns the place after `byte`; between values when it ends one.
    const fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Between, b' ' | b'\t' | b'\r' | b'\n') | (Self::Line, b'\n' | b'\r') => {
                Self::Between
            }
            (Self::Between, b'{' | b'[') => Self::Within {
                depth: 1,
                string: InString::No,
            },
            (Self::Between | Self::Line, _) => Self::Line,
            (Self::Within { depth, string }, byte) => Self::within(depth, string, byte),
            (Self::Overflown, _) => Self::Overflown,
        }
    }

    const fn within(depth: u32, string: InString, byte: u8) -> Self {
        let (depth, string) = match (string, byte) {
            (InString::Yes | InString::Escape, b'\n') => return Self::Between,
            (InString::Yes, b'\\') => (depth, InString::Escape),
            (InString::Yes, b'"') => (depth, InString::No),
            (InString::Yes | InString::Escape, _) | (InString::No, b'"') => (depth, InString::Yes),
            (InString::No, b'{' | b'[') => (depth.saturating_add(1), string),
            (InString::No, b'}' | b']') => (depth - 1, string),
            (InString::No, _) => (depth, string),
        };
        match depth {
            0 => Self::Between,
            _ => Self::Within { depth, string },
        }
    }
}

impl ValueParser {
    pub(crate) const fn new() -> Self {
        Self {
            value: Vec::new(),
            place: Place::Between,
            has_values: false,
        }
    }

    /// Returns whether any value or line was handed out.
    pub(crate) const fn has_values(&self) -> bool {
        self.has_values
    }

    /// Returns whether a value or a line exceeded the cap.
    pub(crate) fn is_overflown(&self) -> bool {
        self.place == Place::Overflown
    }

    /// Reads `bytes` and hands each value that they complete to `on_value`.
    pub(crate) fn push(&mut self, bytes: &[u8], on_value: &mut impl FnMut(&str)) {
        let mut start = 0;
        for (at, byte) in bytes.iter().enumerate() {
            let before = self.place;
            self.place = before.after(*byte);
            match (before, self.place) {
                (Place::Overflown, _) => return,
                (Place::Between, Place::Between) => start = at + 1,
                (Place::Between, _) => start = at,
                (_, Place::Between) => {
                    self.extend(bytes.get(start..=at).unwrap_or_default());
                    self.hand_out(on_value);
                    start = at + 1;
                }
                _ => {}
            }
        }
        if self.place != Place::Between {
            self.extend(bytes.get(start..).unwrap_or_default());
        }
    }

    /// Takes the end of the body as the end of the begun value.
    pub(crate) fn finish(&mut self, on_value: &mut impl FnMut(&str)) {
        if !self.value.is_empty() {
            self.hand_out(on_value);
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.value.len() + bytes.len() > EVENT_MAX_BYTES {
            self.place = Place::Overflown;
            self.value = Vec::new();
        } else {
            self.value.extend_from_slice(bytes);
        }
    }

    fn hand_out(&mut self, on_value: &mut impl FnMut(&str)) {
        if self.is_overflown() {
            return;
        }
        self.has_values = true;
        on_value(&String::from_utf8_lossy(&self.value));
        self.value.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(bytes: &[u8], piece: usize) -> Vec<String> {
        let mut values = Vec::new();
        let mut parser = ValueParser::new();
        let mut on_value = |value: &str| values.push(value.to_owned());
        for piece in bytes.chunks(piece) {
            parser.push(piece, &mut on_value);
        }
        parser.finish(&mut on_value);
        values
    }

    #[test]
    fn values_end_where_their_brackets_close() {
        for (text, expected) in [
            (
                "{\"a\":1}\n{\"b\":[2]}\n",
                &["{\"a\":1}", "{\"b\":[2]}"][..],
            ),
            ("{\"a\":1}{\"b\":2}", &["{\"a\":1}", "{\"b\":2}"]),
            (
                " \r\n{\n \"a\": \"}\\\"{\"\n}\r\n",
                &["{\n \"a\": \"}\\\"{\"\n}"],
            ),
            ("{\"a\":\"\u{2028}\"}\n", &["{\"a\":\"\u{2028}\"}"]),
            ("busy\n{\"a\":1}", &["busy\n", "{\"a\":1}"]),
            (
                "{\"a\":\"broken\n{\"b\":1}",
                &["{\"a\":\"broken\n", "{\"b\":1}"],
            ),
            ("{\"a\":", &["{\"a\":"]),
            ("[1,[2]]", &["[1,[2]]"]),
            ("}]\n", &["}]\n"]),
            ("", &[]),
        ] {
            for piece in [1, 2, usize::MAX] {
                assert_eq!(parse(text.as_bytes(), piece), expected, "{text}");
            }
        }
    }

    #[test]
    fn what_is_too_long_ends_the_reading() {
        let mut parser = ValueParser::new();
        let mut values = 0;
        let long = vec![b' '; 1 << 20];
        parser.push(b"{}{", &mut |_| values += 1);
        for _ in 0..=(EVENT_MAX_BYTES >> 20) {
            parser.push(&long, &mut |_| values += 1);
        }
        parser.push(b"}{}", &mut |_| values += 1);
        parser.finish(&mut |_| values += 1);
        assert!(parser.is_overflown() && parser.value.capacity() == 0);
        assert_eq!(values, 1);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[{}\\[\\]\"\\\\,a\n é]{0,40}", piece in 1..9_usize) {
            let whole = parse(text.as_bytes(), usize::MAX);
            prop_assert_eq!(&parse(text.as_bytes(), piece), &whole);
            // Nothing but white space between values is left out.
            let kept = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
            prop_assert_eq!(kept(&whole.concat()), kept(&text));
        }
    }
}
