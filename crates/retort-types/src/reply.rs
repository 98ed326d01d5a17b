//! A reply as decoded from the wire: normalised fields beside the provider's own words.

use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::token::{TokenBytes, TokenText};

/// What a provider answered, as far as its wire protocol tells.
///
/// Absent fields were absent in the answer; an empty text is not an absent one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reply {
    /// Text of the first choice, without reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Reasoning text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_text: Option<String>,
    /// Where the reasoning text was found: `field`, `think-tag`, `summary` or `encrypted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_source: Option<String>,
    /// The provider's own refusal field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal_text: Option<String>,
    /// Tool calls of the first choice, as JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<String>,
    /// Normalised finish reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<FinishReason>,
    /// The provider's own word for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason_raw: Option<String>,
    /// Normalised token counts.
    pub usage: Usage,
    /// The provider's own usage object, as JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_raw: Option<String>,
    /// The model that says it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served_model: Option<String>,
    /// The backend configuration's fingerprint, where a provider tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_fingerprint: Option<String>,
    /// Who served it behind a router.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_provider: Option<String>,
    /// Id of the answer, from its body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_id: Option<String>,
    /// Log probabilities in order of the answer; empty when none were told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<TokenLogprob>,
}

/// Why a model stopped, in the vocabulary of `inspect_ai`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// A natural end or a stop text.
    Stop,
    /// The token limit of the request.
    MaxTokens,
    /// The model's own context length.
    ModelLength,
    /// The model called a tool.
    ToolCalls,
    /// A content filter or a refusal.
    ContentFilter,
    /// Something else; the raw word tells.
    Unknown,
}

impl FinishReason {
    /// Returns the word used in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::MaxTokens => "max_tokens",
            Self::ModelLength => "model_length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Unknown => "unknown",
        }
    }
}

/// Token counts as reported, named alike across protocols. Values are not comparable across
/// providers: tokenizers differ, and some leave reasoning out of `output_tokens`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u32>,
    /// Tokens of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u32>,
    /// Tokens of reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u32>,
    /// Prompt tokens read from a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read_tokens: Option<u32>,
    /// Prompt tokens written to a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_tokens: Option<u32>,
}

/// Which part of an answer a token belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenSegment {
    /// The visible answer.
    #[default]
    Response,
    /// Reasoning.
    Reasoning,
    /// The echoed prompt.
    Prompt,
}

impl TokenSegment {
    /// Returns the word used in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Reasoning => "reasoning",
            Self::Prompt => "prompt",
        }
    }
}

/// One token with its log probability and the likeliest alternatives.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenLogprob {
    /// Token text as told; may be lossy where the token is part of a character.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenText>,
    /// The token's bytes, where told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<TokenBytes>,
    /// Natural log of the probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprob: Option<f32>,
    /// Rank of the token among the alternatives, 1 for the likeliest; absent when it is not listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
    /// The alternatives, likeliest first as told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<TopToken>,
    /// Which part of the answer.
    pub segment: TokenSegment,
    /// Milliseconds from sending to the arrival of the chunk that told this token; streams only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrived_ms: Option<f32>,
}

/// An alternative at one position.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TopToken {
    /// Token text as told.
    pub token: TokenText,
    /// The token's bytes, where told.
    pub bytes: Option<TokenBytes>,
    /// Natural log of the probability.
    pub logprob: f32,
}

/// With names where people read it, else as a tuple: an answer holds thousands. Either is read.
impl Serialize for TopToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            token,
            bytes,
            logprob,
        } = self;
        if !serializer.is_human_readable() {
            return (token, bytes, logprob).serialize(serializer);
        }
        let count = 2 + usize::from(bytes.is_some());
        let mut fields = serializer.serialize_struct("TopToken", count)?;
        fields.serialize_field("token", token)?;
        match bytes {
            Some(bytes) => fields.serialize_field("bytes", bytes)?,
            None => fields.skip_field("bytes")?,
        }
        fields.serialize_field("logprob", logprob)?;
        fields.end()
    }
}

/// How the body of an answer ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamEnd {
    /// The protocol's end was seen, or a body that is not a stream arrived whole.
    #[default]
    Complete,
    /// It broke off before its end.
    Cut,
    /// The provider ended it with an error event.
    Error,
}

impl StreamEnd {
    /// Returns the word used in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cut => "cut",
            Self::Error => "error",
        }
    }
}

/// An error as a provider worded it, cut to a bounded length.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProviderError {
    /// The provider's type or status word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The provider's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The message, at most [`ERROR_MESSAGE_MAX_CHARS`] characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Longest error message that is kept, in characters: enough for every recorded one.
pub const ERROR_MESSAGE_MAX_CHARS: usize = 2_000;
