//! The rules of campaigns and catalogs that their types do not carry.

mod campaign;
mod catalog;
mod url;

pub(crate) use campaign::{campaign, exact_numbers as campaign_numbers, prompt_id};
#[cfg(test)]
pub(crate) use catalog::is_date;
pub(crate) use catalog::{AUTO_EXAMPLE, catalog, price, violations};

pub(crate) use self::catalog::{effective_auth, limit_group};

use retort_types::Params;

use crate::error::{SpecError, Step, steps};

/// Largest whole number that canonical JSON keeps exactly: 2^53 - 1.
pub(crate) const EXACT_MAX: u64 = (1 << 53) - 1;

/// Names of the parameters a campaign can set.
pub(crate) const PARAM_NAMES: [&str; 14] = [
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "max_tokens",
    "stop",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "logprobs",
    "reasoning_effort",
    "stream",
    "echo",
];

/// Fields of a request that decide who is asked what and how often: never passed through.
const RESERVED_FIELDS: [&str; 5] = ["model", "messages", "prompt", "n", "best_of"];

/// Returns the first rule that these parameters break; its path begins at the parameters.
pub(crate) fn params(params: &Params) -> Result<(), SpecError> {
    if let Some((field, rule)) = params.out_of_range() {
        let message = format!("`{field}` is out of range");
        return Err(SpecError::campaign(steps![field], message)
            .with_hint(format!("the range of `{field}` is {rule}")));
    }
    if let Some(stop) = &params.stop
        && (stop.is_empty() || stop.iter().any(String::is_empty))
    {
        return Err(
            SpecError::campaign(steps!["stop"], "`stop` is empty or holds an empty text")
                .with_hint("leave it out to set no stop text"),
        );
    }
    if params
        .reasoning_effort
        .as_deref()
        .is_some_and(str::is_empty)
    {
        let message = "`reasoning_effort` is empty";
        return Err(SpecError::campaign(steps!["reasoning_effort"], message)
            .with_hint("leave it out to let the provider decide"));
    }
    for key in params.extra.keys() {
        let here = || steps!["extra", key.as_str()];
        if PARAM_NAMES.contains(&key.as_str()) {
            let message = format!("`{key}` is a parameter of its own");
            return Err(SpecError::campaign(here(), message)
                .with_hint(format!("move `{key}` from `extra` to `params`")));
        }
        reserved_field(key, here())?;
    }
    Ok(())
}

/// Refuses `field` of a request body where it would change who is asked what and how often.
pub(crate) fn reserved_field(field: &str, place: Vec<Step>) -> Result<(), SpecError> {
    if !RESERVED_FIELDS.contains(&field) {
        return Ok(());
    }
    let hint = match field {
        "n" | "best_of" => "`samples` says how many draws",
        "model" => "the catalog says which model is asked",
        _ => "suites say what is asked",
    };
    Err(SpecError::campaign(place, format!("`{field}` cannot be set here")).with_hint(hint))
}

/// Returns the path of the first number in `value` that canonical JSON would not keep exactly.
pub(crate) fn inexact_number(value: &serde_json::Value) -> Option<Vec<Step>> {
    match value {
        serde_json::Value::Number(number) => {
            let whole = number.as_u64().or(number.as_i64().map(i64::unsigned_abs));
            (whole? > EXACT_MAX).then(Vec::new)
        }
        serde_json::Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            let mut path = inexact_number(item)?;
            path.insert(0, Step::from(index));
            Some(path)
        }),
        serde_json::Value::Object(entries) => entries.iter().find_map(|(key, item)| {
            let mut path = inexact_number(item)?;
            path.insert(0, Step::from(key.as_str()));
            Some(path)
        }),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::String(_) => None,
    }
}
