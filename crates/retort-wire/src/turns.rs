//! Conversations, as they are and with system texts apart from the turns of user and model.

use retort_types::{Message, PromptInput};
use serde::Serialize;

use crate::encode::{Ask, EncodeError};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaker {
    User,
    Model,
}

/// A conversation, its system texts in front.
pub(crate) struct Conversation<'a> {
    pub(crate) system: Vec<&'a str>,
    pub(crate) turns: Vec<(Speaker, &'a str)>,
}

/// A message as protocols send it that know every role.
#[derive(Serialize)]
pub(crate) struct SentMessage<'a> {
    pub(crate) role: &'a str,
    pub(crate) content: &'a str,
}

impl<'a> SentMessage<'a> {
    pub(crate) fn of(message: &'a Message) -> Self {
        Self {
            role: &message.role,
            content: &message.content,
        }
    }
}

/// Returns the messages of a conversation.
///
/// # Errors
/// When the input is raw text or has no messages.
pub(crate) fn messages<'a>(ask: &Ask<'a>) -> Result<&'a [Message], EncodeError> {
    match ask.input {
        PromptInput::Messages(messages) if messages.is_empty() => Err(EncodeError::NoMessages),
        PromptInput::Messages(messages) => Ok(messages),
        PromptInput::Text(_) => Err(EncodeError::WrongInput {
            protocol: ask.protocol,
            takes: "a conversation",
            given: "raw text",
        }),
    }
}

/// Returns the messages of a conversation, with the system text as the first.
///
/// # Errors
/// When the input is raw text or has no messages.
pub(crate) fn with_system<'a>(ask: &Ask<'a>) -> Result<Vec<SentMessage<'a>>, EncodeError> {
    let given = messages(ask)?;
    let system = ask.system.map(|content| SentMessage {
        role: "system",
        content,
    });
    let asked = given.iter().map(SentMessage::of);
    Ok(system.into_iter().chain(asked).collect())
}

/// Returns the conversation of `ask`. System messages at its start join the system text; nothing is
/// moved that stands further on, since that would be another conversation.
///
/// # Errors
/// When the input is no conversation, or holds a message whose role has no place.
pub(crate) fn conversation<'a>(ask: &Ask<'a>) -> Result<Conversation<'a>, EncodeError> {
    let mut system: Vec<&str> = ask.system.into_iter().collect();
    let mut turns = Vec::new();
    for message in messages(ask)? {
        let content = message.content.as_str();
        match message.role.as_str() {
            "user" => turns.push((Speaker::User, content)),
            "assistant" => turns.push((Speaker::Model, content)),
            "system" if turns.is_empty() => system.push(content),
            role => {
                return Err(EncodeError::Role {
                    protocol: ask.protocol,
                    role: role.chars().take(40).collect(),
                });
            }
        }
    }
    if turns.is_empty() {
        return Err(EncodeError::NoMessages);
    }
    Ok(Conversation { system, turns })
}
