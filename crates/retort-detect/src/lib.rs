//! From fingerprints to lineage evidence: statistics, calibration, wording, report.
//!
//! Nothing here reports a bare score: a statement names its null, its controls, its error rates and
//! what it cannot tell. The unit of replication is the model, never the prompt.

pub mod analysis;
pub mod bench;
pub mod calibrate;
mod evidence;
pub mod exhibits;
pub mod kin;
pub mod roles;
mod scale;
pub mod teacher;
#[cfg(test)]
mod testing;
