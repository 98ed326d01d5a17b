//! How `teacher` errs on the models at hand.

use std::collections::BTreeSet;

use retort_fingerprint::{Fingerprints, Similarities};

use super::{Court, TeacherSettings};
use crate::analysis::{Calibration, Detector};
use crate::calibrate::{
    Logistic, Scored, cllr, cllr_min, equal_error_rate, leave_groups_out, log10_lr_cap,
};
use crate::evidence::mean_over_families;

/// Likelihood ratios by standing, fitted on the public benchmark of `retort bench lineage`: used
/// where the models at hand hold too few known students for a fit of their own.
pub const SHIPPED: Logistic = Logistic {
    intercept: -1.3,
    slope: 1.1,
};

/// Known students from which on the models at hand calibrate themselves, and their families.
const TAUGHT_MIN: usize = 10;
const TAUGHT_FAMILIES_MIN: usize = 4;

/// What calibration gives.
pub(super) struct Calibrated {
    pub(super) model: Logistic,
    pub(super) rates: Option<Calibration>,
    /// Standings of known students beside their teachers.
    pub(super) taught: Vec<f64>,
    /// What a reader of a likelihood ratio must know.
    pub(super) note: Option<String>,
}

/// Measures the detector on controls, and on known students of the candidates.
pub(super) fn of(
    court: &Court<'_>,
    fingerprints: &Fingerprints,
    matrix: &Similarities,
    settings: &TeacherSettings,
) -> Calibrated {
    let (mut scored, mut alarms, mut hits, mut counts) = (vec![], vec![], vec![], vec![]);
    for candidate in &court.candidates {
        for student in 0..fingerprints.models().len() {
            let is_taught = court
                .roles
                .taught(&court.names[*candidate], &court.names[student]);
            if !fingerprints.is_in_pool(student)
                || !(is_taught || court.is_control(student) && court.is_clean(student, *candidate))
            {
                continue;
            }
            let controls = court.controls_of(student, *candidate);
            let Some(heard) = court.hear(matrix, (student, *candidate), &controls) else {
                continue;
            };
            let family = court.families[student];
            scored.push(Scored {
                score: heard.standing,
                is_related: is_taught,
                groups: BTreeSet::from([family]),
            });
            counts.push(controls.len());
            let flagged = f64::from(u8::from(heard.p <= settings.alpha));
            let to = if is_taught { &mut hits } else { &mut alarms };
            to.push((family, flagged));
        }
    }
    let taught: Vec<f64> = scored
        .iter()
        .filter(|scored| scored.is_related)
        .map(|scored| scored.score)
        .collect();
    let related = scored.iter().filter(|scored| scored.is_related);
    let families: BTreeSet<usize> = related.flat_map(|s| s.groups.iter().copied()).collect();
    let own = taught.len() >= TAUGHT_MIN && families.len() >= TAUGHT_FAMILIES_MIN;
    let fit = Logistic::fit(&scored.iter().collect::<Vec<_>>()).filter(|_| own);
    let cap = |at: usize| log10_lr_cap(counts.get(at).copied().unwrap_or(0));
    let ratios: Vec<Option<f64>> = match fit {
        Some(_) => leave_groups_out(&scored, cap),
        None => {
            let all = scored.iter().enumerate();
            all.map(|(at, s)| Some(SHIPPED.log10_lr(s.score, cap(at))))
                .collect()
        }
    };
    let of = |wanted: bool| -> Vec<f64> {
        let all = scored
            .iter()
            .zip(&ratios)
            .filter(|(scored, _)| scored.is_related == wanted);
        let mut found: Vec<f64> = all.filter_map(|(_, ratio)| *ratio).collect();
        found.sort_by(f64::total_cmp);
        found
    };
    let (related, unrelated) = (of(true), of(false));
    let rates = (!unrelated.is_empty()).then(|| Calibration {
        detector: Detector::Teacher,
        source: format!(
            "{} pairs of a control and a candidate, {} known students of these models",
            unrelated.len(),
            related.len()
        ),
        pairs: [related.len(), unrelated.len()],
        cllr: cllr(&related, &unrelated),
        cllr_min: cllr_min(&related, &unrelated),
        eer: equal_error_rate(&related, &unrelated),
        false_positive_rate: mean_over_families(&alarms, settings.seed),
        power: mean_over_families(&hits, settings.seed),
        related,
        unrelated,
    });
    let note = fit.is_none().then(|| {
        "likelihood ratio by the fit on the public benchmark: too few known students here for one \
         of its own"
            .to_owned()
    });
    Calibrated {
        model: fit.unwrap_or(SHIPPED),
        rates,
        taught,
        note,
    }
}
