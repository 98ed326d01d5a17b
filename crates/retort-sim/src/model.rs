//! What a simulated model is: something that answers a prompt with tokens.
//!
//! Shared rules (token limit, stop texts) are applied here, so that models need not.

use std::fmt;

use retort_types::PromptInput;

/// What a model is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The conversation or the text to continue.
    pub input: PromptInput,
    /// Softmax temperature; 1 where the request says nothing.
    pub temperature: f64,
    /// Seed of the request, if any.
    pub seed: Option<i64>,
    /// Which draw this is, from 0, counted per model over requests without a seed and with a
    /// temperature above 0. Always 0 for the others.
    pub draw: u64,
    /// The sample id that the request told, if any.
    pub sample_id: Option<String>,
    /// Most tokens of the answer, reasoning included; no limit unless set.
    pub max_tokens: Option<u32>,
    /// How many alternatives to tell per token; no log probabilities unless set.
    pub top_logprobs: Option<u32>,
}

impl Ask {
    /// Returns the text of the last message, or the text to continue.
    pub fn last_text(&self) -> &str {
        match &self.input {
            PromptInput::Messages(messages) => messages.last().map_or("", |m| &m.content),
            PromptInput::Text(text) => text,
        }
    }
}

/// One token with its log probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// The text it adds.
    pub text: String,
    /// Natural log of its probability, at most 0.
    pub logprob: f64,
    /// The likeliest tokens with the chosen one among them, likeliest first. Empty unless asked.
    pub alternatives: Vec<(String, f64)>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The model was done, or a stop text came.
    Stop,
    /// The token limit.
    Length,
    /// A content filter.
    Filter,
}

impl Ended {
    /// Returns the finish reason of the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Filter => "content_filter",
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// Thoughts told before the answer.
    pub reasoning: Vec<Token>,
    /// The answer; the texts joined are the text.
    pub tokens: Vec<Token>,
    /// Why it ended.
    pub ended: Ended,
    /// Whether the answer is the provider's refusal.
    pub refused: bool,
}

impl Generation {
    /// Returns an answer that ended by itself.
    pub const fn new(tokens: Vec<Token>) -> Self {
        Self {
            reasoning: Vec::new(),
            tokens,
            ended: Ended::Stop,
            refused: false,
        }
    }

    /// Returns the number of tokens that were made.
    pub fn token_count(&self) -> u64 {
        (self.tokens.len() + self.reasoning.len()) as u64
    }

    /// Ends the answer before the first of the `stop` texts and at the token limit.
    pub(crate) fn trim(&mut self, stop: &[String], max_tokens: Option<u32>) {
        self.trim_stop(stop);
        let most = max_tokens.map_or(usize::MAX, |most| most as usize);
        if self.reasoning.len() + self.tokens.len() > most {
            self.reasoning.truncate(most);
            self.tokens.truncate(most - self.reasoning.len());
            self.ended = Ended::Length;
        }
    }

    fn trim_stop(&mut self, stop: &[String]) {
        if stop.is_empty() {
            return;
        }
        let text = join(&self.tokens);
        let found = stop
            .iter()
            .filter(|s| !s.is_empty())
            .filter_map(|s| text.find(s.as_str()))
            .min();
        let Some(mut left) = found else { return };
        self.ended = Ended::Stop;
        for (number, token) in self.tokens.iter_mut().enumerate() {
            if token.text.len() >= left {
                token.text.truncate(left);
                let keep = number + usize::from(left > 0);
                self.tokens.truncate(keep);
                return;
            }
            left -= token.text.len();
        }
    }
}

/// Returns the text that tokens make.
pub(crate) fn join(tokens: &[Token]) -> String {
    tokens.iter().map(|token| token.text.as_str()).collect()
}

/// Why a model cannot answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CannotAnswer {
    /// A recording has no reply to this prompt.
    #[error("no reply to this prompt was recorded for this model")]
    NotRecorded,
}

/// A simulated model. Answers take CPU on the thread of the request, so they should be quick.
pub trait SimModel: Send + Sync + fmt::Debug {
    /// Returns the answer to `ask`. The same `ask` gets the same answer, except from models that
    /// document otherwise. Token limits and stop texts are applied by the caller.
    ///
    /// # Errors
    /// When the model has no answer, which the provider tells as an invalid request.
    fn answer(&self, ask: &Ask) -> Result<Generation, CannotAnswer>;

    /// Returns `text` as this model's tokens with their log probabilities, for `echo`.
    fn read(&self, text: &str, top_logprobs: Option<u32>) -> Vec<Token> {
        pseudo_tokens(text, top_logprobs)
    }
}

/// Longest token of [`split_tokens`], in characters.
const TOKEN_MAX_CHARS: usize = 12;

/// Returns the pieces of `text` that count as tokens: words with the white space before them,
/// punctuation apart, nothing longer than 12 characters. Joined they are `text`.
pub fn split_tokens(text: &str) -> Vec<&str> {
    #[derive(Clone, Copy, PartialEq)]
    enum Class {
        Space,
        Word,
        Mark,
    }
    let class = |c: char| match c {
        _ if c.is_whitespace() => Class::Space,
        _ if c.is_alphanumeric() => Class::Word,
        _ => Class::Mark,
    };
    let mut pieces = Vec::new();
    let (mut begin, mut chars, mut last) = (0, 0, None);
    for (at, c) in text.char_indices() {
        let this = class(c);
        let joins = match last {
            None | Some(Class::Space) => true,
            Some(before) => before == this && this != Class::Mark,
        };
        if at > begin && (!joins || chars >= TOKEN_MAX_CHARS) {
            pieces.extend(text.get(begin..at));
            (begin, chars) = (at, 0);
        }
        chars += 1;
        last = Some(this);
    }
    pieces.extend(text.get(begin..).filter(|rest| !rest.is_empty()));
    pieces
}

/// Returns about how many tokens `text` is for a model: four bytes each, rounded up.
pub(crate) fn estimate_tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(4)
}

/// Returns `text` as tokens with log probabilities made up from the text alone.
pub(crate) fn pseudo_tokens(text: &str, top_logprobs: Option<u32>) -> Vec<Token> {
    let pieces = split_tokens(text);
    let others: Vec<&str> = crate::words::COMMON.to_vec();
    let tokens = pieces.into_iter().enumerate().map(|(at, piece)| {
        let noise = crate::mix::mix(crate::mix::key(piece), at as u64);
        let probability = 0.25 + 0.74 * crate::mix::unit(noise);
        let mut token = Token {
            text: piece.to_owned(),
            logprob: probability.ln(),
            alternatives: Vec::new(),
        };
        if let Some(count) = top_logprobs {
            add_tail(&mut token, 1.0 - probability, &others, count as usize);
        }
        token
    });
    tokens.collect()
}

/// Completes the alternatives of `token` to `count`: the chosen one, and `others` that share
/// `mass` in falling shares. Likeliest first; the chosen one is always kept.
pub(crate) fn add_tail(token: &mut Token, mass: f64, others: &[&str], count: usize) {
    if count == 0 {
        token.alternatives.clear();
        return;
    }
    if !token
        .alternatives
        .iter()
        .any(|(text, _)| *text == token.text)
    {
        token.alternatives.push((token.text.clone(), token.logprob));
    }
    // Shares 0.3, 0.21, 0.147, ... of the mass sum to less than the mass.
    let mut share = mass * 0.3;
    for other in others {
        if token.alternatives.len() > count {
            break;
        }
        if token.alternatives.iter().all(|(text, _)| text != other) {
            let logprob = share.max(f64::MIN_POSITIVE).ln();
            token.alternatives.push(((*other).to_owned(), logprob));
            share *= 0.7;
        }
    }
    token.alternatives.sort_by(|a, b| b.1.total_cmp(&a.1));
    let chosen = token
        .alternatives
        .iter()
        .position(|(text, _)| *text == token.text);
    if let Some(at) = chosen.filter(|at| *at >= count) {
        token.alternatives.swap(count - 1, at);
    }
    token.alternatives.truncate(count);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(texts: &[&str]) -> Generation {
        let token = |text: &&str| Token {
            text: (*text).to_owned(),
            logprob: -0.1,
            alternatives: Vec::new(),
        };
        Generation::new(texts.iter().map(token).collect())
    }

    #[test]
    fn stop_texts_cut_within_tokens() {
        for (stop, text) in [
            ("c d", "ab "),
            ("ab", ""),
            ("e", "ab cd"),
            ("x", "ab cde"),
            (" ", "ab"),
        ] {
            let mut made = generation(&["ab", " c", "de"]);
            if stop == "c d" {
                made = generation(&["ab", " c", " de"]);
            }
            made.trim(&[stop.to_owned()], None);
            assert_eq!(join(&made.tokens), text, "{stop}");
            assert!(made.tokens.iter().all(|t| !t.text.is_empty()));
            assert_eq!(made.ended, Ended::Stop);
        }
    }

    #[test]
    fn the_token_limit_counts_reasoning_first() {
        let mut made = generation(&["a", "b", "c"]);
        made.reasoning = generation(&["x", "y"]).tokens;
        made.trim(&[], Some(3));
        assert_eq!((made.reasoning.len(), made.tokens.len()), (2, 1));
        assert_eq!(made.ended, Ended::Length);
        made.trim(&[], Some(1));
        assert_eq!((made.reasoning.len(), made.tokens.len()), (1, 0));
        let mut whole = generation(&["a"]);
        whole.trim(&[], Some(1));
        assert_eq!(whole.ended, Ended::Stop);
    }

    #[test]
    fn alternatives_are_sorted_and_hold_the_chosen_one() {
        let mut token = Token {
            text: "rare".to_owned(),
            logprob: -9.0,
            alternatives: vec![("often".to_owned(), -0.1)],
        };
        add_tail(&mut token, 0.09, &["one", "two", "often"], 2);
        let texts: Vec<_> = token.alternatives.iter().map(|(t, _)| t.as_str()).collect();
        assert_eq!(texts, ["often", "rare"]);
        assert!(token.alternatives[0].1 >= token.alternatives[1].1);
    }

    proptest::proptest! {
        #[test]
        fn pieces_join_to_the_text(text in "\\PC{0,200}") {
            let pieces = split_tokens(&text);
            proptest::prop_assert_eq!(pieces.concat(), text.as_str());
            proptest::prop_assert!(pieces.iter().all(|p| (1..=TOKEN_MAX_CHARS).contains(&p.chars().count())));
        }
    }
}
