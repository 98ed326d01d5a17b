//! Puts an answer together, whole or event by event.

use retort_types::Timestamp;
use retort_types::reply::{TokenSegment, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::decode::{Assembled, Fault};
use crate::draft::{Draft, Drafted, PARTS_MAX, keep_usage};
use crate::errors::{self, is_told};
use crate::lenient::{Item, List, Number, Object, Text};
use crate::openai::{Call, TOKENS_MAX};

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
    const MAX: usize = TOKENS_MAX;
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
pub(crate) struct Assembler {
    draft: Draft,
}

impl Assembler {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            draft: Draft::new(now),
        }
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
            keep_usage(&mut self.draft.reply, usage, raw);
        }
    }

    /// Reads what a message or an event says: a text, a part or a list of parts.
    fn content(&mut self, raw: &RawValue) {
        match raw.get().as_bytes().first() {
            Some(b'"') => self.text(raw),
            Some(b'{') => match serde_json::from_str::<Object<Part<'_>>>(raw.get()) {
                Ok(Object(Some(part))) => self.part(&part),
                Ok(Object(None)) | Err(_) => self.draft.said.make_unreadable(),
            },
            Some(b'[') => {
                // Of a whole answer, which may say nothing.
                self.draft.has_answer |= self.draft.since_sent.is_none();
                let parts = serde_json::from_str::<List<Object<Part<'_>>>>(raw.get());
                let parts = parts.ok().and_then(|parts| parts.0).unwrap_or_default();
                if parts.len() > PARTS_MAX {
                    self.draft.said.make_unreadable();
                }
                for part in parts.into_iter().filter_map(|part| part.0) {
                    self.part(&part);
                }
            }
            _ => self.draft.said.make_unreadable(),
        }
    }

    fn text(&mut self, raw: &RawValue) {
        self.draft.has_answer = true;
        self.draft.said.add_raw_text(Some(raw));
    }

    fn part(&mut self, part: &Part<'_>) {
        if let Some(thinking) = part.thinking {
            self.draft.has_answer = true;
            self.draft.said.add_raw_reasoning(Some(thinking));
        }
        if let Some(text) = part.text {
            self.text(text);
        }
    }

    fn pieces(&mut self, raw: &RawValue, segment: TokenSegment) {
        let text = raw.get();
        let pieces = if text.starts_with('[') {
            let list = serde_json::from_str::<List<Object<Piece<'_>>>>(text);
            list.ok().and_then(|list| list.0).unwrap_or_default()
        } else {
            serde_json::from_str::<Object<Piece<'_>>>(text)
                .into_iter()
                .collect()
        };
        let arrived_ms = self.draft.arrived_ms();
        for piece in pieces.into_iter().filter_map(|piece| piece.0) {
            let logprobs = piece.logprobs.0.unwrap_or_default();
            let logprobs: Vec<f32> = logprobs.into_iter().filter_map(Number::single).collect();
            let told = piece.text.0.as_deref();
            let tokens = &mut self.draft.tokens;
            if tokens
                .add_piece(told, &logprobs, segment, arrived_ms)
                .is_err()
            {
                self.draft.make_faulty(Fault::TooLarge);
            }
        }
    }

    fn content_event(&mut self, delta: &Delta<'_>, logprobs: Option<&RawValue>) {
        let content = delta.message.0.as_ref().and_then(|message| message.content);
        if let Some(content) = content {
            self.content(content);
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
            self.pieces(raw, segment);
        }
    }

    fn tool_event(&mut self, message: &Message<'_>) {
        let raw = message.tool_calls.map(RawValue::get);
        let call = raw.and_then(|raw| serde_json::from_str::<Object<ToolCall<'_>>>(raw).ok());
        let Some(call) = call.and_then(|call| call.0) else {
            return;
        };
        let function = call.function.0.unwrap_or_default();
        let id = call.id.told().unwrap_or_default();
        self.draft.has_answer = true;
        self.draft.said.add_call(&Call {
            index: None,
            id,
            kind: if id.is_empty() { "" } else { "function" },
            name: function.name.told().unwrap_or_default(),
            arguments: function.arguments.told().unwrap_or_default(),
        });
    }

    fn end(&mut self, delta: &Delta<'_>) {
        self.usage(delta.usage);
        if let Some(reason) = delta.finish_reason.told() {
            self.draft.stop(reason);
        }
        if let Some(error) = delta.error.filter(|raw| is_told(raw.get())) {
            self.draft.fail_with(error.get(), false);
        }
        self.draft.has_answer = true;
        self.draft.has_ended = true;
    }
}

impl Drafted for Assembler {
    fn draft(&mut self) -> &mut Draft {
        &mut self.draft
    }

    fn read_whole(&mut self, text: &str) {
        if let Ok(Object(Some(body))) = serde_json::from_str::<Object<Body<'_>>>(text) {
            self.draft.describe(&body.id, &Text::default());
            self.usage(body.usage);
            if let Some(reason) = body.finish_reason.told() {
                self.draft.stop(reason);
            }
            if let Some(message) = body.message.0 {
                if let Some(content) = message.content {
                    self.content(content);
                }
                self.draft.said.add_told_calls(message.tool_calls);
                self.draft.has_answer |= self.draft.said.has_calls();
            }
            if let Some(raw) = body.logprobs {
                self.pieces(raw, TokenSegment::Response);
            }
        }
        self.draft.end_whole(text);
    }

    fn read_event(&mut self, name: &str, data: &str) -> bool {
        let data = data.trim();
        if self.draft.has_ended || data == "[DONE]" {
            return true;
        }
        let Ok(Object(Some(event))) = serde_json::from_str::<Object<Event<'_>>>(data) else {
            // What is not an object can hold no text.
            return !data.starts_with('{');
        };
        self.draft.describe(&event.id, &Text::default());
        let kind = event.kind.told().unwrap_or(name);
        let delta = event.delta.0.unwrap_or_default();
        match kind {
            "content-start" | "content-delta" => self.content_event(&delta, event.logprobs),
            "tool-call-start" | "tool-call-delta" => {
                if let Some(message) = &delta.message.0 {
                    self.tool_event(message);
                }
            }
            "message-end" => self.end(&delta),
            "error" => self.draft.fail_with(data, false),
            // Starts, ends, plans and citations: no text of the answer.
            "message-start" | "content-end" | "tool-plan-delta" | "tool-call-end"
            | "citation-start" | "citation-end" | "debug" => {}
            _ => {
                // An error comes without a type of its own.
                let is_told = event.error.is_some_and(|raw| is_told(raw.get()));
                if (is_told || event.kind.told().is_none())
                    && let Some(found) = errors::read_json(data, self.draft.now)
                {
                    self.draft.fail(found, false);
                }
            }
        }
        true
    }

    fn has_last_word(&self) -> bool {
        // What follows the last event tells nothing.
        self.draft.has_ended
    }

    fn assembled(self) -> Assembled {
        self.draft.finish_as_told()
    }
}
