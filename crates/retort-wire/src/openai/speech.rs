//! What the model said: visible text, reasoning, refusal and tool calls, as they come together.

use retort_types::reply::{FinishReason, Reply};
use serde_json::value::RawValue;

use super::logprobs::Tokens;
use super::message::{Content, Message, REASONING_DETAILS};
use super::tools::{self, ToolCalls};
use crate::decode::Fault;
use crate::draft::TEXT_MAX_BYTES;
use crate::think_tag;

/// Fields that hold reasoning, likeliest first.
const REASONING_FIELDS: [&str; 3] = ["reasoning_content", "reasoning", REASONING_DETAILS];

/// What the model said so far.
pub(super) struct Speech {
    text: Option<String>,
    reasoning: String,
    reasoning_source: Option<&'static str>,
    /// Names of fields that hold reasoning, in order of preference.
    reasoning_fields: Vec<String>,
    /// Which of them gave reasoning first; the others are read over from then on, because routers
    /// repeat the same reasoning under several names.
    reasoning_from: Option<usize>,
    refusal: Option<String>,
    /// Tool calls of a whole message, as told.
    whole_tools: Option<String>,
    tools: ToolCalls,
    bytes: usize,
    fault: Option<Fault>,
}

impl Speech {
    /// Returns an empty one that looks for reasoning in `preferred` fields first.
    pub(super) fn new(preferred: Option<&[String]>) -> Self {
        let mut reasoning_fields = preferred.unwrap_or_default().to_vec();
        for known in REASONING_FIELDS {
            if !reasoning_fields.iter().any(|field| field == known) {
                reasoning_fields.push(known.to_owned());
            }
        }
        Self {
            text: None,
            reasoning: String::new(),
            reasoning_source: None,
            reasoning_fields,
            reasoning_from: None,
            refusal: None,
            whole_tools: None,
            tools: ToolCalls::default(),
            bytes: 0,
            fault: None,
        }
    }

    /// Returns what keeps the speech from being used.
    pub(super) const fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Returns the bytes of text and reasoning so far.
    pub(super) fn spoken_bytes(&self) -> usize {
        self.text.as_ref().map_or(0, String::len) + self.reasoning.len()
    }

    /// Adds a message or a delta; returns whether it held anything, be it an empty text.
    pub(super) fn add(&mut self, message: &Message<'_>, is_whole: bool) -> bool {
        let before = self.bytes;
        self.add_reasoning_fields(message);
        if let Some(refusal) = message.text("refusal").filter(|text| !text.is_empty())
            && self.grow(refusal.len())
        {
            self.refusal.get_or_insert_default().push_str(refusal);
        }
        if let Some(raw) = message.tool_calls.map(RawValue::get)
            && self.grow(raw.len())
        {
            if is_whole {
                self.whole_tools = tools::whole(raw);
            } else {
                self.tools.add(raw);
            }
        }
        self.add_content(&message.content) || self.bytes > before
    }

    /// Adds content; returns whether there was any.
    pub(super) fn add_content(&mut self, content: &Content<'_>) -> bool {
        match content {
            Content::Absent => return false,
            Content::Text(text) => self.add_text(text),
            Content::Parts { text, thinking } => {
                self.add_reasoning(self.reasoning_fields.len(), thinking, "field");
                if let Some(text) = text {
                    self.add_text(text);
                }
            }
            Content::Unreadable => {
                self.fault.get_or_insert(Fault::Unreadable);
            }
        }
        true
    }

    fn add_text(&mut self, text: &str) {
        if self.grow(text.len()) {
            self.text.get_or_insert_default().push_str(text);
        }
    }

    fn add_reasoning_fields(&mut self, message: &Message<'_>) {
        let found = self
            .reasoning_fields
            .iter()
            .enumerate()
            .find_map(|(place, name)| {
                let may_be = self.reasoning_from.is_none_or(|from| from == place);
                may_be
                    .then(|| message.reasoning(name))
                    .flatten()
                    .map(|found| (place, found))
            });
        if let Some((place, found)) = found {
            self.add_reasoning(place, &found.text, found.source);
        }
    }

    fn add_reasoning(&mut self, place: usize, text: &str, source: &'static str) {
        let may_be = self.reasoning_from.is_none_or(|from| from == place);
        if !text.is_empty() && may_be && self.grow(text.len()) {
            self.reasoning_from = Some(place);
            self.reasoning_source = Some(source);
            self.reasoning.push_str(text);
        } else if self.reasoning_source.is_none() && source == "encrypted" {
            self.reasoning_source = Some(source);
        }
    }

    fn grow(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > TEXT_MAX_BYTES {
            self.fault = Some(Fault::TooLarge);
        }
        self.bytes <= TEXT_MAX_BYTES
    }

    /// Writes it into `reply`, whose finish reason is already known. `has_think_tags` says whether
    /// reasoning may stand in the text.
    pub(super) fn finish(mut self, has_think_tags: bool, reply: &mut Reply, tokens: &mut Tokens) {
        if has_think_tags && self.reasoning.is_empty() {
            self.take_think_tag(reply.finish_reason, tokens);
        }
        reply.text = self.text;
        reply.reasoning_text = Some(self.reasoning).filter(|text| !text.is_empty());
        reply.reasoning_source = self.reasoning_source.map(str::to_owned);
        reply.refusal_text = self.refusal;
        reply.tool_calls = self.whole_tools.or_else(|| self.tools.finish());
    }

    /// Takes reasoning in a think tag at the very start out of the text.
    fn take_think_tag(&mut self, finish: Option<FinishReason>, tokens: &mut Tokens) {
        let Some(tagged) = self
            .text
            .as_deref()
            .and_then(|text| think_tag::taken_apart(text, finish))
        else {
            return;
        };
        tokens.mark_thinking(think_tag::CLOSE, tagged.is_closed);
        tagged.reasoning.clone_into(&mut self.reasoning);
        self.reasoning_source = Some("think-tag");
        self.text = Some(tagged.text.to_owned());
    }
}
