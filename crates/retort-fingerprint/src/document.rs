//! The features of what one model answered to one prompt.

use std::collections::BTreeMap;

use retort_types::Outcome;
use xxhash_rust::xxh3::xxh3_64;

use crate::family::Family;
use crate::layout::{self, COUNTS};
use crate::tokens::{READ_CHARS, Token, chain, finish, grams, read_text, tokens};
use crate::{Reply, refusal};

/// Tokens of a beginning and of a close.
const END_TOKENS: usize = 25;

/// Words of an opening.
const OPENING_WORDS: usize = 6;

/// Characters of shown reasoning that are read.
const TRACE_CHARS: usize = 4_000;

/// Longest short answer, in characters: a number, a name, a word.
const CHOICE_CHARS: usize = 48;

/// Low bits of a feature's hash that are free to hold the number of a model.
pub(crate) const MODEL_BITS: u32 = 12;

/// A feature's hash with the low bits cleared, and its weight.
pub(crate) type Feature = (u64, f32);

/// The features of one cell, sorted by hash, per family. A family that was not measured is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Document {
    pub(crate) features: [Option<Vec<Feature>>; Family::COUNT],
    /// Means over the draws of [`layout::counts`]; absent without a text.
    pub(crate) counts: Option<[f32; COUNTS]>,
    /// Characters of the texts whose output tokens are known, and those tokens.
    pub(crate) usage: Option<(f32, f32)>,
    /// Tokens of the prompt.
    pub(crate) input_tokens: Option<u64>,
}

/// Returns the features of these draws of one cell; a choice when the prompt asks for one.
pub(crate) fn document(replies: &[&Reply], is_choice: bool) -> Document {
    let mut document = Document {
        input_tokens: replies.iter().find_map(|reply| reply.input_tokens),
        ..Document::default()
    };
    let readable: Vec<&Reply> = replies
        .iter()
        .copied()
        .filter(|r| r.is_readable())
        .collect();
    if is_choice {
        let choices = readable.iter().map(|reply| vec![choice(&reply.text)]);
        document.set(Family::Choices, choices.collect());
        return document;
    }
    let read: Vec<Read> = readable.iter().map(|reply| Read::of(&reply.text)).collect();
    for family in Family::ALL {
        let of = |read: &Read| read.features(family);
        if let Some(first) = read.first()
            && of(first).is_some()
        {
            document.set(family, read.iter().filter_map(of).collect());
        }
    }
    let refusals = replies.iter().filter_map(|reply| refused(reply));
    document.set(Family::Refusals, refusals.collect());
    let traces = replies
        .iter()
        .filter_map(|reply| reply.reasoning.as_deref());
    document.set(Family::Traces, traces.map(trace).collect());
    document.count(&readable);
    document
}

impl Document {
    /// Sets a family to the mean over draws; a feature counts once per draw, or 1 + ln of its count
    /// where how often matters.
    fn set(&mut self, family: Family, draws: Vec<Vec<u64>>) {
        if draws.is_empty() {
            return;
        }
        let share = 1.0 / draws.len() as f32;
        let mut all: Vec<Feature> = Vec::with_capacity(draws.iter().map(Vec::len).sum());
        for mut draw in draws {
            for hash in &mut draw {
                *hash &= !((1 << MODEL_BITS) - 1);
            }
            draw.sort_unstable();
            for run in draw.chunk_by(|a, b| a == b) {
                let weight = family.count_weight(run.len() as f32);
                all.extend(run.first().map(|hash| (*hash, weight * share)));
            }
        }
        if share < 1.0 {
            all.sort_by_key(|(hash, _)| *hash);
            let merged = all.chunk_by(|a, b| a.0 == b.0).filter_map(|run| {
                let first = run.first()?;
                Some((first.0, run.iter().map(|(_, weight)| weight).sum()))
            });
            all = merged.collect();
        }
        self.features[family.at()] = Some(all);
    }

    fn count(&mut self, readable: &[&Reply]) {
        if readable.is_empty() {
            return;
        }
        let mut means = [0.0_f32; COUNTS];
        let mut usage: Option<(f32, f32)> = None;
        for reply in readable {
            for (mean, count) in means.iter_mut().zip(layout::counts(&reply.text)) {
                *mean += count / readable.len() as f32;
            }
            if let Some(tokens) = reply.output_tokens {
                let (chars, sum) = usage.unwrap_or_default();
                let more = reply.text.chars().count() as f32;
                usage = Some((chars + more, sum + tokens as f32));
            }
        }
        self.counts = Some(means);
        self.usage = usage;
    }
}

/// A text as it is read.
struct Read {
    tokens: Vec<Token>,
    lower: String,
    lines: Vec<u64>,
    scripts: Vec<u64>,
}

impl Read {
    fn of(text: &str) -> Self {
        let lower = read_text(text, READ_CHARS);
        Self {
            tokens: tokens(&lower),
            lines: layout::lines(text),
            scripts: scripts(&lower),
            lower,
        }
    }

    fn features(&self, family: Family) -> Option<Vec<u64>> {
        let mut found = Vec::new();
        let texts = |tokens: &[Token]| tokens.iter().map(|token| token.text).collect();
        let words = || {
            self.tokens
                .iter()
                .filter(|token| token.is_word)
                .map(|token| token.text)
        };
        let all: Vec<u64>;
        match family {
            Family::Words => {
                all = words().collect();
                grams(&all, 1..=2, &mut found);
            }
            Family::Phrases => {
                all = words().collect();
                grams(&all, 3..=5, &mut found);
            }
            Family::Rare => {
                all = words().collect();
                grams(&all, 5..=5, &mut found);
            }
            Family::Opening => found = opening(words()),
            Family::Beginning => {
                all = texts(self.tokens.get(..END_TOKENS).unwrap_or(&self.tokens));
                grams(&all, 1..=3, &mut found);
            }
            Family::Close => {
                let from = self.tokens.len().saturating_sub(END_TOKENS);
                all = texts(self.tokens.get(from..).unwrap_or_default());
                grams(&all, 1..=3, &mut found);
            }
            Family::Skeleton => {
                all = self.tokens.iter().map(|token| token.skeleton).collect();
                grams(&all, 3..=4, &mut found);
            }
            Family::Letters => found = letters(&self.lower),
            Family::Layout => grams(&self.lines, 1..=3, &mut found),
            Family::Scripts => found.clone_from(&self.scripts),
            Family::Choices | Family::Refusals | Family::Traces => return None,
        }
        Some(found)
    }
}

/// Returns the hashes of the first word, the first two, and so on.
fn opening(words: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut hash = 0;
    let chained = words.take(OPENING_WORDS).enumerate().map(|(at, word)| {
        hash = chain(hash, word);
        finish(hash, at + 1)
    });
    chained.collect()
}

/// Returns the hashes of four neighbouring characters, white space being one blank.
fn letters(lower: &str) -> Vec<u64> {
    let mut window = [0_u64; 4];
    let mut seen = 0;
    let mut was_blank = true;
    let mut found = Vec::with_capacity(lower.len());
    for c in lower.chars() {
        let is_blank = c.is_whitespace();
        if is_blank && was_blank {
            continue;
        }
        was_blank = is_blank;
        window.rotate_left(1);
        window[3] = if is_blank {
            32
        } else {
            u64::from(u32::from(c))
        };
        seen += 1;
        if seen >= window.len() {
            let hash = window.iter().fold(0, |hash, c| chain(hash, *c));
            found.push(finish(hash, window.len()));
        }
    }
    found
}

/// Returns the short answer that a reply gives: its characters that are no marks, in lower case.
fn choice(text: &str) -> u64 {
    let lower = read_text(text, CHOICE_CHARS);
    let kept: String = lower.chars().filter(|c| c.is_alphanumeric()).collect();
    finish(xxh3_64(kept.as_bytes()), 1)
}

/// Returns whether replies like these, of all models to one prompt, are short answers.
pub(crate) fn is_choice<'a>(replies: impl Iterator<Item = &'a Reply>) -> bool {
    let (mut short, mut all) = (0_usize, 0_usize);
    for reply in replies.filter(|reply| reply.is_readable()) {
        all += 1;
        short += usize::from(reply.text.trim().chars().nth(CHOICE_CHARS).is_none());
    }
    all > 0 && short * 2 > all
}

/// Returns what a reply refused with; one feature when it did not refuse. A sample that was never
/// answered or refused says nothing.
fn refused(reply: &Reply) -> Option<Vec<u64>> {
    let of = |word: &str| finish(xxh3_64(word.as_bytes()), 0);
    let by_provider = matches!(reply.outcome, Outcome::Refused | Outcome::Filtered);
    if !by_provider && reply.outcome != Outcome::Answered {
        return None;
    }
    if !by_provider && !refusal::is_refusal(&reply.text) {
        return reply.is_readable().then(|| vec![of("complied")]);
    }
    let mut found = vec![
        of(if by_provider { "withheld" } else { "declined" }),
        of("refused"),
    ];
    let lower = read_text(&reply.text, READ_CHARS);
    let tokens: Vec<u64> = tokens(&lower).iter().map(|token| token.text).collect();
    grams(
        tokens.get(..END_TOKENS).unwrap_or(&tokens),
        1..=3,
        &mut found,
    );
    Some(found)
}

/// Returns the habits of shown reasoning: its skeleton, and with which words its sentences begin.
fn trace(reasoning: &str) -> Vec<u64> {
    let lower = read_text(reasoning, TRACE_CHARS);
    let tokens = tokens(&lower);
    let skeleton: Vec<u64> = tokens.iter().map(|token| token.skeleton).collect();
    let mut found = Vec::new();
    grams(&skeleton, 3..=3, &mut found);
    let mut after_mark = true;
    for pair in tokens.windows(2) {
        let [token, next] = pair else { continue };
        if token.is_word && after_mark {
            found.push(finish(chain(chain(1, token.text), next.text), 2));
        }
        after_mark = !token.is_word;
    }
    found
}

/// Returns one hash per letter: that of its script.
fn scripts(lower: &str) -> Vec<u64> {
    let letters = lower.chars().filter(|c| c.is_alphabetic());
    let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
    for c in letters {
        *counts.entry(script(c)).or_default() += 1;
    }
    let total: u32 = counts.values().sum();
    // Shares in hundredths keep the vector short; what is below one is a name or a quotation.
    counts
        .iter()
        .flat_map(|(script, count)| {
            let share = usize::try_from(count * 100 / total.max(1)).unwrap_or(0);
            std::iter::repeat_n(finish(*script, 1), share)
        })
        .collect()
}

/// Returns a number for the script of a letter, by blocks of Unicode.
fn script(c: char) -> u64 {
    match u32::from(c) {
        0..=0x024F | 0x1E00..=0x1EFF => 1,
        0x0370..=0x03FF => 2,
        0x0400..=0x052F => 3,
        0x0590..=0x05FF => 4,
        0x0600..=0x077F => 5,
        0x0900..=0x0DFF => 6,
        0x0E00..=0x0EFF => 7,
        0x3040..=0x30FF => 8,
        0x3400..=0x9FFF => 9,
        0xAC00..=0xD7AF => 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
