//! `same`: do two endpoints answer like one model now?
//!
//! Two tests of the null "both draw from the same distribution". [`test()`] has a fixed size: the
//! maximum mean discrepancy (Gretton et al. 2012; on texts: Gao, Liang and Guestrin, ICLR 2025,
//! arXiv:2410.20247) with labels permuted within prompts, p = (1 + b) / (1 + B). [`watch`] may be
//! looked at after every pair: a betting e-process on which of two replies is the suspect's, exact
//! when the campaign drew the order of models by chance.
//!
//! In a [`Statement`] of this detector, `p` is that of "same", so a small one speaks for a
//! difference; `effect` counts in standard deviations of the permuted statistic; and the finding is
//! about "the same within the tolerance": supported, not supported, or too little to say.

use std::collections::{BTreeMap, BTreeSet};

use retort_fingerprint::Corpus;
use serde::Serialize;

use crate::analysis::{Detector, Finding, Interval, Statement};

mod kernel;
mod mmd;
pub mod watch;

pub use mmd::{Discrepancy, discrepancy};

use mmd::Groups;

/// How alike two replies to one prompt are, from 0 to 1. Replies to different prompts are never
/// compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// Share of positions that hold the same character, as in the source. For short replies.
    Hamming,
    /// Cosine of counts of character runs of this length. For replies whose words move.
    Grams(usize),
}

/// Settings of the fixed test. Every one reaches a number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SameSettings {
    /// How replies are compared.
    pub kernel: Kernel,
    /// Characters of a reply that are compared, from its start.
    pub chars: usize,
    /// Permutations of labels.
    pub permutations: usize,
    /// Level of a finding, above 0 and below 1.
    pub alpha: f64,
    /// Share of replies by another model that must not go unnoticed, above 0 and at most 1.
    pub routed_share: f64,
    /// Seeds the permutations.
    pub seed: u64,
}

impl Default for SameSettings {
    fn default() -> Self {
        Self {
            kernel: Kernel::Grams(3),
            chars: 1_000,
            permutations: 1_000,
            alpha: 0.05,
            routed_share: 0.3,
            seed: 0,
        }
    }
}

/// How far apart endpoints of the same weights stand.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tolerance {
    /// Largest squared discrepancy among the pairs; at least 0.
    pub mmd2: f64,
    /// The pairs it was measured on, sorted.
    pub pairs: Vec<(String, String)>,
}

/// Where a reply stood in the randomised order: its block, and its place within the block, by row
/// ([`retort_fingerprint::Reply::row`]). Columns `block_id` and `order_in_block` of the dataset.
pub type Places = BTreeMap<String, (u32, u32)>;

/// Measures the tolerance on pairs of endpoints that serve the same weights (A/A, or the same
/// weights at two providers), of which none may be in question. Nothing when no pair can be compared.
pub fn tolerance(
    corpus: &Corpus,
    pairs: &[(String, String)],
    settings: &SameSettings,
) -> Option<Tolerance> {
    let pairs: BTreeSet<(String, String)> = pairs.iter().cloned().collect();
    let mut measured = Vec::new();
    let mut most = 0.0_f64;
    for pair in pairs {
        let Some(found) = Groups::of(corpus, &pair.0, &pair.1).discrepancy(settings) else {
            continue;
        };
        most = most.max(found.mmd2);
        measured.push(pair);
    }
    (!measured.is_empty()).then_some(Tolerance {
        mmd2: most,
        pairs: measured,
    })
}

/// What a difference is measured against.
#[derive(Debug, Clone, Copy, Default)]
pub struct Against<'a> {
    /// Models known to differ from both: they say how large a difference another model makes, and
    /// are named as the statement's controls.
    pub others: &'a [String],
    /// How far apart endpoints of the same weights stand, where it was measured.
    pub band: Option<&'a Tolerance>,
}

/// Tests whether two endpoints answer alike.
pub fn test(
    corpus: &Corpus,
    suspect: &str,
    candidate: &str,
    against: Against<'_>,
    settings: &SameSettings,
) -> Statement {
    let mut statement = Statement {
        suspect: suspect.to_owned(),
        candidate: candidate.to_owned(),
        detector: Detector::Same,
        statistic: None,
        effect: None,
        p: None,
        p_adjusted: None,
        log10_lr: None,
        log10_lr_cap: None,
        finding: Finding::NotSupported,
        prompts: 0,
        controls: Vec::new(),
        wording: format!(
            "H1: `{suspect}` and `{candidate}` answer alike. H2: another model answers for at \
             least {:.0} % of the requests to one of them.",
            100.0 * settings.routed_share
        ),
        notes: Vec::new(),
        exhibits: Vec::new(),
    };
    statement.finding = fill(corpus, &mut statement, against, settings);
    statement
}

/// Fills in the numbers and returns the finding.
fn fill(
    corpus: &Corpus,
    statement: &mut Statement,
    against: Against<'_>,
    settings: &SameSettings,
) -> Finding {
    let (suspect, candidate) = (statement.suspect.clone(), statement.candidate.clone());
    if suspect == candidate {
        return Finding::NotMeasured("a model is not compared with itself".to_owned());
    }
    let groups = Groups::of(corpus, &suspect, &candidate);
    statement.prompts = groups.prompts();
    if groups.common == 0 {
        return Finding::NotMeasured("no prompt that both answered".to_owned());
    }
    if groups.prompts() == 0 {
        return Finding::Underpowered(format!(
            "{} prompts that both answered, but none twice by each: two draws are needed",
            groups.common
        ));
    }
    let found = groups.test(settings);
    statement.statistic = Some(found.discrepancy.mmd2);
    statement.p = Some(found.p);
    statement.effect = found.effect();
    let (margin, controls, note) = margin(corpus, &candidate, &found, against.others, settings);
    statement.controls = controls;
    statement.notes.extend(note);
    statement.notes.push(match against.band {
        Some(band) => format!(
            "tolerance {:.2e}, the largest of {} pairs of endpoints with the same weights",
            band.mmd2,
            band.pairs.len()
        ),
        None => "no tolerance was measured: any difference counts, also one of serving".to_owned(),
    });
    let interval = found.discrepancy.interval();
    if found.p <= settings.alpha {
        return differs(found.discrepancy.mmd2, interval, against.band);
    }
    alike(interval, margin, settings)
}

/// Returns the finding when chance alone does not explain the difference.
fn differs(mmd2: f64, interval: Option<Interval>, band: Option<&Tolerance>) -> Finding {
    let Some(band) = band else {
        return Finding::NotSupported;
    };
    let low = interval.map_or(mmd2, |interval| interval.low);
    if low > band.mmd2 {
        return Finding::NotSupported;
    }
    Finding::Inconclusive(format!(
        "they differ by {mmd2:.2e}, but endpoints with the same weights differ by up to {:.2e}",
        band.mmd2
    ))
}

/// Returns the finding when chance alone may explain the difference.
fn alike(interval: Option<Interval>, margin: f64, settings: &SameSettings) -> Finding {
    let share = 100.0 * settings.routed_share;
    let Some(interval) = interval else {
        return Finding::Underpowered("one prompt tells no spread over prompts".to_owned());
    };
    if margin <= 0.0 {
        return Finding::Underpowered(
            "other models answer these prompts alike too: nothing can be told apart".to_owned(),
        );
    }
    if interval.high > margin {
        return Finding::Underpowered(format!(
            "another model in {share:.0} % of the replies would make {margin:.2e}, and the interval \
             reaches {:.2e}",
            interval.high
        ));
    }
    Finding::Supported
}

/// Returns the squared discrepancy that the registered share of another model would make, the
/// models that it was taken from, and what to say of it.
///
/// A share s of replies from elsewhere moves the distribution by s times the distance, so its
/// squared discrepancy is s² times that of the other model.
fn margin(
    corpus: &Corpus,
    candidate: &str,
    found: &mmd::Tested,
    others: &[String],
    settings: &SameSettings,
) -> (f64, Vec<String>, Option<String>) {
    let names: BTreeSet<&String> = others.iter().collect();
    let mut distances = Vec::new();
    let mut controls = Vec::new();
    for name in names {
        let groups = Groups::of(corpus, name, candidate);
        if let Some(other) = groups.discrepancy(settings).filter(|_| name != candidate) {
            distances.push(other.mmd2);
            controls.push(name.clone());
        }
    }
    let squared = settings.routed_share * settings.routed_share;
    if distances.is_empty() {
        let note = "no other model to compare with: one that shares nothing is meant";
        let most = squared * found.discrepancy.own;
        return (most, controls, Some(note.to_owned()));
    }
    distances.sort_by(f64::total_cmp);
    let median = distances[(distances.len() - 1) / 2];
    (squared * median, controls, None)
}

#[cfg(test)]
mod tests;
