//! One reply as a file tells it.

use std::sync::Arc;

use retort_types::reply::{FinishReason, ProviderError};
use retort_types::{Outcome, Params, PromptInput, Reply, SuiteName, Timestamp};

use super::error::{ImportError, Position};

/// One reply; whatever the file does not tell is absent.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) position: Position<'a>,
    pub(super) model: String,
    pub(super) prompt: Asked,
    pub(super) sample_index: Option<u32>,
    /// How the attempt ended and how the sample ended.
    pub(super) outcome: Outcome,
    pub(super) final_outcome: Outcome,
    pub(super) reason: Option<String>,
    pub(super) reply: Reply,
    pub(super) http_status: Option<u16>,
    pub(super) request_id: Option<String>,
    pub(super) error: Option<ProviderError>,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) params: Params,
    pub(super) request_params: Option<String>,
}

/// What was asked, as far as it is known.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) prompt: Known,
    pub(super) suite: Option<SuiteName>,
    pub(super) id: Option<String>,
}

/// A prompt, or the id that stands for one that no file tells.
#[derive(Debug, Clone)]
pub(super) enum Known {
    Input(Arc<PromptInput>),
    CustomId(String),
}

/// Takes what a reader of files makes of them.
pub(super) type Sink<'s> = dyn FnMut(Row<'_>) -> Result<(), ImportError> + 's;

/// Returns the normalised word for a provider's finish reason.
pub(super) fn finish_reason(raw: &str) -> FinishReason {
    match raw.to_ascii_lowercase().as_str() {
        "stop" | "end_turn" | "eos" | "stop_sequence" | "completed" => FinishReason::Stop,
        "length" | "max_tokens" | "max_output_tokens" => FinishReason::MaxTokens,
        "model_length" => FinishReason::ModelLength,
        "tool_calls" | "tool_use" | "function_call" => FinishReason::ToolCalls,
        "content_filter" | "refusal" | "safety" => FinishReason::ContentFilter,
        _ => FinishReason::Unknown,
    }
}
