//! Finish reasons of every protocol in one vocabulary, and what they make of an answer.

use retort_types::Outcome;
use retort_types::reply::{FinishReason, Reply};

/// Returns the normalised form of a provider's own word. The words of different protocols do not
/// contradict each other, and routers pass those of one through another.
pub(crate) fn normalised(reason: &str) -> FinishReason {
    match reason.to_ascii_lowercase().as_str() {
        "stop" | "eos" | "eos_token" | "end_turn" | "stop_sequence" | "complete" | "completed" => {
            FinishReason::Stop
        }
        "length" | "max_tokens" | "max_output_tokens" => FinishReason::MaxTokens,
        "model_length" | "model_context_window_exceeded" | "error_limit" => FinishReason::ModelLength,
        "tool_calls" | "tool_call" | "tool_use" | "function_call" => FinishReason::ToolCalls,
        "content_filter" | "content_filtered" | "safety" | "sensitive" | "refusal"
        | "guardrail_intervened" | "error_toxic"
        // Google's words for texts that its filters withheld.
        | "recitation" | "blocklist" | "prohibited_content" | "spii" | "language" | "model_armor"
        | "image_safety" | "image_prohibited_content" | "image_recitation" => {
            FinishReason::ContentFilter
        }
        _ => FinishReason::Unknown,
    }
}

/// Returns how an answer that came to its end counts.
pub(crate) fn ended_as(reply: &Reply) -> Outcome {
    let raw = reply.finish_reason_raw.as_deref().unwrap_or_default();
    match (raw.to_ascii_lowercase().as_str(), reply.finish_reason) {
        // The last four are Bedrock's words for an output of the model that it could not make sense
        // of, and Ollama's for having loaded or unloaded a model and asked it nothing.
        (
            "error"
            | "failed"
            | "abort"
            | "aborted"
            | "cancelled"
            | "canceled"
            | "malformed_model_output"
            | "malformed_tool_use"
            | "load"
            | "unload",
            _,
        ) => Outcome::ProviderError,
        ("timeout", _) => Outcome::Timeout,
        // DeepSeek's word for an answer that it broke off for want of capacity.
        ("insufficient_system_resource", _) => Outcome::Overloaded,
        ("refusal", _) => Outcome::Refused,
        (_, Some(FinishReason::ContentFilter)) => Outcome::Filtered,
        _ if reply.refusal_text.is_some() => Outcome::Refused,
        _ => Outcome::Answered,
    }
}
