//! From fingerprints to lineage evidence: statistics, calibration, wording, report.
//!
//! Nothing here reports a bare score: a statement names its null, its controls, its error rates and
//! what it cannot tell. The unit of replication is the model, never the prompt.

pub mod analysis;
pub mod bench;
pub mod calibrate;
pub mod decide;
pub mod detect;
mod evidence;
#[cfg(test)]
mod example;
pub mod exhibits;
#[cfg(test)]
mod fixtures;
pub mod genes;
pub mod kin;
pub mod load;
pub mod power;
pub mod question;
pub mod rank;
pub mod registration;
pub mod report;
pub mod roles;
pub mod same;
mod scale;
pub mod tables;
pub mod teacher;
#[cfg(test)]
mod testing;
pub mod tree;
pub mod wording;
