//! `openai-completions`: a text to be continued to `POST /completions`.

use retort_types::PromptInput;
use serde::Serialize;
use serde_json::json;

use super::request::{RESERVED, shared_fields};
use crate::encode::{Ask, EncodeError, EncodedRequest};
use crate::request;

#[derive(Serialize)]
struct Prompt<'a> {
    prompt: &'a str,
}

/// Returns the request. No template is put around the text.
pub(crate) fn encode(ask: &Ask<'_>) -> Result<EncodedRequest, EncodeError> {
    let protocol = ask.protocol;
    let prompt = match ask.input {
        PromptInput::Text(text) => text,
        PromptInput::Messages(_) => {
            return Err(EncodeError::WrongInput {
                protocol,
                takes: "raw text",
                given: "a conversation",
            });
        }
    };
    if ask.system.is_some() {
        return Err(EncodeError::SystemText { protocol });
    }
    let params = request::kept(ask.params, ask.options);
    if params.reasoning_effort.is_some() {
        return Err(EncodeError::Unsupported {
            protocol,
            param: "reasoning_effort",
        });
    }
    let mut fields = shared_fields(ask, &params)?;
    if let Some(alternatives) = request::alternatives(ask, &params)? {
        fields.insert("logprobs".to_owned(), json!(alternatives));
    }
    if let Some(echo) = params.echo {
        fields.insert("echo".to_owned(), json!(echo));
    }
    request::finish(ask, &params, fields, (&RESERVED, &Prompt { prompt }))
}
