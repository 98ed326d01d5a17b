//! What an answer says as it comes together: the part that protocols of typed content blocks share.

use std::borrow::Cow;
use std::time::Duration;

use retort_types::Timestamp;
use retort_types::reply::{Reply, TokenSegment, Usage};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::decode::{Assembled, Fault, TEXT_MAX_BYTES};
use crate::errors::Found;
use crate::finish::{ended_as, normalised};
use crate::lenient::{text_of, word};
use crate::openai::logprobs::Tokens;
use crate::think_tag;

/// Longest usage object that is kept as told, in bytes. Recorded ones stay under one thousand.
const USAGE_RAW_MAX_BYTES: usize = 16 << 10;

/// Most tool calls of one answer that are kept; far more than any model makes at once.
const TOOL_CALLS_MAX: usize = 256;

/// Writes token counts into `reply`, and the object `raw` that told them. A later one replaces an
/// earlier one; one without any count is passed over.
pub(crate) fn keep_usage(reply: &mut Reply, usage: Usage, raw: &str) {
    if usage != Usage::default() {
        reply.usage = usage;
        reply.usage_raw = (raw.len() <= USAGE_RAW_MAX_BYTES).then(|| raw.to_owned());
    }
}

/// An answer as it comes together.
pub(crate) struct Gathered {
    pub(crate) reply: Reply,
    pub(crate) tokens: Tokens,
    /// What the waiting times of errors count from.
    pub(crate) now: Timestamp,
    /// Whether reasoning may stand in the text, within a think tag.
    pub(crate) has_think_tags: bool,
    /// Whether there is an answer at all, be it empty.
    pub(crate) has_answer: bool,
    /// Whether the protocol's end was seen.
    pub(crate) has_ended: bool,
    reasoning: String,
    tools: Vec<ToolCall>,
    /// Bytes of text, reasoning and tool calls.
    bytes: usize,
    fault: Option<Fault>,
    error: Option<Found>,
    late_error: Option<Found>,
    ttft: Option<Duration>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ToolCall {
    /// As told.
    Whole(Box<RawValue>),
    /// Put together from the deltas of a stream.
    Streamed {
        id: String,
        name: String,
        arguments: String,
    },
}

impl Gathered {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            reply: Reply::default(),
            tokens: Tokens::default(),
            now,
            has_think_tags: false,
            has_answer: false,
            has_ended: false,
            reasoning: String::new(),
            tools: Vec::new(),
            bytes: 0,
            fault: None,
            error: None,
            late_error: None,
            ttft: None,
        }
    }

    /// Adds the text `raw`, a JSON string that arrived `at`, or at no time of its own.
    pub(crate) fn text(&mut self, raw: &RawValue, at: Option<Duration>) {
        self.has_answer = true;
        if let Some(text) = self.spoken(raw, at) {
            self.reply.text.get_or_insert_default().push_str(&text);
        }
    }

    /// Adds the reasoning `raw`, a JSON string.
    pub(crate) fn reasoning(&mut self, raw: &RawValue, at: Option<Duration>) {
        self.has_answer = true;
        if let Some(text) = self.spoken(raw, at)
            && !text.is_empty()
        {
            self.reasoning.push_str(&text);
            self.reply.reasoning_source = Some("field".to_owned());
        }
    }

    /// Notes reasoning that is told encrypted only.
    pub(crate) fn encrypted_reasoning(&mut self) {
        self.has_answer = true;
        let source = &mut self.reply.reasoning_source;
        source.get_or_insert_with(|| "encrypted".to_owned());
    }

    /// Returns the text that `raw` is. What should be one and is not may have held some.
    fn spoken<'a>(&mut self, raw: &'a RawValue, at: Option<Duration>) -> Option<Cow<'a, str>> {
        let Some(text) = text_of(raw.get()) else {
            self.lose();
            return None;
        };
        if !self.grow(text.len()) {
            return None;
        }
        if !text.is_empty() {
            self.ttft = self.ttft.or(at);
        }
        Some(text)
    }

    fn grow(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > TEXT_MAX_BYTES {
            self.fault = Some(Fault::TooLarge);
        }
        self.bytes <= TEXT_MAX_BYTES
    }

    /// Adds a tool call as told.
    pub(crate) fn tool(&mut self, raw: &RawValue) {
        self.has_answer = true;
        if self.tools.len() < TOOL_CALLS_MAX && self.grow(raw.get().len()) {
            self.tools.push(ToolCall::Whole(raw.to_owned()));
        }
    }

    /// Begins a tool call whose arguments come in pieces.
    pub(crate) fn begin_tool(&mut self, id: &str, name: &str) {
        self.has_answer = true;
        if self.tools.len() < TOOL_CALLS_MAX && self.grow(id.len() + name.len()) {
            self.tools.push(ToolCall::Streamed {
                id: id.to_owned(),
                name: name.to_owned(),
                arguments: String::new(),
            });
        }
    }

    /// Adds a piece to the arguments of the last tool call.
    pub(crate) fn extend_tool(&mut self, piece: &str) {
        if !self.grow(piece.len()) {
            return;
        }
        if let Some(ToolCall::Streamed { arguments, .. }) = self.tools.last_mut() {
            arguments.push_str(piece);
        }
    }

    /// Takes log probabilities in a list, as chats tell them.
    pub(crate) fn token_list(&mut self, raw: &str, segment: TokenSegment, at: Option<Duration>) {
        if self.tokens.add_list(raw, segment, arrived_ms(at)).is_err() {
            self.fault = Some(Fault::TooLarge);
        }
    }

    /// Takes log probabilities of a piece of text.
    pub(crate) fn token_logprobs(
        &mut self,
        text: Option<&str>,
        logprobs: &[f32],
        segment: TokenSegment,
        at: Option<Duration>,
    ) {
        let arrived_ms = arrived_ms(at);
        if self
            .tokens
            .add_piece(text, logprobs, segment, arrived_ms)
            .is_err()
        {
            self.fault = Some(Fault::TooLarge);
        }
    }

    /// Takes the provider's word for why the answer ended.
    pub(crate) fn finish_reason(&mut self, raw: &str) {
        self.has_answer = true;
        self.reply.finish_reason_raw = Some(word(raw));
        self.reply.finish_reason = Some(normalised(raw));
    }

    /// Notes that a part could not be read. After the end of the answer no text is missing.
    pub(crate) fn lose(&mut self) {
        if !self.has_ended {
            self.fault.get_or_insert(Fault::Unreadable);
        }
    }

    /// Takes an error; the first counts. One that follows the end does not take back the answer.
    pub(crate) fn fail(&mut self, found: Found) {
        let place = if self.has_ended {
            &mut self.late_error
        } else {
            &mut self.error
        };
        place.get_or_insert(found);
    }

    /// Returns what came together.
    pub(crate) fn finish(mut self) -> Assembled {
        if self.has_think_tags && self.reasoning.is_empty() {
            self.take_think_tag();
        }
        let mut reply = self.reply;
        reply.reasoning_text = Some(self.reasoning).filter(|text| !text.is_empty());
        if !self.tools.is_empty() {
            reply.tool_calls = serde_json::to_string(&self.tools).ok();
        }
        if self.has_ended && self.has_answer && reply.tool_calls.is_none() {
            // An answer that ended without a word is an empty text.
            reply.text.get_or_insert_default();
        }
        reply.tokens = self.tokens.list;
        let ended_as = ended_as(&reply);
        Assembled {
            reply,
            has_answer: self.has_answer,
            has_ended: self.has_ended,
            ended_as,
            fault: self.fault,
            error: self.error,
            late_error: self.late_error,
            ttft: self.ttft,
        }
    }

    fn take_think_tag(&mut self) {
        let reply = &mut self.reply;
        let Some(tagged) = reply
            .text
            .as_deref()
            .and_then(|text| think_tag::taken_apart(text, reply.finish_reason))
        else {
            return;
        };
        self.tokens
            .mark_thinking(think_tag::CLOSE, tagged.is_closed);
        tagged.reasoning.clone_into(&mut self.reasoning);
        reply.reasoning_source = Some("think-tag".to_owned());
        reply.text = Some(tagged.text.to_owned());
    }
}

fn arrived_ms(at: Option<Duration>) -> Option<f32> {
    at.map(|since| since.as_secs_f32() * 1_000.0)
}

#[cfg(test)]
mod tests;
