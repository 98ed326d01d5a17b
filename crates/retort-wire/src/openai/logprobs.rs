//! Log probabilities, in the shape of chats and in that of raw completions. Either may come from
//! either endpoint.

mod quick;

pub(super) use quick::{Cut, cut};

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use retort_types::reply::{TokenLogprob, TokenSegment, TopToken};
use retort_types::token::TokenBytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::lenient::{Item, Key, List, Number, Object, Text};

/// Most tokens with log probabilities of one answer: the longest outputs on offer are about as long.
pub(crate) const TOKENS_MAX: usize = 1 << 17;

/// Most alternatives of one answer, which bounds its memory to about 100 MB: twenty for each of
/// 52,000 tokens.
pub(crate) const ALTERNATIVES_MAX: usize = 1 << 20;

/// An answer holds more log probabilities than are kept.
pub(crate) struct TooMany;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Told<'a> {
    // The shape of chats. DeepSeek tells those of its reasoning beside.
    #[serde(borrow)]
    reasoning_content: List<Object<Entry<'a>>>,
    #[serde(borrow)]
    content: List<Object<Entry<'a>>>,
    #[serde(borrow)]
    refusal: List<Object<Entry<'a>>>,
    // The shape of raw completions: lists side by side.
    #[serde(borrow)]
    tokens: List<Text<'a>>,
    token_logprobs: List<Number>,
    #[serde(borrow)]
    top_logprobs: List<Alternatives<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry<'a> {
    #[serde(borrow)]
    token: Text<'a>,
    logprob: Number,
    #[serde(borrow)]
    bytes: Option<&'a RawValue>,
    #[serde(borrow)]
    top_logprobs: List<Object<Alternative<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Alternative<'a> {
    #[serde(borrow)]
    token: Text<'a>,
    logprob: Number,
    #[serde(borrow)]
    bytes: Option<&'a RawValue>,
}

// One more than is kept, so that the excess shows.
impl Item for Entry<'_> {
    const MAX: usize = TOKENS_MAX + 1;
}

impl Item for Text<'_> {
    const MAX: usize = TOKENS_MAX + 1;
}

impl Item for Number {
    const MAX: usize = TOKENS_MAX + 1;
}

impl Item for Alternatives<'_> {
    const MAX: usize = TOKENS_MAX + 1;
}

impl Item for Alternative<'_> {
    const MAX: usize = ALTERNATIVES_MAX + 1;

    fn is_told(&self) -> bool {
        self.token.0.is_some() && self.logprob.single().is_some()
    }
}

/// The alternatives at one position, as a map from token to log probability.
#[derive(Default)]
struct Alternatives<'a>(Vec<(Cow<'a, str>, Number)>);

struct AlternativesVisitor;

impl<'de> Visitor<'de> for AlternativesVisitor {
    type Value = Alternatives<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of tokens, or null")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((Key(token), logprob)) = map.next_entry()? {
            entries.push((token, logprob));
        }
        Ok(Alternatives(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Alternatives::default())
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Alternatives::default())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Alternatives<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AlternativesVisitor)
    }
}

/// Where tokens of an answer are gathered.
#[derive(Default)]
pub(crate) struct Tokens {
    pub(crate) list: Vec<TokenLogprob>,
    alternatives: usize,
    /// Whether the first token came in the shape of raw completions.
    is_legacy: bool,
}

impl Tokens {
    /// Adds what `raw` tells, which arrived after `arrived_ms`.
    ///
    /// # Errors
    /// When the answer now holds more than is kept.
    pub(crate) fn add(&mut self, raw: &str, arrived_ms: Option<f32>) -> Result<(), TooMany> {
        match quick::lists(raw) {
            Some(tokens) => self.extend(tokens, arrived_ms),
            None => self.add_thoroughly(raw, arrived_ms),
        }
    }

    /// Adds tokens that arrived after `arrived_ms`.
    ///
    /// # Errors
    /// When the answer now holds more than is kept.
    pub(super) fn extend(
        &mut self,
        tokens: Vec<TokenLogprob>,
        arrived_ms: Option<f32>,
    ) -> Result<(), TooMany> {
        self.list.reserve(tokens.len());
        for token in tokens {
            self.push(TokenLogprob {
                arrived_ms,
                ..token
            })?;
        }
        Ok(())
    }

    fn add_thoroughly(&mut self, raw: &str, arrived_ms: Option<f32>) -> Result<(), TooMany> {
        let Ok(Object(Some(told))) = serde_json::from_str::<Object<Told<'_>>>(raw) else {
            return Ok(());
        };
        for (entries, segment) in [
            (told.reasoning_content, TokenSegment::Reasoning),
            (told.content, TokenSegment::Response),
            (told.refusal, TokenSegment::Response),
        ] {
            self.add_entries(entries.0.unwrap_or_default(), segment, arrived_ms)?;
        }
        let tops = &mut told.top_logprobs.0.unwrap_or_default().into_iter();
        let logprobs = &mut told.token_logprobs.0.unwrap_or_default().into_iter();
        for token in told.tokens.0.unwrap_or_default() {
            self.is_legacy |= self.list.is_empty();
            let logprob = logprobs.next().unwrap_or_default();
            let top = tops.next().unwrap_or_default();
            self.push(TokenLogprob {
                arrived_ms,
                ..legacy_token(token, logprob, top)
            })?;
        }
        Ok(())
    }

    /// Adds the list `raw` of entries in the shape of chats, which arrived after `arrived_ms`.
    ///
    /// # Errors
    /// When the answer now holds more than is kept.
    pub(crate) fn add_list(
        &mut self,
        raw: &str,
        segment: TokenSegment,
        arrived_ms: Option<f32>,
    ) -> Result<(), TooMany> {
        if let Some(tokens) = quick::list(raw, segment) {
            return self.extend(tokens, arrived_ms);
        }
        let entries = serde_json::from_str::<List<Object<Entry<'_>>>>(raw);
        let entries = entries.ok().and_then(|list| list.0).unwrap_or_default();
        self.add_entries(entries, segment, arrived_ms)
    }

    fn add_entries(
        &mut self,
        entries: Vec<Object<Entry<'_>>>,
        segment: TokenSegment,
        arrived_ms: Option<f32>,
    ) -> Result<(), TooMany> {
        for entry in entries.into_iter().filter_map(|entry| entry.0) {
            self.push(TokenLogprob {
                segment,
                arrived_ms,
                ..chat_token(entry)
            })?;
        }
        Ok(())
    }

    /// Adds the log probabilities of the tokens that a piece of text is made of. Where there are
    /// several, which of them is which part of the text is not known.
    ///
    /// # Errors
    /// When the answer now holds more than is kept.
    pub(crate) fn add_piece(
        &mut self,
        text: Option<&str>,
        logprobs: &[f32],
        segment: TokenSegment,
        arrived_ms: Option<f32>,
    ) -> Result<(), TooMany> {
        let token = text.filter(|_| logprobs.len() == 1);
        for logprob in logprobs {
            self.push(TokenLogprob {
                token: token.map(Into::into),
                logprob: Some(*logprob),
                segment,
                arrived_ms,
                ..TokenLogprob::default()
            })?;
        }
        Ok(())
    }

    /// Adds a token.
    ///
    /// # Errors
    /// When the answer now holds more than is kept.
    pub(crate) fn push(&mut self, token: TokenLogprob) -> Result<(), TooMany> {
        self.alternatives += token.top.len();
        if self.list.len() >= TOKENS_MAX || self.alternatives > ALTERNATIVES_MAX {
            return Err(TooMany);
        }
        self.list.push(token);
        Ok(())
    }

    /// Returns these with the times at which the same tokens arrived, or `arrived` itself where it
    /// holds more than these.
    pub(crate) fn or_as_arrived(mut self, arrived: Self) -> Self {
        match self.list.len().cmp(&arrived.list.len()) {
            Ordering::Less => return arrived,
            Ordering::Equal => {
                for (token, earlier) in self.list.iter_mut().zip(arrived.list) {
                    token.arrived_ms = earlier.arrived_ms;
                }
            }
            Ordering::Greater => {}
        }
        self
    }

    /// Marks the tokens of an echoed prompt. An echo shows by its first token, which nothing comes
    /// before and which therefore has no probability; how long it is, usage tells.
    pub(crate) fn mark_echo(&mut self, prompt_tokens: Option<u32>) {
        let is_echo = self.is_legacy && self.list.first().is_some_and(|t| t.logprob.is_none());
        if is_echo {
            let length = prompt_tokens.map_or(1, |n| usize::try_from(n).unwrap_or(usize::MAX));
            for token in self.list.iter_mut().take(length) {
                token.segment = TokenSegment::Prompt;
            }
        }
    }

    /// Marks the tokens before the end of a think tag, or all when the tag is never closed.
    pub(crate) fn mark_thinking(&mut self, closing_tag: &str, is_closed: bool) {
        let mut tail = String::new();
        let end = self.list.iter().position(|token| {
            tail.push_str(token.token.as_deref().unwrap_or_default());
            let is_end = tail.contains(closing_tag);
            // Enough to find a tag that is spread over tokens, and never much.
            let excess = tail.chars().count().saturating_sub(closing_tag.len());
            tail = tail.chars().skip(excess).collect();
            is_end
        });
        let count = match end {
            Some(end) => end + 1,
            None if is_closed => 0,
            None => self.list.len(),
        };
        for token in self.list.iter_mut().take(count) {
            token.segment = TokenSegment::Reasoning;
        }
    }
}

fn chat_token(entry: Entry<'_>) -> TokenLogprob {
    let tops = entry.top_logprobs.0.unwrap_or_default().into_iter();
    let top = tops
        .filter_map(|top| {
            let top = top.0?;
            Some(TopToken {
                token: top.token.0?.into(),
                bytes: bytes_of(top.bytes),
                logprob: top.logprob.single()?,
            })
        })
        .collect();
    ranked(TokenLogprob {
        token: entry.token.0.map(Into::into),
        bytes: bytes_of(entry.bytes),
        logprob: entry.logprob.single(),
        top,
        ..TokenLogprob::default()
    })
}

fn legacy_token(token: Text<'_>, logprob: Number, top: Alternatives<'_>) -> TokenLogprob {
    let top = top.0.into_iter().filter_map(|(token, logprob)| {
        let logprob = logprob.single()?;
        Some(TopToken {
            token: token.into(),
            bytes: None,
            logprob,
        })
    });
    ranked(TokenLogprob {
        token: token.0.map(Into::into),
        logprob: logprob.single(),
        top: top.collect(),
        ..TokenLogprob::default()
    })
}

fn bytes_of(raw: Option<&RawValue>) -> Option<TokenBytes> {
    serde_json::from_str(raw?.get()).ok()
}

/// Puts the likeliest alternative first, which not every server does, and ranks the token.
pub(crate) fn ranked(mut token: TokenLogprob) -> TokenLogprob {
    token.top.sort_by(|a, b| b.logprob.total_cmp(&a.logprob));
    let place = token
        .top
        .iter()
        .position(|top| match (&token.bytes, &top.bytes) {
            (Some(chosen), Some(listed)) => chosen == listed,
            _ => token.token.as_ref() == Some(&top.token),
        });
    token.rank = place.and_then(|place| u32::try_from(place + 1).ok());
    token
}
