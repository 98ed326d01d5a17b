//! Phrases that two models share and few others use: what can be shown side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use crate::Corpus;
use crate::tokens::{READ_CHARS, chain};

/// Words of the shortest phrase.
const WORDS: usize = 5;

/// A phrase in the replies of two models to one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedPhrase {
    /// The phrase, as the first model wrote it.
    pub text: String,
    /// Where it begins in both replies, in bytes.
    pub at: [usize; 2],
    /// Sum over its runs of five words of ln((M + 1) / (df + 0.5)), `df` being how many of M models
    /// use the run in their reply to this prompt.
    pub weight: f64,
}

/// A word's hash and where it stands.
type Word = (u64, Range<usize>);

fn words(text: &str) -> Vec<Word> {
    let mut found: Vec<Word> = Vec::new();
    let mut begin = None;
    let end = text
        .char_indices()
        .nth(READ_CHARS)
        .map_or(text.len(), |(at, _)| at);
    let text = text.get(..end).unwrap_or_default();
    let mut close = |begin: &mut Option<usize>, at: usize| {
        if let Some(from) = begin.take() {
            let word = text.get(from..at).unwrap_or_default().to_lowercase();
            found.push((xxh3_64(word.as_bytes()), from..at));
        }
    };
    for (at, c) in text.char_indices() {
        if c.is_alphanumeric() {
            begin.get_or_insert(at);
        } else {
            close(&mut begin, at);
        }
    }
    close(&mut begin, text.len());
    found
}

fn runs(words: &[Word]) -> Vec<u64> {
    words
        .windows(WORDS)
        .map(|run| run.iter().fold(0, |hash, (word, _)| chain(hash, *word)))
        .collect()
}

/// Returns how many different runs of five words two models' first replies to a prompt share.
pub fn shared_runs(corpus: &Corpus, prompt: usize, (i, j): (usize, usize)) -> usize {
    let of = |model: usize| -> BTreeSet<u64> {
        let text = first_text(corpus, model, prompt).unwrap_or_default();
        runs(&words(text)).into_iter().collect()
    };
    of(i).intersection(&of(j)).count()
}

fn first_text(corpus: &Corpus, model: usize, prompt: usize) -> Option<&str> {
    let readable = corpus
        .cell(model, prompt)
        .iter()
        .find(|reply| reply.is_readable());
    readable.map(|reply| reply.text.as_str())
}

/// Returns the phrases that the first replies of two models to a prompt share, the weightiest first.
pub fn shared_phrases(corpus: &Corpus, prompt: usize, (i, j): (usize, usize)) -> Vec<SharedPhrase> {
    let texts = first_text(corpus, i, prompt).zip(first_text(corpus, j, prompt));
    let Some((one, other)) = texts else {
        return Vec::new();
    };
    let (one_words, other_words) = (words(one), words(other));
    let one_runs = runs(&one_words);
    let mut places: BTreeMap<u64, usize> = BTreeMap::new();
    for (at, run) in runs(&other_words).into_iter().enumerate() {
        places.entry(run).or_insert(at);
    }
    let shared: BTreeSet<u64> = one_runs
        .iter()
        .copied()
        .filter(|run| places.contains_key(run))
        .collect();
    let weights = weights(corpus, prompt, &shared);
    let mut found = Vec::new();
    let mut at = 0;
    while at < one_runs.len() {
        let Some(place) = places.get(&one_runs[at]) else {
            at += 1;
            continue;
        };
        // As long as both go on alike, it is one phrase.
        let goes_on = |n: &usize| {
            one_runs
                .get(at + n)
                .is_some_and(|run| places.get(run) == Some(&(place + n)))
        };
        let length = (0..one_runs.len()).take_while(goes_on).count().max(1);
        let weight = one_runs
            .iter()
            .skip(at)
            .take(length)
            .filter_map(|run| weights.get(run))
            .sum();
        let span = one_words[at].1.start..one_words[at + length + WORDS - 2].1.end;
        found.push(SharedPhrase {
            text: one.get(span).unwrap_or_default().to_owned(),
            at: [one_words[at].1.start, other_words[*place].1.start],
            weight,
        });
        at += length;
    }
    found.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.at.cmp(&b.at)));
    found
}

/// Returns ln((M + 1) / (df + 0.5)) of these runs over all models' replies to the prompt.
fn weights(corpus: &Corpus, prompt: usize, of: &BTreeSet<u64>) -> BTreeMap<u64, f64> {
    let mut counts: BTreeMap<u64, u32> = of.iter().map(|run| (*run, 0)).collect();
    let mut models = 0_u32;
    for model in 0..corpus.models.len() {
        let Some(text) = first_text(corpus, model, prompt) else {
            continue;
        };
        models += 1;
        let own: BTreeSet<u64> = runs(&words(text)).into_iter().collect();
        for run in &own {
            if let Some(count) = counts.get_mut(run) {
                *count += 1;
            }
        }
    }
    let weight = |count: u32| ((f64::from(models) + 1.0) / (f64::from(count) + 0.5)).ln();
    counts
        .into_iter()
        .map(|(run, count)| (run, weight(count)))
        .collect()
}
