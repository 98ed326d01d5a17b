//! What requests of every protocol share: dropped parameters, further fields, the finished body.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use retort_types::Params;
use retort_types::catalog::WireOptions;
use retort_types::digest::canonical_json;
use serde::Serialize;
use serde_json::Value;

use crate::encode::{Ask, EncodeError, EncodedRequest};

/// Fields of a body besides the prompt, sorted by name.
pub(crate) type Fields = BTreeMap<String, Value>;

/// Returns `params` without those that the dialect drops.
pub(crate) fn kept(params: &Params, options: &WireOptions) -> Params {
    let dropped = &options.drop_params;
    if dropped.is_empty() {
        return params.clone();
    }
    Params {
        temperature: kept_field("temperature", params.temperature, dropped),
        top_p: kept_field("top_p", params.top_p, dropped),
        top_k: kept_field("top_k", params.top_k, dropped),
        min_p: kept_field("min_p", params.min_p, dropped),
        max_tokens: kept_field("max_tokens", params.max_tokens, dropped),
        stop: kept_field("stop", params.stop.clone(), dropped),
        seed: kept_field("seed", params.seed, dropped),
        frequency_penalty: kept_field("frequency_penalty", params.frequency_penalty, dropped),
        presence_penalty: kept_field("presence_penalty", params.presence_penalty, dropped),
        repetition_penalty: kept_field("repetition_penalty", params.repetition_penalty, dropped),
        logprobs: kept_field("logprobs", params.logprobs, dropped),
        reasoning_effort: kept_field("reasoning_effort", params.reasoning_effort.clone(), dropped),
        stream: kept_field("stream", params.stream, dropped),
        echo: kept_field("echo", params.echo, dropped),
        extra: params
            .extra
            .iter()
            .filter(|(name, _)| !dropped.contains(*name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    }
}

fn kept_field<T>(name: &str, value: Option<T>, dropped: &BTreeSet<String>) -> Option<T> {
    value.filter(|_| !dropped.contains(name))
}

/// Returns how many alternatives per token to ask for.
pub(crate) fn alternatives(ask: &Ask<'_>, params: &Params) -> Result<Option<u32>, EncodeError> {
    match (params.logprobs, ask.options.logprobs_max) {
        (Some(asked), Some(max)) if asked > max => Err(EncodeError::TooManyLogprobs { asked, max }),
        (asked, _) => Ok(asked),
    }
}

/// Returns the request of `fields` and the prompt, with the dialect's further fields merged last
/// and the parameters' over them. A further field of value null takes a field away, and one that is
/// an object joins the object that is there.
///
/// `prompt` serializes as a map. Its fields, those of `reserved` and `model` and `stream` may not
/// be replaced by further ones: they are the sample's identity, or decide how the answer is read.
pub(crate) fn finish<P: Serialize>(
    ask: &Ask<'_>,
    params: &Params,
    mut fields: Fields,
    (reserved, prompt): (&[&str], &P),
) -> Result<EncodedRequest, EncodeError> {
    for (name, value) in ask.options.extra_body.iter().chain(&params.extra) {
        if ["model", "stream"].contains(&name.as_str()) || reserved.contains(&name.as_str()) {
            return Err(EncodeError::Reserved {
                field: name.clone(),
            });
        }
        if value.is_null() {
            fields.remove(name);
        } else {
            overlay(fields.entry(name.clone()).or_default(), value);
        }
    }
    let generation = fields.get("generationConfig");
    let candidates = generation.and_then(|config| config.get("candidateCount"));
    for (field, count) in [("n", fields.get("n")), ("candidateCount", candidates)] {
        if count.is_some_and(|count| count.as_u64() != Some(1)) {
            return Err(EncodeError::SeveralAnswers { field });
        }
    }
    let streamed = params.stream == Some(true);
    let accept = if streamed {
        "text/event-stream"
    } else {
        "application/json"
    };
    let body = serde_json::to_vec(&Body {
        prompt,
        fields: &fields,
    })?;
    Ok(EncodedRequest {
        headers: vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("accept".to_owned(), accept.to_owned()),
        ],
        body: Bytes::from(body),
        request_params: canonical_json(&fields)?,
        streamed,
    })
}

impl EncodedRequest {
    /// Asks for an answer of `media_type`.
    pub(crate) fn accepting(mut self, media_type: &str) -> Self {
        for (name, value) in &mut self.headers {
            if name == "accept" {
                media_type.clone_into(value);
            }
        }
        self
    }
}

/// Puts `over` in the place of `value`. Objects join field by field, so that a further setting
/// within one does not take away those beside it; a null within takes its field away.
fn overlay(value: &mut Value, over: &Value) {
    match (value, over) {
        (Value::Object(fields), Value::Object(further)) => {
            for (name, over) in further {
                if over.is_null() {
                    fields.remove(name);
                } else {
                    overlay(fields.entry(name.clone()).or_insert(Value::Null), over);
                }
            }
        }
        (value, over) => value.clone_from(over),
    }
}

/// Writes the prompt without copying it into a JSON value first.
#[derive(Serialize)]
struct Body<'a, P> {
    #[serde(flatten)]
    prompt: &'a P,
    #[serde(flatten)]
    fields: &'a Fields,
}
