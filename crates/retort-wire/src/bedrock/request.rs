//! A conversation to `POST /model/{model}/converse` or `/converse-stream`.

use retort_types::Params;
use serde::Serialize;
use serde_json::{Value, json};

use crate::encode::{Ask, EncodeError, EncodedRequest};
use crate::request::{self, Fields};
use crate::sampling;
use crate::turns::{self, Speaker};

/// What further fields may not replace.
const RESERVED: [&str; 2] = ["messages", "system"];

/// What there are no words for, besides a seed where the dialect has none.
const UNSUPPORTED: [&str; 6] = [
    "echo",
    "frequency_penalty",
    "logprobs",
    "min_p",
    "presence_penalty",
    "repetition_penalty",
];

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

#[derive(Serialize)]
struct SentMessage<'a> {
    role: &'a str,
    content: [Text<'a>; 1],
}

#[derive(Serialize)]
struct Prompt<'a> {
    messages: Vec<SentMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Text<'a>>,
}

/// Returns the request. Model and streaming are told by its path.
pub(crate) fn encode(ask: &Ask<'_>) -> Result<EncodedRequest, EncodeError> {
    let prompt = prompt(ask)?;
    let params = request::kept(ask.params, ask.options);
    sampling::refuse(ask, &params, &UNSUPPORTED)?;
    let fields = fields(ask, &params)?;
    let request = request::finish(ask, &params, fields, (&RESERVED, &prompt))?;
    Ok(if request.streamed {
        request.accepting("application/vnd.amazon.eventstream")
    } else {
        request
    })
}

/// Returns the prompt. Only people and models take turns here; system texts have a place of their
/// own.
fn prompt<'a>(ask: &Ask<'a>) -> Result<Prompt<'a>, EncodeError> {
    let conversation = turns::conversation(ask)?;
    let message = |(speaker, text)| SentMessage {
        role: match speaker {
            Speaker::User => "user",
            Speaker::Model => "assistant",
        },
        content: [Text { text }],
    };
    Ok(Prompt {
        system: conversation
            .system
            .into_iter()
            .map(|text| Text { text })
            .collect(),
        messages: conversation.turns.into_iter().map(message).collect(),
    })
}

fn fields(ask: &Ask<'_>, params: &Params) -> Result<Fields, EncodeError> {
    let mut inference = Fields::new();
    let numbers = [
        ("temperature", "temperature", params.temperature),
        ("topP", "top_p", params.top_p),
    ];
    sampling::put_numbers(&mut inference, &numbers)?;
    sampling::put_max_tokens(&mut inference, "maxTokens", ask, params);
    sampling::put_stop(&mut inference, "stopSequences", params);
    // Converse has no fields of its own for these. It passes them on under the names that most
    // vendors give them; a vendor that names them otherwise is asked through `extra`.
    let mut further = Fields::new();
    sampling::put_seed(&mut further, None, ask, params)?;
    if let Some(top_k) = params.top_k {
        further.insert("top_k".to_owned(), json!(top_k));
    }
    if let Some(effort) = &params.reasoning_effort {
        further.insert("reasoning_effort".to_owned(), json!(effort));
    }
    let places = [
        ("inferenceConfig", inference),
        ("additionalModelRequestFields", further),
    ];
    let told = places.into_iter().filter(|(_, inner)| !inner.is_empty());
    Ok(told
        .map(|(name, inner)| (name.to_owned(), Value::Object(inner.into_iter().collect())))
        .collect())
}
