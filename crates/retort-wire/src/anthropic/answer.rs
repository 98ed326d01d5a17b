//! Puts an answer together, whole or event by event.

use retort_types::Timestamp;
use retort_types::reply::Usage;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::body::{self, Block, Event, Message, StopDetails};
use crate::decode::Assembled;
use crate::draft::{Draft, Drafted, keep_usage, parts_of};
use crate::errors::is_told;
use crate::lenient::{Object, Text};
use crate::openai::Call;

/// Puts one answer together.
pub(crate) struct Assembler {
    draft: Draft,
    /// The first usage object, which tells what the last one leaves out.
    first_usage: Option<String>,
}

impl Assembler {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            draft: Draft::new(now),
            first_usage: None,
        }
    }

    fn message(&mut self, message: &Message<'_>) {
        self.draft.has_answer |= message.content.is_some();
        self.draft.describe(&message.id, &message.model);
        match message.content.map(RawValue::get) {
            None | Some("null") => {}
            Some(raw) if raw.starts_with('[') => self.blocks(raw),
            Some(_) => self.draft.said.add_raw_text(message.content),
        }
        self.stop(&message.stop_reason, &message.stop_details);
        self.usage(message.usage);
    }

    fn blocks(&mut self, raw: &str) {
        match parts_of::<Block<'_>>(raw) {
            Some(blocks) => blocks.iter().for_each(|block| self.block(block, None)),
            None => self.draft.said.make_unreadable(),
        }
    }

    /// Reads a block or what is new in one.
    fn block(&mut self, block: &Block<'_>, index: Option<u32>) {
        self.draft.has_answer = true;
        let said = &mut self.draft.said;
        match block.kind.told() {
            Some("text" | "text_delta") => said.add_raw_text(block.text),
            Some("thinking" | "thinking_delta") => {
                let text = block.thinking.told().unwrap_or_default();
                said.add_reasoning(text);
                // Some models tell no more of their thinking than that it took place.
                if text.is_empty() && block.signature.told().is_some() {
                    said.add_hidden_reasoning();
                }
            }
            Some("signature_delta" | "redacted_thinking") => said.add_hidden_reasoning(),
            Some("tool_use" | "server_tool_use") => {
                // A streamed block begins with an empty input, and its parts follow.
                let input = block.input.map(RawValue::get);
                let is_whole = index.is_none();
                said.add_call(&Call {
                    index,
                    id: block.id.told().unwrap_or_default(),
                    kind: "function",
                    name: block.name.told().unwrap_or_default(),
                    arguments: input.filter(|_| is_whole).unwrap_or_default(),
                });
            }
            Some("input_json_delta") => said.add_call(&Call {
                index,
                arguments: block.partial_json.told().unwrap_or_default(),
                ..Call::default()
            }),
            // Citations, results of tools and whatever comes next are not text.
            _ => {}
        }
    }

    fn stop(&mut self, reason: &Text<'_>, details: &Object<StopDetails<'_>>) {
        if let Some(reason) = reason.told() {
            self.draft.stop(reason);
        }
        let explanation = details.0.as_ref().and_then(|d| d.explanation.told());
        if let (Some("refusal"), Some(explanation)) = (reason.told(), explanation) {
            self.draft.said.add_refusal(explanation);
        }
    }

    /// Reads a usage object. The counts of a stream come in two of them, of which the second may
    /// correct the first and is cumulative.
    fn usage(&mut self, raw: Option<&RawValue>) {
        let Some(raw) = raw.map(RawValue::get) else {
            return;
        };
        let Ok(Object(Some(told))) = serde_json::from_str::<Object<body::Usage>>(raw) else {
            return;
        };
        let reply = &mut self.draft.reply;
        let details = told.output_tokens_details.0.unwrap_or_default();
        let before = reply.usage;
        let usage = Usage {
            input_tokens: told.input_tokens.count().or(before.input_tokens),
            output_tokens: told.output_tokens.count().or(before.output_tokens),
            reasoning_tokens: details.thinking_tokens.count().or(before.reasoning_tokens),
            cache_read_tokens: told
                .cache_read_input_tokens
                .count()
                .or(before.cache_read_tokens),
            cache_write_tokens: told
                .cache_creation_input_tokens
                .count()
                .or(before.cache_write_tokens),
        };
        keep_usage(reply, usage, raw);
        if self.first_usage.is_none() {
            self.first_usage.clone_from(&reply.usage_raw);
        }
    }
}

/// Returns the fields of the JSON objects `earlier` and `later` in one, the later ones over the
/// earlier, or nothing when either is no object.
fn joined(earlier: &str, later: &str) -> Option<String> {
    let mut fields: Map<String, Value> = serde_json::from_str(earlier).ok()?;
    let later: Map<String, Value> = serde_json::from_str(later).ok()?;
    fields.extend(later.into_iter().filter(|(_, value)| !value.is_null()));
    serde_json::to_string(&fields).ok()
}

impl Drafted for Assembler {
    fn draft(&mut self) -> &mut Draft {
        &mut self.draft
    }

    fn read_whole(&mut self, text: &str) {
        if let Ok(Object(Some(message))) = serde_json::from_str::<Object<Message<'_>>>(text) {
            self.draft.has_ended = true;
            self.message(&message);
            if message.error.is_some_and(|raw| is_told(raw.get())) {
                self.draft.fail_with(text, false);
            }
        }
    }

    fn read_event(&mut self, name: &str, data: &str) -> bool {
        if self.draft.has_ended {
            return true;
        }
        let Ok(Object(Some(event))) = serde_json::from_str::<Object<Event<'_>>>(data) else {
            return self.draft.read_unexpected(name, data);
        };
        let kind = event.kind.told().unwrap_or(name);
        match kind {
            "message_start" => {
                if let Some(message) = &event.message.0 {
                    self.message(message);
                }
            }
            "content_block_start" | "content_block_delta" => {
                let block = event.content_block.0.as_ref().or(event.delta.0.as_ref());
                match block {
                    Some(block) => self.block(block, event.index.count()),
                    None => self.draft.said.make_unreadable(),
                }
            }
            "message_delta" => {
                if let Some(delta) = &event.delta.0 {
                    self.stop(&delta.stop_reason, &delta.stop_details);
                }
                self.usage(event.usage);
            }
            "message_stop" => self.draft.has_ended = true,
            // Signs of life, ends of blocks and whatever comes next.
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

    fn assembled(mut self) -> Assembled {
        let last = &mut self.draft.reply.usage_raw;
        if let (Some(first), Some(told)) = (self.first_usage, last.as_deref())
            && first != told
        {
            *last = joined(&first, told);
        }
        self.draft.finish_as_told()
    }
}
