//! JSON fields read field by field: a wrong type makes a field absent instead of losing the answer.
//!
//! Leaves are taken as raw JSON and borrowed from it where they hold no escapes.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A string, or nothing when the field holds something else.
#[derive(Debug, Default, Clone)]
pub(crate) struct Text<'a>(pub(crate) Option<Cow<'a, str>>);

impl Text<'_> {
    /// Returns the text unless it is absent or empty: many providers write "" for "not told".
    pub(crate) fn told(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.is_empty())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(text_of(<&RawValue>::deserialize(deserializer)?.get())))
    }
}

/// Longest finish reason, model name, id and the like that is kept, in characters. Known ones are
/// under a tenth of this.
const WORD_MAX_CHARS: usize = 1_024;

/// Returns `text` as it is kept where a short word is expected.
pub(crate) fn word(text: &str) -> String {
    text.chars().take(WORD_MAX_CHARS).collect()
}

/// Returns whether an `error` field tells one: some servers write an empty one beside answers.
pub(crate) fn is_error_told(raw: &str) -> bool {
    !matches!(raw, "null" | "false" | "\"\"" | "{}" | "[]" | "0")
}

/// Returns the string that `raw` is, or nothing when it is not one.
pub(crate) fn text_of(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    let text: Option<String> = serde_json::from_str(raw)
        .or_else(|_| serde_json::from_str(&without_lone_surrogates(raw)))
        .ok();
    text.map(Cow::Owned)
}

/// Returns the JSON string `raw` with escapes of half characters replaced by the replacement
/// character. Servers that cut UTF-16 text into chunks send such halves.
fn without_lone_surrogates(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let unit = code_unit(after);
        let pair = after
            .split_at_checked(5)
            .and_then(|(_, tail)| code_unit(tail.strip_prefix('\\')?));
        let taken = match (unit, pair) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 11,
            (Some(0xd800..=0xdfff), _) => {
                out.push('\u{fffd}');
                rest = after.get(5..).unwrap_or_default();
                continue;
            }
            // Two bytes at a time, so that an escaped backslash does not begin another escape.
            _ => after.chars().next().map_or(0, char::len_utf8),
        };
        out.push('\\');
        let (escape, tail) = after.split_at_checked(taken).unwrap_or((after, ""));
        out.push_str(escape);
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// Returns the code unit of an escape whose backslash is already taken: `ud83d`.
fn code_unit(escape: &str) -> Option<u32> {
    u32::from_str_radix(escape.strip_prefix('u')?.get(..4)?, 16).ok()
}

/// A finite number, or nothing when the field holds something else. Numbers in quotes count.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Number(pub(crate) Option<f64>);

impl Number {
    /// Returns it as a count, or nothing when it is not a whole one within range.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked before"
    )]
    pub(crate) fn count(self) -> Option<u32> {
        let number = self.0?;
        (number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number))
            .then_some(number as u32)
    }

    /// Returns it in single precision, or nothing when it does not fit.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what does not fit is told apart after"
    )]
    pub(crate) fn single(self) -> Option<f32> {
        self.0
            .map(|number| number as f32)
            .filter(|number| number.is_finite())
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let digits = raw.trim_matches('"');
        let begins_like_a_number =
            digits.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
        let number = begins_like_a_number
            .then(|| digits.parse::<f64>().ok())
            .flatten();
        Ok(Self(number.filter(|number| number.is_finite())))
    }
}

/// An object, or nothing when the field holds something else.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) Option<T>);

impl<T> Default for Object<T> {
    fn default() -> Self {
        Self(None)
    }
}

/// What lists hold. A few bytes of JSON can stand for a large value, so each kind says how many
/// are kept; the rest of a list is read over.
pub(crate) trait Item {
    /// Most that are kept of one list.
    const MAX: usize;

    /// Returns whether it says anything; the others are not kept.
    fn is_told(&self) -> bool {
        true
    }
}

impl<T: Item> Item for Object<T> {
    const MAX: usize = T::MAX;

    fn is_told(&self) -> bool {
        self.0.as_ref().is_some_and(Item::is_told)
    }
}

/// A list, or nothing when the field holds something else.
#[derive(Debug)]
pub(crate) struct List<T>(pub(crate) Option<Vec<T>>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(None)
    }
}

/// Visits values that are not of the wanted kind: they are read over.
macro_rules! otherwise_absent {
    () => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any JSON value")
        }

        fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    otherwise_absent!();

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|value| Object(Some(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Object(None))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Item> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    otherwise_absent!();

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(List(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items: Vec<T> = Vec::new();
        while items.len() < T::MAX {
            match list.next_element()? {
                Some(item) if Item::is_told(&item) => items.push(item),
                Some(_) => {}
                None => return Ok(List(Some(items))),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(List(Some(items)))
    }
}

impl<'de, T: Deserialize<'de> + Item> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

/// The key of an object's entry, borrowed where it holds no escapes.
pub(crate) struct Key<'a>(pub(crate) Cow<'a, str>);

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Sample<'a> {
        #[serde(borrow)]
        text: Text<'a>,
        number: Number,
        #[serde(borrow)]
        inner: Object<Inner<'a>>,
        #[serde(borrow)]
        list: List<Object<Inner<'a>>>,
    }

    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Inner<'a> {
        #[serde(borrow)]
        text: Text<'a>,
    }

    impl Item for Inner<'_> {
        const MAX: usize = 3;

        fn is_told(&self) -> bool {
            self.text.0.is_some()
        }
    }

    #[test]
    fn a_wrong_type_makes_a_field_absent() {
        let values = [
            "null",
            "true",
            "-1",
            "0.5",
            "1e400",
            r#""x""#,
            "[[1],{}]",
            r#"{"a":[{}]}"#,
        ];
        for value in values {
            let json = format!(r#"{{"a":{value},"text":{value},"number":{value},"b":{value}}}"#);
            let sample: Sample<'_> = serde_json::from_str(&json).expect(value);
            assert_eq!(sample.text.0.is_some(), value.starts_with('"'), "{value}");
            assert_eq!(
                sample.number.0.is_some(),
                ["-1", "0.5"].contains(&value),
                "{value}"
            );
            if value == "1e400" {
                continue; // A number that does not fit is an error where anything may stand.
            }
            let json = format!(r#"{{"inner":{value},"list":{value},"text":"kept"}}"#);
            let sample: Sample<'_> = serde_json::from_str(&json).expect(value);
            assert_eq!(sample.text.told(), Some("kept"), "{value}");
            assert_eq!(sample.inner.0.is_some(), value.starts_with('{'), "{value}");
            assert_eq!(sample.list.0.is_some(), value.starts_with('['), "{value}");
        }
    }

    #[test]
    fn lists_keep_what_says_something_up_to_their_bound() {
        let json =
            r#"{"list":[{},7,{"text":"a"},{"text":1},{"text":"b"},{"text":"c"},{"text":"d"}]}"#;
        let sample: Sample<'_> = serde_json::from_str(json).unwrap();
        let kept = sample.list.0.unwrap();
        let texts: Vec<_> = kept
            .iter()
            .filter_map(|item| item.0.as_ref()?.text.told())
            .collect();
        assert_eq!(texts, ["a", "b", "c"]);
    }

    #[test]
    fn numbers_are_finite_and_counts_whole() {
        let number = |json| serde_json::from_str::<Number>(json).unwrap();
        for (json, count) in [
            ("0", Some(0)),
            ("12.0", Some(12)),
            (r#""12""#, Some(12)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("-1", None),
            ("1.5", None),
            ("1e999", None),
            (r#""inf""#, None),
            (r#""NaN""#, None),
        ] {
            assert_eq!(number(json).count(), count, "{json}");
        }
        assert_eq!(number("1e39").single(), None);
        assert_eq!(number("-9999.0").single(), Some(-9_999.0));
    }

    #[test]
    fn halves_of_characters_are_replaced() {
        for (raw, expected) in [
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""a\ude00b""#, "a\u{fffd}b"),
            (r#""\ud83d\ude00\ud83d\n""#, "\u{1f600}\u{fffd}\n"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\\ud83d\ud83d""#, "\\ud83d\u{fffd}"),
            (r#""\ud83dx""#, "\u{fffd}x"),
        ] {
            assert_eq!(text_of(raw).as_deref(), Some(expected), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn strings_read_as_serde_json_reads_them(text in ".*") {
            let json = serde_json::to_string(&text).unwrap();
            let ours = text_of(&json);
            prop_assert_eq!(ours.as_deref(), Some(text.as_str()));
        }

        #[test]
        fn repairing_never_panics(inner in r"(\\|u|d|8|3|[ -~]|é|\\ud83d|\\ude00){0,12}") {
            let repaired = without_lone_surrogates(&format!("\"{inner}\""));
            prop_assert!(repaired.starts_with('"'));
        }
    }
}
