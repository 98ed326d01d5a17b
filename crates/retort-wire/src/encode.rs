//! From a sample to the bytes of a request. Each protocol's own fields are in its module.

use bytes::Bytes;
use retort_types::catalog::WireOptions;
use retort_types::{Params, PromptInput, WireProtocol};

use crate::{anthropic, bedrock, cohere, gemini, ollama, openai, responses};

/// What is asked, of whom, and in which dialect.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The protocol to speak.
    pub protocol: WireProtocol,
    /// The model as sent.
    pub request_model: &'a str,
    /// The conversation, or the text to continue.
    pub input: &'a PromptInput,
    /// System text put in front of a conversation.
    pub system: Option<&'a str>,
    /// Sampling parameters. Unset ones are not sent.
    pub params: &'a Params,
    /// Quirks of the provider and the model.
    pub options: &'a WireOptions,
}

/// A request, complete but for its URL and authorisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedRequest {
    /// Headers that belong to the body: (lowercase name, value).
    pub headers: Vec<(String, String)>,
    /// The body, JSON.
    pub body: Bytes,
    /// Everything sent besides the prompt, as canonical JSON text. Its numbers are in double
    /// precision, as that form has it; the body holds them exactly.
    pub request_params: String,
    /// Whether a streamed answer is asked for; a dialect may drop that wish.
    pub streamed: bool,
}

/// A sample cannot be put in a protocol's words.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The input is of the other mode.
    #[error("`{protocol}` takes {takes}, and the prompt is {given}")]
    WrongInput {
        /// The protocol.
        protocol: WireProtocol,
        /// What it takes.
        takes: &'static str,
        /// What the prompt is.
        given: &'static str,
    },
    /// There is nothing to ask.
    #[error("the prompt has no messages")]
    NoMessages,
    /// The protocol has no place for a system text.
    #[error("`{protocol}` has no place for a system text")]
    SystemText {
        /// The protocol.
        protocol: WireProtocol,
    },
    /// The protocol has no such parameter.
    #[error("`{protocol}` has no parameter `{param}`")]
    Unsupported {
        /// The protocol.
        protocol: WireProtocol,
        /// The parameter, by its name in `params`.
        param: &'static str,
    },
    /// More alternatives per token are wanted than the provider tells.
    #[error("`logprobs: {asked}` exceeds the {max} alternatives that the provider tells")]
    TooManyLogprobs {
        /// Alternatives asked for.
        asked: u32,
        /// Alternatives told at most.
        max: u32,
    },
    /// A reasoning effort is not one that the protocol has a word for.
    #[error("`{protocol}` takes {takes} as `reasoning_effort`, not `{asked}`")]
    Effort {
        /// The protocol.
        protocol: WireProtocol,
        /// What it takes.
        takes: &'static str,
        /// What was asked for.
        asked: String,
    },
    /// A further field would replace what a sample's identity rests on.
    #[error("the extra field `{field}` would replace what the sample says")]
    Reserved {
        /// The field.
        field: String,
    },
    /// A further field asks for several answers in one request.
    #[error("the extra field `{field}` asks for several answers, and only the first would be kept")]
    SeveralAnswers {
        /// The field.
        field: &'static str,
    },
    /// A message is spoken by somebody whom the protocol does not know, or out of place.
    #[error("`{protocol}` has no place for a message of role `{role}` there")]
    Role {
        /// The protocol.
        protocol: WireProtocol,
        /// The role.
        role: String,
    },
    /// The protocol requires a limit of tokens and none is set.
    #[error("`{protocol}` requires `max_tokens`, and none is set")]
    NoMaxTokens {
        /// The protocol.
        protocol: WireProtocol,
    },
    /// A parameter is not a finite number, which JSON cannot hold.
    #[error("the parameter `{param}` is not a finite number")]
    NotFinite {
        /// The parameter, by its name in `params`.
        param: &'static str,
    },
    /// The body could not be written as JSON.
    #[error("failed to write the request as JSON")]
    Json(#[from] serde_json::Error),
}

impl EncodeError {
    /// Returns what a person can do about it.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::WrongInput { .. } => {
                Some("ask in the other `mode`, or a provider that speaks the other protocol")
            }
            Self::NoMessages => Some("give the prompt at least one message"),
            Self::SystemText { .. } => Some("remove `system` from the arm, or ask in mode `chat`"),
            Self::Unsupported { .. } => {
                Some("unset it, or name it in the model's `drop_params` to leave it out there")
            }
            Self::Effort { .. } => {
                Some("use one of these, or say it in the provider's own fields with `extra`")
            }
            Self::TooManyLogprobs { .. } => Some(
                "lower `params.logprobs`, or raise `logprobs_max` if the provider does tell more",
            ),
            Self::Reserved { .. } => {
                Some("say it in the campaign or the catalog, not in `extra` or `extra_body`")
            }
            Self::SeveralAnswers { .. } => Some("use `samples` of the suite instead"),
            Self::Role { .. } => {
                Some("use the roles `user` and `assistant`, and `system` at the start at most")
            }
            Self::NoMaxTokens { .. } => Some(
                "set `params.max_tokens` in the campaign, or `max_tokens` in the model's `extra_body`",
            ),
            Self::NotFinite { .. } => Some("give a number, or leave it unset"),
            Self::Json(_) => None,
        }
    }
}

/// Returns the request that puts `ask` to a provider.
///
/// Only what was asked for is sent: no defaults, and no null.
///
/// # Errors
/// When the input, the system text or a parameter has no place in the protocol or its dialect.
pub fn encode(ask: &Ask<'_>) -> Result<EncodedRequest, EncodeError> {
    match ask.protocol {
        WireProtocol::OpenaiChat => openai::chat::encode(ask),
        WireProtocol::OpenaiCompletions => openai::completions::encode(ask),
        WireProtocol::OpenaiResponses => responses::encode(ask),
        WireProtocol::AnthropicMessages => anthropic::encode(ask),
        WireProtocol::Gemini => gemini::encode(ask),
        WireProtocol::BedrockConverse => bedrock::encode(ask),
        WireProtocol::CohereV2 => cohere::encode(ask),
        WireProtocol::Ollama => ollama::encode(ask),
    }
}

#[cfg(test)]
mod tests;
