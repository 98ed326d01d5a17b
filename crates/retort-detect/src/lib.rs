//! From fingerprints to lineage evidence: statistics, calibration, wording, report.
//!
//! Nothing here reports a bare score: a statement names its null, its controls, its error rates and
//! what it cannot tell. The unit of replication is the model, never the prompt.

pub mod analysis;
#[cfg(test)]
mod fixtures;
pub mod genes;
pub mod power;
pub mod same;
pub mod tree;
