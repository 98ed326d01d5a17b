//! What all models of a corpus look like beside each other.

use crate::Corpus;

/// How fingerprints are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {}

/// The compared habits of the models of one corpus.
#[derive(Debug, Clone, PartialEq)]
pub struct Fingerprints {
    models: Vec<String>,
}

impl Fingerprints {
    /// Compares all models of a corpus; `progress` is told prompts done and in all.
    pub fn of(
        corpus: &Corpus,
        settings: Settings,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Self {
        let _ = settings;
        progress(0, corpus.prompts.len());
        Self {
            models: corpus.models.clone(),
        }
    }

    /// Returns the names of the models, sorted.
    pub fn models(&self) -> &[String] {
        &self.models
    }
}
