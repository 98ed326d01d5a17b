//! Messages and deltas: text in its three shapes, and reasoning under its many names.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::draft::PARTS_MAX;
use crate::lenient::{Item, Key, List, Object, Text, text_of};

/// A message, or what a chunk adds to one.
#[derive(Default)]
pub(super) struct Message<'a> {
    pub(super) content: Content<'a>,
    pub(super) tool_calls: Option<&'a RawValue>,
    reasoning_details: Option<&'a RawValue>,
    /// Every other field that holds a text.
    texts: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl Message<'_> {
    /// Returns the text of the field `name`.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let (_, text) = self.texts.iter().find(|(key, _)| key == name)?;
        Some(text)
    }

    /// Returns the reasoning that the field `name` holds.
    pub(super) fn reasoning(&self, name: &str) -> Option<Reasoning> {
        if name == REASONING_DETAILS {
            return details(self.reasoning_details?.get());
        }
        let text = self.text(name).filter(|text| !text.is_empty())?;
        Some(Reasoning {
            text: text.to_owned(),
            source: "field",
        })
    }
}

/// The field that holds reasoning in parts.
pub(super) const REASONING_DETAILS: &str = "reasoning_details";

/// Reasoning text and where it was found.
pub(super) struct Reasoning {
    pub(super) text: String,
    pub(super) source: &'static str,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Detail<'a> {
    #[serde(borrow)]
    text: Text<'a>,
    #[serde(borrow)]
    summary: Text<'a>,
    #[serde(borrow)]
    data: Text<'a>,
}

/// Returns the reasoning of `reasoning_details`: texts, else summaries, else that it is encrypted.
fn details(raw: &str) -> Option<Reasoning> {
    let parts: Vec<Detail<'_>> = serde_json::from_str::<List<Object<Detail<'_>>>>(raw)
        .ok()?
        .0?
        .into_iter()
        .filter_map(|part| part.0)
        .collect();
    let text: String = parts.iter().filter_map(|part| part.text.told()).collect();
    if !text.is_empty() {
        return Some(Reasoning {
            text,
            source: "field",
        });
    }
    let text: String = parts
        .iter()
        .filter_map(|part| part.summary.told())
        .collect();
    if !text.is_empty() {
        return Some(Reasoning {
            text,
            source: "summary",
        });
    }
    let is_encrypted = parts.iter().any(|part| part.data.told().is_some());
    is_encrypted.then(|| Reasoning {
        text: String::new(),
        source: "encrypted",
    })
}

impl Item for Detail<'_> {
    const MAX: usize = PARTS_MAX;
}

impl Item for Part<'_> {
    const MAX: usize = PARTS_MAX;
}

/// Most further text fields of a message that are looked at. Recorded ones have three.
const TEXTS_MAX: usize = 64;

struct MessageVisitor;

impl<'de> Visitor<'de> for MessageVisitor {
    type Value = Message<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut message = Message::default();
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "content" => message.content = Content::of(map.next_value::<&RawValue>()?.get()),
                "tool_calls" => message.tool_calls = map.next_value()?,
                REASONING_DETAILS => message.reasoning_details = map.next_value()?,
                "role" => {
                    map.next_value::<IgnoredAny>()?;
                }
                _ => {
                    if let Text(Some(text)) = map.next_value()?
                        && message.texts.len() < TEXTS_MAX
                    {
                        message.texts.push((key, text));
                    }
                }
            }
        }
        Ok(message)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Message<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MessageVisitor)
    }
}

/// The content of a message.
#[derive(Default)]
pub(super) enum Content<'a> {
    /// Not there, or null.
    #[default]
    Absent,
    /// A string.
    Text(Cow<'a, str>),
    /// Mistral's list of parts: the texts joined, and the thinking joined.
    Parts {
        text: Option<String>,
        thinking: String,
    },
    /// Something that may have been text and cannot be read.
    Unreadable,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Part<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
}

impl<'a> Content<'a> {
    /// Returns the content that `raw` is.
    pub(super) fn of(raw: &'a str) -> Self {
        match raw.as_bytes().first() {
            Some(b'n') => Self::Absent,
            Some(b'"') => text_of(raw).map_or(Self::Unreadable, Self::Text),
            Some(b'[') => Self::of_parts(raw).unwrap_or(Self::Unreadable),
            _ => Self::Unreadable,
        }
    }

    fn of_parts(raw: &str) -> Option<Self> {
        let parts = serde_json::from_str::<List<Object<Part<'_>>>>(raw)
            .ok()?
            .0?;
        if parts.len() >= PARTS_MAX {
            return None;
        }
        let (mut text, mut thinking) = (None::<String>, String::new());
        for part in parts.into_iter().filter_map(|part| part.0) {
            match part.kind.told() {
                Some("thinking" | "reasoning") => {
                    let told = part.thinking.or(part.text);
                    thinking.push_str(&told.map(|raw| joined(raw.get())).unwrap_or_default());
                }
                Some("text" | "output_text") => {
                    let told = text_of(part.text?.get())?;
                    text.get_or_insert_default().push_str(&told);
                }
                // References, images and whatever comes next are not text.
                _ => {}
            }
        }
        Some(Self::Parts { text, thinking })
    }
}

/// Returns the text of `raw`, a string or a list of parts with one.
fn joined(raw: &str) -> String {
    if let Some(text) = text_of(raw) {
        return text.into_owned();
    }
    let parts = serde_json::from_str::<List<Object<Detail<'_>>>>(raw);
    parts
        .ok()
        .and_then(|parts| parts.0)
        .unwrap_or_default()
        .iter()
        .filter_map(|part| part.0.as_ref()?.text.told())
        .collect()
}
