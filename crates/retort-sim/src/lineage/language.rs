//! The models: n-gram counts of several trainings, interpolated into one distribution.

use std::sync::Arc;

use super::corpus;
use super::counts::{Counts, Followers, Place, Width};
use super::vocabulary::{BEGIN, END, UNKNOWN, Vocabulary};
use crate::mix::{mix, unit};

/// Longest reply that is sampled to teach, in words: none that is learned is as long.
const REPLY_MAX_WORDS: usize = 160;

/// Words seen in no training that each word counts for, all together; keeps every word possible.
const UNSEEN: f64 = 0.5;

/// Probability of a word that no text of the tree holds, for reading texts of others.
const STRANGE: f64 = 1e-9;

/// Returns how many observations of a narrower context one of this width is worth. Below as many,
/// the narrower one decides (interpolation with a Dirichlet prior, `MacKay` and Peto 1995).
const fn strength(width: Width) -> f64 {
    match width {
        Width::Question => 3.0,
        Width::Two => 2.0,
        Width::One => 4.0,
    }
}

/// What one training left, and how much it counts.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) weight: f64,
    pub(super) counts: Arc<Counts>,
}

impl Layer {
    pub(super) const fn new(weight: f64, counts: Arc<Counts>) -> Self {
        Self { weight, counts }
    }

    pub(super) fn scaled(&self, share: f64) -> Self {
        Self::new(self.weight * share, Arc::clone(&self.counts))
    }
}

/// A small language model: an interpolated n-gram model over the words of its family tree.
#[derive(Debug)]
pub struct LanguageModel {
    vocabulary: Arc<Vocabulary>,
    layers: Vec<Layer>,
    /// Probability of each word without any context.
    words: Vec<f64>,
    /// Sums of `words` up to each one.
    sums: Vec<f64>,
    identity: u64,
}

impl LanguageModel {
    pub(super) fn new(vocabulary: Arc<Vocabulary>, layers: Vec<Layer>, identity: u64) -> Self {
        let mut words = vec![UNSEEN / vocabulary.len() as f64; vocabulary.len()];
        for layer in &layers {
            for (word, count) in words.iter_mut().zip(&layer.counts.words) {
                *word += layer.weight * count;
            }
        }
        words[BEGIN as usize] = 0.0;
        let total: f64 = words.iter().sum();
        let mut sum = 0.0;
        let sums = words
            .iter_mut()
            .map(|word| {
                *word /= total;
                sum += *word;
                sum
            })
            .collect();
        Self {
            vocabulary,
            layers,
            words,
            sums,
            identity,
        }
    }

    /// Returns how much the next-word distributions of two models of one tree overlap: the mean of
    /// Σ min(p, q) over the places of replies that both models gave, from 0 to 1. 1 is the same
    /// model; 1 minus it is the mean total variation distance. `replies` per question and model.
    pub fn overlap(&self, other: &Self, replies: u32) -> f64 {
        let (mut sum, mut places) = (0.0, 0_u32);
        for (cell, _) in corpus::questions() {
            for number in 0..replies {
                for source in [self, other] {
                    let mut place = Place::begin(Some(cell));
                    for word in source.reply(cell, mix(0x0e, u64::from(number))) {
                        let (p, q) = (self.distribution(place), other.distribution(place));
                        sum += p.iter().zip(&q).map(|(p, q)| p.min(*q)).sum::<f64>();
                        places += 1;
                        place = place.after(word);
                    }
                }
            }
        }
        sum / f64::from(places.max(1))
    }

    pub(super) const fn identity(&self) -> u64 {
        self.identity
    }

    pub(super) fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Returns the probability of each word, by its number, at a place. They sum to 1.
    pub(super) fn distribution(&self, place: Place) -> Vec<f64> {
        let mut levels = Vec::with_capacity(3);
        let mut left = 1.0;
        for (width, context) in place.contexts() {
            let total = self.total(context);
            let whole = total + strength(width);
            if total > 0.0 {
                levels.push((context, left / whole));
                left *= strength(width) / whole;
            }
        }
        let mut probabilities: Vec<f64> = self.words.iter().map(|word| word * left).collect();
        for (context, share) in levels {
            for (weight, followers) in self.followers(context) {
                for (word, count) in &followers.words {
                    if let Some(probability) = probabilities.get_mut(*word as usize) {
                        *probability += share * weight * count;
                    }
                }
            }
        }
        probabilities
    }

    /// Returns the probability of one word at a place.
    pub(super) fn probability(&self, place: Place, word: u32) -> f64 {
        if word == UNKNOWN {
            return STRANGE;
        }
        let found = self.distribution(place).get(word as usize).copied();
        found.unwrap_or(STRANGE).max(STRANGE)
    }

    /// Returns a reply to a question as numbers of words, drawn at temperature 1 without ever
    /// writing the whole distribution down. The same draw gives the same reply.
    pub(super) fn reply(&self, cell: u32, draw: u64) -> Vec<u32> {
        let mut random = mix(mix(self.identity, draw), u64::from(cell));
        let mut words = Vec::new();
        let mut place = Place::begin(Some(cell));
        while words.len() < REPLY_MAX_WORDS {
            let word = self.draw(place, &mut random);
            if word == END {
                break;
            }
            words.push(word);
            place = place.after(word);
        }
        words
    }

    fn draw(&self, place: Place, random: &mut u64) -> u32 {
        let mut next = || {
            *random = mix(*random, 1);
            unit(*random)
        };
        for (width, context) in place.contexts() {
            let total = self.total(context);
            let mut point = next() * (total + strength(width));
            if point >= total {
                continue;
            }
            for (weight, followers) in self.followers(context) {
                for (word, count) in &followers.words {
                    point -= weight * count;
                    if point < 0.0 {
                        return *word;
                    }
                }
            }
        }
        let point = next();
        let at = self.sums.partition_point(|sum| *sum <= point);
        u32::try_from(at.min(self.sums.len() - 1)).unwrap_or(END)
    }

    fn total(&self, context: u64) -> f64 {
        self.followers(context)
            .map(|(weight, followers)| weight * followers.total)
            .sum()
    }

    fn followers(&self, context: u64) -> impl Iterator<Item = (f64, &Followers)> {
        self.layers.iter().filter_map(move |layer| {
            let followers = layer.counts.followers(context)?;
            Some((layer.weight, followers))
        })
    }
}
