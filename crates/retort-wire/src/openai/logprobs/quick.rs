//! Reading the usual shape of log probabilities without going over their JSON again and again.
//!
//! Twenty alternatives for each token are a hundred times as long as the text, and nearly all of
//! them look alike. What looks otherwise in any way is left to the thorough reader, so that both
//! give the same wherever this one gives something. The JSON was checked before.

use std::borrow::Cow;

use retort_types::reply::{TokenLogprob, TokenSegment, TopToken};
use retort_types::token::{TokenBytes, TokenBytesBuilder};

use super::{ALTERNATIVES_MAX, TOKENS_MAX, ranked};
use crate::lenient::text_of;

/// Lists of entries within an object, in the order in which they are taken.
const LISTS: [(&str, TokenSegment); 3] = [
    ("reasoning_content", TokenSegment::Reasoning),
    ("content", TokenSegment::Response),
    ("refusal", TokenSegment::Response),
];

/// Returns the tokens that an object of lists tells, or nothing when it is not of the usual shape or
/// holds more than is kept.
pub(super) fn lists(raw: &str) -> Option<Vec<TokenLogprob>> {
    let mut cursor = Cursor(raw);
    let mut tokens = Tokens::default();
    let mut later = LISTS.iter();
    cursor.object(|cursor, name| {
        // Each once, and in the order in which they are taken.
        let (_, segment) = later.find(|(list, _)| *list == name)?;
        cursor
            .null()
            .or_else(|| cursor.list(|cursor| tokens.push(entry(cursor, *segment)?)))
    })?;
    cursor.is_at_end().then_some(tokens.list)
}

/// Returns the tokens that a list of entries tells, under the same conditions.
pub(super) fn list(raw: &str, segment: TokenSegment) -> Option<Vec<TokenLogprob>> {
    let mut cursor = Cursor(raw);
    let mut tokens = Tokens::default();
    cursor.list(|cursor| tokens.push(entry(cursor, segment)?))?;
    cursor.is_at_end().then_some(tokens.list)
}

#[derive(Default)]
struct Tokens {
    list: Vec<TokenLogprob>,
    alternatives: usize,
}

impl Tokens {
    fn push(&mut self, token: TokenLogprob) -> Option<()> {
        self.alternatives += token.top.len();
        if self.list.len() >= TOKENS_MAX || self.alternatives > ALTERNATIVES_MAX {
            return None;
        }
        self.list.push(token);
        Some(())
    }
}

fn entry(cursor: &mut Cursor<'_>, segment: TokenSegment) -> Option<TokenLogprob> {
    let mut top = None;
    let told = told(cursor, &mut |cursor, name| {
        if name != "top_logprobs" || top.is_some() {
            return None;
        }
        let list = top.insert(Vec::new());
        cursor.list(|cursor| {
            let told = told(cursor, &mut |_, _| None)?;
            if list.len() == list.capacity() {
                list.reserve(if list.is_empty() {
                    FIRST_ROOM
                } else {
                    list.len()
                });
            }
            list.push(TopToken {
                token: told.token?.into(),
                bytes: told.bytes,
                logprob: told.logprob?,
            });
            Some(())
        })
    })?;
    let mut top = top.unwrap_or_default();
    top.shrink_to_fit();
    Some(ranked(TokenLogprob {
        token: told.token.map(Into::into),
        bytes: told.bytes,
        logprob: told.logprob,
        top,
        segment,
        ..TokenLogprob::default()
    }))
}

/// Room for alternatives at first: as many as any provider tells.
const FIRST_ROOM: usize = 20;

#[derive(Default)]
struct Told<'a> {
    token: Option<Cow<'a, str>>,
    logprob: Option<f32>,
    bytes: Option<TokenBytes>,
}

/// Reads a token; `other` reads what else stands in it.
fn told<'a>(
    cursor: &mut Cursor<'a>,
    other: &mut impl FnMut(&mut Cursor<'a>, &str) -> Option<()>,
) -> Option<Told<'a>> {
    let mut told = Told::default();
    let mut has_bytes = false;
    cursor.object(|cursor, name| match name {
        "token" if told.token.is_none() => {
            told.token = Some(cursor.text()?);
            Some(())
        }
        "logprob" if told.logprob.is_none() => {
            told.logprob = Some(cursor.single()?);
            Some(())
        }
        "bytes" if !has_bytes => {
            has_bytes = true;
            cursor.null().or_else(|| {
                told.bytes = Some(cursor.bytes()?);
                Some(())
            })
        }
        name => other(cursor, name),
    })?;
    Some(told)
}

/// What is left of JSON that is known to be valid. Everything gives nothing where it meets something
/// else, after which the cursor is of no use.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.0.is_empty()
    }

    fn peek(&self) -> Option<u8> {
        self.0.as_bytes().first().copied()
    }

    /// Goes on behind a byte that is a character of its own.
    fn step(&mut self) {
        self.0 = self.0.get(1..).unwrap_or_default();
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.step();
        }
    }

    /// Takes `token` if it comes next.
    fn take(&mut self, token: u8) -> bool {
        self.skip_space();
        let is_next = self.peek() == Some(token);
        if is_next {
            self.step();
        }
        is_next
    }

    fn null(&mut self) -> Option<()> {
        self.skip_space();
        self.0 = self.0.strip_prefix("null")?;
        Some(())
    }

    /// Takes everything up to the byte at `length`.
    fn split(&mut self, length: usize) -> Option<&'a str> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn object(&mut self, mut value: impl FnMut(&mut Self, &str) -> Option<()>) -> Option<()> {
        self.items([b'{', b'}'], |cursor| {
            let name = cursor.text()?;
            cursor.take(b':').then_some(())?;
            value(cursor, &name)
        })
    }

    fn list(&mut self, item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.items([b'[', b']'], item)
    }

    fn items(
        &mut self,
        [open, close]: [u8; 2],
        mut item: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        self.take(open).then_some(())?;
        if self.take(close) {
            return Some(());
        }
        loop {
            item(self)?;
            if self.take(close) {
                return Some(());
            }
            self.take(b',').then_some(())?;
        }
    }

    fn text(&mut self) -> Option<Cow<'a, str>> {
        self.skip_space();
        let inner = self.0.strip_prefix('"')?;
        let bytes = inner.as_bytes();
        let end = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        if bytes.get(end) == Some(&b'"') {
            let text = inner.get(..end)?;
            self.0 = inner.get(end + 1..)?;
            return Some(Cow::Borrowed(text));
        }
        let mut end = end;
        loop {
            match bytes.get(end)? {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        text_of(self.split(end + 2)?)
    }

    /// Takes the characters of a number.
    fn number(&mut self) -> Option<&'a str> {
        self.skip_space();
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let bytes = self.0.as_bytes();
        let end = bytes.iter().position(|byte| !is_part(byte));
        self.split(end.unwrap_or(bytes.len()))
    }

    fn single(&mut self) -> Option<f32> {
        let number: f64 = self.number()?.parse().ok()?;
        crate::lenient::Number(Some(number)).single()
    }

    /// Takes a number of up to three digits.
    fn byte(&mut self) -> Option<u8> {
        self.skip_space();
        let mut number = None;
        for _ in 0..3 {
            let Some(digit @ b'0'..=b'9') = self.peek() else {
                break;
            };
            number = Some(number.unwrap_or(0_u16) * 10 + u16::from(digit - b'0'));
            self.step();
        }
        u8::try_from(number?).ok()
    }

    fn bytes(&mut self) -> Option<TokenBytes> {
        let mut bytes = TokenBytesBuilder::default();
        self.list(|cursor| {
            bytes.push(cursor.byte()?);
            Some(())
        })?;
        Some(bytes.finish())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::Tokens as Thorough;
    use super::*;

    /// Returns what the thorough reader makes of it.
    fn thorough(raw: &str) -> Vec<TokenLogprob> {
        let mut tokens = Thorough::default();
        assert!(tokens.add_thoroughly(raw, None).is_ok());
        tokens.list
    }

    fn check(raw: &str, is_usual: bool) {
        let quick = lists(raw);
        assert_eq!(quick.is_some(), is_usual, "{raw}");
        if let Some(quick) = quick {
            assert_eq!(quick, thorough(raw), "{raw}");
        }
    }

    #[test]
    fn the_usual_is_read_and_the_rest_is_left() {
        let usual = r#" {"content" : [ {"token":"a\n\u00e9","logprob":-1.5e-1,"bytes":[97, 10],
            "top_logprobs":[{"token":"b","logprob":-0.1,"bytes":null},
                {"bytes":[0,255],"token":"","logprob":-9999.0}]},
            {"token":"c","logprob":0,"bytes":null,"top_logprobs":[]}, {} ], "refusal":null}"#;
        check(usual, true);
        assert_eq!(lists(usual).unwrap().len(), 3);
        for (raw, is_usual) in [
            ("{}", true),
            ("null", false),
            (r#"{"content":null}"#, true),
            (r#"{"refusal":[],"content":[]}"#, false),
            (
                r#"{"reasoning_content":[{"token":"r"}],"content":[{"token":"c"}]}"#,
                true,
            ),
            (r#"{"content":[],"content":[{"token":"a"}]}"#, false),
            (r#"{"content":[{"token":1}]}"#, false),
            (r#"{"content":[{"token":"a","logprob":"-1"}]}"#, false),
            (r#"{"content":[{"token":"a","logprob":1e300}]}"#, false),
            (r#"{"content":[{"token":"a","bytes":[256]}]}"#, false),
            (r#"{"content":[{"token":"a","bytes":[-0]}]}"#, false),
            (r#"{"content":[{"token":"a","id":7}]}"#, false),
            (
                r#"{"content":[{"token":"a","top_logprobs":[{"token":"b"}]}]}"#,
                false,
            ),
            (r#"{"content":[{"token":"a","top_logprobs":null}]}"#, false),
            (r#"{"content":[null]}"#, false),
            (r#"{"content":[{"token":"\ud83d"}]}"#, true),
            (r#"{"tokens":["a"],"token_logprobs":[-1]}"#, false),
        ] {
            check(raw, is_usual);
        }
    }

    fn token() -> impl Strategy<Value = Value> {
        let text = "[a-c\"\\\\\n é\u{1f600}]{0,4}";
        let bytes = prop::option::of(prop::collection::vec(any::<u8>(), 0..4));
        (text, any::<f32>(), bytes, any::<u8>()).prop_map(|(token, logprob, bytes, odd)| {
            let mut value = json!({ "token": token, "logprob": logprob, "bytes": bytes });
            // Now and then something is missing or of another kind.
            match odd {
                0 => value["token"] = Value::Null,
                1 => value["logprob"] = json!("x"),
                2 => value["bytes"] = json!([1.5]),
                3 => value["further"] = json!({ "a": [1] }),
                _ => {}
            }
            value
        })
    }

    proptest! {
        #[test]
        fn both_readers_agree(
            entries in prop::collection::vec((token(), prop::collection::vec(token(), 0..4)), 0..5),
            pretty: bool,
        ) {
            let entries: Vec<Value> = entries
                .into_iter()
                .map(|(mut entry, top)| {
                    entry["top_logprobs"] = json!(top);
                    entry
                })
                .collect();
            let value = json!({ "content": entries, "refusal": null });
            let raw = if pretty {
                serde_json::to_string_pretty(&value).unwrap()
            } else {
                value.to_string()
            };
            if let Some(quick) = lists(&raw) {
                prop_assert_eq!(quick, thorough(&raw));
            }
        }

        #[test]
        fn no_text_makes_it_panic(raw in r#"[\[\]{},:"\\a0-9.e\-é ]{0,40}"#) {
            drop(lists(&raw));
            drop(lists(&format!(r#"{{"content":[{{"token":"{raw}"#)));
            drop(list(&format!("[{raw}"), TokenSegment::Response));
        }
    }
}
