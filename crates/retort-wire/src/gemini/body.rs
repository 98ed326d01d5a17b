//! The JSON of an answer or of one chunk of it, as far as it is read.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::draft::PARTS_MAX;
use crate::lenient::{Item, List, Number, Object, Text};

/// An answer, or one chunk of a streamed one.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Body<'a> {
    #[serde(borrow)]
    pub(super) response_id: Text<'a>,
    #[serde(borrow)]
    pub(super) model_version: Text<'a>,
    #[serde(borrow)]
    pub(super) candidates: List<Object<Candidate<'a>>>,
    #[serde(borrow)]
    pub(super) prompt_feedback: Object<PromptFeedback<'a>>,
    #[serde(borrow)]
    pub(super) usage_metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// One of the answers that were asked for.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Candidate<'a> {
    pub(super) index: Number,
    #[serde(borrow)]
    pub(super) content: Option<&'a RawValue>,
    /// A word, or its number when enumerations are asked for as such.
    #[serde(borrow)]
    pub(super) finish_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) logprobs_result: Option<&'a RawValue>,
}

/// No request may ask for more than eight, and only the first one is read.
impl Item for Candidate<'_> {
    const MAX: usize = 128;
}

/// What a candidate said.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Content<'a> {
    #[serde(borrow)]
    pub(super) parts: Option<&'a RawValue>,
}

/// A part of what a candidate said.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Part<'a> {
    #[serde(borrow)]
    pub(super) text: Option<&'a RawValue>,
    /// `true` for a part of the reasoning.
    #[serde(borrow)]
    pub(super) thought: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) thought_signature: Text<'a>,
    #[serde(borrow)]
    pub(super) function_call: Object<FunctionCall<'a>>,
}

impl Item for Part<'_> {
    const MAX: usize = PARTS_MAX;
}

/// A call of a tool.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct FunctionCall<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) args: Option<&'a RawValue>,
}

/// What became of a prompt before any model saw it.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PromptFeedback<'a> {
    #[serde(borrow)]
    pub(super) block_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) block_reason_message: Text<'a>,
}

/// Token counts; those of zero are left out. Those of the candidates leave out the thoughts.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    #[serde(rename = "promptTokenCount")]
    pub(super) prompt: Number,
    #[serde(rename = "candidatesTokenCount")]
    pub(super) candidates: Number,
    #[serde(rename = "thoughtsTokenCount")]
    pub(super) thoughts: Number,
    #[serde(rename = "cachedContentTokenCount")]
    pub(super) cached: Number,
}
