//! Puts an answer together, whole or event by event.
//!
//! The last event of a stream repeats the whole answer. It is taken from there, and what the event
//! leaves out from the events before it.

use retort_types::Timestamp;
use retort_types::reply::{TokenSegment, Usage};
use serde_json::value::RawValue;
use std::borrow::Cow;

use super::body::{self, Event, Output, Part, Response};
use crate::decode::Assembled;
use crate::draft::{Draft, Drafted, Said, keep_usage, parts_of, word};
use crate::errors::is_told;
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

    /// Reads the last event of a stream, `response.` and a status.
    fn end(&mut self, kind: &str, event: &Event<'_>) {
        let streamed = std::mem::take(&mut self.draft.said);
        let arrived = std::mem::take(&mut self.draft.tokens);
        self.draft.has_answer |= streamed.spoken_bytes() > 0;
        if let Some(response) = &event.response.0 {
            self.response(response);
        }
        self.draft.has_ended = true;
        // The event's name tells the status where the answer within does not, or an earlier one.
        let told = &mut self.draft.reply.finish_reason_raw;
        if told.as_deref().is_none_or(is_pending) {
            let status = kind.strip_prefix("response.").unwrap_or(kind);
            *told = Some(status.to_owned());
        }
        self.draft.said = std::mem::take(&mut self.draft.said).or(streamed);
        let told = std::mem::take(&mut self.draft.tokens);
        self.draft.tokens = told.or_as_arrived(arrived);
    }

    fn describe(&mut self, response: &Response<'_>) {
        self.draft.describe(&response.id, &response.model);
        let reply = &mut self.draft.reply;
        for (place, told) in [
            (&mut reply.system_fingerprint, &response.system_fingerprint),
            (&mut reply.upstream_provider, &response.provider),
        ] {
            if place.is_none() {
                *place = told.told().map(word);
            }
        }
    }

    /// Reads a whole answer.
    fn response(&mut self, response: &Response<'_>) {
        self.describe(response);
        if let Some(raw) = response.usage {
            self.usage(raw.get());
        }
        if let Some(raw) = response.output {
            self.draft.has_answer = true;
            match parts_of::<Output<'_>>(raw.get()) {
                Some(items) => items.iter().for_each(|item| self.item(item)),
                None => self.draft.said.make_unreadable(),
            }
        }
        let incomplete = response.incomplete_details.0.as_ref();
        let reason = incomplete.and_then(|details| details.reason.told());
        let status = response.status.told();
        self.draft.reply.finish_reason_raw = reason.or(status).map(word);
        if let Some(raw) = response.error.filter(|raw| is_told(raw.get())) {
            self.draft.fail_with(raw.get(), false);
        }
    }

    fn item(&mut self, item: &Output<'_>) {
        match item.kind.told() {
            Some("message") => self.content(item.content),
            Some("reasoning") => reasoning(&mut self.draft.said, item),
            _ => call(&mut self.draft.said, item),
        }
    }

    fn content(&mut self, raw: Option<&RawValue>) {
        match raw.map(RawValue::get) {
            Some(list) if list.starts_with('[') => match parts_of::<Part<'_>>(list) {
                Some(parts) => parts.iter().for_each(|part| self.part(part)),
                None => self.draft.said.make_unreadable(),
            },
            // Some servers write the text as it is.
            _ => self.draft.said.add_raw_text(raw),
        }
    }

    fn part(&mut self, part: &Part<'_>) {
        let said = &mut self.draft.said;
        match part.kind.told() {
            Some("output_text" | "text") => said.add_raw_text(part.text),
            Some("refusal") => said.add_refusal(part.refusal.told().unwrap_or_default()),
            // Whatever comes next is not text.
            _ => {}
        }
        if let Some(raw) = part.logprobs {
            let response = TokenSegment::Response;
            self.draft.add_token_list(raw.get(), response);
        }
    }

    fn usage(&mut self, raw: &str) {
        let Ok(Object(Some(told))) = serde_json::from_str::<Object<body::Usage>>(raw) else {
            return;
        };
        let input = told.input_tokens_details.0.unwrap_or_default();
        let output = told.output_tokens_details.0.unwrap_or_default();
        let usage = Usage {
            input_tokens: told.input_tokens.count(),
            output_tokens: told.output_tokens.count(),
            reasoning_tokens: output.reasoning_tokens.count(),
            cache_read_tokens: input.cached_tokens.count(),
            cache_write_tokens: input.cache_write_tokens.count(),
        };
        keep_usage(&mut self.draft.reply, usage, raw);
    }
}

/// Returns whether an answer of this status is still being worked on, and thus none.
fn is_pending(status: &str) -> bool {
    matches!(status, "queued" | "in_progress")
}

fn told(raw: Option<&RawValue>) -> Cow<'_, str> {
    raw.and_then(|raw| text_of(raw.get())).unwrap_or_default()
}

fn reasoning(said: &mut Said, item: &Output<'_>) {
    let parts = |raw: Option<&'_ RawValue>| {
        let parts = raw.and_then(|raw| parts_of::<Part<'_>>(raw.get()));
        let parts = parts.unwrap_or_default().into_iter();
        parts
            .map(|part| told(part.text).into_owned())
            .collect::<String>()
    };
    said.add_reasoning(&parts(item.content));
    said.add_summary(&parts(item.summary));
    if item.encrypted_content.told().is_some() {
        said.add_hidden_reasoning();
    }
}

/// Reads an item that is neither a message nor reasoning: only calls of functions are kept.
fn call(said: &mut Said, item: &Output<'_>) {
    if item.kind.told() == Some("function_call") {
        let id = item.call_id.told().or(item.id.told());
        said.add_call(&Call {
            index: None,
            id: id.unwrap_or("-"),
            kind: "function",
            name: item.name.told().unwrap_or_default(),
            arguments: item.arguments.told().unwrap_or_default(),
        });
    }
}

impl Drafted for Assembler {
    fn draft(&mut self) -> &mut Draft {
        &mut self.draft
    }

    fn read_whole(&mut self, text: &str) {
        if let Ok(Object(Some(response))) = serde_json::from_str::<Object<Response<'_>>>(text) {
            self.response(&response);
            self.draft.has_ended = !response.status.told().is_some_and(is_pending);
        }
    }

    fn read_event(&mut self, name: &str, data: &str) -> bool {
        if self.draft.has_ended {
            return true;
        }
        let Ok(Object(Some(event))) = serde_json::from_str::<Object<Event<'_>>>(data) else {
            // Among it is the `[DONE]` of some routers.
            return self.draft.read_unexpected(name, data);
        };
        let kind = event.kind.told().unwrap_or(name);
        match kind {
            "response.output_text.delta" => {
                self.draft.said.add_raw_text(event.delta);
                if let Some(raw) = event.logprobs {
                    let response = TokenSegment::Response;
                    self.draft.add_token_list(raw.get(), response);
                }
            }
            "response.refusal.delta" => self.draft.said.add_refusal(&told(event.delta)),
            "response.reasoning_text.delta" | "response.reasoning.delta" => {
                self.draft.said.add_reasoning(&told(event.delta));
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_summary.delta" => {
                self.draft.said.add_summary(&told(event.delta));
            }
            "response.output_item.done" => {
                if let Some(item) = &event.item.0 {
                    call(&mut self.draft.said, item);
                }
            }
            "response.completed"
            | "response.incomplete"
            | "response.failed"
            | "response.cancelled" => self.end(kind, &event),
            "response.created" | "response.in_progress" | "response.queued" => {
                if let Some(response) = &event.response.0 {
                    self.describe(response);
                }
            }
            // Beginnings and ends of parts, and whatever comes next.
            _ => {}
        }
        if kind == "error" || event.error.is_some_and(|raw| is_told(raw.get())) {
            self.draft.fail_with(data, false);
        }
        true
    }

    fn has_last_word(&self) -> bool {
        self.draft.has_ended
    }

    fn assembled(self) -> Assembled {
        let status = self.draft.reply.finish_reason_raw.clone();
        // There is no status of its own for an answer that is a call.
        let is_call = self.draft.said.has_calls() && status.as_deref() == Some("completed");
        let word = if is_call {
            Some("tool_calls")
        } else {
            status.as_deref()
        };
        self.draft.finish(word)
    }
}
