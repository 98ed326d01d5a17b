//! Reading the usual shape of log probabilities without going over their JSON again and again.
//!
//! Twenty alternatives for each token are a hundred times as long as the text, and nearly all of
//! them look alike. What looks otherwise in any way is left to the thorough reader, so that both
//! give the same wherever this one gives something.

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
    let mut cursor = Cursor::new(raw, 0);
    let tokens = object(&mut cursor)?;
    cursor.is_at_end().then_some(tokens)
}

fn object(cursor: &mut Cursor<'_>) -> Option<Vec<TokenLogprob>> {
    let mut tokens = Tokens::default();
    let mut later = LISTS.iter();
    cursor.items([b'{', b'}'], |cursor| {
        // Each once, and in the order in which they are taken.
        let name = cursor.name()?;
        let (_, segment) = later.find(|(list, _)| *list == name)?;
        cursor
            .null()
            .or_else(|| cursor.list(|cursor| tokens.push(entry(cursor, *segment)?)))
    })?;
    Some(tokens.list)
}

/// An answer with its log probabilities taken out.
pub(crate) struct Cut {
    /// The answer with [`EMPTY`] where they stood.
    pub(crate) rest: String,
    /// Where that is.
    pub(crate) at: usize,
    /// The tokens that they tell.
    pub(crate) tokens: Vec<TokenLogprob>,
}

/// What stands in the place of log probabilities that were taken out.
const EMPTY: &str = "{}";

/// Takes the first log probabilities out of `answer`, or gives nothing when they are not of the
/// usual shape. They are most of an answer, and reading them twice, for where they end and for what
/// they say, is what this spares.
///
/// The rest is valid JSON exactly when the answer is. In valid JSON a quotation mark that no
/// backslash precedes begins or ends a text; one that ends it is followed by no letter. So what is
/// found is the name of a field, in the answer as in the rest, and what was taken out, which is
/// checked while it is read, is its value.
pub(crate) fn cut(answer: &str) -> Option<Cut> {
    let name = answer.find(NAME)?;
    let before = answer.as_bytes().get(name.checked_sub(1)?)?;
    (*before != b'\\').then_some(())?;
    let mut cursor = Cursor::new(answer, name + NAME.len());
    cursor.take(b':').then_some(())?;
    cursor.skip_space();
    let at = cursor.at;
    let tokens = object(&mut cursor)?;
    let rest = [answer.get(..at)?, EMPTY, answer.get(cursor.at..)?].concat();
    Some(Cut { rest, at, tokens })
}

/// The field that holds them.
const NAME: &str = r#""logprobs""#;

/// Returns the tokens that a list of entries tells, under the same conditions.
pub(super) fn list(raw: &str, segment: TokenSegment) -> Option<Vec<TokenLogprob>> {
    let mut cursor = Cursor::new(raw, 0);
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
    let told = told(cursor, &mut |cursor| {
        if top.is_some() {
            return None;
        }
        let list = top.insert(Vec::new());
        cursor.list(|cursor| {
            let told = told(cursor, &mut |_| None)?;
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

/// What an entry and an alternative tell.
#[derive(Clone, Copy)]
enum Field {
    Token,
    Logprob,
    Bytes,
    Top,
}

/// Fields with their names as they are written, in the order in which most servers write them.
const FIELDS: [(&str, Field); 4] = [
    (r#""token":"#, Field::Token),
    (r#""logprob":"#, Field::Logprob),
    (r#""bytes":"#, Field::Bytes),
    (r#""top_logprobs":"#, Field::Top),
];

/// Reads a token; `top` reads the alternatives that stand in it.
fn told<'a>(
    cursor: &mut Cursor<'a>,
    top: &mut impl FnMut(&mut Cursor<'a>) -> Option<()>,
) -> Option<Told<'a>> {
    let mut told = Told::default();
    let mut has_bytes = false;
    cursor.items([b'{', b'}'], |cursor| match cursor.field()? {
        Field::Token if told.token.is_none() => {
            told.token = Some(cursor.text()?);
            Some(())
        }
        Field::Logprob if told.logprob.is_none() => {
            told.logprob = Some(cursor.single()?);
            Some(())
        }
        Field::Bytes if !has_bytes => {
            has_bytes = true;
            cursor.null().or_else(|| {
                told.bytes = Some(cursor.bytes()?);
                Some(())
            })
        }
        Field::Top => top(cursor),
        // Told before.
        Field::Token | Field::Logprob | Field::Bytes => None,
    })?;
    Some(told)
}

/// What is left of a text. Everything gives nothing where it meets something else or what is no
/// valid JSON, after which the cursor is of no use.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.at >= self.text.len()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Takes `token` if it comes next.
    fn take(&mut self, token: u8) -> bool {
        self.skip_space();
        let is_next = self.peek() == Some(token);
        self.at += usize::from(is_next);
        is_next
    }

    /// Takes `literal` if it comes next.
    fn literal(&mut self, literal: &str) -> Option<()> {
        self.rest().starts_with(literal.as_bytes()).then_some(())?;
        self.at += literal.len();
        Some(())
    }

    fn null(&mut self) -> Option<()> {
        self.skip_space();
        self.literal("null")
    }

    /// Takes the name of a field and the colon after it.
    fn name(&mut self) -> Option<Cow<'a, str>> {
        let name = self.text()?;
        self.take(b':').then_some(name)
    }

    fn field(&mut self) -> Option<Field> {
        self.skip_space();
        for (written, field) in FIELDS {
            if self.literal(written).is_some() {
                return Some(field);
            }
        }
        let name = self.name()?;
        let is_named = |written: &str| written.split('"').nth(1) == Some(&name);
        let (_, field) = FIELDS.iter().find(|(written, _)| is_named(written))?;
        Some(*field)
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
        (self.peek()? == b'"').then_some(())?;
        let (begin, mut end) = (self.at, self.at + 1);
        let bytes = self.text.as_bytes();
        let mut is_plain = true;
        loop {
            match bytes.get(end)? {
                b'"' => break,
                b'\\' => {
                    is_plain = false;
                    end += 2;
                }
                // Belongs into an escape.
                ..0x20 => return None,
                _ => end += 1,
            }
        }
        self.at = end + 1;
        if is_plain {
            return Some(Cow::Borrowed(self.text.get(begin + 1..end)?));
        }
        text_of(self.text.get(begin..=end)?)
    }

    fn single(&mut self) -> Option<f32> {
        self.skip_space();
        let number = number_at_start(self.rest());
        let begin = self.at;
        self.at += number?;
        let number: f64 = self.text.get(begin..self.at)?.parse().ok()?;
        crate::lenient::Number(Some(number)).single()
    }

    /// Takes a number of up to three digits.
    fn byte(&mut self) -> Option<u8> {
        self.skip_space();
        let digit = |at: usize| {
            let byte = self.text.as_bytes().get(at).copied();
            byte.filter(u8::is_ascii_digit).map(|byte| byte - b'0')
        };
        let first = digit(self.at)?;
        let (mut number, mut length) = (u16::from(first), 1);
        // No number begins with a zero but zero.
        while first > 0
            && length < 3
            && let Some(next) = digit(self.at + length)
        {
            number = number * 10 + u16::from(next);
            length += 1;
        }
        self.at += length;
        u8::try_from(number).ok()
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

/// Returns how long the JSON number is that `bytes` begin with.
fn number_at_start(bytes: &[u8]) -> Option<usize> {
    let digits = |at: usize| {
        let rest = bytes.get(at..).unwrap_or_default();
        let count = rest.iter().position(|byte| !byte.is_ascii_digit());
        count.unwrap_or(rest.len())
    };
    let is = |at: usize, of: &[u8]| bytes.get(at).is_some_and(|byte| of.contains(byte));
    let begin = usize::from(is(0, b"-"));
    let whole = digits(begin);
    let is_whole = whole == 1 || (whole > 1 && !is(begin, b"0"));
    is_whole.then_some(())?;
    let mut end = begin + whole;
    if is(end, b".") {
        let fraction = digits(end + 1);
        (fraction > 0).then_some(())?;
        end += 1 + fraction;
    }
    if is(end, b"eE") {
        let sign = usize::from(is(end + 1, b"+-"));
        let exponent = digits(end + 1 + sign);
        (exponent > 0).then_some(())?;
        end += 1 + sign + exponent;
    }
    Some(end)
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
