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
    let written = serde_json::to_string(&fields)?;
    let body = joined(serde_json::to_vec(prompt)?, &written);
    let request_params = if fields.iter().all(is_canonical_field) {
        written
    } else {
        canonical_json(&fields)?
    };
    Ok(EncodedRequest {
        headers: vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("accept".to_owned(), accept.to_owned()),
        ],
        body: Bytes::from(body),
        request_params,
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

/// Returns the fields of the JSON object `first` and those of `second` behind them as one object.
fn joined(mut first: Vec<u8>, second: &str) -> Vec<u8> {
    let fields = second.strip_prefix('{').unwrap_or(second);
    if fields == "}" {
        return first;
    }
    if first.pop() == Some(b'}') && first.last() != Some(&b'{') {
        first.push(b',');
    }
    first.extend_from_slice(fields.as_bytes());
    first
}

/// Whole numbers up to this are the same in double precision (2^53).
const EXACT_MAX: u64 = 1 << 53;

/// Returns whether `value` is written alike in the canonical form and without it. That is known of
/// most values, and taking the canonical form of the others costs as much as encoding a request.
fn is_canonical(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.unsigned_abs() <= EXACT_MAX,
            // Both write so the shortest digits that read back as the same number.
            (None, Some(number)) => number.fract() != 0.0 && (1e-4..1e15).contains(&number.abs()),
            (None, None) => false,
        },
        Value::Array(items) => items.iter().all(is_canonical),
        // Keys are sorted by bytes here and by UTF-16 there.
        Value::Object(fields) => fields.iter().all(is_canonical_field),
    }
}

fn is_canonical_field((name, value): (&String, &Value)) -> bool {
    name.is_ascii() && is_canonical(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_joined() {
        let check = |first: &str, second, expected: &str| {
            let joined = joined(first.as_bytes().to_vec(), second);
            assert_eq!(String::from_utf8(joined).unwrap(), expected);
        };
        check(r#"{"a":1}"#, r#"{"b":2}"#, r#"{"a":1,"b":2}"#);
        check("{}", r#"{"b":2}"#, r#"{"b":2}"#);
        check(r#"{"a":{}}"#, "{}", r#"{"a":{}}"#);
    }

    #[test]
    fn what_the_canonical_form_writes_otherwise_is_known() {
        for (value, expected) in [
            (json!(0.7), true),
            (json!([null, true, "\u{7}é\u{1f600}", -3]), true),
            (json!(1.0), false),
            (json!(1e-7), false),
            (json!(1e21), false),
            (json!(u64::MAX), false),
            (json!({ "é": 1 }), false),
        ] {
            assert_eq!(is_canonical(&value), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn what_counts_as_canonical_is(number in any::<f64>(), small in -9.0_f64..9.0, whole: i64, text: String) {
            for value in [json!(number), json!(small), json!(whole), json!(text), json!({ "a": [small] })] {
                if is_canonical(&value) {
                    prop_assert_eq!(canonical_json(&value).unwrap(), value.to_string());
                }
            }
        }
    }
}
