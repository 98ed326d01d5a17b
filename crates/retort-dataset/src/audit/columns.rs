//! Which columns say what.

/// Columns of `responses` that the plan decides.
pub(super) const PLANNED: &[&str] = &[
    "sample_id",
    "campaign",
    "plan_hash",
    "round",
    "arm",
    "arm_digest",
    "block_id",
    "order_in_block",
    "plan_index",
    "suite",
    "prompt_id",
    "prompt_digest",
    "mode",
    "sample_index",
    "model",
    "request_model",
    "provider",
    "account",
    "domain",
    "wire_protocol",
    "streamed",
    "messages",
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "seed",
    "logprob_top_k",
];

/// Columns of `responses` that follow from the exchange.
pub(super) const RECEIVED: &[&str] = &[
    "last_outcome",
    "response_text",
    "reasoning_text",
    "reasoning_source",
    "refusal_text",
    "tool_calls",
    "finish_reason",
    "finish_reason_raw",
    "input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "usage_raw",
    "served_model",
    "system_fingerprint",
    "upstream_provider",
    "response_id",
    "stream_end",
    "http_status",
    "response_headers",
    "provider_request_id",
    "error_kind",
    "error_code",
    "error_message",
    "retry_after_ms",
    "request_sha256",
    "response_sha256",
    "response_bytes",
];

/// Columns of `attempts` that the plan decides.
pub(super) const PLANNED_ATTEMPT: &[&str] = &[
    "sample_id",
    "campaign",
    "plan_hash",
    "plan_index",
    "model",
    "domain",
];

/// Columns of `attempts` that follow from the exchange.
pub(super) const RECEIVED_ATTEMPT: &[&str] = &[
    "outcome",
    "http_status",
    "error_kind",
    "error_code",
    "error_message",
    "retry_after_ms",
    "input_tokens",
    "output_tokens",
    "provider_request_id",
    "request_sha256",
    "response_sha256",
    "response_bytes",
];

/// Columns of a final row and of its attempt that say the same: (`responses`, `attempts`).
pub(super) const SHARED: &[(&str, &str)] = &[
    ("sample_id", "sample_id"),
    ("plan_index", "plan_index"),
    ("model", "model"),
    ("attempts", "attempt_no"),
    ("last_outcome", "outcome"),
    ("outcome", "final_outcome"),
    ("reason", "reason"),
    ("http_status", "http_status"),
    ("error_kind", "error_kind"),
    ("error_code", "error_code"),
    ("error_message", "error_message"),
    ("retry_after_ms", "retry_after_ms"),
    ("due_at", "due_at"),
    ("sent_at", "sent_at"),
    ("finished_at", "finished_at"),
    ("client_queue_ms", "client_queue_ms"),
    ("ttfb_ms", "ttfb_ms"),
    ("latency_ms", "latency_ms"),
    ("client_lag_ms", "client_lag_ms"),
    ("input_tokens", "input_tokens"),
    ("output_tokens", "output_tokens"),
    ("cost_usd", "cost_usd"),
    ("worker_id", "worker_id"),
    ("delivery_count", "delivery_count"),
    ("software_version", "software_version"),
    ("provider_request_id", "provider_request_id"),
    ("request_sha256", "request_sha256"),
    ("response_sha256", "response_sha256"),
    ("response_bytes", "response_bytes"),
    ("exchange_length", "exchange_length"),
    ("exchange_sha256", "exchange_sha256"),
];

/// Further columns of `responses` that are always read.
pub(super) const KEYS: &[&str] = &[
    "attempt_id",
    "origin",
    "has_logprobs",
    "exchange_file",
    "exchange_offset",
];

/// Columns of `responses` that order its rows within a model.
pub(super) const ORDER: &[&str] = &[
    "suite",
    "prompt_id",
    "arm",
    "round",
    "sample_index",
    "sample_id",
];

/// Columns of `attempts` that order its rows.
pub(super) const ORDER_ATTEMPT: &[&str] =
    &["plan_index", "attempt_no", "finished_at", "attempt_id"];

/// Returns each column of these lists once.
pub(super) fn joined<'a>(lists: &[&[&'a str]]) -> Vec<&'a str> {
    let mut all: Vec<&str> = Vec::new();
    for column in lists.iter().flat_map(|list| list.iter()) {
        if !all.contains(column) {
            all.push(column);
        }
    }
    all
}
