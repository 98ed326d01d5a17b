//! An answer while it comes together: what protocols share.

use std::time::Duration;

use retort_types::Timestamp;
use retort_types::reply::{Reply, TokenSegment, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::decode::{Assemble, Assembled, Fault};
use crate::errors::{self, Found};
use crate::finish;
use crate::lenient::{Item, List, Object, Text, text_of};
use crate::openai::{Call, Tokens, ToolCalls};
use crate::think_tag;

/// Longest finish reason, model name, id and the like that is kept, in characters. Known ones are
/// under a tenth of this.
const WORD_MAX_CHARS: usize = 1_024;

/// Longest usage object that is kept as told, in bytes. Recorded ones stay under one thousand.
const USAGE_RAW_MAX_BYTES: usize = 16 << 10;

/// Most text of one answer, reasoning and tool calls included, in bytes. As much as a whole body
/// may hold, and hundreds of times the longest outputs on offer.
pub(crate) const TEXT_MAX_BYTES: usize = 32 << 20;

/// Most parts of one content that are read. Recorded ones have two.
pub(crate) const PARTS_MAX: usize = 4_096;

/// Returns `text` cut to the length of a word.
pub(crate) fn word(text: &str) -> String {
    if text.len() <= WORD_MAX_CHARS {
        return text.to_owned();
    }
    text.chars().take(WORD_MAX_CHARS).collect()
}

/// Keeps what is told in `place` unless something was told before.
pub(crate) fn keep_first(place: &mut Option<String>, told: &Text<'_>) {
    if place.is_none() {
        *place = told.told().map(word);
    }
}

/// Writes what a usage object `raw` told into `reply`. A later one replaces an earlier one, since
/// streams that tell it often tell it cumulatively; one without any count is passed over.
pub(crate) fn keep_usage(reply: &mut Reply, usage: Usage, raw: &str) {
    if usage != Usage::default() {
        reply.usage = usage;
        reply.usage_raw = (raw.len() <= USAGE_RAW_MAX_BYTES).then(|| raw.to_owned());
    }
}

/// Returns the parts of the list that `raw` is, or nothing when it is none, holds only what cannot be
/// read, or has too many of them: text may be missing then.
pub(crate) fn parts_of<'a, T: Deserialize<'a> + Item>(raw: &'a str) -> Option<Vec<T>> {
    let parts = serde_json::from_str::<List<Object<T>>>(raw).ok()?.0?;
    let parts: Vec<T> = parts.into_iter().filter_map(|part| part.0).collect();
    let is_empty = raw.trim_matches(['[', ']']).trim().is_empty();
    (parts.len() < PARTS_MAX && (is_empty || !parts.is_empty())).then_some(parts)
}

/// What the model said so far.
#[derive(Default)]
pub(crate) struct Said {
    text: Option<String>,
    reasoning: String,
    summary: String,
    refusal: Option<String>,
    calls: ToolCalls,
    /// Whether reasoning was withheld or came in a form that nobody but its provider can read.
    has_hidden_reasoning: bool,
    bytes: usize,
    fault: Option<Fault>,
}

impl Said {
    /// Adds visible text, be it empty.
    pub(crate) fn add_text(&mut self, text: &str) {
        if self.grow(text.len()) {
            self.text.get_or_insert_default().push_str(text);
        }
    }

    /// Adds what a field of visible text holds. What may have been text and cannot be read keeps
    /// the answer from being used.
    pub(crate) fn add_raw_text(&mut self, raw: Option<&RawValue>) {
        match raw.map(RawValue::get) {
            None | Some("null") => {}
            Some(raw) => match text_of(raw) {
                Some(text) => self.add_text(&text),
                None => self.make_unreadable(),
            },
        }
    }

    /// Adds reasoning as the model wrote it.
    pub(crate) fn add_reasoning(&mut self, text: &str) {
        if self.grow(text.len()) {
            self.reasoning.push_str(text);
        }
    }

    /// Adds what a field of reasoning holds, as [`Self::add_raw_text`] does.
    pub(crate) fn add_raw_reasoning(&mut self, raw: Option<&RawValue>) {
        match raw.map(RawValue::get) {
            None | Some("null") => {}
            Some(raw) => match text_of(raw) {
                Some(text) => self.add_reasoning(&text),
                None => self.make_unreadable(),
            },
        }
    }

    /// Adds a summary of reasoning, which counts only where the reasoning itself is not told.
    pub(crate) fn add_summary(&mut self, text: &str) {
        if self.grow(text.len()) {
            self.summary.push_str(text);
        }
    }

    /// Notes that there was reasoning which is not told.
    pub(crate) fn add_hidden_reasoning(&mut self) {
        self.has_hidden_reasoning = true;
    }

    /// Adds the provider's own words of refusal.
    pub(crate) fn add_refusal(&mut self, text: &str) {
        if !text.is_empty() && self.grow(text.len()) {
            self.refusal.get_or_insert_default().push_str(text);
        }
    }

    /// Adds a tool call, or what a chunk adds to one.
    pub(crate) fn add_call(&mut self, call: &Call<'_>) {
        let bytes = call.arguments.len() + call.name.len() + call.id.len();
        if self.grow(bytes) {
            self.calls.merge(call);
        }
    }

    /// Adds the list `raw` of what a chunk adds to tool calls, in the shape of chats.
    pub(crate) fn add_call_deltas(&mut self, raw: &str) {
        if self.grow(raw.len()) {
            self.calls.add(raw);
        }
    }

    /// Adds a whole tool call as it was told.
    pub(crate) fn add_told_call(&mut self, raw: &RawValue) {
        if self.grow(raw.get().len()) {
            self.calls.add_told(raw);
        }
    }

    /// Adds the tool calls of the list that `raw` is, as they were told.
    pub(crate) fn add_told_calls(&mut self, raw: Option<&RawValue>) {
        let list = raw.map(RawValue::get).unwrap_or_default();
        let calls = serde_json::from_str::<Vec<&RawValue>>(list).unwrap_or_default();
        for call in calls {
            self.add_told_call(call);
        }
    }

    /// Returns whether a tool was called.
    pub(crate) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Notes that a part does not follow the protocol, so that text may be missing.
    pub(crate) fn make_unreadable(&mut self) {
        self.fault.get_or_insert(Fault::Unreadable);
    }

    /// Returns the bytes of everything so far.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the bytes of text and reasoning so far.
    pub(crate) fn spoken_bytes(&self) -> usize {
        self.text.as_ref().map_or(0, String::len) + self.reasoning.len() + self.summary.len()
    }

    fn grow(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > TEXT_MAX_BYTES {
            self.fault = Some(Fault::TooLarge);
        }
        self.bytes <= TEXT_MAX_BYTES
    }

    /// Returns this with what it does not say taken from `earlier`. Where it says the text, nothing
    /// is missing that could not be read earlier.
    pub(crate) fn or(mut self, earlier: Self) -> Self {
        let has_text = self.text.as_ref().is_some_and(|text| !text.is_empty());
        if !has_text {
            self.text = earlier.text.or(self.text);
        }
        if self.reasoning.is_empty() {
            self.reasoning = earlier.reasoning;
        }
        if self.summary.is_empty() {
            self.summary = earlier.summary;
        }
        if self.calls.is_empty() {
            self.calls = earlier.calls;
        }
        self.refusal = self.refusal.or(earlier.refusal);
        self.has_hidden_reasoning |= earlier.has_hidden_reasoning;
        if !has_text {
            self.fault = self.fault.or(earlier.fault);
        }
        self
    }

    /// Writes it into `reply`, whose finish reason is already known.
    fn write_into(self, reply: &mut Reply) {
        let (reasoning, source) = if !self.reasoning.is_empty() {
            (Some(self.reasoning), Some("field"))
        } else if !self.summary.is_empty() {
            (Some(self.summary), Some("summary"))
        } else {
            (None, self.has_hidden_reasoning.then_some("encrypted"))
        };
        reply.text = self.text;
        reply.reasoning_text = reasoning;
        reply.reasoning_source = source.map(str::to_owned);
        reply.refusal_text = self.refusal;
        reply.tool_calls = self.calls.finish();
    }
}

/// An answer while it comes together.
pub(crate) struct Draft {
    pub(crate) reply: Reply,
    pub(crate) said: Said,
    pub(crate) tokens: Tokens,
    /// Whether there was an answer at all, be it empty.
    pub(crate) has_answer: bool,
    /// Whether the protocol's end was seen.
    pub(crate) has_ended: bool,
    /// Time from sending to the event that is being read; absent for whole answers.
    pub(crate) since_sent: Option<Duration>,
    /// What the waiting times of errors count from.
    pub(crate) now: Timestamp,
    /// Whether reasoning may stand in the text, within a think tag.
    pub(crate) has_think_tags: bool,
    fault: Option<Fault>,
    error: Option<Found>,
    late_error: Option<Found>,
    ttft: Option<Duration>,
}

impl Draft {
    /// Returns an empty one. Waiting times of errors count from `now`.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            reply: Reply::default(),
            said: Said::default(),
            tokens: Tokens::default(),
            has_answer: false,
            has_ended: false,
            since_sent: None,
            now,
            has_think_tags: false,
            fault: None,
            error: None,
            late_error: None,
            ttft: None,
        }
    }

    /// Returns when the tokens of the event that is being read arrived, in milliseconds.
    pub(crate) fn arrived_ms(&self) -> Option<f32> {
        self.since_sent.map(|since| since.as_secs_f32() * 1_000.0)
    }

    /// Keeps the first id and model that are told.
    pub(crate) fn describe(&mut self, id: &Text<'_>, model: &Text<'_>) {
        keep_first(&mut self.reply.response_id, id);
        keep_first(&mut self.reply.served_model, model);
    }

    /// Takes log probabilities in a list, as chats tell them.
    pub(crate) fn add_token_list(&mut self, raw: &str, segment: TokenSegment) {
        let arrived_ms = self.arrived_ms();
        if self.tokens.add_list(raw, segment, arrived_ms).is_err() {
            self.make_faulty(Fault::TooLarge);
        }
    }

    /// Keeps the provider's word for why the answer ended.
    pub(crate) fn stop(&mut self, reason: &str) {
        self.reply.finish_reason_raw = Some(word(reason));
        self.has_answer = true;
    }

    /// Notes when the first word came.
    fn mark_first_word(&mut self) {
        if self.said.spoken_bytes() > 0 {
            self.ttft = self.ttft.or(self.since_sent);
        }
    }

    /// Notes what keeps the answer from being used; the first one counts.
    pub(crate) fn make_faulty(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    /// Keeps the first error. One that follows the end does not take back the answer.
    pub(crate) fn fail(&mut self, found: Found, is_late: bool) {
        let place = if is_late {
            &mut self.late_error
        } else {
            &mut self.error
        };
        place.get_or_insert(found);
    }

    /// Keeps what `text` tells as an error, as [`Self::fail`] does.
    pub(crate) fn fail_with(&mut self, text: &str, is_late: bool) {
        let found = errors::read(text, self.now);
        self.fail(found, is_late);
    }

    /// Reads data of a stream that is no object of its protocol; returns whether nothing can be
    /// missing that it held.
    pub(crate) fn read_unexpected(&mut self, name: &str, data: &str) -> bool {
        if name == "error" {
            self.fail_with(data, self.has_ended);
            return true;
        }
        // What is not an object can hold no part of an answer: some servers keep connections alive
        // with words. After the finish reason no text is missing.
        self.reply.finish_reason_raw.is_some() || !data.trim_start().starts_with('{')
    }

    /// Takes a whole body `text` that was read for its end, or for an error when it held no answer.
    pub(crate) fn end_whole(&mut self, text: &str) {
        if self.has_answer {
            self.has_ended = true;
        } else if let Some(found) = errors::read_json(text, self.now) {
            self.fail(found, false);
        }
    }

    /// Reads a whole body as an error if it held no answer.
    pub(crate) fn read_as_error(&mut self, text: &str) {
        if self.error.is_some() || self.has_answer {
            return;
        }
        if let Some(found) = errors::read_json(text, self.now) {
            // A list is no answer; some servers wrap errors so. Words of anything else may tell
            // why it is none.
            self.fail(found, !text.trim_start().starts_with('['));
        }
    }

    /// Takes reasoning in a think tag out of the text where it may stand there and none is told
    /// elsewhere; returns the name of its source.
    fn take_think_tag(&mut self) -> Option<&'static str> {
        let is_told = !self.said.reasoning.is_empty() || !self.said.summary.is_empty();
        if is_told || !self.has_think_tags {
            return None;
        }
        let text = self.said.text.take()?;
        let Some(tagged) = think_tag::taken_apart(&text, self.reply.finish_reason) else {
            self.said.text = Some(text);
            return None;
        };
        self.tokens
            .mark_thinking(think_tag::CLOSE, tagged.is_closed);
        tagged.reasoning.clone_into(&mut self.said.reasoning);
        self.said.text = Some(tagged.text.to_owned());
        Some("think-tag")
    }

    /// Returns what came together, the finish reason normalised from the provider's own word.
    pub(crate) fn finish_as_told(self) -> Assembled {
        let word = self.reply.finish_reason_raw.clone();
        self.finish(word.as_deref())
    }

    /// Returns what came together, the finish reason normalised from `word`.
    pub(crate) fn finish(mut self, word: Option<&str>) -> Assembled {
        self.reply.finish_reason = word.map(finish::normalised);
        let tagged_source = self.take_think_tag();
        self.tokens.mark_echo(self.reply.usage.input_tokens);
        let mut reply = self.reply;
        let fault = self.fault.or(self.said.fault);
        self.said.write_into(&mut reply);
        if let Some(source) = tagged_source {
            reply.reasoning_source = Some(source.to_owned());
        }
        reply.tokens = self.tokens.list;
        if self.has_ended
            && self.has_answer
            && reply.tool_calls.is_none()
            && reply.refusal_text.is_none()
        {
            // An answer that ended without a word is an empty text, even where it says null.
            reply.text.get_or_insert_default();
        }
        Assembled {
            ended_as: finish::ended_as(&reply),
            reply,
            has_answer: self.has_answer,
            has_ended: self.has_ended,
            fault,
            error: self.error,
            late_error: self.late_error,
            ttft: self.ttft,
        }
    }
}

/// A protocol that reads into a draft. How an answer is put together then follows alike.
pub(crate) trait Drafted: Send + Sync {
    fn draft(&mut self) -> &mut Draft;

    /// Reads a whole answer.
    fn read_whole(&mut self, text: &str);

    /// Reads an event by its name and data; returns whether nothing can be missing that it held.
    fn read_event(&mut self, name: &str, data: &str) -> bool;

    /// Returns whether the stream's own last word was seen.
    fn has_last_word(&self) -> bool;

    /// Returns what came together.
    fn assembled(self) -> Assembled;
}

impl<T: Drafted> Assemble for T {
    fn whole(&mut self, text: &str) {
        self.read_whole(text);
        self.draft().read_as_error(text);
    }

    fn event(&mut self, name: &str, data: &str, since_sent: Duration) {
        self.draft().since_sent = Some(since_sent);
        if !self.read_event(name, data) {
            self.draft().said.make_unreadable();
        }
        self.draft().mark_first_word();
    }

    fn last_event(&mut self, name: &str, data: &str, since_sent: Duration) {
        self.draft().since_sent = Some(since_sent);
        let _is_whole = self.read_event(name, data);
        self.draft().mark_first_word();
    }

    fn is_done(&self) -> bool {
        self.has_last_word()
    }

    fn finish(self: Box<Self>) -> Assembled {
        (*self).assembled()
    }
}

#[cfg(test)]
mod tests;
