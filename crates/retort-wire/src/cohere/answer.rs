//! Puts an answer together, whole or event by event.

use std::time::Duration;

use retort_types::Timestamp;
use retort_types::reply::{TokenSegment, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::decode::{Assemble, Assembled};
use crate::errors;
use crate::gathered::{Gathered, keep_usage};
use crate::lenient::{Item, List, Number, Object, Text, is_error_told, word};

/// Most parts of one answer that are read. Recorded ones have two.
const PARTS_MAX: usize = 4_096;

/// A whole answer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    message: Object<Message<'a>>,
    #[serde(borrow)]
    finish_reason: Text<'a>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
}

/// An event of a stream.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    delta: Object<Delta<'a>>,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta<'a> {
    #[serde(borrow)]
    message: Object<Message<'a>>,
    #[serde(borrow)]
    finish_reason: Text<'a>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Message<'a> {
    /// A list of parts in whole answers, one part in events.
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
}

/// One more than is read, so that the excess shows.
impl Item for Part<'_> {
    const MAX: usize = PARTS_MAX + 1;
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ToolCall<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    function: Object<Function<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Function<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    arguments: Text<'a>,
}

/// Log probabilities of a piece of text.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Piece<'a> {
    #[serde(borrow)]
    text: Text<'a>,
    logprobs: List<Number>,
}

/// As many as tokens are kept of one answer.
impl Item for Piece<'_> {
    const MAX: usize = 1 << 17;
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    tokens: Object<Counts>,
    /// What is paid for, which leaves out what Cohere puts around a prompt. Of use only where it
    /// is all that is told.
    billed_units: Object<Counts>,
    cached_tokens: Number,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Counts {
    #[serde(rename = "input_tokens")]
    input: Number,
    #[serde(rename = "output_tokens")]
    output: Number,
    #[serde(rename = "reasoning_tokens")]
    reasoning: Number,
}

/// Puts one answer together.
pub(crate) struct Assembler(Gathered);

impl Assembler {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self(Gathered::new(now))
    }

    fn usage(&mut self, raw: Option<&RawValue>) {
        let Some(raw) = raw.map(RawValue::get) else {
            return;
        };
        if let Ok(Object(Some(told))) = serde_json::from_str::<Object<Told>>(raw) {
            let tokens = told.tokens.0.unwrap_or_default();
            let billed = told.billed_units.0.unwrap_or_default();
            let usage = Usage {
                input_tokens: tokens.input.count().or(billed.input.count()),
                output_tokens: tokens.output.count().or(billed.output.count()),
                reasoning_tokens: tokens.reasoning.count(),
                cache_read_tokens: told.cached_tokens.count(),
                cache_write_tokens: None,
            };
            keep_usage(&mut self.0.reply, usage, raw);
        }
    }

    fn id(&mut self, id: &Text<'_>) {
        let place = &mut self.0.reply.response_id;
        if place.is_none() {
            *place = id.told().map(word);
        }
    }

    /// Reads what a message or an event says: a text, a part or a list of parts.
    fn content(&mut self, raw: &RawValue, at: Option<Duration>) {
        match raw.get().as_bytes().first() {
            Some(b'"') => self.0.text(raw, at),
            Some(b'{') => match serde_json::from_str::<Object<Part<'_>>>(raw.get()) {
                Ok(Object(Some(part))) => self.part(&part, at),
                Ok(Object(None)) | Err(_) => self.0.lose(),
            },
            Some(b'[') => {
                self.0.has_answer |= at.is_none();
                let parts = serde_json::from_str::<List<Object<Part<'_>>>>(raw.get());
                let parts = parts.ok().and_then(|parts| parts.0).unwrap_or_default();
                if parts.len() > PARTS_MAX {
                    self.0.lose();
                }
                for part in parts.into_iter().filter_map(|part| part.0) {
                    self.part(&part, at);
                }
            }
            _ => self.0.lose(),
        }
    }

    fn part(&mut self, part: &Part<'_>, at: Option<Duration>) {
        if let Some(thinking) = part.thinking {
            self.0.reasoning(thinking, at);
        }
        if let Some(text) = part.text {
            self.0.text(text, at);
        }
    }

    fn pieces(&mut self, raw: &RawValue, segment: TokenSegment, at: Option<Duration>) {
        let text = raw.get();
        let pieces = if text.starts_with('[') {
            let list = serde_json::from_str::<List<Object<Piece<'_>>>>(text);
            list.ok().and_then(|list| list.0).unwrap_or_default()
        } else {
            serde_json::from_str::<Object<Piece<'_>>>(text)
                .into_iter()
                .collect()
        };
        for piece in pieces.into_iter().filter_map(|piece| piece.0) {
            let logprobs = piece.logprobs.0.unwrap_or_default();
            let logprobs: Vec<f32> = logprobs.into_iter().filter_map(Number::single).collect();
            self.0
                .token_logprobs(piece.text.0.as_deref(), &logprobs, segment, at);
        }
    }

    fn event_is_readable(&mut self, name: &str, data: &str, at: Duration) -> bool {
        let data = data.trim();
        if self.is_done() || data == "[DONE]" {
            return true;
        }
        let Ok(Object(Some(event))) = serde_json::from_str::<Object<Event<'_>>>(data) else {
            // What is not an object can hold no text.
            return !data.starts_with('{');
        };
        self.id(&event.id);
        let kind = event.kind.told().unwrap_or(name);
        let delta = event.delta.0.unwrap_or_default();
        match kind {
            "content-start" | "content-delta" => self.content_event(&delta, event.logprobs, at),
            "tool-call-start" | "tool-call-delta" => {
                if let Some(message) = &delta.message.0 {
                    self.tool_event(message);
                }
            }
            "message-end" => self.end(&delta),
            "error" => self.0.fail(errors::read(data, self.0.now)),
            // Starts, ends, plans and citations: no text of the answer.
            "message-start" | "content-end" | "tool-plan-delta" | "tool-call-end"
            | "citation-start" | "citation-end" | "debug" => {}
            _ => {
                // An error comes without a type of its own.
                let is_told = event.error.is_some_and(|raw| is_error_told(raw.get()));
                if (is_told || event.kind.told().is_none())
                    && let Some(found) = errors::read_json(data, self.0.now)
                {
                    self.0.fail(found);
                }
            }
        }
        true
    }

    fn content_event(&mut self, delta: &Delta<'_>, logprobs: Option<&RawValue>, at: Duration) {
        let content = delta.message.0.as_ref().and_then(|message| message.content);
        if let Some(content) = content {
            self.content(content, Some(at));
        }
        if let Some(raw) = logprobs {
            let part = content.map(|raw| serde_json::from_str::<Object<Part<'_>>>(raw.get()));
            let is_thinking = matches!(
                part,
                Some(Ok(Object(Some(Part {
                    thinking: Some(_),
                    ..
                }))))
            );
            let segment = if is_thinking {
                TokenSegment::Reasoning
            } else {
                TokenSegment::Response
            };
            self.pieces(raw, segment, Some(at));
        }
    }

    fn tool_event(&mut self, message: &Message<'_>) {
        let raw = message.tool_calls.map(RawValue::get);
        let call = raw.and_then(|raw| serde_json::from_str::<Object<ToolCall<'_>>>(raw).ok());
        let Some(call) = call.and_then(|call| call.0) else {
            return;
        };
        let function = call.function.0.unwrap_or_default();
        if let Some(id) = call.id.told() {
            self.0
                .begin_tool(id, function.name.told().unwrap_or_default());
        }
        self.0
            .extend_tool(function.arguments.told().unwrap_or_default());
    }

    fn end(&mut self, delta: &Delta<'_>) {
        self.usage(delta.usage);
        if let Some(reason) = delta.finish_reason.told() {
            self.0.finish_reason(reason);
        }
        if let Some(error) = delta.error.filter(|raw| is_error_told(raw.get())) {
            let found = errors::read(error.get(), self.0.now);
            self.0.fail(found);
        }
        self.0.has_answer = true;
        self.0.has_ended = true;
    }
}

impl Assemble for Assembler {
    fn is_done(&self) -> bool {
        // What follows the last event tells nothing.
        self.0.has_ended
    }

    fn whole(&mut self, text: &str) {
        if let Ok(Object(Some(body))) = serde_json::from_str::<Object<Body<'_>>>(text) {
            self.id(&body.id);
            self.usage(body.usage);
            if let Some(reason) = body.finish_reason.told() {
                self.0.finish_reason(reason);
            }
            if let Some(message) = body.message.0 {
                if let Some(content) = message.content {
                    self.content(content, None);
                }
                let calls = message.tool_calls.map(RawValue::get).unwrap_or_default();
                let calls = serde_json::from_str::<Vec<&RawValue>>(calls).unwrap_or_default();
                for call in calls {
                    self.0.tool(call);
                }
            }
            if let Some(raw) = body.logprobs {
                self.pieces(raw, TokenSegment::Response, None);
            }
        }
        if self.0.has_answer {
            self.0.has_ended = true;
        } else if let Some(found) = errors::read_json(text, self.0.now) {
            self.0.fail(found);
        }
    }

    fn event(&mut self, name: &str, data: &str, since_sent: Duration) {
        if !self.event_is_readable(name, data, since_sent) {
            self.0.lose();
        }
    }

    fn last_event(&mut self, name: &str, data: &str, since_sent: Duration) {
        let _is_whole = self.event_is_readable(name, data, since_sent);
    }

    fn finish(self: Box<Self>) -> Assembled {
        self.0.finish()
    }
}
