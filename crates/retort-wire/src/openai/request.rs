//! Request fields that chat and raw completions share.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use retort_types::Params;
use retort_types::catalog::{StreamUsage, WireOptions};
use retort_types::digest::canonical_json;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Number, Value, json};

use crate::encode::{Ask, EncodeError, EncodedRequest};

/// Fields of a body besides the prompt, sorted by name.
pub(super) type Fields = BTreeMap<String, Value>;

/// Returns `params` without those that the dialect drops.
pub(super) fn kept(params: &Params, options: &WireOptions) -> Params {
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

/// Returns the fields that both protocols write alike. `params` are already without dropped ones.
pub(super) fn shared_fields(ask: &Ask<'_>, params: &Params) -> Result<Fields, EncodeError> {
    let options = ask.options;
    let mut fields = Fields::new();
    fields.insert("model".to_owned(), json!(ask.request_model));
    for (name, value) in [
        ("temperature", params.temperature),
        ("top_p", params.top_p),
        ("min_p", params.min_p),
        ("frequency_penalty", params.frequency_penalty),
        ("presence_penalty", params.presence_penalty),
        ("repetition_penalty", params.repetition_penalty),
    ] {
        if let Some(value) = value {
            let number = Number::from_f64(value).ok_or(EncodeError::NotFinite { param: name })?;
            fields.insert(name.to_owned(), Value::Number(number));
        }
    }
    if let Some(top_k) = params.top_k {
        fields.insert("top_k".to_owned(), json!(top_k));
    }
    if let Some(max_tokens) = params.max_tokens {
        let field = options.max_tokens_field.as_deref().unwrap_or("max_tokens");
        fields.insert(field.to_owned(), json!(max_tokens));
    }
    if let Some(seed) = params.seed {
        let field = options.seed_field.as_deref().unwrap_or("seed");
        fields.insert(field.to_owned(), json!(seed));
    }
    if let Some(stop) = params.stop.as_ref().filter(|texts| !texts.is_empty()) {
        fields.insert("stop".to_owned(), json!(stop));
    }
    if params.stream == Some(true) {
        fields.insert("stream".to_owned(), json!(true));
        if asks_for_usage(options.stream_usage) {
            fields.insert(
                "stream_options".to_owned(),
                json!({ "include_usage": true }),
            );
        }
    }
    Ok(fields)
}

/// Streams of most providers tell no usage unless asked, so asking is the habit; a dialect that
/// refuses the option, or tells usage anyway, says so.
const fn asks_for_usage(told: Option<StreamUsage>) -> bool {
    match told {
        None | Some(StreamUsage::Option) => true,
        Some(StreamUsage::Always | StreamUsage::Never) => false,
    }
}

/// Returns how many alternatives per token to ask for.
pub(super) fn alternatives(ask: &Ask<'_>, params: &Params) -> Result<Option<u32>, EncodeError> {
    match (params.logprobs, ask.options.logprobs_max) {
        (Some(asked), Some(max)) if asked > max => Err(EncodeError::TooManyLogprobs { asked, max }),
        (asked, _) => Ok(asked),
    }
}

/// Fields that further ones may not replace: they are the sample's identity, or decide how the
/// answer is read.
const RESERVED: [&str; 4] = ["model", "messages", "prompt", "stream"];

/// Returns the request of `fields` and the prompt, with the dialect's further fields merged last
/// and the parameters' over them. A further field of value null takes a field away.
pub(super) fn finish<P: Serialize>(
    ask: &Ask<'_>,
    params: &Params,
    mut fields: Fields,
    (prompt_field, prompt): (&'static str, &P),
) -> Result<EncodedRequest, EncodeError> {
    for (name, value) in ask.options.extra_body.iter().chain(&params.extra) {
        if RESERVED.contains(&name.as_str()) {
            return Err(EncodeError::Reserved {
                field: name.clone(),
            });
        }
        if value.is_null() {
            fields.remove(name);
        } else {
            fields.insert(name.clone(), value.clone());
        }
    }
    if fields.get("n").is_some_and(|n| n.as_u64() != Some(1)) {
        return Err(EncodeError::SeveralAnswers);
    }
    let streamed = params.stream == Some(true);
    let accept = if streamed {
        "text/event-stream"
    } else {
        "application/json"
    };
    let body = serde_json::to_vec(&Body {
        fields: &fields,
        prompt_field,
        prompt,
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

/// Writes the prompt without copying it into a JSON value first.
struct Body<'a, P> {
    fields: &'a Fields,
    prompt_field: &'static str,
    prompt: &'a P,
}

impl<P: Serialize> Serialize for Body<'_, P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len() + 1))?;
        map.serialize_entry(self.prompt_field, self.prompt)?;
        for (name, value) in self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
