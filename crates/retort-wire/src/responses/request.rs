//! The request.

use serde::Serialize;
use serde_json::json;

use crate::encode::{Ask, EncodeError, EncodedRequest};
use crate::request::{self, Fields};
use crate::{sampling, turns};

/// What further fields may not replace: the conversation, and what would keep the answer for a later
/// request to fetch.
const RESERVED: [&str; 6] = [
    "input",
    "instructions",
    "prompt",
    "previous_response_id",
    "conversation",
    "background",
];

#[derive(Serialize)]
struct SentMessage<'a> {
    role: &'a str,
    content: &'a str,
}

#[derive(Serialize)]
struct Prompt<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<&'a str>,
    input: Vec<SentMessage<'a>>,
}

/// Returns the request, with the system text as its instructions. Providers keep answers unless told
/// not to, so they are.
///
/// A summary of the reasoning is told on request only, which not every account may make: `reasoning:
/// {summary: auto}` in the catalog's `extra_body` or in `extra` joins the effort.
pub(crate) fn encode(ask: &Ask<'_>) -> Result<EncodedRequest, EncodeError> {
    let messages = turns::messages(ask)?.iter();
    let prompt = Prompt {
        instructions: ask.system,
        input: messages
            .map(|message| SentMessage {
                role: &message.role,
                content: &message.content,
            })
            .collect(),
    };
    let params = request::kept(ask.params, ask.options);
    let has_stop = params.stop.as_ref().is_some_and(|texts| !texts.is_empty());
    sampling::refuse(
        ask,
        &[
            ("top_k", params.top_k.is_some()),
            ("min_p", params.min_p.is_some()),
            ("stop", has_stop),
            ("frequency_penalty", params.frequency_penalty.is_some()),
            ("presence_penalty", params.presence_penalty.is_some()),
            ("repetition_penalty", params.repetition_penalty.is_some()),
            ("echo", params.echo.is_some()),
        ],
    )?;
    let mut fields = Fields::new();
    fields.insert("model".to_owned(), json!(ask.request_model));
    fields.insert("store".to_owned(), json!(false));
    sampling::put_max_tokens(&mut fields, "max_output_tokens", ask, &params);
    sampling::put_number(
        &mut fields,
        "temperature",
        ("temperature", params.temperature),
    )?;
    sampling::put_number(&mut fields, "top_p", ("top_p", params.top_p))?;
    sampling::put_seed(&mut fields, None, ask, &params)?;
    if let Some(alternatives) = request::alternatives(ask, &params)? {
        let include = json!(["message.output_text.logprobs"]);
        fields.insert("include".to_owned(), include);
        if alternatives > 0 {
            fields.insert("top_logprobs".to_owned(), json!(alternatives));
        }
    }
    if let Some(effort) = &params.reasoning_effort {
        fields.insert("reasoning".to_owned(), json!({ "effort": effort }));
    }
    if params.stream == Some(true) {
        fields.insert("stream".to_owned(), json!(true));
    }
    request::finish(ask, &params, fields, (&RESERVED, &prompt))
}
