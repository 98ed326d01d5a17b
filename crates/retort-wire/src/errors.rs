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

/// Returns what `body` tells, whatever it is; waiting times count from `now`.
pub(crate) fn read(body: &str, now: Timestamp) -> Found {
    let text = body.trim_start_matches('\u{feff}').trim();
    read_json(text, now)
        .or_else(|| read_events(text, now))
        .unwrap_or_else(|| {
            let message = Some(text.to_owned()).filter(|text| !text.is_empty());
            finished(Found {
                error: ProviderError {
                    message,
                    ..Default::default()
                },
                ..Found::default()
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
    let word = |names: &[&str]| {
        names
            .iter()
            .filter_map(|name| fields.get(*name))
            .find_map(|value| match value {
                Value::String(text) if !text.is_empty() && text != "error" => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            })
    };
    let messages = [
        "message",
        "detail",
        "error_message",
        "error_description",
        "msg",
        "Message",
    ];
    let mut message = messages
        .iter()
        .filter_map(|name| fields.get(*name))
        .find_map(message_of);
    let metadata = fields.get("metadata");
    if let Some(Value::String(raw)) = metadata.and_then(|metadata| metadata.get("raw")) {
        // A router's own message says only that something failed upstream.
        message = Some(message.map_or_else(|| raw.clone(), |own| format!("{own}: {raw}")));
    }
    let numbers = ["code", "status", "status_code", "statusCode"];
    let status = numbers
        .iter()
        .filter_map(|name| fields.get(*name))
        .find_map(status_of);
    let details = fields.get("details");
    let code = details
        .and_then(|details| details.get("error_code"))
        .and_then(Value::as_str);
    Found {
        error: ProviderError {
            kind: word(&["type", "status", "error_type", "__type", "title"])
                .filter(|kind| !kind.starts_with(|c: char| c.is_ascii_digit())),
            code: code
                .map(str::to_owned)
                .or_else(|| word(&["code", "error_code"])),
            message,
        },
        status,
        wait: durations::in_details(details, metadata, now),
        reasons: reasons(details),
    }
}

fn status_of(value: &Value) -> Option<u16> {
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    number
        .and_then(|n| u16::try_from(n).ok())
        .filter(|status| (400..600).contains(status))
}

/// Returns a message, which some providers nest. Of a list of invalid fields only place and rule
/// are taken: the refused values may be the prompt.
fn message_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Array(items) => {
            let messages: Vec<String> = items.iter().filter_map(invalid_field).collect();
            (!messages.is_empty()).then(|| messages.join("; "))
        }
        Value::Object(fields) => ["message", "msg", "detail", "error"]
            .iter()
            .filter_map(|name| fields.get(*name))
            .find_map(|inner| match inner {
                Value::String(text) => Some(text.clone()),
                Value::Array(items) => {
                    let messages: Vec<String> = items.iter().filter_map(invalid_field).collect();
                    (!messages.is_empty()).then(|| messages.join("; "))
                }
                _ => None,
            }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn invalid_field(item: &Value) -> Option<String> {
    if let Value::String(text) = item {
        return Some(text.clone());
    }
    let rule = item.get("msg").or_else(|| item.get("message"))?.as_str()?;
    let steps = item
        .get("loc")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let place: Vec<String> = steps
        .iter()
        .map(|step| {
            step.as_str()
                .map_or_else(|| step.to_string(), str::to_owned)
        })
        .collect();
    Some(if place.is_empty() {
        rule.to_owned()
    } else {
        format!("{}: {rule}", place.join("."))
    })
}

/// Returns the reasons that Google lists beside the message.
fn reasons(details: Option<&Value>) -> Vec<String> {
    let items = details
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let reasons = items.iter().filter_map(|item| item.get("reason")?.as_str());
    reasons
        .map(|reason| reason.chars().take(WORD_MAX_CHARS).collect())
        .take(16)
        .collect()
}
