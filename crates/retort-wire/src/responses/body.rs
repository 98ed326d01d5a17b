//! The JSON of an answer or of one event of a streamed one, as far as it is read.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::draft::PARTS_MAX;
use crate::lenient::{Item, Number, Object, Text};

/// An answer.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Response<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(borrow)]
    pub(super) model: Text<'a>,
    #[serde(borrow)]
    pub(super) status: Text<'a>,
    #[serde(borrow)]
    pub(super) incomplete_details: Object<IncompleteDetails<'a>>,
    #[serde(borrow)]
    pub(super) output: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) system_fingerprint: Text<'a>,
    /// Who served it behind a router.
    #[serde(borrow)]
    pub(super) provider: Text<'a>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// Why an answer is not whole.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct IncompleteDetails<'a> {
    #[serde(borrow)]
    pub(super) reason: Text<'a>,
}

/// A message, reasoning, or a call of a tool.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Output<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) summary: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) encrypted_content: Text<'a>,
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(borrow)]
    pub(super) call_id: Text<'a>,
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) arguments: Text<'a>,
}

impl Item for Output<'_> {
    const MAX: usize = PARTS_MAX;
}

/// A part of a message or of reasoning.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Part<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) text: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) refusal: Text<'a>,
    #[serde(borrow)]
    pub(super) logprobs: Option<&'a RawValue>,
}

impl Item for Part<'_> {
    const MAX: usize = PARTS_MAX;
}

/// One event of a stream.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Event<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) delta: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) response: Object<Response<'a>>,
    #[serde(borrow)]
    pub(super) item: Object<Output<'a>>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// Token counts; those of reasoning and of caches are among the others.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    pub(super) input_tokens: Number,
    pub(super) output_tokens: Number,
    pub(super) input_tokens_details: Object<InputDetails>,
    pub(super) output_tokens_details: Object<OutputDetails>,
}

/// Of the prompt's tokens, those of one kind.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct InputDetails {
    pub(super) cached_tokens: Number,
    pub(super) cache_write_tokens: Number,
}

/// Of the answer's tokens, those of one kind.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct OutputDetails {
    pub(super) reasoning_tokens: Number,
}
