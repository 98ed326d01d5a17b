//! The request.

use serde::Serialize;
use serde_json::json;

use crate::encode::{Ask, EncodeError, EncodedRequest};
use crate::request::{self, Fields};
use crate::sampling;
use crate::turns::{self, SentMessage};

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

/// What there are no words for, besides a seed where the dialect has none.
const UNSUPPORTED: [&str; 7] = [
    "echo",
    "frequency_penalty",
    "min_p",
    "presence_penalty",
    "repetition_penalty",
    "stop",
    "top_k",
];

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
    let prompt = Prompt {
        instructions: ask.system,
        input: turns::messages(ask)?.iter().map(SentMessage::of).collect(),
    };
    let params = request::kept(ask.params, ask.options);
    sampling::refuse(ask, &params, &UNSUPPORTED)?;
    let mut fields = Fields::new();
    fields.insert("model".to_owned(), json!(ask.request_model));
    fields.insert("store".to_owned(), json!(false));
    sampling::put_max_tokens(&mut fields, "max_output_tokens", ask, &params);
    let numbers = [
        ("temperature", "temperature", params.temperature),
        ("top_p", "top_p", params.top_p),
    ];
    sampling::put_numbers(&mut fields, &numbers)?;
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
