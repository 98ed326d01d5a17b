//! What each protocol looks like when something is wrong inside an answer that says 200.

use serde_json::{Value, json};

use super::error::ApiError;
use super::framing::Event;
use super::{Dialect, Shape};

/// Returns an error as the whole document of a good status.
pub(crate) fn in_band(shape: Shape, error: &ApiError) -> Vec<u8> {
    let document = match shape.dialect() {
        Dialect::Responses => failed(error),
        Dialect::Openai
        | Dialect::Anthropic
        | Dialect::Google
        | Dialect::Amazon
        | Dialect::Cohere
        | Dialect::Ollama => error.document(shape.dialect(), error.status),
    };
    document.to_string().into_bytes()
}

fn failed(error: &ApiError) -> Value {
    json!({
        "id": "resp_0",
        "object": "response",
        "status": "failed",
        "error": {"code": code(error), "message": error.message},
        "incomplete_details": null,
        "output": [],
        "usage": null,
    })
}

/// Returns the code, which responses always have.
fn code(error: &ApiError) -> &str {
    error.code.as_deref().unwrap_or("server_error")
}

/// Returns the events that tell an error in the midst of a stream; `number` events came before.
pub(crate) fn in_stream(shape: Shape, error: &ApiError, number: usize) -> Vec<Event> {
    let status = error.status;
    let body = error.document(shape.dialect(), status);
    match shape.dialect() {
        Dialect::Openai | Dialect::Google | Dialect::Ollama => vec![Event::new("", &body)],
        Dialect::Anthropic => vec![Event::new("error", &body)],
        Dialect::Responses => {
            let told = json!({
                "type": "error",
                "code": code(error),
                "message": error.message,
                "param": null,
                "sequence_number": number,
            });
            let end = json!({
                "type": "response.failed",
                "response": failed(error),
                "sequence_number": number + 1,
            });
            vec![
                Event::new("error", &told),
                Event::new("response.failed", &end),
            ]
        }
        Dialect::Amazon => vec![Event::new(stream_exception(error), &body)],
        Dialect::Cohere => {
            let delta = json!({"finish_reason": "ERROR", "error": error.message});
            let end = json!({"type": "message-end", "delta": delta});
            vec![Event::new("message-end", &end)]
        }
    }
}

/// Returns the exception's name, which in streams begins with a small letter.
fn stream_exception(error: &ApiError) -> &'static str {
    match error.amazon_type(error.status) {
        "ThrottlingException" => "throttlingException",
        "ValidationException" => "validationException",
        "ServiceUnavailableException" => "serviceUnavailableException",
        "ModelTimeoutException" | "ModelErrorException" => "modelStreamErrorException",
        _ => "internalServerException",
    }
}

/// Returns an answer that is good but for its numbers, which fit no integer.
pub(crate) const fn huge_numbers(shape: Shape) -> &'static [u8] {
    match shape {
        Shape::Chat => {
            br#"{"id":"chatcmpl-1","object":"chat.completion","created":18446744073709551616,"model":"m","choices":[{"index":99999999999999999999,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1e308,"completion_tokens":-1,"total_tokens":123456789012345678901234567890}}"#
        }
        Shape::Completion => {
            br#"{"id":"cmpl-1","object":"text_completion","created":18446744073709551616,"model":"m","choices":[{"index":99999999999999999999,"text":"ok","finish_reason":"stop"}],"usage":{"prompt_tokens":1e308,"completion_tokens":-1,"total_tokens":123456789012345678901234567890}}"#
        }
        Shape::Responses => {
            br#"{"id":"resp_1","object":"response","created_at":18446744073709551616,"status":"completed","model":"m","output":[{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","annotations":[],"text":"ok"}]}],"usage":{"input_tokens":1e308,"output_tokens":-1,"total_tokens":123456789012345678901234567890}}"#
        }
        Shape::Messages => {
            br#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"ok"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1e308,"output_tokens":-1}}"#
        }
        Shape::Gemini => {
            br#"{"candidates":[{"content":{"role":"model","parts":[{"text":"ok"}]},"finishReason":"STOP","index":99999999999999999999}],"usageMetadata":{"promptTokenCount":1e308,"candidatesTokenCount":-1,"totalTokenCount":123456789012345678901234567890},"modelVersion":"m"}"#
        }
        Shape::Converse => {
            br#"{"output":{"message":{"role":"assistant","content":[{"text":"ok"}]}},"stopReason":"end_turn","usage":{"inputTokens":1e308,"outputTokens":-1,"totalTokens":123456789012345678901234567890},"metrics":{"latencyMs":18446744073709551616}}"#
        }
        Shape::Cohere => {
            br#"{"id":"1","finish_reason":"COMPLETE","message":{"role":"assistant","content":[{"type":"text","text":"ok"}]},"usage":{"tokens":{"input_tokens":1e308,"output_tokens":-1}}}"#
        }
        Shape::OllamaChat => {
            br#"{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"ok"},"done":true,"done_reason":"stop","prompt_eval_count":1e308,"eval_count":-1,"total_duration":123456789012345678901234567890}"#
        }
        Shape::OllamaGenerate => {
            br#"{"model":"m","created_at":"2026-01-01T00:00:00Z","response":"ok","done":true,"done_reason":"stop","prompt_eval_count":1e308,"eval_count":-1,"total_duration":123456789012345678901234567890}"#
        }
    }
}
