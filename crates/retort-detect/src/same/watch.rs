//! The e-process of `same`: may be looked at after every pair.

use retort_fingerprint::Corpus;
use serde::Serialize;

use super::Places;
use crate::analysis::Statement;

/// Settings of the e-process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WatchSettings {
    /// Chance of ever alarming when nothing differs, above 0 and below 1.
    pub alpha: f64,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self { alpha: 0.01 }
    }
}

/// Two replies to one prompt, asked in an order that a fair coin decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair<'a> {
    /// Which prompt; any stable number.
    pub prompt: u64,
    /// The reply to the first request.
    pub first: &'a str,
    /// The reply to the second.
    pub second: &'a str,
    /// Whether the suspect was asked first: the coin.
    pub suspect_first: bool,
}

/// An e-process that is fed pair by pair.
#[derive(Debug, Clone)]
pub struct Watch {
    settings: WatchSettings,
}

impl Watch {
    /// Starts with a wealth of 1.
    pub fn new(settings: WatchSettings) -> Self {
        Self { settings }
    }

    /// Bets on the coin from the two replies, then looks at it.
    pub fn observe(&mut self, pair: &Pair<'_>) {
        let _ = pair;
    }

    /// Returns the base-10 logarithm of the wealth: the e-value now.
    pub fn log10_e(&self) -> f64 {
        self.settings.alpha
    }

    /// Returns the number of pairs seen.
    pub fn pairs(&self) -> u64 {
        0
    }

    /// Returns after how many pairs the alarm was raised, if it ever was: the wealth reached
    /// 1 / alpha.
    pub fn alarmed_at(&self) -> Option<u64> {
        None
    }
}

/// Feeds all pairs of two models in the order of blocks and says what came of it. Without places of
/// both replies, as in a dataset from elsewhere, it is not measured.
pub fn statement(
    corpus: &Corpus,
    suspect: &str,
    candidate: &str,
    places: &Places,
    settings: &WatchSettings,
) -> Statement {
    let _ = (corpus, places, settings);
    crate::genes::blank(suspect, candidate)
}
