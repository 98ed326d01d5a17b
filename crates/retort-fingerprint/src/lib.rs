//! Features of replies that need no GPU and no download, and fingerprints of models made of them.
//!
//! A [`Corpus`] holds the replies of many models to the same prompts, whatever table they came from.
//! [`Fingerprints`] compare them, family by family of habits. Everything here is synchronous, seeded
//! and independent of thread count and order of input.

pub mod corpus;
mod document;
mod family;
mod file;
mod fingerprints;
mod gram;
mod layout;
mod pairs;
pub mod phrases;
mod refusal;
mod skeleton;
mod tokens;

pub use corpus::{Corpus, CorpusError, Prompt, RawReply, Reply, Selection, Unfit};
pub use family::Family;
pub use file::{FileError, SavedFingerprint, VERSION as FINGERPRINT_VERSION};
pub use fingerprints::{BLOCKS, Centring, Fingerprints, Settings};
pub use pairs::Similarities;
