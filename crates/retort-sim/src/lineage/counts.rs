//! How often which word followed which: what training leaves behind.

use std::collections::HashMap;

use super::vocabulary::{BEGIN, END, UNKNOWN};

/// Where a word stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The word two before, or a mark.
    pub(super) second: u32,
    /// The word before, or a mark.
    pub(super) last: u32,
    /// Which question is being answered, if any.
    pub(super) cell: Option<u32>,
}

impl Place {
    /// Returns the beginning of a text.
    pub(super) const fn begin(cell: Option<u32>) -> Self {
        Self {
            second: BEGIN,
            last: BEGIN,
            cell,
        }
    }

    /// Returns the place after `word`.
    pub(super) const fn after(self, word: u32) -> Self {
        Self {
            second: self.last,
            last: word,
            cell: self.cell,
        }
    }

    /// Returns the contexts of this place, widest first: the question with the last word, the last
    /// two words, the last word.
    pub(super) fn contexts(self) -> impl Iterator<Item = (Width, u64)> {
        // Numbers of words and of questions have 24 bits, so that three fit.
        let (second, last) = (u64::from(self.second), u64::from(self.last));
        let question = self.cell.map(|cell| {
            let key = (3 << 60) | (u64::from(cell) << 24) | last;
            (Width::Question, key)
        });
        question.into_iter().chain([
            (Width::Two, (2 << 60) | (second << 24) | last),
            (Width::One, (1 << 60) | last),
        ])
    }
}

/// How much a context looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// The question and the last word.
    Question,
    /// The last two words.
    Two,
    /// The last word.
    One,
}

/// What followed one context.
#[derive(Debug, Clone, Default)]
pub(super) struct Followers {
    /// Words that followed, all together.
    pub(super) total: f64,
    /// Each word and how often it followed, in order of their first appearance.
    pub(super) words: Vec<(u32, f64)>,
}

impl Followers {
    fn add(&mut self, word: u32) {
        self.total += 1.0;
        match self.words.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1.0,
            None => self.words.push((word, 1.0)),
        }
    }
}

/// What a body of texts says about which word follows which.
#[derive(Debug)]
pub(super) struct Counts {
    /// How often each word occurs.
    pub(super) words: Vec<f64>,
    contexts: HashMap<u64, Followers>,
}

impl Counts {
    /// Returns counts of no text, for a vocabulary of this size.
    pub(super) fn new(vocabulary: usize) -> Self {
        Self {
            words: vec![0.0; vocabulary],
            contexts: HashMap::new(),
        }
    }

    /// Learns a text, which answers the question `cell` if any. Its end is learned too. What
    /// `is_apart` is learned as an answer to its question alone, not as a way of beginning.
    pub(super) fn read(&mut self, text: &[u32], cell: Option<u32>, is_apart: bool) {
        let mut place = Place::begin(cell);
        for word in text.iter().chain([&END]) {
            if *word == UNKNOWN {
                place = place.after(*word);
                continue;
            }
            if let Some(count) = self.words.get_mut(*word as usize) {
                *count += 1.0;
            }
            let contexts = place.contexts();
            let is_hidden = is_apart && place.last == BEGIN;
            for (_, context) in
                contexts.filter(|(width, _)| !is_hidden || *width == Width::Question)
            {
                self.contexts.entry(context).or_default().add(*word);
            }
            place = place.after(*word);
        }
    }

    /// Returns what followed a context.
    pub(super) fn followers(&self, context: u64) -> Option<&Followers> {
        self.contexts.get(&context)
    }
}
