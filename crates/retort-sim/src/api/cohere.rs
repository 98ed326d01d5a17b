//! Chat of Cohere, version 2.

use retort_types::{Message, PromptInput};
use serde_json::{Value, json};

use super::Shape;
use super::asked::{Asked, Facts, message, parts};
use super::content::{role, text};
use super::fields::{Field, Object, Wrong};
use super::framing::{Event, Framing};
use crate::mix::key;
use crate::model::{Ended, Generation, Token, join};

/// Temperature when the request does not say: Cohere's own default.
const TEMPERATURE: f64 = 0.3;

/// Most stop texts.
const STOP_MAX: usize = 5;

/// Token ids are told modulo this: about the size of Cohere's vocabulary.
const VOCABULARY: u64 = 255_000;

/// Documented fields that change nothing here.
const IGNORED: [&str; 8] = [
    "citation_options",
    "documents",
    "priority",
    "response_format",
    "safety_mode",
    "strict_tools",
    "tool_choice",
    "tools",
];

pub(super) fn read(bytes: &[u8]) -> Result<Asked, Wrong> {
    let mut body = Object::parse(bytes)?;
    let model = body.text("model")?.ok_or_else(|| Wrong::missing("model"))?;
    let list = body.list("messages")?;
    if list.is_empty() {
        return Err(Wrong::missing("messages"));
    }
    let messages = list.into_iter().map(one_message);
    let input = PromptInput::Messages(messages.collect::<Result<_, _>>()?);
    let mut asked = Asked::new(Shape::Cohere, model, input);
    let temperature = body.number("temperature", 0.0, 2.0)?;
    asked.ask.temperature = temperature.unwrap_or(TEMPERATURE);
    body.number("p", 0.01, 0.99)?;
    body.number("k", 0.0, 500.0)?;
    body.number("frequency_penalty", 0.0, 1.0)?;
    body.number("presence_penalty", 0.0, 1.0)?;
    asked.ask.max_tokens = body.limit("max_tokens")?;
    asked.ask.seed = body.whole("seed")?;
    asked.stop = body.texts("stop_sequences")?;
    if asked.stop.len() > STOP_MAX {
        return Err(Wrong::rule("stop_sequences", "must hold at most 5 texts"));
    }
    if body.flag("logprobs")? == Some(true) {
        asked.ask.top_logprobs = Some(0);
    }
    if body.flag("stream")? == Some(true) {
        asked.framing = Some(Framing::Sse);
    }
    if let Some(mut thinking) = body.object("thinking")? {
        asked.think(thinking.text("type")?.as_deref() != Some("disabled"), true);
        thinking.count("token_budget")?;
        thinking.end()?;
    }
    body.ignore(&IGNORED);
    body.end()?;
    Ok(asked)
}

fn one_message(field: Field) -> Result<Message, Wrong> {
    let mut raw = field.object()?;
    let rule = "must be one of user, assistant, system, tool";
    let role = role(&mut raw, &["system", "user", "assistant", "tool"], rule)?;
    let content = raw.take("content").map(|field| text(field, &["text"]));
    let content = content.transpose()?.unwrap_or_default();
    raw.ignore(&["tool_calls", "tool_call_id", "tool_plan", "citations"]);
    raw.end()?;
    Ok(message(&role, content))
}

fn finish(made: &Generation, facts: &Facts) -> &'static str {
    match made.ended {
        Ended::Filter => "ERROR",
        Ended::Length => "MAX_TOKENS",
        Ended::Stop if facts.stopped_by.is_some() => "STOP_SEQUENCE",
        Ended::Stop => "COMPLETE",
    }
}

fn usage(asked: &Asked, made: &Generation) -> Value {
    let (input, output) = (asked.prompt_tokens, made.token_count());
    let mut tokens = json!({"input_tokens": input, "output_tokens": output});
    if !made.reasoning.is_empty() {
        tokens["reasoning_tokens"] = json!(made.reasoning.len());
    }
    json!({
        "billed_units": {"input_tokens": input, "output_tokens": output},
        "tokens": tokens,
        "cached_tokens": 0,
    })
}

/// Returns one entry with the chosen tokens, as Cohere groups them.
fn logprobs(tokens: &[Token]) -> Value {
    let ids = tokens.iter().map(|token| key(&token.text) % VOCABULARY);
    let values = tokens.iter().map(|token| token.logprob);
    json!({
        "text": join(tokens),
        "token_ids": ids.collect::<Vec<_>>(),
        "logprobs": values.collect::<Vec<_>>(),
    })
}

pub(super) fn document(asked: &Asked, made: &Generation, facts: &Facts) -> Value {
    let mut content = Vec::new();
    if !made.reasoning.is_empty() {
        content.push(json!({"type": "thinking", "thinking": join(&made.reasoning)}));
    }
    if !made.tokens.is_empty() {
        content.push(json!({"type": "text", "text": join(&made.tokens)}));
    }
    let mut document = json!({
        "id": facts.uuid(),
        "finish_reason": finish(made, facts),
        "message": {"role": "assistant", "content": content},
        "usage": usage(asked, made),
    });
    if asked.wants_logprobs() {
        let entries = made
            .tokens
            .iter()
            .map(|token| logprobs(std::slice::from_ref(token)));
        document["logprobs"] = json!(entries.collect::<Vec<_>>());
    }
    document
}

pub(super) fn events(asked: &Asked, made: &Generation, facts: &Facts) -> Vec<Event> {
    let mut out = Writer(Vec::new());
    let message = json!({
        "role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": [],
    });
    let begun = json!({"id": facts.uuid(), "delta": {"message": message}});
    out.push("message-start", begun, 0);
    let mut index = 0;
    if !made.reasoning.is_empty() {
        out.content(
            "content-start",
            index,
            &json!({"type": "thinking", "thinking": ""}),
            0,
        );
        for part in parts(&made.reasoning, 1) {
            let delta = json!({"thinking": join(part)});
            out.content("content-delta", index, &delta, part.len());
        }
        out.push("content-end", json!({"index": index}), 0);
        index += 1;
    }
    if !made.tokens.is_empty() {
        out.content(
            "content-start",
            index,
            &json!({"type": "text", "text": ""}),
            0,
        );
        for part in parts(&made.tokens, facts.id) {
            out.content(
                "content-delta",
                index,
                &json!({"text": join(part)}),
                part.len(),
            );
            if asked.wants_logprobs() {
                out.amend("logprobs", logprobs(part));
            }
        }
        out.push("content-end", json!({"index": index}), 0);
    }
    let delta = json!({"finish_reason": finish(made, facts), "usage": usage(asked, made)});
    out.push(
        "message-end",
        json!({"id": facts.uuid(), "delta": delta}),
        0,
    );
    let mut events: Vec<_> = out.0.into_iter().map(Pending::event).collect();
    events.push(Event::done());
    events
}

/// An event that may still be amended.
struct Pending {
    kind: &'static str,
    data: Value,
    tokens: usize,
}

impl Pending {
    fn event(self) -> Event {
        Event::new(self.kind, &self.data).holding(self.tokens)
    }
}

struct Writer(Vec<Pending>);

impl Writer {
    fn push(&mut self, kind: &'static str, mut data: Value, tokens: usize) {
        data["type"] = json!(kind);
        self.0.push(Pending { kind, data, tokens });
    }

    fn content(&mut self, kind: &'static str, index: u32, content: &Value, tokens: usize) {
        let delta = json!({"message": {"content": content}});
        self.push(kind, json!({"index": index, "delta": delta}), tokens);
    }

    fn amend(&mut self, name: &str, value: Value) {
        if let Some(last) = self.0.last_mut() {
            last.data[name] = value;
        }
    }
}
