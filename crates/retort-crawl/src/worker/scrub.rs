//! Takes a request's own secrets out of what a host sent back, before anything is stored.

use retort_client::{Secret, redact};
use retort_types::Reply;
use retort_types::record::AttemptRecord;
use retort_types::reply::ProviderError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Returns whether a decoded text holds a secret: escapes and stream deltas hide it from a look at
/// the bytes.
pub(super) fn holds(record: &AttemptRecord, secrets: &[&Secret]) -> bool {
    reply_holds(&record.reply, record.error.as_ref(), secrets)
}

/// Returns the same of what was decoded.
pub(super) fn reply_holds(
    reply: &Reply,
    error: Option<&ProviderError>,
    secrets: &[&Secret],
) -> bool {
    let texts = [
        &reply.text,
        &reply.reasoning_text,
        &reply.refusal_text,
        &reply.tool_calls,
        &reply.usage_raw,
    ];
    let error = error
        .into_iter()
        .flat_map(|error| [&error.message, &error.code, &error.kind]);
    let mut texts = texts.into_iter().chain(error).flatten();
    texts.any(|text| secrets.iter().any(|secret| secret.is_in(text)))
}

/// Replaces the secrets in every text that came from the host. Tokens are dropped whole: they may
/// hold it in pieces.
pub(super) fn scrub(record: &mut AttemptRecord, secrets: &[&Secret]) {
    record.reply.tokens.clear();
    record.reply = scrubbed(&record.reply, secrets);
    record.error = scrubbed(&record.error, secrets);
    record.http = scrubbed(&record.http, secrets);
    record.late_fault = scrubbed(&record.late_fault, secrets);
}

fn scrubbed<T: Serialize + DeserializeOwned + Default>(value: &T, secrets: &[&Secret]) -> T {
    let walked = serde_json::to_value(value).map(|json| walk(json, secrets));
    // What does not come back from JSON is given up rather than stored with the secret in it.
    walked.and_then(serde_json::from_value).unwrap_or_default()
}

fn walk(value: Value, secrets: &[&Secret]) -> Value {
    match value {
        Value::String(text) => Value::String(redact(&text, secrets)),
        Value::Array(items) => items.into_iter().map(|item| walk(item, secrets)).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, field)| (name, walk(field, secrets)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_walked() {
        let secret = Secret::new("sk-0123456789abcdef".to_owned());
        let reply = Reply {
            text: Some("it is sk-0123456789abcdef!".to_owned()),
            ..Reply::default()
        };
        assert_eq!(
            scrubbed(&reply, &[&secret]).text.as_deref(),
            Some("it is [redacted]!")
        );
        let error = Some(ProviderError {
            message: Some("bad key sk-0123456789abcdef".to_owned()),
            ..ProviderError::default()
        });
        assert_eq!(
            scrubbed(&error, &[&secret]).unwrap().message.as_deref(),
            Some("bad key [redacted]")
        );
    }
}
