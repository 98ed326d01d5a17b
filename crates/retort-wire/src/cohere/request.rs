//! A conversation to `POST /chat`.

use retort_types::Params;
use serde::Serialize;
use serde_json::{Value, json};

use crate::encode::{Ask, EncodeError, EncodedRequest};
use crate::request::{self, Fields, SentMessage, finite, refuse, with_system};

/// What further fields may not replace.
const RESERVED: [&str; 1] = ["messages"];

#[derive(Serialize)]
struct Prompt<'a> {
    messages: Vec<SentMessage<'a>>,
}

/// Returns the request, with the system text as its first message.
pub(crate) fn encode(ask: &Ask<'_>) -> Result<EncodedRequest, EncodeError> {
    let messages = with_system(ask)?;
    let params = request::kept(ask.params, ask.options);
    refuse(
        ask,
        &[
            ("min_p", params.min_p.is_some()),
            ("repetition_penalty", params.repetition_penalty.is_some()),
            ("echo", params.echo.is_some()),
        ],
    )?;
    let fields = fields(ask, &params)?;
    request::finish(ask, &params, fields, (&RESERVED, &Prompt { messages }))
}

fn fields(ask: &Ask<'_>, params: &Params) -> Result<Fields, EncodeError> {
    let mut fields = Fields::new();
    fields.insert("model".to_owned(), json!(ask.request_model));
    for (field, name, value) in [
        ("temperature", "temperature", params.temperature),
        ("p", "top_p", params.top_p),
        (
            "frequency_penalty",
            "frequency_penalty",
            params.frequency_penalty,
        ),
        (
            "presence_penalty",
            "presence_penalty",
            params.presence_penalty,
        ),
    ] {
        if let Some(value) = value {
            fields.insert(field.to_owned(), finite(name, value)?);
        }
    }
    if let Some(top_k) = params.top_k {
        fields.insert("k".to_owned(), json!(top_k));
    }
    if let Some(max_tokens) = params.max_tokens {
        let field = ask.options.max_tokens_field.as_deref();
        fields.insert(field.unwrap_or("max_tokens").to_owned(), json!(max_tokens));
    }
    if let Some(seed) = params.seed {
        let field = ask.options.seed_field.as_deref().unwrap_or("seed");
        fields.insert(field.to_owned(), json!(seed));
    }
    if let Some(stop) = params.stop.as_ref().filter(|texts| !texts.is_empty()) {
        fields.insert("stop_sequences".to_owned(), json!(stop));
    }
    if let Some(alternatives) = request::alternatives(ask, params)? {
        // Those of the chosen tokens are all that it tells.
        if alternatives > 0 {
            return Err(EncodeError::TooManyLogprobs {
                asked: alternatives,
                max: 0,
            });
        }
        fields.insert("logprobs".to_owned(), json!(true));
    }
    if let Some(effort) = &params.reasoning_effort {
        fields.insert("thinking".to_owned(), thinking(ask, effort)?);
    }
    if params.streamed() {
        fields.insert("stream".to_owned(), json!(true));
    }
    Ok(fields)
}

/// Returns the switch or budget that `effort` names.
fn thinking(ask: &Ask<'_>, effort: &str) -> Result<Value, EncodeError> {
    match (effort, effort.parse::<u32>()) {
        ("none" | "disabled", _) => Ok(json!({"type": "disabled"})),
        ("enabled", _) => Ok(json!({"type": "enabled"})),
        (_, Ok(budget)) => Ok(json!({"type": "enabled", "token_budget": budget})),
        (_, Err(_)) => Err(EncodeError::Effort {
            protocol: ask.protocol,
            takes: "`none`, `enabled` or a number of tokens",
            asked: effort.to_owned(),
        }),
    }
}
