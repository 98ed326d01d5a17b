//! Calibration of a detector on pairs of known relation among the models at hand.

use std::collections::{BTreeMap, BTreeSet};

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::logistic::sharing_none;
use super::{Logistic, Scored, cllr, cllr_min, equal_error_rate, within_support};
use crate::analysis::{Calibration, Detector};
use crate::evidence::mean_over_families;

/// Related pairs from which on the models at hand calibrate themselves, and their families.
const RELATED_MIN: usize = 10;
const FAMILIES_MIN: usize = 4;

/// A pair as it was compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Its standing.
    pub(crate) standing: f64,
    /// The highest of the p-values that a finding needs.
    pub(crate) p: f64,
    /// How many controls it had.
    pub(crate) controls: usize,
    /// The families of both models; one twice where only one of them counts.
    pub(crate) families: [usize; 2],
}

/// A pair in question.
pub(crate) type Asked = Seen;

/// Pairs of known relation, as they were compared.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    scored: Vec<Scored>,
    seen: Vec<(Seen, Option<bool>)>,
}

/// What calibration gives.
#[derive(Debug)]
pub(crate) struct Calibrated {
    scored: Vec<Scored>,
    shipped: Logistic,
    fits: BTreeMap<BTreeSet<usize>, Option<Logistic>>,
    /// Error rates; absent without unrelated pairs.
    pub(crate) rates: Option<Calibration>,
    /// Standings of related pairs.
    pub(crate) related: Vec<f64>,
}

impl Sample {
    /// Adds a pair. `is_found` tells whether it was found at the level; nothing where it could not
    /// have been: that nothing was found is no rate then.
    pub(crate) fn add(&mut self, is_related: bool, seen: Seen, is_found: Option<bool>) {
        self.scored.push(Scored {
            score: seen.standing,
            is_related,
            groups: seen.families.into(),
        });
        self.seen.push((seen, is_found));
    }

    /// Fits and measures; `shipped` is used where too little is known here.
    pub(crate) fn calibrate(
        self,
        detector: Detector,
        shipped: Logistic,
        (seed, source): (u64, &str),
    ) -> Calibrated {
        let related = self.scored.iter().filter(|scored| scored.is_related);
        let mut calibrated = Calibrated {
            related: related.map(|scored| scored.score).collect(),
            scored: self.scored,
            shipped,
            fits: BTreeMap::new(),
            rates: None,
        };
        let seen: Vec<Seen> = self.seen.iter().map(|(seen, _)| *seen).collect();
        let ratios = calibrated.log10_lrs(&seen);
        let pairs = || calibrated.scored.iter().zip(&self.seen);
        let of = |wanted: bool| -> Vec<f64> {
            let all = pairs()
                .zip(&ratios)
                .filter(|((s, _), _)| s.is_related == wanted);
            let mut found: Vec<f64> = all.map(|(_, (ratio, _))| *ratio).collect();
            found.sort_by(f64::total_cmp);
            found
        };
        let found = |wanted: bool| {
            let flags: Vec<([usize; 2], f64)> = pairs()
                .filter(|(scored, _)| scored.is_related == wanted)
                .filter_map(|(_, (seen, is_found))| {
                    Some((seen.families, f64::from(u8::from((*is_found)?))))
                })
                .collect();
            mean_over_families(&flags, seed)
        };
        let (related, unrelated) = (of(true), of(false));
        let rates = (!unrelated.is_empty()).then(|| Calibration {
            detector,
            source: source.to_owned(),
            pairs: [related.len(), unrelated.len()],
            cllr: cllr(&related, &unrelated),
            cllr_min: cllr_min(&related, &unrelated),
            eer: equal_error_rate(&related, &unrelated),
            false_positive_rate: found(false),
            power: found(true),
            related,
            unrelated,
        });
        calibrated.rates = rates;
        calibrated
    }
}

impl Calibrated {
    /// Returns the log10 likelihood ratio of each pair, within what its controls support, with what
    /// a reader of it must know.
    ///
    /// It is fitted on the pairs that share no family with the pair, so that no pair has a part in
    /// what weighs it; where they are too few, the ratio is by the shipped line.
    pub(crate) fn log10_lrs(&mut self, asked: &[Asked]) -> Vec<(f64, Option<&'static str>)> {
        let mut missing: BTreeSet<BTreeSet<usize>> = asked
            .iter()
            .map(|asked| BTreeSet::from(asked.families))
            .collect();
        missing.retain(|families| !self.fits.contains_key(families));
        let has_any = is_enough(&self.scored.iter().collect::<Vec<_>>());
        let scored = &self.scored;
        let fits: Vec<(BTreeSet<usize>, Option<Logistic>)> = missing
            .into_par_iter()
            .map(|families| {
                let fit = has_any.then(|| sharing_none(scored, &families));
                let fit = fit.filter(|others| is_enough(others));
                let fit = fit.and_then(|others| Logistic::fit(&others));
                (families, fit)
            })
            .collect();
        self.fits.extend(fits);
        let ratio = |asked: &Asked| {
            let fit = self.fits.get(&BTreeSet::from(asked.families)).copied();
            let fit = fit.flatten();
            let line = fit.unwrap_or(self.shipped);
            let ratio = within_support(line.log10_lr(asked.standing), asked.controls, asked.p);
            (ratio, fit.is_none().then_some(SHIPPED_NOTE))
        };
        asked.iter().map(ratio).collect()
    }
}

const SHIPPED_NOTE: &str = "likelihood ratio by the fit on the public benchmark: too few known \
                            relations here for one of its own";

/// Returns whether these pairs carry a fit of their own.
fn is_enough(pairs: &[&Scored]) -> bool {
    let related = || pairs.iter().filter(|scored| scored.is_related);
    let families: BTreeSet<usize> = related()
        .flat_map(|scored| scored.groups.iter().copied())
        .collect();
    related().count() >= RELATED_MIN && families.len() >= FAMILIES_MIN
}
