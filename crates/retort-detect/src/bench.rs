//! The benchmark of our own error rates, on replies of models of known lineage.
//!
//! Metrics are chosen so that nobody can be flattered: within a candidate, after the student's
//! general closeness is taken out, against students outside its own family, with intervals over
//! families of students, and beside what a guess without any statistics reaches.

mod draws;
mod lineage;
mod metrics;
mod output;
mod tables;

use std::path::PathBuf;

use serde::Serialize;

use crate::analysis::Interval;

pub use output::write_pairs;
pub use tables::{Label, LabelledPair, Tables};

/// The benchmark could not be run.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The replies could not be read.
    #[error(transparent)]
    Corpus(#[from] retort_fingerprint::CorpusError),
    /// A table could not be read.
    #[error("failed to read `{}`: {reason}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A table could not be written.
    #[error("failed to write `{}`: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// How the benchmark runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BenchSettings {
    /// Resamples of families behind every interval.
    pub resamples: usize,
    /// Draws of control sets behind every false-positive rate.
    pub draws: usize,
    /// Seed of both.
    pub seed: u64,
}

impl Default for BenchSettings {
    fn default() -> Self {
        Self {
            resamples: 500,
            draws: 200,
            seed: 0,
        }
    }
}

/// A figure of the benchmark.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// `kin` or `teacher`.
    pub detector: &'static str,
    /// The method, ours or one to compare with.
    pub method: &'static str,
    /// What was measured.
    pub metric: &'static str,
    /// The figure, with its interval over resampled families of students.
    pub value: Option<Interval>,
    /// What is hoped for, where something is.
    pub goal: Option<f64>,
}

/// A false-positive rate at nominal 5 %, one family left out at a time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FalsePositives {
    /// `kin` or `teacher`.
    pub detector: &'static str,
    /// Controls per draw; every one there is when absent.
    pub controls: Option<usize>,
    /// What counts as an alarm.
    pub rule: &'static str,
    /// Unrelated pairs with so many controls.
    pub pairs: usize,
    /// Share of alarms, with 2.5th and 97.5th percentile over the draws.
    pub rate: Option<Interval>,
    /// Related pairs with so many controls.
    pub related: usize,
    /// Share of them found.
    pub power: Option<Interval>,
}

/// One labelled pair with what the detectors say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairRow {
    /// The suspect.
    pub suspect: String,
    /// The candidate.
    pub candidate: String,
    /// What is known of the pair.
    pub label: Label,
    /// The detector.
    pub detector: &'static str,
    /// Its statistic.
    pub statistic: Option<f64>,
    /// Its standing among the controls.
    pub effect: Option<f64>,
    /// The teacher's specificity; absent for `kin`.
    pub row: Option<f64>,
    /// Conformal p-value.
    pub p: Option<f64>,
    /// Log10 likelihood ratio, its family left out of the fit.
    pub log10_lr: Option<f64>,
    /// Its cap.
    pub cap: f64,
    /// Prompts both answered.
    pub prompts: usize,
    /// Controls.
    pub controls: usize,
}

/// What the benchmark found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LineageReport {
    /// Models, prompts, labelled pairs, families of students.
    pub sizes: [usize; 4],
    /// All figures.
    pub figures: Vec<Figure>,
    /// False-positive rates.
    pub false_positives: Vec<FalsePositives>,
    /// Every labelled pair, per detector.
    pub pairs: Vec<PairRow>,
    /// The fits of likelihood ratios on all pairs, intercept and slope: `kin`, then `teacher`.
    pub fits: [Option<[f64; 2]>; 2],
    /// What was left out, and other remarks.
    pub notes: Vec<String>,
}

pub use lineage::run;

#[cfg(test)]
mod tests;
