//! `genes`: do two models continue the same prefixes with the same first characters?
//!
//! The statistic is that of `PhyloLM` (Yax, Oudeyer and Palminteri, ICLR 2025, arXiv:2404.04671):
//! prefixes are genes, the first four characters of a completion are alleles, and the similarity of
//! two models is Nei's (1972): shared homozygosity over the geometric mean of their own. Here the
//! homozygosities are unbiased for few draws, the null is other models (never other prompts), and
//! trees carry bootstrap support.

use retort_fingerprint::Corpus;
use serde::Serialize;

use crate::analysis::{Matrix, Statement, Tree};

/// Settings of the detector. Every one reaches a number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GenesSettings {
    /// Characters of an allele, leading white space stripped; 4 as in the source.
    pub allele_chars: usize,
    /// Level of a finding, above 0 and below 1.
    pub alpha: f64,
    /// Fewest prompts both must have answered. Half of the suite's open half.
    pub prompts_min: usize,
    /// Replicates of the tree over resampled prompts.
    pub bootstrap: usize,
    /// Seeds the resampling.
    pub seed: u64,
}

impl Default for GenesSettings {
    fn default() -> Self {
        Self {
            allele_chars: 4,
            alpha: 0.05,
            prompts_min: 32,
            bootstrap: 200,
            seed: 0,
        }
    }
}

/// Allele counts of every model, and the similarities that follow from them.
#[derive(Debug)]
pub struct Genes {
    settings: GenesSettings,
}

impl Genes {
    /// Counts the alleles of the corpus: of prompts asked in mode `completion`, or of the suite
    /// `genes` in any mode. Only answered replies count; an empty answer is an allele of its own.
    pub fn measure(corpus: &Corpus, settings: GenesSettings) -> Self {
        let _ = corpus;
        Self { settings }
    }

    /// Returns the number of prompts that are genes.
    pub fn prompts(&self) -> usize {
        0
    }

    /// Returns the Nei similarity of two models, 1 for the same distribution and 0 for nothing
    /// shared; beyond 1 by chance, as it is unbiased. Nothing where they share no prompt.
    pub fn similarity(&self, one: &str, other: &str) -> Option<f64> {
        let _ = (one, other);
        None
    }

    /// Returns the score that [`Genes::statement`] compares: how much nearer `suspect` stands to
    /// `candidate` than to the controls. For calibration over pairs of known relation.
    pub fn score(&self, suspect: &str, candidate: &str, controls: &[String]) -> Option<f64> {
        let _ = (suspect, candidate, controls);
        None
    }

    /// Returns what the alleles say of a pair. `controls` are models unrelated to `candidate`.
    pub fn statement(&self, suspect: &str, candidate: &str, controls: &[String]) -> Statement {
        let _ = controls;
        crate::genes::blank(suspect, candidate)
    }

    /// Returns the similarities of all models.
    pub fn matrix(&self) -> Matrix {
        Matrix {
            detector: crate::analysis::Detector::Genes,
            models: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Returns the neighbour-joining tree of the models, with bootstrap support over prompts.
    /// Nothing for fewer than three models that share prompts.
    pub fn tree(&self) -> Option<Tree> {
        let _ = self.settings.bootstrap;
        None
    }
}

pub(crate) fn blank(suspect: &str, candidate: &str) -> Statement {
    Statement {
        suspect: suspect.to_owned(),
        candidate: candidate.to_owned(),
        detector: crate::analysis::Detector::Genes,
        statistic: None,
        effect: None,
        p: None,
        p_adjusted: None,
        log10_lr: None,
        log10_lr_cap: None,
        finding: crate::analysis::Finding::NotMeasured(String::new()),
        prompts: 0,
        controls: Vec::new(),
        wording: String::new(),
        notes: Vec::new(),
        exhibits: Vec::new(),
    }
}
