//! A conversation to `POST /chat`, or raw text to `POST /generate`.

use retort_types::{Params, PromptInput};
use serde::Serialize;
use serde_json::{Value, json};

use crate::encode::{Ask, EncodeError, EncodedRequest};
use crate::request::{self, Fields};
use crate::sampling;
use crate::turns::{self, SentMessage};

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
    sampling::refuse(ask, &params, &["echo"])?;
    let prompt = match ask.input {
        PromptInput::Messages(_) => Prompt::Chat {
            messages: turns::with_system(ask)?,
        },
        PromptInput::Text(_) if ask.system.is_some() => {
            return Err(EncodeError::SystemText {
                protocol: ask.protocol,
            });
        }
        PromptInput::Text(prompt) => {
            // Without a template there is nothing that could begin to think.
            sampling::refuse(ask, &params, &["reasoning_effort"])?;
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
        fields.insert(
            "options".to_owned(),
            Value::Object(options.into_iter().collect()),
        );
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

fn options(ask: &Ask<'_>, params: &Params) -> Result<Fields, EncodeError> {
    let mut options = Fields::new();
    let numbers = [
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
    ];
    sampling::put_numbers(&mut options, &numbers)?;
    if let Some(top_k) = params.top_k {
        options.insert("top_k".to_owned(), json!(top_k));
    }
    sampling::put_max_tokens(&mut options, "num_predict", ask, params);
    sampling::put_seed(&mut options, Some("seed"), ask, params)?;
    sampling::put_stop(&mut options, "stop", params);
    Ok(options)
}
