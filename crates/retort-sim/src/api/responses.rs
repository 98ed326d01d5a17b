//! Responses of `OpenAI`: items in, typed events with sequence numbers out.

use retort_types::{Message, PromptInput};
use serde_json::{Value, json};

use super::Shape;
use super::asked::{Asked, Facts, message, parts};
use super::content::{at_most, role, text};
use super::fields::{Field, Object, Wrong};
use super::framing::{Event, Framing};
use super::logprobs::Entries;
use crate::model::{Ended, Generation, Token, join};

/// Most alternatives per token.
const TOP_LOGPROBS_MAX: u32 = 20;

/// What `include` must hold for log probabilities to be told.
const INCLUDE_LOGPROBS: &str = "message.output_text.logprobs";

/// Documented fields that change nothing here.
const IGNORED: [&str; 20] = [
    "background",
    "context_management",
    "conversation",
    "max_tool_calls",
    "metadata",
    "moderation",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "stream_options",
    "text",
    "tool_choice",
    "tools",
    "truncation",
    "user",
];

pub(super) fn read(bytes: &[u8]) -> Result<Asked, Wrong> {
    let mut body = Object::parse(bytes)?;
    let model = body.text("model")?.ok_or_else(|| Wrong::missing("model"))?;
    let mut messages = Vec::new();
    if let Some(instructions) = body.text("instructions")? {
        messages.push(message("system", instructions));
    }
    let input = body.take("input").ok_or_else(|| Wrong::missing("input"))?;
    if input.value.is_string() {
        messages.push(message("user", input.text()?));
    } else {
        for item in input.list()? {
            messages.extend(one_item(item)?);
        }
    }
    if messages.is_empty() {
        return Err(Wrong::rule("input", "must not be empty"));
    }
    let input = PromptInput::Messages(messages);
    let mut asked = Asked::new(Shape::Responses, model, input);
    asked.ask.temperature = body.number("temperature", 0.0, 2.0)?.unwrap_or(1.0);
    body.number("top_p", 0.0, 1.0)?;
    asked.ask.max_tokens = body.limit("max_output_tokens")?;
    let top = body.count("top_logprobs")?;
    let top = at_most("top_logprobs", top, TOP_LOGPROBS_MAX)?;
    let include = body.texts("include")?;
    if include.iter().any(|wanted| wanted == INCLUDE_LOGPROBS) {
        asked.ask.top_logprobs = Some(top.unwrap_or(0));
    }
    if body.flag("stream")? == Some(true) {
        asked.framing = Some(Framing::Sse);
    }
    body.flag("store")?;
    asked.think(true, false);
    if let Some(mut reasoning) = body.object("reasoning")? {
        let thinks = reasoning.text("effort")?.as_deref() != Some("none");
        let summary = reasoning.text("summary")?;
        let told = summary.or(reasoning.text("generate_summary")?).is_some();
        asked.think(thinks, told);
        reasoning.ignore(&["context", "mode"]);
        reasoning.end()?;
    }
    body.ignore(&IGNORED);
    body.end()?;
    Ok(asked)
}

/// Returns the message of an item; reasoning that a client sends back says nothing here.
fn one_item(field: Field) -> Result<Option<Message>, Wrong> {
    let mut item = field.object()?;
    let kind = item.text("type")?;
    match kind.as_deref() {
        None | Some("message") => {}
        Some("reasoning") => return Ok(None),
        Some(_) => {
            return Err(Wrong::rule(item.path("type"), "is no message"));
        }
    }
    let known = ["system", "developer", "user", "assistant"];
    let role = role(&mut item, &known, "is not a known role")?;
    let content = item.take("content");
    let content = content.ok_or_else(|| Wrong::missing(item.path("content")))?;
    let content = text(content, &["input_text", "output_text"])?;
    item.ignore(&["id", "status", "phase"]);
    item.end()?;
    Ok(Some(message(&role, content)))
}

/// The answer's items, and the events that build them.
struct Writer<'a> {
    asked: &'a Asked,
    made: &'a Generation,
    facts: &'a Facts,
    events: Vec<Event>,
}

pub(super) fn document(asked: &Asked, made: &Generation, facts: &Facts) -> Value {
    Writer::new(asked, made, facts).finished()
}

pub(super) fn events(asked: &Asked, made: &Generation, facts: &Facts) -> Vec<Event> {
    let mut writer = Writer::new(asked, made, facts);
    let begun = writer.response("in_progress", &[]);
    writer.push("response.created", json!({"response": begun}), 0);
    writer.push("response.in_progress", json!({"response": begun}), 0);
    let mut index = 0;
    if !made.reasoning.is_empty() {
        writer.reasoning(index);
        index += 1;
    }
    if made.ended != Ended::Filter {
        writer.message(index);
    }
    let end = match made.ended {
        Ended::Stop => "response.completed",
        Ended::Length | Ended::Filter => "response.incomplete",
    };
    let finished = writer.finished();
    writer.push(end, json!({"response": finished}), 0);
    writer.events
}

impl<'a> Writer<'a> {
    fn new(asked: &'a Asked, made: &'a Generation, facts: &'a Facts) -> Self {
        Self {
            asked,
            made,
            facts,
            events: Vec::new(),
        }
    }

    fn push(&mut self, kind: &'static str, mut data: Value, tokens: usize) {
        data["type"] = json!(kind);
        data["sequence_number"] = json!(self.events.len());
        self.events.push(Event::new(kind, &data).holding(tokens));
    }

    fn response(&self, status: &str, output: &[Value]) -> Value {
        let top = self.asked.ask.top_logprobs.unwrap_or(0);
        json!({
            "id": self.facts.named("resp_"),
            "object": "response",
            "created_at": self.facts.created,
            "status": status,
            "background": false,
            "error": null,
            "incomplete_details": null,
            "instructions": null,
            "max_output_tokens": self.asked.ask.max_tokens,
            "metadata": {},
            "model": self.asked.model,
            "output": output,
            "parallel_tool_calls": true,
            "previous_response_id": null,
            "reasoning": {"effort": null, "summary": null},
            "store": false,
            "temperature": self.asked.ask.temperature,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_logprobs": top,
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": null,
            "user": null,
        })
    }

    fn finished(&self) -> Value {
        let mut output = Vec::new();
        if !self.made.reasoning.is_empty() {
            output.push(self.reasoning_item(true));
        }
        let reason = match self.made.ended {
            Ended::Stop => None,
            Ended::Length => Some("max_output_tokens"),
            Ended::Filter => Some("content_filter"),
        };
        let status = reason.map_or("completed", |_| "incomplete");
        if self.made.ended != Ended::Filter {
            output.push(self.message_item(status, &[self.part(&self.made.tokens)]));
        }
        let mut response = self.response(status, &output);
        if let Some(reason) = reason {
            response["incomplete_details"] = json!({"reason": reason});
        }
        let (input, output) = (self.asked.prompt_tokens, self.made.token_count());
        response["usage"] = json!({
            "input_tokens": input,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": self.made.reasoning.len()},
            "total_tokens": input + output,
        });
        response
    }

    fn reasoning_item(&self, whole: bool) -> Value {
        let thoughts = self.asked.thoughts(self.made);
        let summary = if whole && !thoughts.is_empty() {
            json!([{"type": "summary_text", "text": join(thoughts)}])
        } else {
            json!([])
        };
        json!({"id": self.facts.named("rs_"), "type": "reasoning", "summary": summary})
    }

    fn message_item(&self, status: &str, content: &[Value]) -> Value {
        json!({
            "id": self.facts.named("msg_"),
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        })
    }

    /// Returns the content part with these tokens.
    fn part(&self, tokens: &[Token]) -> Value {
        if self.made.refused {
            return json!({"type": "refusal", "refusal": join(tokens)});
        }
        let mut part = json!({"type": "output_text", "annotations": [], "text": join(tokens)});
        part["logprobs"] = self.logprobs(tokens);
        part
    }

    fn logprobs(&self, tokens: &[Token]) -> Value {
        if self.asked.wants_logprobs() {
            Entries(tokens).value()
        } else {
            json!([])
        }
    }

    fn reasoning(&mut self, index: u32) {
        let item = self.reasoning_item(false);
        let begun = json!({"output_index": index, "item": item});
        self.push("response.output_item.added", begun, 0);
        let thoughts = self.asked.thoughts(self.made);
        let place = json!({
            "item_id": item["id"], "output_index": index, "summary_index": 0,
        });
        if thoughts.is_empty() {
            // Thoughts that are not told take their time all the same.
            if let Some(event) = self.events.last_mut() {
                event.tokens = u32::try_from(self.made.reasoning.len()).unwrap_or(u32::MAX);
            }
        } else {
            let whole = json!({"type": "summary_text", "text": join(thoughts)});
            let empty = json!({"type": "summary_text", "text": ""});
            let added = with(&place, "part", empty);
            self.push("response.reasoning_summary_part.added", added, 0);
            for some in parts(thoughts, 1) {
                let delta = with(&place, "delta", json!(join(some)));
                self.push("response.reasoning_summary_text.delta", delta, some.len());
            }
            let done = with(&place, "text", whole["text"].clone());
            self.push("response.reasoning_summary_text.done", done, 0);
            let done = with(&place, "part", whole);
            self.push("response.reasoning_summary_part.done", done, 0);
        }
        let done = json!({"output_index": index, "item": self.reasoning_item(true)});
        self.push("response.output_item.done", done, 0);
    }

    fn message(&mut self, index: u32) {
        let item = self.message_item("in_progress", &[]);
        let place = json!({
            "item_id": item["id"], "output_index": index, "content_index": 0,
        });
        let begun = json!({"output_index": index, "item": item});
        self.push("response.output_item.added", begun, 0);
        let added = with(&place, "part", self.part(&[]));
        self.push("response.content_part.added", added, 0);
        for some in parts(&self.made.tokens, self.facts.id) {
            let mut delta = with(&place, "delta", json!(join(some)));
            if self.made.refused {
                self.push("response.refusal.delta", delta, some.len());
                continue;
            }
            delta["logprobs"] = self.logprobs(some);
            self.push("response.output_text.delta", delta, some.len());
        }
        let text = json!(join(&self.made.tokens));
        if self.made.refused {
            let done = with(&place, "refusal", text);
            self.push("response.refusal.done", done, 0);
        } else {
            let mut done = with(&place, "text", text);
            done["logprobs"] = self.logprobs(&self.made.tokens);
            self.push("response.output_text.done", done, 0);
        }
        let part = self.part(&self.made.tokens);
        let done = with(&place, "part", part.clone());
        self.push("response.content_part.done", done, 0);
        let status = match self.made.ended {
            Ended::Stop => "completed",
            Ended::Length | Ended::Filter => "incomplete",
        };
        let item = self.message_item(status, &[part]);
        let done = json!({"output_index": index, "item": item});
        self.push("response.output_item.done", done, 0);
    }
}

fn with(place: &Value, name: &str, value: Value) -> Value {
    let mut data = place.clone();
    data[name] = value;
    data
}
