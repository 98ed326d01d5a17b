//! A conversation to `POST /chat`, or raw text to `POST /generate`.

use retort_types::{Params, PromptInput};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::encode::{Ask, EncodeError, EncodedRequest};
use crate::request::{self, Fields, SentMessage, finite, refuse, with_system};

/// What further fields may not replace.
const RESERVED: [&str; 3] = ["messages", "prompt", "raw"];

#[derive(Serialize)]
#[serde(untagged)]
enum Prompt<'a> {
    Chat {
        messages: Vec<SentMessage<'a>>,
    },
    Raw {
        prompt: &'a str,
        /// Leaves out the model's own chat template.
        raw: bool,
    },
}

/// Returns the request.
pub(crate) fn encode(ask: &Ask<'_>) -> Result<EncodedRequest, EncodeError> {
    let params = request::kept(ask.params, ask.options);
    refuse(ask, &[("echo", params.echo.is_some())])?;
    let prompt = match ask.input {
        PromptInput::Messages(_) => Prompt::Chat {
            messages: with_system(ask)?,
        },
        PromptInput::Text(_) if ask.system.is_some() => {
            return Err(EncodeError::SystemText {
                protocol: ask.protocol,
            });
        }
        PromptInput::Text(prompt) => {
            // Without a template there is nothing that could begin to think.
            refuse(
                ask,
                &[("reasoning_effort", params.reasoning_effort.is_some())],
            )?;
            Prompt::Raw { prompt, raw: true }
        }
    };
    let fields = fields(ask, &params)?;
    let request = request::finish(ask, &params, fields, (&RESERVED, &prompt))?;
    Ok(if request.streamed {
        request.accepting("application/x-ndjson")
    } else {
        request
    })
}

fn fields(ask: &Ask<'_>, params: &Params) -> Result<Fields, EncodeError> {
    let mut fields = Fields::new();
    fields.insert("model".to_owned(), json!(ask.request_model));
    // Here alone streaming is the habit, so that its absence must be asked for.
    fields.insert("stream".to_owned(), json!(params.streamed()));
    let options = options(ask, params)?;
    if !options.is_empty() {
        fields.insert("options".to_owned(), Value::Object(options));
    }
    if let Some(alternatives) = request::alternatives(ask, params)? {
        fields.insert("logprobs".to_owned(), json!(true));
        if alternatives > 0 {
            fields.insert("top_logprobs".to_owned(), json!(alternatives));
        }
    }
    if let Some(effort) = &params.reasoning_effort {
        let think = match effort.as_str() {
            "none" | "false" => json!(false),
            "true" => json!(true),
            level => json!(level),
        };
        fields.insert("think".to_owned(), think);
    }
    Ok(fields)
}

fn options(ask: &Ask<'_>, params: &Params) -> Result<Map<String, Value>, EncodeError> {
    let mut options = Map::new();
    for (field, name, value) in [
        ("temperature", "temperature", params.temperature),
        ("top_p", "top_p", params.top_p),
        ("min_p", "min_p", params.min_p),
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
        (
            "repeat_penalty",
            "repetition_penalty",
            params.repetition_penalty,
        ),
    ] {
        if let Some(value) = value {
            options.insert(field.to_owned(), finite(name, value)?);
        }
    }
    if let Some(top_k) = params.top_k {
        options.insert("top_k".to_owned(), json!(top_k));
    }
    if let Some(max_tokens) = params.max_tokens {
        let field = ask.options.max_tokens_field.as_deref();
        options.insert(field.unwrap_or("num_predict").to_owned(), json!(max_tokens));
    }
    if let Some(seed) = params.seed {
        let field = ask.options.seed_field.as_deref().unwrap_or("seed");
        options.insert(field.to_owned(), json!(seed));
    }
    if let Some(stop) = params.stop.as_ref().filter(|texts| !texts.is_empty()) {
        options.insert("stop".to_owned(), json!(stop));
    }
    Ok(options)
}
