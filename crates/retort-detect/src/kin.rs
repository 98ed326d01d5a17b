//! Whether two models share habits beyond what unrelated models share.
use retort_fingerprint::Fingerprints;

use crate::analysis::{Calibration, Matrix, Statement};
use crate::roles::Roles;

/// How `kin` decides.
#[derive(Debug, Clone, PartialEq)]
pub struct KinSettings {
    /// Level at which a pair is supported, after adjustment.
    pub alpha: f64,
    /// Whether the pairs were registered before the data: Holm, and else BH.
    pub is_registered: bool,
    /// Seed of every resampling.
    pub seed: u64,
}

impl Default for KinSettings {
    fn default() -> Self {
        Self {
            alpha: 0.05,
            is_registered: false,
            seed: 0,
        }
    }
}

/// What `kin` found. Statements come in the order of [`Roles::pairs`]; their `wording` and
/// `exhibits` are left empty for the report to fill.
#[derive(Debug, Clone, PartialEq)]
pub struct KinResult {
    /// One per pair asked for.
    pub statements: Vec<Statement>,
    /// How the detector errs on these models; absent when too few relations are known.
    pub calibration: Option<Calibration>,
    /// Similarities of all models of the pool.
    pub matrix: Matrix,
    /// Outlier pairs of controls, controls that were refused, and why.
    pub warnings: Vec<String>,
}

/// Compares every pair that the roles ask for.
pub fn analyse(fingerprints: &Fingerprints, roles: &Roles, settings: &KinSettings) -> KinResult {
    let _ = (roles, settings);
    KinResult {
        statements: Vec::new(),
        calibration: None,
        matrix: Matrix {
            detector: crate::analysis::Detector::Kin,
            models: fingerprints.models().to_vec(),
            values: Vec::new(),
        },
        warnings: Vec::new(),
    }
}
