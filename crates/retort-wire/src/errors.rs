//! Errors in the many shapes that providers and their gateways give them.

mod meaning;

use std::time::Duration;

use retort_types::Timestamp;
use retort_types::reply::{ERROR_MESSAGE_MAX_CHARS, ProviderError};
use serde_json::{Map, Value};

use crate::limits::durations;
use crate::sse::SseParser;

pub(crate) use meaning::outcome;

/// Longest body that is read as JSON, in bytes. Errors are short; a larger one is kept as text.
const JSON_MAX_BYTES: usize = 1 << 20;

/// Longest kind and code that are kept, in characters. Known ones are short words.
const WORD_MAX_CHARS: usize = 200;

/// How many levels of errors within errors are followed. Routers wrap one into another.
const NESTING_MAX: usize = 4;

/// An error as found, and what it tells besides its words.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) error: ProviderError,
    /// Status that a body of success says the error has.
    pub(crate) status: Option<u16>,
    /// How long its words say to wait.
    pub(crate) wait: Option<Duration>,
    /// Further words that decide what it means, and are not kept.
    pub(crate) reasons: Vec<String>,
}

/// Returns whether an `error` field tells one: some servers write an empty one beside answers.
pub(crate) fn is_told(raw: &str) -> bool {
    !matches!(raw, "null" | "false" | "\"\"" | "{}" | "[]" | "0")
}

/// Returns what `body` tells, whatever it is; waiting times count from `now`.
pub(crate) fn read(body: &str, now: Timestamp) -> Found {
    let text = body.trim_start_matches('\u{feff}').trim();
    read_json(text, now)
        .or_else(|| read_events(text, now))
        .unwrap_or_else(|| {
            let message = Some(text.to_owned()).filter(|text| !text.is_empty());
            of(ProviderError {
                message,
                ..Default::default()
            })
        })
}

/// Returns what `body` tells, or nothing when it is not JSON or tells no error.
pub(crate) fn read_json(body: &str, now: Timestamp) -> Option<Found> {
    let text = body.trim();
    if text.len() > JSON_MAX_BYTES || !text.starts_with(['{', '[', '"']) {
        return None;
    }
    in_value(&serde_json::from_str(text).ok()?, now, NESTING_MAX).map(finished)
}

/// Some servers answer a streaming request with an error status and one event.
fn read_events(text: &str, now: Timestamp) -> Option<Found> {
    if !text.starts_with("data:") && !text.starts_with("event:") {
        return None;
    }
    let mut found = None;
    let mut parser = SseParser::new();
    let mut on_event = |_: &str, data: &str| {
        found = found.take().or_else(|| read_json(data, now));
    };
    parser.push(text.as_bytes(), &mut on_event);
    parser.finish(&mut on_event);
    found
}

/// Returns an error that is told in other ways than as one, cut as others are.
pub(crate) fn of(error: ProviderError) -> Found {
    finished(Found {
        error,
        ..Found::default()
    })
}

/// Cuts what is kept, after taking the waiting time out of the whole message.
fn finished(mut found: Found) -> Found {
    let error = &mut found.error;
    if let Some(message) = &error.message {
        found.wait = found.wait.max(durations::in_words(message));
    }
    for (text, max) in [
        (&mut error.kind, WORD_MAX_CHARS),
        (&mut error.code, WORD_MAX_CHARS),
        (&mut error.message, ERROR_MESSAGE_MAX_CHARS),
    ] {
        if let Some(text) = text
            && let Some((end, _)) = text.char_indices().nth(max)
        {
            text.truncate(end);
        }
    }
    found
}

fn in_value(value: &Value, now: Timestamp, levels: usize) -> Option<Found> {
    let levels = levels.checked_sub(1)?;
    match value {
        Value::Array(items) => items.iter().find_map(|item| in_value(item, now, levels)),
        Value::String(text) if !text.is_empty() => Some(Found {
            error: ProviderError {
                message: Some(text.clone()),
                ..Default::default()
            },
            ..Found::default()
        }),
        Value::Object(outer) => in_object(outer, now, levels),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn in_object(outer: &Map<String, Value>, now: Timestamp, levels: usize) -> Option<Found> {
    let own = own_words(outer, now);
    let wrapped = ["error", "errors", "choices"]
        .iter()
        .filter_map(|name| outer.get(*name))
        .filter(|inner| !matches!(inner, Value::Object(map) if map.is_empty()))
        .find_map(|inner| in_value(inner, now, levels));
    match wrapped {
        Some(mut inner) => {
            let error = &mut inner.error;
            error.kind = error.kind.take().or(own.error.kind);
            error.code = error.code.take().or(own.error.code);
            error.message = error.message.take().or(own.error.message);
            inner.status = inner.status.or(own.status);
            inner.wait = inner.wait.max(own.wait);
            inner.reasons.extend(own.reasons);
            Some(inner)
        }
        None => (own.error != ProviderError::default()).then_some(own),
    }
}

/// Returns what the fields of one object say, without what they wrap.
fn own_words(fields: &Map<String, Value>, now: Timestamp) -> Found {
    let mut message = told(fields, &MESSAGE_FIELDS).find_map(|value| message_of(value, 2));
    let metadata = fields.get("metadata");
    if let Some(Value::String(raw)) = metadata.and_then(|metadata| metadata.get("raw")) {
        // A router's own message says only that something failed upstream.
        message = Some(message.map_or_else(|| raw.clone(), |own| format!("{own}: {raw}")));
    }
    let details = fields.get("details");
    let code = details.and_then(|details| details.get("error_code"));
    Found {
        error: ProviderError {
            kind: told(fields, &KIND_FIELDS)
                .filter_map(word_of)
                .find(|kind| !kind.starts_with(|c: char| c.is_ascii_digit())),
            code: code
                .into_iter()
                .chain(told(fields, &["code", "error_code"]))
                .find_map(word_of),
            message,
        },
        status: told(fields, &STATUS_FIELDS).find_map(status_of),
        wait: durations::in_details(details, metadata, now),
        reasons: reasons(details),
    }
}

/// Fields that hold a message, the usual first.
const MESSAGE_FIELDS: [&str; 7] = [
    "message",
    "detail",
    "error_message",
    "error_description",
    "msg",
    "Message",
    "error",
];

/// Fields that hold a kind of error, the usual first.
const KIND_FIELDS: [&str; 5] = ["type", "status", "error_type", "__type", "title"];

/// Fields that may hold a status.
const STATUS_FIELDS: [&str; 4] = ["code", "status", "status_code", "statusCode"];

fn told<'a>(
    fields: &'a Map<String, Value>,
    names: &'a [&str],
) -> impl Iterator<Item = &'a Value> + 'a {
    names.iter().filter_map(|name| fields.get(*name))
}

fn word_of(value: &Value) -> Option<String> {
    match value {
        // "error" as a kind of error says nothing.
        Value::String(text) if !text.is_empty() && text != "error" => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

fn status_of(value: &Value) -> Option<u16> {
    let status = word_of(value)?.parse().ok()?;
    (400..600).contains(&status).then_some(status)
}

/// Returns a message, which some providers nest. Of a list of invalid fields only place and rule
/// are taken: the refused values may be the prompt.
fn message_of(value: &Value, levels: usize) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Array(items) => {
            let messages: Vec<String> = items.iter().filter_map(invalid_field).collect();
            (!messages.is_empty()).then(|| messages.join("; "))
        }
        Value::Object(fields) => {
            let levels = levels.checked_sub(1)?;
            told(fields, &MESSAGE_FIELDS).find_map(|inner| message_of(inner, levels))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn invalid_field(item: &Value) -> Option<String> {
    if let Value::String(text) = item {
        return Some(text.clone());
    }
    let rule = item.get("msg").or_else(|| item.get("message"))?.as_str()?;
    let steps = list(item.get("loc")).iter().filter_map(word_of);
    let place: Vec<String> = steps.collect();
    if place.is_empty() {
        return Some(rule.to_owned());
    }
    Some(format!("{}: {rule}", place.join(".")))
}

fn list(value: Option<&Value>) -> &[Value] {
    value
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// Most reasons that are looked at. Google lists one or two.
const REASONS_MAX: usize = 16;

/// Returns the reasons that Google lists beside the message.
fn reasons(details: Option<&Value>) -> Vec<String> {
    let reasons = list(details)
        .iter()
        .filter_map(|item| item.get("reason")?.as_str());
    reasons
        .take(REASONS_MAX)
        .map(|reason| reason.chars().take(WORD_MAX_CHARS).collect())
        .collect()
}

#[cfg(test)]
mod tests;
