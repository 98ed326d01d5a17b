//! Puts an answer together, whole or chunk by chunk.

use retort_types::catalog::WireOptions;
use retort_types::{Timestamp, WireProtocol};
use serde_json::value::RawValue;

use super::body::{Body, Choice, Groq};
use super::message::Content;
use super::speech::Speech;
use super::usage;
use crate::decode::{Assembled, Fault};
use crate::draft::{Draft, Drafted, keep_first};
use crate::errors::is_told;
use crate::lenient::Object;

/// Puts one answer together.
pub(crate) struct Assembler {
    protocol: WireProtocol,
    draft: Draft,
    speech: Speech,
    /// Whether the stream's last word was seen, or the body was whole.
    is_done: bool,
}

impl Assembler {
    pub(crate) fn new(protocol: WireProtocol, options: &WireOptions, now: Timestamp) -> Self {
        let mut draft = Draft::new(now);
        draft.has_think_tags = protocol == WireProtocol::OpenaiChat;
        Self {
            protocol,
            draft,
            speech: Speech::new(options.reasoning_fields.as_deref()),
            is_done: false,
        }
    }

    /// Reads an answer or a chunk of one; returns whether it is JSON of the expected kind.
    fn read(&mut self, text: &str) -> bool {
        let Ok(Object(Some(body))) = serde_json::from_str::<Object<Body<'_>>>(text) else {
            return false;
        };
        let was_finished = self.draft.reply.finish_reason_raw.is_some();
        self.describe(&body);
        let groq = body.x_groq.and_then(|raw| {
            let groq = serde_json::from_str::<Object<Groq<'_>>>(raw.get());
            groq.ok()?.0
        });
        for raw in [body.usage, groq.as_ref().and_then(|groq| groq.usage)]
            .into_iter()
            .flatten()
        {
            usage::read(raw.get(), &mut self.draft.reply);
        }
        let errors = [body.error, groq.and_then(|groq| groq.error)];
        let mut has_error = errors.into_iter().flatten().any(|raw| is_told(raw.get()));
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
                self.choice(&choice);
                has_error |= choice.error.is_some_and(|raw| is_told(raw.get()));
            }
        }
        if has_error {
            self.draft.fail_with(text, was_finished);
        }
        true
    }

    fn describe(&mut self, body: &Body<'_>) {
        self.draft.describe(&body.id, &body.model);
        let reply = &mut self.draft.reply;
        keep_first(&mut reply.system_fingerprint, &body.system_fingerprint);
        keep_first(&mut reply.upstream_provider, &body.provider);
    }

    /// Reads the first choice.
    fn choice(&mut self, choice: &Choice<'_>) {
        let is_whole = self.draft.since_sent.is_none();
        let said = &mut self.draft.said;
        let (delta, message) = (choice.delta.0.as_ref(), choice.message.0.as_ref());
        let message = if is_whole {
            message.or(delta)
        } else {
            // A whole message beside or after deltas repeats them.
            delta.or(message.filter(|_| said.spoken_bytes() == 0))
        };
        let is_raw = self.protocol == WireProtocol::OpenaiCompletions;
        let raw_text = choice.text.filter(|_| is_raw || message.is_none());
        self.draft.has_answer |= match (raw_text, message) {
            (Some(raw), _) => self.speech.add_content(said, &Content::of(raw.get())),
            (None, Some(message)) => self.speech.add(said, message, is_whole),
            (None, None) => false,
        };
        // Some servers write "null" in every chunk but the last.
        if let Some(reason) = choice
            .finish_reason
            .told()
            .filter(|reason| *reason != "null")
        {
            self.draft.stop(reason);
            self.draft.has_ended = true;
        }
        let arrived_ms = self.draft.arrived_ms();
        if let Some(raw) = choice.logprobs.map(RawValue::get)
            && self.draft.tokens.add(raw, arrived_ms).is_err()
        {
            self.draft.make_faulty(Fault::TooLarge);
        }
        if let Some(raw) = choice.usage {
            usage::read(raw.get(), &mut self.draft.reply);
        }
    }
}

impl Drafted for Assembler {
    fn draft(&mut self) -> &mut Draft {
        &mut self.draft
    }

    fn read_whole(&mut self, text: &str) {
        self.is_done = self.read(text);
        self.draft.has_ended |= self.is_done;
    }

    fn read_event(&mut self, name: &str, data: &str) -> bool {
        let data = data.trim();
        if self.is_done {
            return true;
        }
        if data == "[DONE]" {
            self.is_done = true;
            self.draft.has_ended = true;
            return true;
        }
        let is_error = name == "error";
        (!is_error && self.read(data)) || self.draft.read_unexpected(name, data)
    }

    fn has_last_word(&self) -> bool {
        self.is_done
    }

    fn assembled(self) -> Assembled {
        self.draft.finish_as_told()
    }
}
