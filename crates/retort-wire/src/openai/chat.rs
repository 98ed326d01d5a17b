//! `openai-chat`: a conversation to `POST /chat/completions`.

use serde::Serialize;
use serde_json::json;

use super::request::{RESERVED, shared_fields};
use crate::encode::{Ask, EncodeError, EncodedRequest};
use crate::request;
use crate::turns::{self, SentMessage};

#[derive(Serialize)]
struct Prompt<'a> {
    messages: Vec<SentMessage<'a>>,
}

/// Returns the request, with the system text as its first message.
pub(crate) fn encode(ask: &Ask<'_>) -> Result<EncodedRequest, EncodeError> {
    let messages = turns::with_system(ask)?;
    let params = request::kept(ask.params, ask.options);
    if params.echo.is_some() {
        return Err(EncodeError::Unsupported {
            protocol: ask.protocol,
            param: "echo",
        });
    }
    let mut fields = shared_fields(ask, &params)?;
    if let Some(alternatives) = request::alternatives(ask, &params)? {
        fields.insert("logprobs".to_owned(), json!(true));
        // Zero alternatives is the habit, and some servers take a written zero for "no logprobs".
        if alternatives > 0 {
            fields.insert("top_logprobs".to_owned(), json!(alternatives));
        }
    }
    if let Some(effort) = &params.reasoning_effort {
        fields.insert("reasoning_effort".to_owned(), json!(effort));
    }
    request::finish(ask, &params, fields, (&RESERVED, &Prompt { messages }))
}
