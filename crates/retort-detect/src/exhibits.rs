//! Passages that carry the evidence of a pair, side by side.
use retort_fingerprint::Corpus;

use crate::analysis::Exhibit;

/// Returns the prompts whose replies of the two models share the rarest phrases, the weightiest
/// first, at most `most`.
pub fn exhibits(corpus: &Corpus, suspect: &str, candidate: &str, most: usize) -> Vec<Exhibit> {
    let _ = (corpus, suspect, candidate, most);
    Vec::new()
}
