//! Puts an answer together, whole or chunk by chunk.

use std::borrow::Cow;

use retort_types::Timestamp;
use retort_types::reply::{ProviderError, Usage};
use serde_json::value::RawValue;

use super::body::{self, Body, Candidate, Content, Part, PromptFeedback};
use super::logprobs;
use crate::decode::{Assembled, Fault};
use crate::draft::{Draft, Drafted, keep_usage, parts_of};
use crate::errors::{self, Found, is_told};
use crate::lenient::{Object, text_of};
use crate::openai::Call;

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

    /// Reads an answer or a chunk of one; returns whether it is JSON of the expected kind.
    fn read(&mut self, text: &str) -> bool {
        let Ok(Object(Some(body))) = serde_json::from_str::<Object<Body<'_>>>(text) else {
            return false;
        };
        let was_finished = self.draft.has_ended;
        self.draft.describe(&body.response_id, &body.model_version);
        if let Some(raw) = body.usage_metadata {
            self.usage(raw.get());
        }
        for candidate in body.candidates.0.unwrap_or_default() {
            match candidate.0 {
                Some(candidate) if candidate.index.0.is_none_or(|index| index == 0.0) => {
                    self.candidate(&candidate);
                }
                Some(_) | None => {}
            }
        }
        if let Some(found) = body.prompt_feedback.0.as_ref().and_then(blocked) {
            self.draft.fail(found, was_finished);
        }
        if body.error.is_some_and(|raw| is_told(raw.get())) {
            self.draft.fail_with(text, was_finished);
        }
        true
    }

    /// Reads the chunks of a streamed answer that came as one list, as they come when events are
    /// not asked for. What a list that broke off holds in front of the break counts.
    fn read_list(&mut self, list: &str) {
        let mut rest = list;
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
            let mut chunks = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
            let Some(Ok(chunk)) = chunks.next() else {
                return;
            };
            if !self.read(chunk.get()) {
                self.draft.said.make_unreadable();
            }
            rest = rest.get(chunks.byte_offset()..).unwrap_or_default();
        }
    }

    fn candidate(&mut self, candidate: &Candidate<'_>) {
        if let Some(raw) = candidate.content {
            self.draft.has_answer = true;
            self.content(raw.get());
        }
        if let Some(raw) = candidate.logprobs_result.map(RawValue::get) {
            let arrived_ms = self.draft.arrived_ms();
            if logprobs::add(&mut self.draft.tokens, raw, arrived_ms).is_err() {
                self.draft.make_faulty(Fault::TooLarge);
            }
        }
        if let Some(reason) = candidate.finish_reason.and_then(enumerated) {
            self.draft.stop(&reason);
            self.draft.has_ended = true;
        }
    }

    fn content(&mut self, raw: &str) {
        let Ok(Object(Some(content))) = serde_json::from_str::<Object<Content<'_>>>(raw) else {
            self.draft.said.make_unreadable();
            return;
        };
        // A model that thought until its limit says nothing, in no parts.
        let parts = content.parts.map_or("[]", RawValue::get);
        match parts_of::<Part<'_>>(parts) {
            Some(parts) => parts.iter().for_each(|part| self.part(part)),
            None => self.draft.said.make_unreadable(),
        }
    }

    fn part(&mut self, part: &Part<'_>) {
        let said = &mut self.draft.said;
        if part.thought.is_some_and(|raw| raw.get() == "true") {
            let text = part.text.and_then(|raw| text_of(raw.get()));
            said.add_reasoning(&text.unwrap_or_default());
        } else {
            said.add_raw_text(part.text);
        }
        // A signature stands for thoughts, which are told apart from it or not at all.
        if part.thought_signature.told().is_some() {
            said.add_hidden_reasoning();
        }
        if let Some(call) = &part.function_call.0 {
            said.add_call(&Call {
                id: call.id.told().unwrap_or("-"),
                kind: "function",
                name: call.name.told().unwrap_or_default(),
                arguments: call.args.map_or("{}", RawValue::get),
                ..Call::default()
            });
        }
    }

    /// Reads a usage object. Each chunk tells all that is known by then.
    fn usage(&mut self, raw: &str) {
        let Ok(Object(Some(told))) = serde_json::from_str::<Object<body::Usage>>(raw) else {
            return;
        };
        let usage = Usage {
            input_tokens: told.prompt.count(),
            output_tokens: told.candidates.count(),
            reasoning_tokens: told.thoughts.count(),
            cache_read_tokens: told.cached.count(),
            cache_write_tokens: None,
        };
        keep_usage(&mut self.draft.reply, usage, raw);
    }
}

/// Returns the word or number of an enumeration, or nothing when it stands for "not told".
fn enumerated(raw: &RawValue) -> Option<Cow<'_, str>> {
    let raw = raw.get();
    let word = text_of(raw).or_else(|| raw.parse::<u32>().is_ok().then_some(Cow::Borrowed(raw)))?;
    let is_told = !word.is_empty() && word != "0" && !word.ends_with("_UNSPECIFIED");
    is_told.then_some(word)
}

/// Returns the words of finish reasons that are told as numbers. From six on, the Gemini API and
/// Vertex AI number them differently.
fn in_words(reason: &str) -> &str {
    match reason {
        "1" => "STOP",
        "2" => "MAX_TOKENS",
        "3" => "SAFETY",
        "4" => "RECITATION",
        "5" => "OTHER",
        word => word,
    }
}

/// Returns the error that a prompt was withheld from the model, if it was.
fn blocked(feedback: &PromptFeedback<'_>) -> Option<Found> {
    let reason = feedback.block_reason.and_then(enumerated)?;
    let message = feedback.block_reason_message.told();
    let error = ProviderError {
        kind: Some("prompt_blocked".to_owned()),
        code: Some(reason.into_owned()),
        message: message.map(str::to_owned),
    };
    Some(errors::of(error))
}

impl Drafted for Assembler {
    fn draft(&mut self) -> &mut Draft {
        &mut self.draft
    }

    fn read_whole(&mut self, text: &str) {
        match text.trim_start().strip_prefix('[') {
            Some(list) => self.read_list(list),
            None => self.draft.has_ended |= self.read(text),
        }
    }

    fn read_event(&mut self, name: &str, data: &str) -> bool {
        self.read(data) || self.draft.read_unexpected(name, data)
    }

    /// There is no last word: the connection ends. Usage may follow the finish reason.
    fn has_last_word(&self) -> bool {
        false
    }

    fn assembled(self) -> Assembled {
        let reason = self.draft.reply.finish_reason_raw.clone();
        self.draft.finish(reason.as_deref().map(in_words))
    }
}
