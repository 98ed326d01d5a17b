//! Draws prompts from templates: `retort.suite.v1`.
//!
//! A template is a text with slots in braces; `{{` and `}}` stand for braces. A slot takes a word of
//! its list; `{person}`, `{person2}` and so on take different words of the list `person`. Two lists
//! need not be written: `number`, from 12 to 987, and `coined`, a made-up word.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use retort_types::Digest;
use retort_types::campaign::NamedPrompt;
use serde::{Deserialize, Serialize};

use super::Suite;
use crate::order::below;

/// Name and version of the way prompts are drawn.
const ALGORITHM: &str = "retort.suite.v1";

/// Draws until a prompt differs from all before it. Every list allows many more prompts than are
/// drawn, so a few are enough.
const TRIES_MAX: u32 = 1_000;

/// Hexadecimal digits of a text's digest in the id of a drawn prompt.
const ID_DIGITS: usize = 8;

const NUMBERS: std::ops::Range<u32> = 12..988;

const BEGINNINGS: [&str; 16] = [
    "bra", "cor", "del", "fen", "gal", "hov", "jas", "kel", "mor", "nis", "pel", "quo", "ras",
    "tav", "ul", "ver",
];
const MIDDLES: [&str; 12] = [
    "a", "e", "i", "o", "an", "em", "il", "or", "und", "ast", "ith", "ova",
];
const ENDS: [&str; 12] = [
    "dor", "lin", "mar", "nek", "pol", "rix", "sen", "tur", "vik", "wen", "zan", "bel",
];

/// Where the drawn half of a suite comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generator {
    /// Prompts that are drawn.
    pub count: u32,
    /// Texts with slots, used in turn.
    pub templates: Vec<String>,
    /// Words for the slots, by list.
    pub words: BTreeMap<String, Vec<String>>,
}

impl Generator {
    /// Draws the other half of `suite`. The same for the same version and seed, on any machine.
    pub(super) fn draw(&self, suite: &Suite, seed: u64) -> Vec<NamedPrompt> {
        let key = format!(
            "[\"{ALGORITHM}\",\"{}\",{},{seed}]",
            suite.name, suite.version
        );
        let mut stream = ChaCha8Rng::from_seed(*Digest::of(key.as_bytes()).as_bytes());
        let mut seen: BTreeSet<String> = suite
            .prompts
            .iter()
            .map(|prompt| prompt.text.clone())
            .collect();
        let mut drawn = Vec::with_capacity(self.count as usize);
        for (template, number) in self.templates.iter().cycle().zip(0..self.count) {
            let fresh = (0..TRIES_MAX)
                .map(|_| self.fill(template, &mut stream))
                .find(|text| !seen.contains(text));
            let text = fresh.expect("a test draws every generator for many seeds");
            seen.insert(text.clone());
            let place = suite.prompts.len() + number as usize + 1;
            drawn.push(NamedPrompt {
                id: format!("{}-{place:03}-{}", suite.name, short_digest(&text)),
                text,
            });
        }
        drawn
    }

    /// Returns the template with its slots filled in.
    fn fill(&self, template: &str, stream: &mut ChaCha8Rng) -> String {
        let mut values: BTreeMap<&str, String> = BTreeMap::new();
        let mut text = String::new();
        for piece in pieces(template) {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Slot(slot) => {
                    if !values.contains_key(slot) {
                        let value = self.value(slot, &values, stream);
                        values.insert(slot, value);
                    }
                    text.push_str(&values[slot]);
                }
            }
        }
        text
    }

    /// Returns a word for a slot that no other slot of the same list has, where there is one.
    fn value(
        &self,
        slot: &str,
        values: &BTreeMap<&str, String>,
        stream: &mut ChaCha8Rng,
    ) -> String {
        let list = slot.trim_end_matches(|c: char| c.is_ascii_digit());
        let mut word = String::new();
        for _ in 0..TRIES_MAX {
            word = self.word(list, stream);
            let is_taken = values.iter().any(|(other, value)| {
                other.trim_end_matches(|c: char| c.is_ascii_digit()) == list && *value == word
            });
            if !is_taken {
                break;
            }
        }
        word
    }

    fn word(&self, list: &str, stream: &mut ChaCha8Rng) -> String {
        if let Some(words) = self.words.get(list) {
            return pick(words, stream).to_owned();
        }
        match list {
            "number" => {
                let span = NUMBERS.end - NUMBERS.start;
                (NUMBERS.start + below(span, stream)).to_string()
            }
            "coined" => coined(stream),
            _ => unreachable!("a test fills every slot of every generator: `{list}`"),
        }
    }
}

/// Returns one of `words`, each equally likely. A list has at least one word.
fn pick<'a, T: AsRef<str>>(words: &'a [T], stream: &mut ChaCha8Rng) -> &'a str {
    let count = u32::try_from(words.len()).unwrap_or(u32::MAX);
    words[below(count, stream) as usize].as_ref()
}

/// Returns a word that is in no dictionary, of two or three syllables, with a capital.
fn coined(stream: &mut ChaCha8Rng) -> String {
    let mut word = pick(&BEGINNINGS, stream).to_owned();
    word.push_str(pick(&MIDDLES, stream));
    if below(3, stream) == 0 {
        word.push('r');
        word.push_str(pick(&MIDDLES, stream));
    }
    word.push_str(pick(&ENDS, stream));
    let mut chars = word.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

fn short_digest(text: &str) -> String {
    let digest = Digest::of(text.as_bytes()).to_string();
    let hex = digest.rsplit(':').next().unwrap_or_default();
    hex.chars().take(ID_DIGITS).collect()
}

enum Piece<'a> {
    Text(&'a str),
    Slot(&'a str),
}

/// Takes a template apart. A brace without its partner is text.
fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (plain, from) = rest.split_at(at);
        pieces.push(Piece::Text(plain));
        if let Some(after) = from.strip_prefix("{{").or(from.strip_prefix("}}")) {
            pieces.push(Piece::Text(if from.starts_with('{') { "{" } else { "}" }));
            rest = after;
        } else if let Some((slot, after)) = from.strip_prefix('{').and_then(|f| f.split_once('}')) {
            pieces.push(Piece::Slot(slot));
            rest = after;
        } else {
            pieces.push(Piece::Text(from));
            rest = "";
        }
    }
    pieces.push(Piece::Text(rest));
    pieces
}
