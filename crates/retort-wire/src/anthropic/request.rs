//! The request.

use retort_types::Params;
use retort_types::catalog::WireOptions;
use serde::Serialize;
use serde_json::json;

use crate::encode::{Ask, EncodeError, EncodedRequest};
use crate::request::{self, Fields};
use crate::sampling::{self, Effort};
use crate::turns::{self, Speaker};

/// What further fields may not replace.
const RESERVED: [&str; 2] = ["messages", "system"];

/// The version of the protocol that is spoken here; Anthropic requires it to be named.
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

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
struct Turn<'a> {
    role: &'static str,
    content: &'a str,
}

/// A text alone, or several in blocks.
#[derive(Serialize)]
#[serde(untagged)]
enum System<'a> {
    One(&'a str),
    Several(Vec<Block<'a>>),
}

#[derive(Serialize)]
struct Block<'a> {
    r#type: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
struct Prompt<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<System<'a>>,
    messages: Vec<Turn<'a>>,
}

/// Returns the request. A limit of tokens is required and never made up: it is an error when neither
/// the campaign nor the catalog sets one.
pub(crate) fn encode(ask: &Ask<'_>) -> Result<EncodedRequest, EncodeError> {
    let prompt = prompt(ask)?;
    let params = request::kept(ask.params, ask.options);
    sampling::refuse(ask, &params, &UNSUPPORTED)?;
    let mut fields = Fields::new();
    fields.insert("model".to_owned(), json!(ask.request_model));
    sampling::put_max_tokens(&mut fields, "max_tokens", ask, &params);
    let numbers = [
        ("temperature", "temperature", params.temperature),
        ("top_p", "top_p", params.top_p),
    ];
    sampling::put_numbers(&mut fields, &numbers)?;
    if let Some(top_k) = params.top_k {
        fields.insert("top_k".to_owned(), json!(top_k));
    }
    sampling::put_stop(&mut fields, "stop_sequences", &params);
    sampling::put_seed(&mut fields, None, ask, &params)?;
    put_effort(&mut fields, Effort::of(&params).as_ref());
    if params.stream == Some(true) {
        fields.insert("stream".to_owned(), json!(true));
    }
    let options = with_limit(ask, &params)?;
    let ask = &Ask {
        options: &options,
        ..*ask
    };
    let mut request = request::finish(ask, &params, fields, (&RESERVED, &prompt))?;
    request
        .headers
        .push((VERSION.0.to_owned(), VERSION.1.to_owned()));
    Ok(request)
}

/// Returns the dialect, in which a limit of tokens is what holds where the campaign sets none.
fn with_limit(ask: &Ask<'_>, params: &Params) -> Result<WireOptions, EncodeError> {
    let mut options = ask.options.clone();
    if params.max_tokens.is_some() {
        options.extra_body.remove("max_tokens");
        return Ok(options);
    }
    let mut further = options.extra_body.iter().chain(&params.extra);
    if further.any(|(name, value)| name == "max_tokens" && !value.is_null()) {
        return Ok(options);
    }
    Err(EncodeError::NoMaxTokens {
        protocol: ask.protocol,
    })
}

fn prompt<'a>(ask: &Ask<'a>) -> Result<Prompt<'a>, EncodeError> {
    let conversation = turns::conversation(ask)?;
    let block = |text| Block {
        r#type: "text",
        text,
    };
    let system = match conversation.system.as_slice() {
        [] => None,
        [text] => Some(System::One(text)),
        texts => Some(System::Several(texts.iter().copied().map(block).collect())),
    };
    let turn = |(speaker, content)| Turn {
        role: match speaker {
            Speaker::User => "user",
            Speaker::Model => "assistant",
        },
        content,
    };
    Ok(Prompt {
        system,
        messages: conversation.turns.into_iter().map(turn).collect(),
    })
}

/// Models up to the 4.5 generation think within a budget of tokens, later ones as they see fit at an
/// effort. What the catalog's `extra_body` says of `thinking` joins it.
fn put_effort(fields: &mut Fields, effort: Option<&Effort<'_>>) {
    let thinking = match effort {
        None => return,
        Some(Effort::Off) => json!({ "type": "disabled" }),
        Some(Effort::Budget(tokens)) => json!({ "type": "enabled", "budget_tokens": tokens }),
        Some(Effort::Level(effort)) => {
            fields.insert("output_config".to_owned(), json!({ "effort": effort }));
            json!({ "type": "adaptive" })
        }
    };
    fields.insert("thinking".to_owned(), thinking);
}
