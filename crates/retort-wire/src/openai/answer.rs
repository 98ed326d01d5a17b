//! Puts an answer together, whole or chunk by chunk.

use std::time::Duration;

use retort_types::catalog::WireOptions;
use retort_types::reply::Reply;
use retort_types::{Timestamp, WireProtocol};
use serde_json::value::RawValue;

use super::body::{Body, Choice, Groq};
use super::logprobs::Tokens;
use super::message::Content;
use super::speech::Speech;
use super::usage;
use crate::decode::{Assemble, Assembled, Fault};
use crate::errors::{self, Found};
use crate::finish::{ended_as, normalised};
use crate::lenient::{Object, is_error_told, word};

/// Puts one answer together.
pub(crate) struct Assembler {
    protocol: WireProtocol,
    reply: Reply,
    speech: Speech,
    tokens: Tokens,
    has_answer: bool,
    is_done: bool,
    fault: Option<Fault>,
    error: Option<Found>,
    late_error: Option<Found>,
    ttft: Option<Duration>,
    /// What the waiting times of errors count from.
    now: Timestamp,
}

impl Assembler {
    pub(crate) fn new(protocol: WireProtocol, options: &WireOptions, now: Timestamp) -> Self {
        Self {
            protocol,
            reply: Reply::default(),
            speech: Speech::new(options.reasoning_fields.as_deref()),
            tokens: Tokens::default(),
            has_answer: false,
            is_done: false,
            fault: None,
            error: None,
            late_error: None,
            ttft: None,
            now,
        }
    }

    fn event_is_readable(&mut self, name: &str, data: &str, since_sent: Duration) -> bool {
        let data = data.trim();
        if self.is_done {
            return true;
        }
        if data == "[DONE]" {
            self.is_done = true;
            return true;
        }
        if name == "error" {
            let found = errors::read(data, self.now);
            self.fail(found, self.reply.finish_reason_raw.is_some());
            return true;
        }
        // What is not an object can hold no chunk: some servers keep connections alive with words.
        // After the finish reason no text is missing.
        let may_be_lost = data.starts_with('{') && self.reply.finish_reason_raw.is_none();
        self.read(data, Some(since_sent)) || !may_be_lost
    }

    /// Reads an answer or a chunk of one; returns whether it is JSON of the expected kind.
    fn read(&mut self, text: &str, since_sent: Option<Duration>) -> bool {
        let Ok(Object(Some(body))) = serde_json::from_str::<Object<Body<'_>>>(text) else {
            return false;
        };
        let was_finished = self.reply.finish_reason_raw.is_some();
        self.describe(&body);
        let groq = body.x_groq.and_then(|raw| {
            let groq = serde_json::from_str::<Object<Groq<'_>>>(raw.get());
            groq.ok()?.0
        });
        for raw in [body.usage, groq.as_ref().and_then(|groq| groq.usage)]
            .into_iter()
            .flatten()
        {
            usage::read(raw.get(), &mut self.reply);
        }
        let errors = [body.error, groq.and_then(|groq| groq.error)];
        let mut has_error = errors
            .into_iter()
            .flatten()
            .any(|raw| is_error_told(raw.get()));
        let is_bare_error = [&body.object, &body.kind]
            .iter()
            .any(|word| word.told() == Some("error"));
        has_error |= body.choices.0.is_none() && is_bare_error;
        for choice in body
            .choices
            .0
            .unwrap_or_default()
            .into_iter()
            .filter_map(|choice| choice.0)
        {
            if choice.index.0.is_none_or(|index| index == 0.0) {
                self.choice(&choice, since_sent);
                has_error |= choice.error.is_some_and(|raw| is_error_told(raw.get()));
            }
        }
        if has_error {
            let found = errors::read(text, self.now);
            self.fail(found, was_finished);
        }
        true
    }

    /// Keeps the first error. One that follows the finish reason does not take back the answer.
    fn fail(&mut self, found: Found, is_late: bool) {
        let place = if is_late {
            &mut self.late_error
        } else {
            &mut self.error
        };
        place.get_or_insert(found);
    }

    fn describe(&mut self, body: &Body<'_>) {
        let reply = &mut self.reply;
        for (place, told) in [
            (&mut reply.response_id, &body.id),
            (&mut reply.served_model, &body.model),
            (&mut reply.system_fingerprint, &body.system_fingerprint),
            (&mut reply.upstream_provider, &body.provider),
        ] {
            if place.is_none() {
                *place = told.told().map(word);
            }
        }
    }

    /// Reads the first choice.
    fn choice(&mut self, choice: &Choice<'_>, since_sent: Option<Duration>) {
        let is_whole = since_sent.is_none();
        let before = self.speech.spoken_bytes();
        let (delta, message) = (choice.delta.0.as_ref(), choice.message.0.as_ref());
        let message = if is_whole {
            message.or(delta)
        } else {
            // A whole message beside or after deltas repeats them.
            delta.or(message.filter(|_| before == 0))
        };
        let is_raw = self.protocol == WireProtocol::OpenaiCompletions;
        let raw_text = choice.text.filter(|_| is_raw || message.is_none());
        self.has_answer |= match (raw_text, message) {
            (Some(raw), _) => self.speech.add_content(&Content::of(raw.get())),
            (None, Some(message)) => self.speech.add(message, is_whole),
            (None, None) => false,
        };
        if self.speech.spoken_bytes() > before {
            self.ttft = self.ttft.or(since_sent);
        }
        // Some servers write "null" in every chunk but the last.
        if let Some(reason) = choice
            .finish_reason
            .told()
            .filter(|reason| *reason != "null")
        {
            self.reply.finish_reason_raw = Some(word(reason));
            self.has_answer = true;
        }
        let arrived_ms = since_sent.map(|since| since.as_secs_f32() * 1_000.0);
        if let Some(raw) = choice.logprobs.map(RawValue::get)
            && self.tokens.add(raw, arrived_ms).is_err()
        {
            self.fault = Some(Fault::TooLarge);
        }
        if let Some(raw) = choice.usage {
            usage::read(raw.get(), &mut self.reply);
        }
    }
}

impl Assemble for Assembler {
    fn is_done(&self) -> bool {
        self.is_done
    }

    fn whole(&mut self, text: &str) {
        self.is_done = self.read(text, None);
        if self.error.is_some() || self.has_answer {
            return;
        }
        let Some(found) = errors::read_json(text, self.now) else {
            return;
        };
        if text.trim_start().starts_with('[') {
            // A list is no answer; some servers wrap errors so.
            self.error = Some(found);
        } else {
            // No answer either, and perhaps its words tell why.
            self.late_error = Some(found);
        }
    }

    fn event(&mut self, name: &str, data: &str, since_sent: Duration) {
        if !self.event_is_readable(name, data, since_sent) {
            self.fault.get_or_insert(Fault::Unreadable);
        }
    }

    fn last_event(&mut self, name: &str, data: &str, since_sent: Duration) {
        let _is_whole = self.event_is_readable(name, data, since_sent);
    }

    fn finish(self: Box<Self>) -> Assembled {
        let Self {
            mut reply,
            mut tokens,
            speech,
            ..
        } = *self;
        let fault = self.fault.or(speech.fault());
        let has_finish_reason = reply.finish_reason_raw.is_some();
        reply.finish_reason = reply.finish_reason_raw.as_deref().map(normalised);
        let is_chat = self.protocol == WireProtocol::OpenaiChat;
        speech.finish(is_chat, &mut reply, &mut tokens);
        let has_ended = self.is_done || has_finish_reason;
        if has_ended
            && self.has_answer
            && reply.tool_calls.is_none()
            && reply.refusal_text.is_none()
        {
            // An answer that ended without a word is an empty text, even where it says null.
            reply.text.get_or_insert_default();
        }
        let ended_as = ended_as(&reply);
        tokens.mark_echo(reply.usage.input_tokens);
        reply.tokens = tokens.list;
        Assembled {
            reply,
            has_answer: self.has_answer,
            has_ended,
            ended_as,
            fault,
            error: self.error,
            late_error: self.late_error,
            ttft: self.ttft,
        }
    }
}
