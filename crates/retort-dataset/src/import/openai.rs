//! What a body of OpenAI's shape says: how the request ended, and the reply in it.
//!
//! Chat completions, text completions and responses are read. Export uses the same rules to see
//! what a reader would take a row for.

use retort_types::reply::{ProviderError, TokenLogprob, TopToken, Usage};
use retort_types::token::{TokenBytes, TokenText};
use retort_types::{Outcome, Reply};
use serde_json::Value;

use super::row::finish_reason;

/// How a request of a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// How its attempt ended.
    pub(crate) attempt: Outcome,
    /// How its sample ended.
    pub(crate) sample: Outcome,
}

impl Ended {
    const fn both(outcome: Outcome) -> Self {
        Self {
            attempt: outcome,
            sample: outcome,
        }
    }

    const fn gave_up(cause: Outcome) -> Self {
        Self {
            attempt: cause,
            sample: Outcome::GaveUp,
        }
    }
}

/// Returns how a request ended by its status, its body and the code of the line's error, which
/// may be an outcome of ours: how the sample ended, or the cause for which it was given up.
pub(crate) fn ended(status: Option<u16>, body: Option<&Value>, code: Option<&str>) -> Ended {
    let by_response = body.map(|body| by_response(status, body));
    let ours = code.and_then(|code| code.parse::<Outcome>().ok());
    match (ours, by_response) {
        (Some(Outcome::GaveUp), Some(response)) if response.attempt.is_missing() => {
            Ended::gave_up(response.attempt)
        }
        (Some(Outcome::GaveUp), _) => Ended::gave_up(Outcome::ProviderError),
        (Some(outcome), _) if outcome.is_terminal() => Ended::both(outcome),
        (Some(cause), _) => Ended::gave_up(cause),
        (None, Some(response)) => response,
        (None, None) => match code {
            Some("batch_expired" | "batch_cancelled") => Ended::both(Outcome::NotAsked),
            Some(_) | None => Ended::gave_up(Outcome::ProviderError),
        },
    }
}

fn by_response(status: Option<u16>, body: &Value) -> Ended {
    let code = text_at(body, "/error/code").unwrap_or_default();
    let failed = body.get("error").is_some_and(|error| !error.is_null());
    match status.unwrap_or(if failed { 500 } else { 200 }) {
        200..300 if !failed => by_reply(&reply(body)),
        400 | 413 | 422 => match code.as_str() {
            "context_length_exceeded" => Ended::both(Outcome::ContextLength),
            "content_filter" | "content_policy_violation" => Ended::both(Outcome::Filtered),
            _ => Ended::both(Outcome::InvalidRequest),
        },
        401 | 403 => Ended::both(Outcome::Unauthorized),
        402 => Ended::both(Outcome::QuotaExhausted),
        404 => Ended::both(Outcome::NotFound),
        429 if code == "insufficient_quota" => Ended::both(Outcome::QuotaExhausted),
        429 => Ended::gave_up(Outcome::RateLimited),
        408 | 504 => Ended::gave_up(Outcome::Timeout),
        503 | 529 => Ended::gave_up(Outcome::Overloaded),
        _ => Ended::gave_up(Outcome::ProviderError),
    }
}

fn by_reply(reply: &Reply) -> Ended {
    let filtered = reply.finish_reason == Some(retort_types::reply::FinishReason::ContentFilter);
    if reply.refusal_text.is_some() {
        Ended::both(Outcome::Refused)
    } else if filtered {
        Ended::both(Outcome::Filtered)
    } else if reply.text.is_some() || reply.tool_calls.is_some() || reply.finish_reason.is_some() {
        Ended::both(Outcome::Answered)
    } else {
        Ended::gave_up(Outcome::Undecodable)
    }
}

/// Returns the reply in a body; what it does not tell is absent.
pub(super) fn reply(body: &Value) -> Reply {
    let usage = body.get("usage").filter(|usage| !usage.is_null());
    let mut reply = Reply {
        served_model: text_at(body, "/model"),
        response_id: text_at(body, "/id"),
        system_fingerprint: text_at(body, "/system_fingerprint"),
        upstream_provider: text_at(body, "/provider"),
        usage: usage.map(usage_of).unwrap_or_default(),
        usage_raw: usage.map(Value::to_string),
        ..Reply::default()
    };
    if let Some(choice) = body.pointer("/choices/0") {
        first_choice(choice, &mut reply);
    } else if let Some(output) = body.get("output").and_then(Value::as_array) {
        response_items(output, &mut reply);
        let cut = text_at(body, "/incomplete_details/reason");
        set_finish(&mut reply, cut.or_else(|| text_at(body, "/status")));
    }
    reply
}

fn first_choice(choice: &Value, reply: &mut Reply) {
    set_finish(reply, text_at(choice, "/finish_reason"));
    reply.text = text_at(choice, "/message/content").or_else(|| text_at(choice, "/text"));
    reply.refusal_text = text_at(choice, "/message/refusal");
    for field in ["reasoning_content", "reasoning"] {
        if reply.reasoning_text.is_none() {
            reply.reasoning_text = text_at(choice, &format!("/message/{field}"));
        }
    }
    reply.reasoning_source = reply.reasoning_text.as_ref().map(|_| "field".to_owned());
    let calls = choice.pointer("/message/tool_calls");
    let calls = calls.filter(|calls| calls.as_array().is_some_and(|calls| !calls.is_empty()));
    reply.tool_calls = calls.map(Value::to_string);
    let told = choice
        .pointer("/logprobs/content")
        .and_then(Value::as_array);
    reply.tokens = told.into_iter().flatten().map(token).collect();
}

/// Reads the output of the responses API: messages of texts and refusals, and summaries.
fn response_items(output: &[Value], reply: &mut Reply) {
    let append = |slot: &mut Option<String>, text: Option<String>| {
        if let Some(text) = text {
            slot.get_or_insert_default().push_str(&text);
        }
    };
    for item in output {
        let parts = |name: &str| item.get(name).and_then(Value::as_array);
        for part in parts("content").into_iter().flatten() {
            match part.get("type").and_then(Value::as_str) {
                Some("output_text") => append(&mut reply.text, text_at(part, "/text")),
                Some("refusal") => append(&mut reply.refusal_text, text_at(part, "/refusal")),
                Some(_) | None => {}
            }
        }
        for part in parts("summary").into_iter().flatten() {
            append(&mut reply.reasoning_text, text_at(part, "/text"));
        }
    }
    reply.reasoning_source = reply.reasoning_text.as_ref().map(|_| "summary".to_owned());
}

fn set_finish(reply: &mut Reply, raw: Option<String>) {
    reply.finish_reason = raw.as_deref().map(finish_reason);
    reply.finish_reason_raw = raw;
}

fn usage_of(usage: &Value) -> Usage {
    let count = |places: &[&str]| {
        let found = places
            .iter()
            .find_map(|place| usage.pointer(place)?.as_u64());
        found.and_then(|count| u32::try_from(count).ok())
    };
    Usage {
        input_tokens: count(&["/prompt_tokens", "/input_tokens"]),
        output_tokens: count(&["/completion_tokens", "/output_tokens"]),
        reasoning_tokens: count(&[
            "/completion_tokens_details/reasoning_tokens",
            "/output_tokens_details/reasoning_tokens",
        ]),
        cache_read_tokens: count(&[
            "/prompt_tokens_details/cached_tokens",
            "/input_tokens_details/cached_tokens",
        ]),
        cache_write_tokens: None,
    }
}

fn token(told: &Value) -> TokenLogprob {
    let own: Option<TokenText> = text_at(told, "/token").map(Into::into);
    let top: Vec<TopToken> = told
        .get("top_logprobs")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|told| {
            Some(TopToken {
                token: text_at(told, "/token")?.into(),
                bytes: bytes_of(told),
                logprob: logprob_of(told)?,
            })
        })
        .collect();
    let rank = top
        .iter()
        .position(|alternative| Some(&alternative.token) == own.as_ref());
    TokenLogprob {
        token: own,
        bytes: bytes_of(told),
        logprob: logprob_of(told),
        rank: rank.and_then(|rank| u32::try_from(rank + 1).ok()),
        top,
        ..TokenLogprob::default()
    }
}

fn bytes_of(told: &Value) -> Option<TokenBytes> {
    let numbers = told.get("bytes")?.as_array()?;
    let byte = |number: &Value| u8::try_from(number.as_u64()?).ok();
    numbers.iter().map(byte).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the column holds 32 bits, which is more than providers compute"
)]
fn logprob_of(told: &Value) -> Option<f32> {
    told.get("logprob")?.as_f64().map(|logprob| logprob as f32)
}

/// Returns the provider's error in a body or a line.
pub(super) fn error_of(error: Option<&Value>) -> Option<ProviderError> {
    let error = error.filter(|error| !error.is_null())?;
    let message = text_at(error, "/message").or_else(|| error.as_str().map(str::to_owned));
    let bounded = |text: String| {
        let most = retort_types::reply::ERROR_MESSAGE_MAX_CHARS;
        text.chars().take(most).collect::<String>()
    };
    Some(ProviderError {
        kind: text_at(error, "/type").map(bounded),
        code: text_at(error, "/code").map(bounded),
        message: message.map(bounded),
    })
}

/// Returns the text at a JSON pointer; a number counts as its digits.
pub(super) fn text_at(value: &Value, pointer: &str) -> Option<String> {
    match value.pointer(pointer)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
