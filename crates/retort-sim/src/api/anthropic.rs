//! Messages of Anthropic.

use retort_types::{Message, PromptInput};
use serde_json::{Value, json};

use super::Shape;
use super::asked::{Asked, Facts, message, parts, signature};
use super::content::{role, text};
use super::error::ApiError;
use super::fields::{Field, Object, Wrong};
use super::framing::{Event, Framing};
use crate::http::Request;
use crate::model::{Ended, Generation, join};

/// Header that every request must have, and its known values.
const VERSION_HEADER: &str = "anthropic-version";
const VERSIONS: [&str; 3] = ["2026-10-21", "2023-06-01", "2023-01-01"];

/// Fewest tokens of a thinking budget.
const BUDGET_MIN: u32 = 1_024;

/// Documented fields that change nothing here.
const IGNORED: [&str; 11] = [
    "cache_control",
    "container",
    "context_management",
    "inference_geo",
    "mcp_servers",
    "metadata",
    "output_config",
    "service_tier",
    "speed",
    "tool_choice",
    "tools",
];

/// Checks the header that names the version of the API.
pub(super) fn check_version(request: &Request) -> Result<(), ApiError> {
    let Some(version) = request.header(VERSION_HEADER) else {
        return Err(ApiError::invalid("anthropic-version: header is required"));
    };
    if !VERSIONS.contains(&version) {
        let message = "anthropic-version: is not a valid version";
        return Err(ApiError::invalid(message));
    }
    Ok(())
}

pub(super) fn read(bytes: &[u8]) -> Result<Asked, Wrong> {
    let mut body = Object::parse(bytes)?;
    let model = body.text("model")?.ok_or_else(|| Wrong::missing("model"))?;
    let most = body.limit("max_tokens")?;
    let most = most.ok_or_else(|| Wrong::missing("max_tokens"))?;
    let mut messages = Vec::new();
    if let Some(system) = body.take("system") {
        messages.push(message("system", text(system, &["text"])?));
    }
    let list = body.list("messages")?;
    if list.is_empty() {
        return Err(Wrong::rule("messages", "at least one message is required"));
    }
    for field in list {
        messages.push(one_message(field)?);
    }
    let input = PromptInput::Messages(messages);
    let mut asked = Asked::new(Shape::Messages, model, input);
    asked.ask.max_tokens = Some(most);
    asked.ask.temperature = body.number("temperature", 0.0, 1.0)?.unwrap_or(1.0);
    body.number("top_p", 0.0, 1.0)?;
    body.count("top_k")?;
    asked.stop = body.texts("stop_sequences")?;
    if body.flag("stream")? == Some(true) {
        asked.framing = Some(Framing::Sse);
    }
    if let Some(thinking) = body.object("thinking")? {
        read_thinking(thinking, &mut asked, most)?;
    }
    body.ignore(&IGNORED);
    body.end()?;
    Ok(asked)
}

fn read_thinking(mut thinking: Object, asked: &mut Asked, most: u32) -> Result<(), Wrong> {
    let kind = thinking.text("type")?;
    let kind = kind.ok_or_else(|| Wrong::missing(thinking.path("type")))?;
    let budget = thinking.count("budget_tokens")?;
    match kind.as_str() {
        "disabled" | "adaptive" => {}
        "enabled" => {
            let path = thinking.path("budget_tokens");
            let budget = budget.ok_or_else(|| Wrong::missing(path.clone()))?;
            if budget < BUDGET_MIN {
                let rule = format!("Input should be greater than or equal to {BUDGET_MIN}");
                return Err(Wrong::rule(path, rule));
            }
            if budget >= most {
                let rule = "`max_tokens` must be greater than `thinking.budget_tokens`";
                return Err(Wrong::rule("max_tokens", rule));
            }
        }
        _ => {
            let rule = "Input should be 'adaptive', 'disabled' or 'enabled'";
            return Err(Wrong::rule(thinking.path("type"), rule));
        }
    }
    let told = thinking.text("display")?.as_deref() != Some("omitted");
    asked.think(kind != "disabled", told);
    thinking.end()
}

fn one_message(field: Field) -> Result<Message, Wrong> {
    let mut raw = field.object()?;
    let rule = "Input should be 'user' or 'assistant'. The Messages API accepts a top-level \
                `system` parameter, not \"system\" as an input message role.";
    let role = role(&mut raw, &["user", "assistant"], rule)?;
    let content = raw.take("content");
    let content = content.ok_or_else(|| Wrong::missing(raw.path("content")))?;
    let content = text(content, &["text"])?;
    raw.end()?;
    Ok(message(&role, content))
}

fn stop_reason(made: &Generation, facts: &Facts) -> &'static str {
    match made.ended {
        Ended::Filter => "refusal",
        Ended::Length => "max_tokens",
        Ended::Stop if made.refused => "refusal",
        Ended::Stop if facts.stopped_by.is_some() => "stop_sequence",
        Ended::Stop => "end_turn",
    }
}

fn usage(asked: &Asked, made: &Generation, output: u64) -> Value {
    let mut usage = json!({
        "input_tokens": asked.prompt_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output,
        "service_tier": "standard",
    });
    if output > 0 && !made.reasoning.is_empty() {
        let thinking = made.reasoning.len();
        usage["output_tokens_details"] = json!({"thinking_tokens": thinking});
    }
    usage
}

fn envelope(asked: &Asked, facts: &Facts) -> Value {
    json!({
        "id": facts.named("msg_"),
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
    })
}

pub(super) fn document(asked: &Asked, made: &Generation, facts: &Facts) -> Value {
    let mut content = Vec::new();
    if !made.reasoning.is_empty() {
        let text = join(asked.thoughts(made));
        let signature = signature(&join(&made.reasoning));
        content.push(json!({"type": "thinking", "thinking": text, "signature": signature}));
    }
    if !made.tokens.is_empty() {
        content.push(json!({"type": "text", "text": join(&made.tokens)}));
    }
    let mut document = envelope(asked, facts);
    document["content"] = json!(content);
    document["stop_reason"] = json!(stop_reason(made, facts));
    document["stop_sequence"] = json!(facts.stopped_by);
    document["usage"] = usage(asked, made, made.token_count());
    document
}

pub(super) fn events(asked: &Asked, made: &Generation, facts: &Facts) -> Vec<Event> {
    let mut message = envelope(asked, facts);
    message["usage"] = usage(asked, made, 0);
    let mut out = Writer(Vec::new());
    out.push("message_start", json!({"message": message}), 0);
    let mut index = 0;
    if !made.reasoning.is_empty() {
        out.thinking(index, asked, made);
        index += 1;
    }
    if !made.tokens.is_empty() {
        out.start(index, &json!({"type": "text", "text": ""}));
        for part in parts(&made.tokens, facts.id) {
            let delta = json!({"type": "text_delta", "text": join(part)});
            out.delta(index, &delta, part.len());
        }
        out.push("content_block_stop", json!({"index": index}), 0);
    }
    let delta = json!({
        "stop_reason": stop_reason(made, facts),
        "stop_sequence": facts.stopped_by,
    });
    let usage = usage(asked, made, made.token_count());
    out.push("message_delta", json!({"delta": delta, "usage": usage}), 0);
    out.push("message_stop", json!({}), 0);
    out.0
}

struct Writer(Vec<Event>);

impl Writer {
    fn push(&mut self, kind: &'static str, mut data: Value, tokens: usize) {
        data["type"] = json!(kind);
        self.0.push(Event::new(kind, &data).holding(tokens));
    }

    /// Begins a block; a ping follows the first one.
    fn start(&mut self, index: u32, block: &Value) {
        let begun = json!({"index": index, "content_block": block});
        self.push("content_block_start", begun, 0);
        if index == 0 {
            self.push("ping", json!({}), 0);
        }
    }

    fn delta(&mut self, index: u32, delta: &Value, tokens: usize) {
        let data = json!({"index": index, "delta": delta});
        self.push("content_block_delta", data, tokens);
    }

    fn thinking(&mut self, index: u32, asked: &Asked, made: &Generation) {
        let block = json!({"type": "thinking", "thinking": "", "signature": ""});
        self.start(index, &block);
        for part in parts(asked.thoughts(made), 1) {
            let delta = json!({"type": "thinking_delta", "thinking": join(part)});
            self.delta(index, &delta, part.len());
        }
        let signed = signature(&join(&made.reasoning));
        let delta = json!({"type": "signature_delta", "signature": signed});
        // Thoughts that are not told take their time all the same.
        let silent = made.reasoning.len() - asked.thoughts(made).len();
        self.delta(index, &delta, silent);
        self.push("content_block_stop", json!({"index": index}), 0);
    }
}
