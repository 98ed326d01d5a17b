//! Converse of Amazon Bedrock, plain and as a binary event stream.

use retort_types::{Message, PromptInput};
use serde_json::{Value, json};

use super::asked::{Asked, Facts, message, parts, signature};
use super::content::role;
use super::fields::{Field, Object, Wrong};
use super::framing::Event;
use super::{Call, Shape};
use crate::model::{Ended, Generation, join};

/// Most stop texts.
const STOP_MAX: usize = 2_500;

/// Documented fields that change nothing here.
const IGNORED: [&str; 9] = [
    "additionalModelRequestFields",
    "additionalModelResponseFieldPaths",
    "guardrailConfig",
    "outputConfig",
    "performanceConfig",
    "promptVariables",
    "requestMetadata",
    "serviceTier",
    "toolConfig",
];

/// Letters that events are padded with, so that their length tells nothing of the text.
const PADDING: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

pub(super) fn read(call: &Call, bytes: &[u8]) -> Result<Asked, Wrong> {
    let mut body = Object::parse(bytes)?;
    let mut messages = Vec::new();
    let system = body.list("system")?;
    if !system.is_empty() {
        messages.push(message("system", texts(system)?));
    }
    let list = body.list("messages")?;
    if list.is_empty() {
        return Err(Wrong::missing("messages"));
    }
    for field in list {
        messages.push(one_message(field)?);
    }
    let model = call.model.clone().unwrap_or_default();
    let input = PromptInput::Messages(messages);
    let mut asked = Asked::new(Shape::Converse, model, input);
    asked.framing = call.framing;
    if let Some(mut config) = body.object("inferenceConfig")? {
        asked.ask.max_tokens = config.limit("maxTokens")?;
        asked.ask.temperature = config.number("temperature", 0.0, 1.0)?.unwrap_or(1.0);
        config.number("topP", 0.0, 1.0)?;
        asked.stop = config.texts("stopSequences")?;
        if asked.stop.len() > STOP_MAX {
            let rule = format!("Member must have length less than or equal to {STOP_MAX}");
            return Err(Wrong::rule(config.path("stopSequences"), rule));
        }
        config.end()?;
    }
    body.ignore(&IGNORED);
    body.end()?;
    Ok(asked)
}

fn one_message(field: Field) -> Result<Message, Wrong> {
    let mut raw = field.object()?;
    let rule = "Member must satisfy enum value set: [user, assistant]";
    let role = role(&mut raw, &["user", "assistant"], rule)?;
    let content = texts(raw.list("content")?)?;
    raw.end()?;
    Ok(message(&role, content))
}

/// Returns the texts of content blocks; points of caches and old thoughts say nothing here.
fn texts(blocks: Vec<Field>) -> Result<String, Wrong> {
    let mut joined = String::new();
    for block in blocks {
        let mut block = block.object()?;
        joined.push_str(&block.text("text")?.unwrap_or_default());
        block.ignore(&["cachePoint", "reasoningContent"]);
        block.end()?;
    }
    Ok(joined)
}

fn stop_reason(made: &Generation, facts: &Facts) -> &'static str {
    match made.ended {
        Ended::Filter => "content_filtered",
        Ended::Length => "max_tokens",
        Ended::Stop if facts.stopped_by.is_some() => "stop_sequence",
        Ended::Stop => "end_turn",
    }
}

fn usage(asked: &Asked, made: &Generation) -> Value {
    let (input, output) = (asked.prompt_tokens, made.token_count());
    json!({"inputTokens": input, "outputTokens": output, "totalTokens": input + output})
}

/// Milliseconds that the answer claims to have taken: a few per token.
fn latency_ms(made: &Generation) -> u64 {
    100 + 10 * made.token_count()
}

pub(super) fn document(asked: &Asked, made: &Generation, facts: &Facts) -> Value {
    let mut content = Vec::new();
    if !made.reasoning.is_empty() {
        let text = join(&made.reasoning);
        let thoughts = json!({"text": text, "signature": signature(&text)});
        content.push(json!({"reasoningContent": {"reasoningText": thoughts}}));
    }
    if !made.tokens.is_empty() {
        content.push(json!({"text": join(&made.tokens)}));
    }
    json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": stop_reason(made, facts),
        "usage": usage(asked, made),
        "metrics": {"latencyMs": latency_ms(made)},
    })
}

pub(super) fn events(asked: &Asked, made: &Generation, facts: &Facts) -> Vec<Event> {
    let mut out = Writer(Vec::new());
    out.push("messageStart", json!({"role": "assistant"}), 0);
    let mut index = 0;
    if !made.reasoning.is_empty() {
        for part in parts(&made.reasoning, 1) {
            let delta = json!({"reasoningContent": {"text": join(part)}});
            out.delta(index, &delta, part.len());
        }
        let signed = signature(&join(&made.reasoning));
        let delta = json!({"reasoningContent": {"signature": signed}});
        out.delta(index, &delta, 0);
        out.push("contentBlockStop", json!({"contentBlockIndex": index}), 0);
        index += 1;
    }
    for part in parts(&made.tokens, facts.id) {
        out.delta(index, &json!({"text": join(part)}), part.len());
    }
    if !made.tokens.is_empty() {
        out.push("contentBlockStop", json!({"contentBlockIndex": index}), 0);
    }
    let stop = json!({"stopReason": stop_reason(made, facts)});
    out.push("messageStop", stop, 0);
    let metrics = json!({"latencyMs": latency_ms(made)});
    let metadata = json!({"usage": usage(asked, made), "metrics": metrics});
    out.push("metadata", metadata, 0);
    out.0
}

struct Writer(Vec<Event>);

impl Writer {
    fn push(&mut self, name: &'static str, mut data: Value, tokens: usize) {
        let length = (self.0.len() * 7) % PADDING.len();
        data["p"] = json!(PADDING.chars().take(length + 1).collect::<String>());
        self.0.push(Event::new(name, &data).holding(tokens));
    }

    fn delta(&mut self, index: u32, delta: &Value, tokens: usize) {
        let data = json!({"contentBlockIndex": index, "delta": delta});
        self.push("contentBlockDelta", data, tokens);
    }
}
