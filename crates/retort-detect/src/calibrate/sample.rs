//! Calibration of a detector on pairs of known relation among the models at hand.

use std::collections::BTreeSet;

use super::{Logistic, Scored, cllr, cllr_min, equal_error_rate, leave_groups_out, log10_lr_cap};
use crate::analysis::{Calibration, Detector};
use crate::evidence::mean_over_families;

/// Related pairs from which on the models at hand calibrate themselves, and their families.
const RELATED_MIN: usize = 10;
const FAMILIES_MIN: usize = 4;

/// Pairs of known relation, as they were compared.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    scored: Vec<Scored>,
    controls: Vec<usize>,
    /// By class: family, and 1 when flagged.
    flagged: [Vec<(usize, f64)>; 2],
}

/// What calibration gives.
#[derive(Debug)]
pub(crate) struct Calibrated {
    /// Likelihood ratios by standing.
    pub(crate) model: Logistic,
    /// Error rates; absent without unrelated pairs.
    pub(crate) rates: Option<Calibration>,
    /// Standings of related pairs.
    pub(crate) related: Vec<f64>,
    /// What a reader of a likelihood ratio must know.
    pub(crate) note: Option<String>,
}

impl Sample {
    /// Adds a pair: its standing, whether it was flagged, its families, the suspect's first, and how
    /// many controls it had.
    pub(crate) fn add(
        &mut self,
        is_related: bool,
        (standing, is_flagged): (f64, bool),
        families: &[usize],
        controls: usize,
    ) {
        self.scored.push(Scored {
            score: standing,
            is_related,
            groups: families.iter().copied().collect(),
        });
        self.controls.push(controls);
        let family = families.first().copied().unwrap_or_default();
        self.flagged[usize::from(is_related)].push((family, f64::from(u8::from(is_flagged))));
    }

    /// Fits and measures; `shipped` is used where too little is known here.
    pub(crate) fn calibrate(
        self,
        detector: Detector,
        shipped: Logistic,
        (seed, source): (u64, &str),
    ) -> Calibrated {
        let related: Vec<&Scored> = self.scored.iter().filter(|s| s.is_related).collect();
        let families: BTreeSet<usize> = related
            .iter()
            .flat_map(|scored| scored.groups.iter().copied())
            .collect();
        let has_own = related.len() >= RELATED_MIN && families.len() >= FAMILIES_MIN;
        let fit = Logistic::fit(&self.scored.iter().collect::<Vec<_>>()).filter(|_| has_own);
        let cap = |at: usize| log10_lr_cap(self.controls.get(at).copied().unwrap_or(0));
        let ratios: Vec<Option<f64>> = if fit.is_some() {
            leave_groups_out(&self.scored, cap)
        } else {
            let all = self.scored.iter().enumerate();
            all.map(|(at, scored)| Some(shipped.log10_lr(scored.score, cap(at))))
                .collect()
        };
        let of = |wanted: bool| -> Vec<f64> {
            let all = self
                .scored
                .iter()
                .zip(&ratios)
                .filter(|(s, _)| s.is_related == wanted);
            let mut found: Vec<f64> = all.filter_map(|(_, ratio)| *ratio).collect();
            found.sort_by(f64::total_cmp);
            found
        };
        let standings = related.iter().map(|scored| scored.score).collect();
        let (related, unrelated) = (of(true), of(false));
        let rates = (!unrelated.is_empty()).then(|| Calibration {
            detector,
            source: source.to_owned(),
            pairs: [related.len(), unrelated.len()],
            cllr: cllr(&related, &unrelated),
            cllr_min: cllr_min(&related, &unrelated),
            eer: equal_error_rate(&related, &unrelated),
            false_positive_rate: mean_over_families(&self.flagged[0], seed),
            power: mean_over_families(&self.flagged[1], seed),
            related,
            unrelated,
        });
        let note = fit.is_none().then(|| {
            "likelihood ratio by the fit on the public benchmark: too few known relations here for \
             one of its own"
                .to_owned()
        });
        Calibrated {
            model: fit.unwrap_or(shipped),
            rates,
            related: standings,
            note,
        }
    }
}
