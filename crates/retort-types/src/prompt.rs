//! Prompts: what a model is asked, and the digest that identifies it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Digest, SuiteName};

/// How a prompt is put to a model.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// As messages of a conversation; the provider applies its chat template.
    #[default]
    Chat,
    /// As raw text to be continued; no template.
    Completion,
}

impl Mode {
    /// Returns the word used in files and columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completion => "completion",
        }
    }
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// The text.
    pub content: String,
}

/// What is put to a model: a conversation or a text to continue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptInput {
    /// A conversation, oldest message first.
    Messages(Vec<Message>),
    /// A text to be continued.
    Text(String),
}

impl PromptInput {
    /// Returns the mode this input belongs to.
    pub const fn mode(&self) -> Mode {
        match self {
            Self::Messages(_) => Mode::Chat,
            Self::Text(_) => Mode::Completion,
        }
    }

    /// Returns the SHA-256 of the canonical JSON of this input: a prompt's identity.
    pub fn digest(&self) -> Digest {
        Digest::of_json(self).expect("strings and lists of strings always serialize")
    }

    /// Returns the messages as (role, content): a text to continue becomes one of role `text`.
    pub fn pairs(&self) -> Vec<(&str, &str)> {
        match self {
            Self::Messages(messages) => messages
                .iter()
                .map(|message| (message.role.as_str(), message.content.as_str()))
                .collect(),
            Self::Text(text) => vec![("text", text)],
        }
    }

    /// Returns the input as messages: a text to continue becomes one of role `text`.
    pub fn as_messages(&self) -> Vec<Message> {
        match self {
            Self::Messages(messages) => messages.clone(),
            Self::Text(text) => vec![Message {
                role: "text".to_owned(),
                content: text.clone(),
            }],
        }
    }
}

/// One prompt of a suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// The suite it belongs to.
    pub suite: SuiteName,
    /// Its name within the suite.
    pub id: String,
    /// SHA-256 of the canonical JSON of `input`.
    pub digest: Digest,
    /// What is asked; shared with the samples that ask it.
    pub input: Arc<PromptInput>,
}
