//! The protocols: requests in, answers, streams and errors out.
//!
//! Each module reads one protocol's requests into [`Asked`] and writes what a model
//! made of it. Models, limits, faults and statistics know nothing of protocols.

mod answer;
mod anthropic;
pub(crate) mod asked;
mod bedrock;
mod body;
mod cohere;
mod complaint;
mod content;
pub(crate) mod error;
mod eventstream;
mod fields;
pub(crate) mod framing;
mod gemini;
mod logprobs;
mod odd;
mod ollama;
mod responses;
pub(crate) mod sigv4;
mod stream;

use crate::http::Request;
use crate::model::{Generation, Token};
use asked::{Asked, Facts};
use error::ApiError;
use framing::{Event, Framing};

pub(crate) use odd::{huge_numbers, in_band, in_stream};

/// An endpoint that asks a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Chat of `OpenAI`.
    Chat,
    /// Raw completions of `OpenAI`.
    Completion,
    /// Responses of `OpenAI`.
    Responses,
    /// Messages of Anthropic.
    Messages,
    /// `generateContent` of Gemini.
    Gemini,
    /// Converse of Bedrock.
    Converse,
    /// Chat of Cohere, version 2.
    Cohere,
    /// Chat of Ollama.
    OllamaChat,
    /// `generate` of Ollama.
    OllamaGenerate,
}

/// Whose habits errors and keys follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Openai,
    Responses,
    Anthropic,
    Google,
    Amazon,
    Cohere,
    Ollama,
}

impl Shape {
    pub(crate) const fn dialect(self) -> Dialect {
        match self {
            Self::Chat | Self::Completion => Dialect::Openai,
            Self::Responses => Dialect::Responses,
            Self::Messages => Dialect::Anthropic,
            Self::Gemini => Dialect::Google,
            Self::Converse => Dialect::Amazon,
            Self::Cohere => Dialect::Cohere,
            Self::OllamaChat | Self::OllamaGenerate => Dialect::Ollama,
        }
    }

    /// Returns the header that carries a request's id.
    pub(crate) const fn id_header(self) -> &'static str {
        match self.dialect() {
            Dialect::Openai | Dialect::Responses | Dialect::Google | Dialect::Ollama => {
                "x-request-id"
            }
            Dialect::Anthropic => "request-id",
            Dialect::Amazon => "x-amzn-requestid",
            Dialect::Cohere => "x-debug-trace-id",
        }
    }

    /// Returns the header that tells how long a provider took, in milliseconds.
    pub(crate) const fn time_header(self) -> Option<&'static str> {
        match self.dialect() {
            Dialect::Openai | Dialect::Responses => Some("openai-processing-ms"),
            Dialect::Anthropic
            | Dialect::Google
            | Dialect::Amazon
            | Dialect::Cohere
            | Dialect::Ollama => None,
        }
    }
}

/// A request's endpoint, with what its path says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) shape: Shape,
    /// The model, where the path names it.
    pub(crate) model: Option<String>,
    /// How the stream is framed that the path asks for.
    pub(crate) framing: Option<Framing>,
}

/// Reads a request, with the complaints that the real API makes.
pub(crate) fn read(call: &Call, request: &Request) -> Result<Asked, ApiError> {
    let bytes = request.body.as_ref();
    let read = match call.shape {
        Shape::Chat | Shape::Completion => body::read(call.shape, bytes),
        Shape::Responses => responses::read(bytes),
        Shape::Messages => {
            anthropic::check_version(request)?;
            anthropic::read(bytes)
        }
        Shape::Gemini => gemini::read(call, bytes),
        Shape::Converse => bedrock::read(call, bytes),
        Shape::Cohere => cohere::read(bytes),
        Shape::OllamaChat | Shape::OllamaGenerate => ollama::read(call.shape, bytes),
    };
    read.map_err(|wrong| complaint::tell(&wrong, call.shape))
}

/// Returns the document that answers `asked`. `echo` is the prompt as tokens, when it is repeated.
pub(crate) fn document(asked: &Asked, made: &Generation, echo: &[Token], facts: &Facts) -> Vec<u8> {
    let document = match asked.shape {
        Shape::Chat | Shape::Completion => return answer::document(asked, made, echo, facts),
        Shape::Responses => responses::document(asked, made, facts),
        Shape::Messages => anthropic::document(asked, made, facts),
        Shape::Gemini => gemini::document(asked, made, facts),
        Shape::Converse => bedrock::document(asked, made, facts),
        Shape::Cohere => cohere::document(asked, made, facts),
        Shape::OllamaChat | Shape::OllamaGenerate => ollama::document(asked, made, facts),
    };
    document.to_string().into_bytes()
}

/// Returns the events that answer `asked`, the protocol's end included.
pub(crate) fn events(
    asked: &Asked,
    made: &Generation,
    echo: &[Token],
    facts: &Facts,
) -> Vec<Event> {
    match asked.shape {
        Shape::Chat | Shape::Completion => stream::events(asked, made, echo, facts),
        Shape::Responses => responses::events(asked, made, facts),
        Shape::Messages => anthropic::events(asked, made, facts),
        Shape::Gemini => gemini::events(asked, made, facts),
        Shape::Converse => bedrock::events(asked, made, facts),
        Shape::Cohere => cohere::events(asked, made, facts),
        Shape::OllamaChat | Shape::OllamaGenerate => ollama::events(asked, made, facts),
    }
}
