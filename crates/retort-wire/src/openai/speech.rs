//! Where messages and deltas hold what the model said.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::message::{Content, Message, REASONING_DETAILS};
use crate::draft::Said;

/// Fields that hold reasoning, likeliest first.
const REASONING_FIELDS: [&str; 3] = ["reasoning_content", "reasoning", REASONING_DETAILS];

/// Reads messages and deltas of one answer.
pub(super) struct Speech {
    /// Names of fields that hold reasoning, in order of preference.
    reasoning_fields: Vec<Cow<'static, str>>,
    /// Which of them gave reasoning first; the others are read over from then on, because routers
    /// repeat the same reasoning under several names.
    reasoning_from: Option<usize>,
}

impl Speech {
    /// Returns one that looks for reasoning in `preferred` fields first.
    pub(super) fn new(preferred: Option<&[String]>) -> Self {
        let preferred = preferred.unwrap_or_default().iter();
        let mut reasoning_fields: Vec<Cow<'static, str>> =
            preferred.map(|field| field.clone().into()).collect();
        for known in REASONING_FIELDS {
            if !reasoning_fields.iter().any(|field| field == known) {
                reasoning_fields.push(known.into());
            }
        }
        Self {
            reasoning_fields,
            reasoning_from: None,
        }
    }

    /// Adds a message or a delta to what was `said`; returns whether it held anything, be it an
    /// empty text.
    pub(super) fn add(&mut self, said: &mut Said, message: &Message<'_>, is_whole: bool) -> bool {
        let before = said.bytes();
        self.add_reasoning_fields(said, message);
        said.add_refusal(message.text("refusal").unwrap_or_default());
        match message.tool_calls {
            Some(raw) if is_whole => said.add_told_calls(Some(raw)),
            Some(raw) => said.add_call_deltas(RawValue::get(raw)),
            None => {}
        }
        self.add_content(said, &message.content) || said.bytes() > before
    }

    /// Adds content; returns whether there was any.
    pub(super) fn add_content(&mut self, said: &mut Said, content: &Content<'_>) -> bool {
        match content {
            Content::Absent => return false,
            Content::Text(text) => said.add_text(text),
            Content::Parts { text, thinking } => {
                self.add_reasoning(said, self.reasoning_fields.len(), (thinking, "field"));
                if let Some(text) = text {
                    said.add_text(text);
                }
            }
            Content::Unreadable => said.make_unreadable(),
        }
        true
    }

    fn add_reasoning_fields(&mut self, said: &mut Said, message: &Message<'_>) {
        let mut places = self.reasoning_fields.iter().enumerate();
        let found = places.find_map(|(place, name)| {
            let may_be = self.reasoning_from.is_none_or(|from| from == place);
            may_be
                .then(|| message.reasoning(name))
                .flatten()
                .map(|found| (place, found))
        });
        if let Some((place, found)) = found {
            self.add_reasoning(said, place, (&found.text, found.source));
        }
    }

    fn add_reasoning(&mut self, said: &mut Said, place: usize, (text, source): (&str, &str)) {
        let may_be = self.reasoning_from.is_none_or(|from| from == place);
        if !text.is_empty() && may_be {
            self.reasoning_from = Some(place);
            if source == "summary" {
                said.add_summary(text);
            } else {
                said.add_reasoning(text);
            }
        } else if source == "encrypted" {
            said.add_hidden_reasoning();
        }
    }
}
