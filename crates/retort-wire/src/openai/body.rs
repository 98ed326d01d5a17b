//! The JSON of an answer or of one chunk of it, as far as it is read.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::message::Message;
use crate::lenient::{Item, List, Number, Object, Text};

/// An answer, or one chunk of a streamed one.
///
/// Branches that an answer can do without stay raw and are read apart, so that nothing in them
/// can lose the text.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Body<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(borrow)]
    pub(super) object: Text<'a>,
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) model: Text<'a>,
    #[serde(borrow)]
    pub(super) system_fingerprint: Text<'a>,
    /// Who served it behind a router.
    #[serde(borrow)]
    pub(super) provider: Text<'a>,
    #[serde(borrow)]
    pub(super) choices: List<Object<Choice<'a>>>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    /// Groq's own additions, which hold the usage of its streams.
    #[serde(borrow)]
    pub(super) x_groq: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// One choice; streams put what is new in `delta`, whole answers all of it in `message`, raw
/// completions in `text`, and some providers write two of them.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Choice<'a> {
    pub(super) index: Number,
    #[serde(borrow)]
    pub(super) delta: Object<Message<'a>>,
    #[serde(borrow)]
    pub(super) message: Object<Message<'a>>,
    #[serde(borrow)]
    pub(super) text: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) finish_reason: Text<'a>,
    #[serde(borrow)]
    pub(super) logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// No provider gives more than 128 choices, and only the first one is read.
impl Item for Choice<'_> {
    const MAX: usize = 128;
}

/// What Groq puts beside an answer.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Groq<'a> {
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}
