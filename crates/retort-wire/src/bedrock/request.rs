//! A conversation to `POST /model/{model}/converse` or `/converse-stream`.

use retort_types::Params;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::encode::{Ask, EncodeError, EncodedRequest};
use crate::request::{self, Fields, conversation, finite, refuse};

/// What further fields may not replace.
const RESERVED: [&str; 2] = ["messages", "system"];

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
    let given = conversation(ask)?;
    let params = request::kept(ask.params, ask.options);
    refuse(
        ask,
        &[
            ("min_p", params.min_p.is_some()),
            ("seed", params.seed.is_some()),
            ("frequency_penalty", params.frequency_penalty.is_some()),
            ("presence_penalty", params.presence_penalty.is_some()),
            ("repetition_penalty", params.repetition_penalty.is_some()),
            ("logprobs", params.logprobs.is_some()),
            ("echo", params.echo.is_some()),
        ],
    )?;
    // Only people and models take turns here; system texts have a place of their own.
    let is_system = |role: &str| role == "system";
    let system = given
        .iter()
        .filter(|message| is_system(&message.role))
        .map(|message| message.content.as_str());
    let prompt = Prompt {
        system: ask
            .system
            .into_iter()
            .chain(system)
            .map(|text| Text { text })
            .collect(),
        messages: given
            .iter()
            .filter(|message| !is_system(&message.role))
            .map(|message| SentMessage {
                role: &message.role,
                content: [Text {
                    text: &message.content,
                }],
            })
            .collect(),
    };
    let fields = fields(&params)?;
    let request = request::finish(ask, &params, fields, (&RESERVED, &prompt))?;
    Ok(if request.streamed {
        request.accepting("application/vnd.amazon.eventstream")
    } else {
        request
    })
}

fn fields(params: &Params) -> Result<Fields, EncodeError> {
    let mut inference = Map::new();
    for (field, name, value) in [
        ("temperature", "temperature", params.temperature),
        ("topP", "top_p", params.top_p),
    ] {
        if let Some(value) = value {
            inference.insert(field.to_owned(), finite(name, value)?);
        }
    }
    if let Some(max_tokens) = params.max_tokens {
        inference.insert("maxTokens".to_owned(), json!(max_tokens));
    }
    if let Some(stop) = params.stop.as_ref().filter(|texts| !texts.is_empty()) {
        inference.insert("stopSequences".to_owned(), json!(stop));
    }
    // Converse has no fields of its own for these. It passes them on under the names that most
    // vendors give them; a vendor that names them otherwise is asked through `extra`.
    let mut further = Map::new();
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
        .map(|(name, inner)| (name.to_owned(), Value::Object(inner)))
        .collect())
}
