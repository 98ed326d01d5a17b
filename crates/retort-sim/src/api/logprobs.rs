//! Log probabilities in the shapes of chat and of completions.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::model::Token;

/// `{"content": [{token, logprob, bytes, top_logprobs}]}`.
#[derive(Debug, Serialize)]
pub(super) struct ChatLogprobs<'a> {
    content: Entries<'a>,
    refusal: Option<()>,
}

impl<'a> ChatLogprobs<'a> {
    pub(super) fn new(tokens: &'a [Token]) -> Self {
        Self {
            content: Entries(tokens),
            refusal: None,
        }
    }
}

/// `[{token, logprob, bytes, top_logprobs}]`.
#[derive(Debug)]
pub(super) struct Entries<'a>(pub(super) &'a [Token]);

impl Entries<'_> {
    pub(super) fn value(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Entry<'a> {
    token: &'a str,
    logprob: f64,
    bytes: &'a [u8],
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<Vec<Self>>,
}

impl<'a> Entry<'a> {
    fn new(token: &'a str, logprob: f64, top: Option<&'a [(String, f64)]>) -> Self {
        let entries = |top: &'a [(String, f64)]| {
            let entries = top
                .iter()
                .map(|(text, logprob)| Self::new(text, *logprob, None));
            entries.collect()
        };
        Self {
            token,
            logprob,
            bytes: token.as_bytes(),
            top_logprobs: top.map(entries),
        }
    }
}

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for token in self.0 {
            list.serialize_element(&Entry::new(
                &token.text,
                token.logprob,
                Some(&token.alternatives),
            ))?;
        }
        list.end()
    }
}

/// `{tokens, token_logprobs, top_logprobs, text_offset}`.
#[derive(Debug, Serialize)]
pub(super) struct LegacyLogprobs<'a> {
    tokens: Vec<&'a str>,
    /// The first token of an echoed prompt has none.
    token_logprobs: Vec<Option<f64>>,
    top_logprobs: Option<Vec<Option<Top<'a>>>>,
    text_offset: Vec<usize>,
}

impl<'a> LegacyLogprobs<'a> {
    /// `offset` is the number of characters before the first token; `echoed` says that it is the
    /// first of the prompt.
    pub(super) fn new(tokens: &'a [Token], mut offset: usize, echoed: bool) -> Self {
        let hidden = |number: usize| echoed && number == 0;
        let text_offset = tokens.iter().map(|token| {
            let at = offset;
            offset += token.text.chars().count();
            at
        });
        let text_offset = text_offset.collect();
        let numbered = || tokens.iter().enumerate();
        let told = tokens.iter().any(|token| !token.alternatives.is_empty());
        Self {
            tokens: tokens.iter().map(|token| token.text.as_str()).collect(),
            token_logprobs: numbered()
                .map(|(i, token)| (!hidden(i)).then_some(token.logprob))
                .collect(),
            top_logprobs: told.then(|| {
                numbered()
                    .map(|(i, token)| (!hidden(i)).then_some(Top(&token.alternatives)))
                    .collect()
            }),
            text_offset,
        }
    }
}

/// A map in the order of its entries, likeliest first.
#[derive(Debug)]
struct Top<'a>(&'a [(String, f64)]);

impl Serialize for Top<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (text, logprob) in self.0 {
            map.serialize_entry(text, logprob)?;
        }
        map.end()
    }
}
