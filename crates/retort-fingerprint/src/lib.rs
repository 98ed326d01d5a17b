//! Features of replies that need no GPU and no download, and fingerprints of models made of them.
//!
//! A [`Corpus`] holds the replies of many models to the same prompts, whatever table they came from.
//! Everything here is synchronous, seeded and independent of thread count and order of input.

pub mod corpus;
mod fingerprints;

pub use corpus::{Corpus, CorpusError, Prompt, RawReply, Reply, Selection, Unfit};
pub use fingerprints::{Fingerprints, Settings};
