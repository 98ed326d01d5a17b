//! Takes a request's own secret out of what a host sent back, before anything is stored.

use retort_client::{SecretHeader, redact};
use retort_types::Reply;
use retort_types::record::AttemptRecord;
use retort_types::reply::ProviderError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Returns whether a decoded text holds the secret: escapes and stream deltas hide it from a look at
/// the bytes.
pub(super) fn holds(record: &AttemptRecord, secret: &SecretHeader) -> bool {
    reply_holds(&record.reply, record.error.as_ref(), secret)
}

/// Returns the same of what was decoded.
pub(super) fn reply_holds(
    reply: &Reply,
    error: Option<&ProviderError>,
    secret: &SecretHeader,
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
    texts.any(|text| secret.is_echoed_in(text))
}

/// Replaces the secret in every text that came from the host. Tokens are dropped whole: they may
/// hold it in pieces.
pub(super) fn scrub(record: &mut AttemptRecord, secret: &SecretHeader) {
    record.reply.tokens.clear();
    record.reply = scrubbed(&record.reply, secret);
    record.error = scrubbed(&record.error, secret);
    record.http = scrubbed(&record.http, secret);
    record.late_fault = scrubbed(&record.late_fault, secret);
}

fn scrubbed<T: Serialize + DeserializeOwned + Default>(value: &T, secret: &SecretHeader) -> T {
    let walked = serde_json::to_value(value).map(|json| walk(json, secret));
    // What does not come back from JSON is given up rather than stored with the secret in it.
    walked.and_then(serde_json::from_value).unwrap_or_default()
}

fn walk(value: Value, secret: &SecretHeader) -> Value {
    match value {
        Value::String(text) => Value::String(redact(&text, &[secret.secret()])),
        Value::Array(items) => items.into_iter().map(|item| walk(item, secret)).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, field)| (name, walk(field, secret)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use retort_client::Secret;

    #[test]
    fn every_text_is_walked() {
        let secret = SecretHeader::new(
            "authorization",
            "Bearer ",
            Secret::new("sk-0123456789abcdef".to_owned()),
        )
        .unwrap();
        let reply = Reply {
            text: Some("it is sk-0123456789abcdef!".to_owned()),
            ..Reply::default()
        };
        assert_eq!(
            scrubbed(&reply, &secret).text.as_deref(),
            Some("it is [redacted]!")
        );
        let error = Some(ProviderError {
            message: Some("bad key sk-0123456789abcdef".to_owned()),
            ..ProviderError::default()
        });
        assert_eq!(
            scrubbed(&error, &secret).unwrap().message.as_deref(),
            Some("bad key [redacted]")
        );
    }
}
