//! A conversation to `POST /chat`.

use retort_types::Params;
use serde::Serialize;
use serde_json::{Value, json};

use crate::encode::{Ask, EncodeError, EncodedRequest};
use crate::request::{self, Fields};
use crate::sampling;
use crate::turns::{self, SentMessage};

/// What further fields may not replace.
const RESERVED: [&str; 1] = ["messages"];

/// What there are no words for.
const UNSUPPORTED: [&str; 3] = ["echo", "min_p", "repetition_penalty"];

#[derive(Serialize)]
struct Prompt<'a> {
    messages: Vec<SentMessage<'a>>,
}

/// Returns the request, with the system text as its first message.
pub(crate) fn encode(ask: &Ask<'_>) -> Result<EncodedRequest, EncodeError> {
    let messages = turns::with_system(ask)?;
    let params = request::kept(ask.params, ask.options);
    sampling::refuse(ask, &params, &UNSUPPORTED)?;
    let fields = fields(ask, &params)?;
    request::finish(ask, &params, fields, (&RESERVED, &Prompt { messages }))
}

fn fields(ask: &Ask<'_>, params: &Params) -> Result<Fields, EncodeError> {
    let mut fields = Fields::new();
    fields.insert("model".to_owned(), json!(ask.request_model));
    let numbers = [
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
    ];
    sampling::put_numbers(&mut fields, &numbers)?;
    if let Some(top_k) = params.top_k {
        fields.insert("k".to_owned(), json!(top_k));
    }
    sampling::put_max_tokens(&mut fields, "max_tokens", ask, params);
    sampling::put_seed(&mut fields, Some("seed"), ask, params)?;
    sampling::put_stop(&mut fields, "stop_sequences", params);
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
