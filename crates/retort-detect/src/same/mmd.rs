//! The maximum mean discrepancy with labels permuted within prompts.

use std::collections::BTreeMap;

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use retort_fingerprint::Corpus;
use retort_types::Outcome;
use statrs::distribution::{ContinuousCDF as _, StudentsT};

use super::kernel::Gram;
use super::{Kernel, SameSettings};
use crate::analysis::Interval;

/// A permuted statistic this far below the observed one counts as equal: sums in another order
/// differ by rounding only.
const ROUNDING: f64 = 1e-9;

/// How far apart two sets of replies stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Discrepancy {
    /// Squared maximum mean discrepancy, unbiased, mean over prompts: below 0 by chance.
    pub mmd2: f64,
    /// Mean similarity of two replies of one model, both models added: what `mmd2` would be if they
    /// shared nothing.
    pub own: f64,
    /// The squared discrepancy of each prompt.
    by_prompt: Vec<f64>,
}

impl Discrepancy {
    fn of(by_prompt: Vec<f64>, own: f64) -> Self {
        let mmd2 = by_prompt.iter().sum::<f64>() / by_prompt.len() as f64;
        Self {
            mmd2,
            own,
            by_prompt,
        }
    }

    /// Returns the 95 % interval of the squared discrepancy over prompts; nothing for one prompt.
    pub fn interval(&self) -> Option<Interval> {
        let count = self.by_prompt.len() as f64;
        let freedom = StudentsT::new(0.0, 1.0, count - 1.0).ok()?;
        let squares: f64 = self
            .by_prompt
            .iter()
            .map(|value| (value - self.mmd2).powi(2))
            .sum();
        let half = freedom.inverse_cdf(0.975) * (squares / (count - 1.0) / count).sqrt();
        Some(Interval {
            value: self.mmd2,
            low: self.mmd2 - half,
            high: self.mmd2 + half,
        })
    }
}

/// What permutations say of a discrepancy.
#[derive(Debug)]
pub(crate) struct Tested {
    pub(crate) discrepancy: Discrepancy,
    pub(crate) p: f64,
    /// Standard deviation of the permuted statistic.
    deviation: f64,
}

impl Tested {
    /// Returns the discrepancy in standard deviations of the permuted one; nothing where replies
    /// never vary.
    pub(crate) fn effect(&self) -> Option<Interval> {
        let interval = self.discrepancy.interval()?;
        (self.deviation > ROUNDING).then(|| Interval {
            value: interval.value / self.deviation,
            low: interval.low / self.deviation,
            high: interval.high / self.deviation,
        })
    }
}

/// Measures the discrepancy of two models; nothing where no prompt was answered twice by each.
pub fn discrepancy(
    corpus: &Corpus,
    one: &str,
    other: &str,
    settings: &SameSettings,
) -> Option<Discrepancy> {
    Groups::of(corpus, one, other).discrepancy(settings)
}

/// The replies of two models by prompt, the first model's in front.
#[derive(Debug)]
pub(crate) struct Groups<'a> {
    /// Texts, and how many of them are the first model's. At least two are, and two are not.
    groups: Vec<(Vec<&'a str>, usize)>,
    /// Prompts that both answered at least once.
    pub(crate) common: usize,
}

impl<'a> Groups<'a> {
    pub(crate) fn of(corpus: &'a Corpus, one: &str, other: &str) -> Self {
        let mut by_prompt: BTreeMap<usize, [Vec<&str>; 2]> = BTreeMap::new();
        let find = |name: &str| corpus.models.iter().position(|model| model == name);
        let sides = [find(one), find(other)];
        for reply in &corpus.replies {
            let side = sides.iter().position(|side| *side == Some(reply.model));
            if let Some(side) = side.filter(|_| reply.outcome == Outcome::Answered) {
                by_prompt.entry(reply.prompt).or_default()[side].push(&reply.text);
            }
        }
        let mut common = 0;
        let mut groups = Vec::new();
        for [mut texts, others] in by_prompt.into_values() {
            if !texts.is_empty() && !others.is_empty() {
                common += 1;
            }
            if texts.len() >= 2 && others.len() >= 2 {
                let first = texts.len();
                texts.extend(others);
                groups.push((texts, first));
            }
        }
        Self { groups, common }
    }

    pub(crate) fn prompts(&self) -> usize {
        self.groups.len()
    }

    fn compared(&self, settings: &SameSettings) -> Vec<Compared> {
        let compare = |(texts, first): &(Vec<&str>, usize)| {
            Compared::new(texts, *first, settings.kernel, settings.chars)
        };
        self.groups.iter().map(compare).collect()
    }

    pub(crate) fn discrepancy(&self, settings: &SameSettings) -> Option<Discrepancy> {
        (!self.groups.is_empty()).then(|| observed(&self.compared(settings)))
    }

    /// Tests the null that labels do not matter. Not to be called without a prompt.
    pub(crate) fn test(&self, settings: &SameSettings) -> Tested {
        let compared = self.compared(settings);
        let discrepancy = observed(&compared);
        let permuted: Vec<f64> = (0..settings.permutations as u64)
            .into_par_iter()
            .map(|number| permuted(&compared, settings.seed, number))
            .collect();
        let as_large = permuted
            .iter()
            .filter(|value| **value >= discrepancy.mmd2 - ROUNDING)
            .count();
        let count = permuted.len().max(1) as f64;
        let mean = permuted.iter().sum::<f64>() / count;
        let squares: f64 = permuted.iter().map(|value| (value - mean).powi(2)).sum();
        Tested {
            discrepancy,
            p: (1 + as_large) as f64 / (1 + permuted.len()) as f64,
            deviation: (squares / count).sqrt(),
        }
    }
}

fn observed(compared: &[Compared]) -> Discrepancy {
    let (mut by_prompt, mut own) = (Vec::with_capacity(compared.len()), 0.0);
    for group in compared {
        let first: Vec<usize> = (0..group.first).collect();
        let [one, other, across] = group.means(&first);
        by_prompt.push(one + other - 2.0 * across);
        own += one + other;
    }
    let count = compared.len() as f64;
    Discrepancy::of(by_prompt, own / count)
}

/// Returns the statistic with labels permuted within every prompt.
fn permuted(compared: &[Compared], seed: u64, number: u64) -> f64 {
    let mut stream = ChaCha8Rng::seed_from_u64(seed);
    stream.set_stream(number);
    let mut sum = 0.0;
    for group in compared {
        let mut order: Vec<usize> = (0..group.gram.count).collect();
        let (first, _) = order.partial_shuffle(&mut stream, group.first);
        let [one, other, across] = group.means(first);
        sum += one + other - 2.0 * across;
    }
    sum / compared.len() as f64
}

/// The compared replies to one prompt.
struct Compared {
    gram: Gram,
    first: usize,
    /// Sum of each row without its diagonal.
    rows: Vec<f64>,
    /// Sum over all pairs.
    pairs: f64,
}

impl Compared {
    fn new(texts: &[&str], first: usize, kernel: Kernel, chars: usize) -> Self {
        let gram = Gram::of(texts, kernel, chars);
        let rows: Vec<f64> = (0..gram.count)
            .map(|one| {
                let row = &gram.values[one * gram.count..][..gram.count];
                let sum: f64 = row.iter().map(|value| f64::from(*value)).sum();
                sum - f64::from(row[one])
            })
            .collect();
        let pairs = rows.iter().sum::<f64>() / 2.0;
        Self {
            gram,
            first,
            rows,
            pairs,
        }
    }

    /// Returns the mean similarity within the replies at `first`, within the others, and across.
    /// Only pairs within `first` are added up: the rest follows from sums of rows.
    fn means(&self, first: &[usize]) -> [f64; 3] {
        let mut within = 0.0;
        for (position, one) in first.iter().enumerate() {
            let row = &self.gram.values[one * self.gram.count..][..self.gram.count];
            let sum: f32 = first[..position].iter().map(|other| row[*other]).sum();
            within += f64::from(sum);
        }
        let reach: f64 = first.iter().map(|one| self.rows[*one]).sum();
        let across = reach - 2.0 * within;
        let beyond = self.pairs - within - across;
        let (m, n) = (first.len() as f64, (self.gram.count - first.len()) as f64);
        [
            within / (m * (m - 1.0) / 2.0),
            beyond / (n * (n - 1.0) / 2.0),
            across / (m * n),
        ]
    }
}
