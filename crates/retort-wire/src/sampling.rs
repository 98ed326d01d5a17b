//! Sampling parameters in a protocol's own words, and the ones that it has no words for.

use retort_types::Params;
use serde_json::{Number, Value, json};

use crate::encode::{Ask, EncodeError};
use crate::request::Fields;

/// Puts numbers into `fields` that are asked for: the protocol's name of each, its name in `params`
/// and its value.
///
/// # Errors
/// When one of them is not finite.
pub(crate) fn put_numbers(
    fields: &mut Fields,
    numbers: &[(&str, &'static str, Option<f64>)],
) -> Result<(), EncodeError> {
    for (name, param, value) in numbers {
        if let Some(value) = value {
            let number = Number::from_f64(*value).ok_or(EncodeError::NotFinite { param })?;
            fields.insert((*name).to_owned(), Value::Number(number));
        }
    }
    Ok(())
}

/// Puts the stop texts into `fields` under a protocol's name for them when there are any.
pub(crate) fn put_stop(fields: &mut Fields, name: &str, params: &Params) {
    if let Some(stop) = params.stop.as_ref().filter(|texts| !texts.is_empty()) {
        fields.insert(name.to_owned(), json!(stop));
    }
}

/// Puts the token limit into `fields`, under the dialect's name or else the protocol's.
pub(crate) fn put_max_tokens(fields: &mut Fields, name: &str, ask: &Ask<'_>, params: &Params) {
    if let Some(max_tokens) = params.max_tokens {
        let name = ask.options.max_tokens_field.as_deref().unwrap_or(name);
        fields.insert(name.to_owned(), json!(max_tokens));
    }
}

/// Puts the seed into `fields`, under the dialect's name or else the protocol's. A protocol without
/// a seed has one where the dialect names its field.
///
/// # Errors
/// When a seed is asked for and there is no name for it.
pub(crate) fn put_seed(
    fields: &mut Fields,
    name: Option<&str>,
    ask: &Ask<'_>,
    params: &Params,
) -> Result<(), EncodeError> {
    let Some(seed) = params.seed else {
        return Ok(());
    };
    let name = ask.options.seed_field.as_deref().or(name);
    let name = name.ok_or(EncodeError::Unsupported {
        protocol: ask.protocol,
        param: "seed",
    })?;
    fields.insert(name.to_owned(), json!(seed));
    Ok(())
}

/// Refuses parameters that the protocol has no words for, by their names in `params`.
///
/// # Errors
/// When one of them is asked for.
pub(crate) fn refuse(
    ask: &Ask<'_>,
    params: &Params,
    unsupported: &[&'static str],
) -> Result<(), EncodeError> {
    let asked_for = serde_json::to_value(params)?;
    let is_asked = |name: &str| match asked_for.get(name) {
        // An empty list of stop texts asks for nothing.
        Some(Value::Array(items)) => !items.is_empty(),
        Some(_) => true,
        None => false,
    };
    match unsupported.iter().find(|name| is_asked(name)) {
        Some(param) => Err(EncodeError::Unsupported {
            protocol: ask.protocol,
            param,
        }),
        None => Ok(()),
    }
}

/// How hard to think, as protocols tell it apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effort<'a> {
    /// Not at all: the word `none`.
    Off,
    /// With this many tokens at most, or a special number of the provider's.
    Budget(i64),
    /// At a level that the provider has a word for.
    Level(&'a str),
}

impl<'a> Effort<'a> {
    /// Returns what `params` ask for.
    pub(crate) fn of(params: &'a Params) -> Option<Self> {
        let word = params.reasoning_effort.as_deref()?;
        Some(match word.parse() {
            Ok(budget) => Self::Budget(budget),
            Err(_) if word == "none" => Self::Off,
            Err(_) => Self::Level(word),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn efforts_are_budgets_words_or_none() {
        for (word, expected) in [
            ("none", Effort::Off),
            ("low", Effort::Level("low")),
            ("2048", Effort::Budget(2_048)),
            ("-1", Effort::Budget(-1)),
            ("0", Effort::Budget(0)),
        ] {
            let params = Params {
                reasoning_effort: Some(word.to_owned()),
                ..Params::default()
            };
            assert_eq!(Effort::of(&params), Some(expected));
        }
        assert_eq!(Effort::of(&Params::default()), None);
    }
}
