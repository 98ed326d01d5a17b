//! A request that was understood, whatever protocol it came in, and what an answer says of itself.

use retort_types::{Message, PromptInput};

use super::Shape;
use super::framing::Framing;
use crate::mix::{below, key, mix};
use crate::model::{Ask, Generation, Token, estimate_tokens};

/// Tokens that a chat template adds per message, as `OpenAI`'s own counting does.
const TOKENS_PER_MESSAGE: u64 = 4;

/// Most tokens of one event; providers send one to a few.
const EVENT_TOKENS_MAX: usize = 3;

/// What becomes of the reasoning of a model that can reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thoughts {
    /// It does not reason.
    None,
    /// Only the number of its tokens is told.
    Silent,
    /// It is told.
    Told,
}

/// A request that was understood.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    pub(crate) shape: Shape,
    pub(crate) model: String,
    pub(crate) ask: Ask,
    pub(crate) stop: Vec<String>,
    /// How the answer is streamed; a plain answer unless set.
    pub(crate) framing: Option<Framing>,
    pub(crate) include_usage: bool,
    /// Whether a completion repeats its prompt.
    pub(crate) echo: bool,
    pub(crate) thoughts: Thoughts,
    pub(crate) prompt_tokens: u64,
}

impl Asked {
    /// Returns a plain request at temperature 1 that wants everything told.
    pub(super) fn new(shape: Shape, model: String, input: PromptInput) -> Self {
        let prompt_tokens = count_tokens(&input);
        let thoughts = match input {
            PromptInput::Messages(_) => Thoughts::Told,
            // Only a chat template leads a model to reason.
            PromptInput::Text(_) => Thoughts::None,
        };
        Self {
            shape,
            model,
            ask: Ask {
                input,
                temperature: 1.0,
                seed: None,
                draw: 0,
                sample_id: None,
                max_tokens: None,
                top_logprobs: None,
            },
            stop: Vec::new(),
            framing: None,
            include_usage: false,
            echo: false,
            thoughts,
            prompt_tokens,
        }
    }

    /// Says whether the request lets the model reason, and wants the thoughts told.
    pub(super) fn think(&mut self, thinks: bool, told: bool) {
        self.thoughts = match (self.thoughts, thinks, told) {
            (Thoughts::None, _, _) | (_, false, _) => Thoughts::None,
            (_, true, false) => Thoughts::Silent,
            (_, true, true) => Thoughts::Told,
        };
    }

    /// Returns the thoughts that the answer tells.
    pub(super) fn thoughts<'a>(&self, made: &'a Generation) -> &'a [Token] {
        match self.thoughts {
            Thoughts::Told => &made.reasoning,
            Thoughts::None | Thoughts::Silent => &[],
        }
    }

    /// Returns whether log probabilities are told.
    pub(super) const fn wants_logprobs(&self) -> bool {
        self.ask.top_logprobs.is_some()
    }
}

/// What an answer says about itself.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// A number that no other answer of the provider has.
    pub(crate) id: u64,
    /// Seconds since the epoch.
    pub(crate) created: i64,
    /// The same as RFC 3339.
    pub(crate) created_at: String,
    pub(crate) fingerprint: String,
    /// The stop text that ended the answer.
    pub(crate) stopped_by: Option<String>,
}

impl Facts {
    /// Returns the id with what the protocol puts in front.
    pub(super) fn named(&self, prefix: &str) -> String {
        format!("{prefix}{:016x}", self.id)
    }

    /// Returns the id in the form of a UUID.
    pub(super) fn uuid(&self) -> String {
        let digits = format!("{:016x}{:016x}", self.id, mix(self.id, 1));
        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
        let (a, b, c) = (part(0, 8), part(8, 12), part(13, 16));
        format!("{a}-{b}-4{c}-8{}-{}", part(17, 20), part(20, 32))
    }
}

/// Returns a message; the newer word for a system text means the same to a model.
pub(super) fn message(role: &str, content: String) -> Message {
    let role = if role == "developer" { "system" } else { role };
    Message {
        role: role.to_owned(),
        content,
    }
}

/// Returns the stop text that comes first in the answer, to be found before it is trimmed.
pub(crate) fn first_stop(stop: &[String], text: &str) -> Option<String> {
    let found = stop.iter().filter(|s| !s.is_empty());
    let found = found.filter_map(|s| text.find(s.as_str()).map(|at| (at, s)));
    found.min().map(|(_, s)| s.clone())
}

/// Returns `tokens` in parts of one to three, by `seed`.
pub(super) fn parts(tokens: &[Token], seed: u64) -> Vec<&[Token]> {
    let mut parts = Vec::with_capacity(tokens.len());
    let mut rest = tokens;
    while !rest.is_empty() {
        let drawn = below(mix(seed, rest.len() as u64), EVENT_TOKENS_MAX) + 1;
        let (part, tail) = rest.split_at(drawn.min(rest.len()));
        parts.push(part);
        rest = tail;
    }
    parts
}

/// Returns a text that stands for the signature of thoughts: opaque, as real ones are.
pub(super) fn signature(text: &str) -> String {
    format!("sim{:016x}", key(text))
}

fn count_tokens(input: &PromptInput) -> u64 {
    match input {
        PromptInput::Text(text) => estimate_tokens(text),
        PromptInput::Messages(messages) => messages
            .iter()
            .map(|message| estimate_tokens(&message.content) + TOKENS_PER_MESSAGE)
            .sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stop_text_counts() {
        let stop = ["b".to_owned(), "a".to_owned(), String::new()];
        assert_eq!(first_stop(&stop, "xab"), Some("a".to_owned()));
        assert_eq!(first_stop(&stop, "xyz"), None);
    }

    #[test]
    fn ids_have_the_form_of_a_uuid() {
        let facts = Facts {
            id: 7,
            created: 0,
            created_at: String::new(),
            fingerprint: String::new(),
            stopped_by: None,
        };
        let uuid = facts.uuid();
        let lengths: Vec<_> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{uuid}");
    }
}
