//! The request.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::encode::{Ask, EncodeError, EncodedRequest};
use crate::request::{self, Fields};
use crate::sampling::{self, Effort};
use crate::turns::{self, Speaker};

/// What further fields may not replace, in both spellings that Google reads.
const RESERVED: [&str; 6] = [
    "contents",
    "systemInstruction",
    "system_instruction",
    "cachedContent",
    "cached_content",
    "generation_config",
];

/// What there are no words for.
const UNSUPPORTED: [&str; 3] = ["echo", "min_p", "repetition_penalty"];

#[derive(Serialize)]
struct Part<'a> {
    text: &'a str,
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: Vec<Part<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Prompt<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content<'a>>,
    contents: Vec<Content<'a>>,
}

/// Returns the request. Further settings of `generationConfig` join those of the parameters.
pub(crate) fn encode(ask: &Ask<'_>) -> Result<EncodedRequest, EncodeError> {
    let prompt = prompt(ask)?;
    let params = request::kept(ask.params, ask.options);
    sampling::refuse(ask, &params, &UNSUPPORTED)?;
    let mut config = Fields::new();
    let numbers = [
        ("temperature", "temperature", params.temperature),
        ("topP", "top_p", params.top_p),
        (
            "frequencyPenalty",
            "frequency_penalty",
            params.frequency_penalty,
        ),
        (
            "presencePenalty",
            "presence_penalty",
            params.presence_penalty,
        ),
    ];
    sampling::put_numbers(&mut config, &numbers)?;
    if let Some(top_k) = params.top_k {
        config.insert("topK".to_owned(), json!(top_k));
    }
    sampling::put_max_tokens(&mut config, "maxOutputTokens", ask, &params);
    sampling::put_seed(&mut config, Some("seed"), ask, &params)?;
    sampling::put_stop(&mut config, "stopSequences", &params);
    if let Some(alternatives) = request::alternatives(ask, &params)? {
        config.insert("responseLogprobs".to_owned(), json!(true));
        if alternatives > 0 {
            config.insert("logprobs".to_owned(), json!(alternatives));
        }
    }
    if let Some(effort) = Effort::of(&params) {
        config.insert("thinkingConfig".to_owned(), thinking(&effort));
    }
    let mut fields = Fields::new();
    if !config.is_empty() {
        let config: Map<String, Value> = config.into_iter().collect();
        fields.insert("generationConfig".to_owned(), Value::Object(config));
    }
    request::finish(ask, &params, fields, (&RESERVED, &prompt))
}

fn prompt<'a>(ask: &Ask<'a>) -> Result<Prompt<'a>, EncodeError> {
    let conversation = turns::conversation(ask)?;
    let parts: Vec<Part<'_>> = conversation
        .system
        .into_iter()
        .map(|text| Part { text })
        .collect();
    let content = |(speaker, text)| Content {
        role: Some(match speaker {
            Speaker::User => "user",
            Speaker::Model => "model",
        }),
        parts: vec![Part { text }],
    };
    Ok(Prompt {
        system_instruction: (!parts.is_empty()).then_some(Content { role: None, parts }),
        contents: conversation.turns.into_iter().map(content).collect(),
    })
}

/// Models up to the 2.5 generation think within a budget of tokens, later ones at a level. Whoever
/// sets either wants to see the thoughts, which are told on request only.
fn thinking(effort: &Effort<'_>) -> Value {
    match effort {
        Effort::Off | Effort::Budget(0) => json!({ "thinkingBudget": 0 }),
        Effort::Budget(tokens) => json!({ "thinkingBudget": tokens, "includeThoughts": true }),
        Effort::Level(level) => json!({ "thinkingLevel": level, "includeThoughts": true }),
    }
}
