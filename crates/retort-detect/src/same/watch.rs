//! The e-process of `same`: may be looked at after every pair.
//!
//! For each prompt both endpoints are asked in an order that a fair coin decided. If they are one
//! model, the replies tell nothing about the coin, so whoever bets on it from the replies cannot
//! expect to win: the wealth is a nonnegative martingale that starts at 1, and the chance that it
//! ever reaches 1 / α is at most α (Ville 1939; Ramdas, Grünwald, Vovk and Shafer 2023,
//! arXiv:2210.01948). This holds whatever the replies look like, for any way of betting that uses
//! the past only, and while both drift together. The bets decide the power alone.

use std::collections::BTreeMap;

use retort_fingerprint::{Corpus, Reply};
use retort_types::Outcome;
use serde::Serialize;

use super::Places;
use crate::analysis::{Detector, Finding, Statement};

mod bets;

use bets::Bettor;

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
    bettor: Bettor,
    pairs: u64,
    most: f64,
    alarmed_at: Option<u64>,
}

impl Watch {
    /// Starts with a wealth of 1.
    pub fn new(settings: WatchSettings) -> Self {
        Self {
            settings,
            bettor: Bettor::new(),
            pairs: 0,
            most: 0.0,
            alarmed_at: None,
        }
    }

    /// Bets on the coin from the two replies, then looks at it and learns.
    pub fn observe(&mut self, pair: &Pair<'_>) {
        self.bettor.bet(pair);
        self.pairs += 1;
        self.most = self.most.max(self.log10_e());
        if self.alarmed_at.is_none() && self.log10_e() >= -self.settings.alpha.log10() {
            self.alarmed_at = Some(self.pairs);
        }
    }

    /// Returns the base-10 logarithm of the wealth: the e-value now.
    pub fn log10_e(&self) -> f64 {
        self.bettor.log_wealth() / std::f64::consts::LN_10
    }

    /// Returns the p-value that holds at any time: 1 over the most wealth there was.
    pub fn p(&self) -> f64 {
        10_f64.powf(-self.most)
    }

    /// Returns the number of pairs seen.
    pub fn pairs(&self) -> u64 {
        self.pairs
    }

    /// Returns after how many pairs the alarm was raised, if it ever was: the wealth reached
    /// 1 / alpha.
    pub fn alarmed_at(&self) -> Option<u64> {
        self.alarmed_at
    }
}

/// Feeds all pairs of two models in the order of blocks and says what came of it. Without places of
/// both replies, as in a dataset from elsewhere, it is not measured.
///
/// The statistic is the base-10 logarithm of the wealth at the end, `p` that of "same" at any time.
/// No alarm says nothing for "same": that is left to [`super::test()`].
pub fn statement(
    corpus: &Corpus,
    suspect: &str,
    candidate: &str,
    places: &Places,
    settings: &WatchSettings,
) -> Statement {
    let pairs = pairs(corpus, suspect, candidate, places);
    let mut watch = Watch::new(settings.clone());
    for pair in &pairs {
        watch.observe(pair);
    }
    let mut notes = vec![
        "exact for endpoints that do not drift apart while they are asked; under a drift of both, \
         as far as requests went out in the planned order"
            .to_owned(),
    ];
    if let Some(pairs) = watch.alarmed_at() {
        notes.push(format!("alarm after {pairs} pairs"));
    }
    let prompts: std::collections::BTreeSet<u64> = pairs.iter().map(|pair| pair.prompt).collect();
    Statement {
        suspect: suspect.to_owned(),
        candidate: candidate.to_owned(),
        detector: Detector::Same,
        statistic: (watch.pairs() > 0).then(|| watch.log10_e()),
        effect: None,
        p: (watch.pairs() > 0).then(|| watch.p()),
        p_adjusted: None,
        log10_lr: None,
        log10_lr_cap: None,
        finding: finding(&watch, suspect == candidate),
        prompts: prompts.len(),
        controls: Vec::new(),
        wording: format!(
            "H1: `{suspect}` and `{candidate}` answer alike, so that their replies do not tell \
             which was asked first. H2: they tell."
        ),
        notes,
        exhibits: Vec::new(),
    }
}

fn finding(watch: &Watch, is_itself: bool) -> Finding {
    if is_itself {
        return Finding::NotMeasured("a model is not compared with itself".to_owned());
    }
    if watch.pairs() == 0 {
        return Finding::NotMeasured(
            "no two replies to one prompt whose places in a randomised order are known".to_owned(),
        );
    }
    match watch.alarmed_at() {
        Some(_) => Finding::NotSupported,
        None => Finding::Inconclusive(format!(
            "no alarm in {} pairs, which does not speak for \"the same\"",
            watch.pairs()
        )),
    }
}

/// A reply with its place within the block, once it is met.
type Placed<'a> = Option<(u32, &'a Reply)>;

/// Returns the pairs of replies of one block, in the order of blocks.
fn pairs<'a>(corpus: &'a Corpus, suspect: &str, candidate: &str, places: &Places) -> Vec<Pair<'a>> {
    let find = |name: &str| corpus.models.iter().position(|model| model == name);
    let (Some(suspect), Some(candidate)) = (find(suspect), find(candidate)) else {
        return Vec::new();
    };
    let mut blocks: BTreeMap<(u32, usize), [Placed<'_>; 2]> = BTreeMap::new();
    for reply in &corpus.replies {
        let side = [suspect, candidate]
            .iter()
            .position(|model| *model == reply.model);
        let place = places.get(&reply.row);
        if let (Some(side), Some((block, order)), Outcome::Answered) = (side, place, reply.outcome)
        {
            blocks.entry((*block, reply.prompt)).or_default()[side] = Some((*order, reply));
        }
    }
    let mut pairs = Vec::new();
    for ((_, prompt), sides) in blocks {
        let [Some((own, suspect)), Some((other, candidate))] = sides else {
            continue;
        };
        let suspect_first = own < other;
        let [first, second] = if suspect_first {
            [&suspect.text, &candidate.text]
        } else {
            [&candidate.text, &suspect.text]
        };
        pairs.push(Pair {
            prompt: prompt as u64,
            first,
            second,
            suspect_first,
        });
    }
    pairs
}

#[cfg(test)]
mod tests;
