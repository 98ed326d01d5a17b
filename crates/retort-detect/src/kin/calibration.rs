//! How `kin` errs on the models at hand, and which controls are fit.

use std::collections::BTreeSet;

use retort_fingerprint::{Fingerprints, Similarities};

use super::{Ground, KinSettings};
use crate::analysis::{Calibration, Detector};
use crate::calibrate::{
    Logistic, Scored, cllr, cllr_min, contaminated, equal_error_rate, leave_groups_out,
    log10_lr_cap, outlier_pairs,
};
use crate::evidence::mean_over_families;
use crate::roles::{Kind, Roles};

/// Likelihood ratios by standing, fitted on the public benchmark of `retort bench lineage`: used
/// where the models at hand hold too few known relations for a fit of their own.
pub const SHIPPED: Logistic = Logistic {
    intercept: -4.0,
    slope: 2.0,
};

/// Known relations from which on the models at hand calibrate themselves, and their families.
const RELATED_MIN: usize = 10;
const RELATED_FAMILIES_MIN: usize = 4;

/// Share of its pairs in which a control must be an outlier to be refused.
const CONTAMINATED_SHARE: f64 = 0.25;

/// What calibration gives.
pub(super) struct Calibrated {
    pub(super) model: Logistic,
    pub(super) rates: Option<Calibration>,
    /// What a reader of a likelihood ratio must know.
    pub(super) note: Option<String>,
}

/// Returns the controls that are there and fit: in the pool, no composite, no outlier among the
/// others. What is refused or looks odd is told.
pub(super) fn clean_controls(
    fingerprints: &Fingerprints,
    roles: &Roles,
    matrix: &Similarities,
    warnings: &mut Vec<String>,
) -> Vec<usize> {
    let names: BTreeSet<&String> = roles.controls.iter().collect();
    let mut controls = Vec::new();
    for name in names {
        match fingerprints.model(name) {
            None => warnings.push(format!("control `{name}` has no replies")),
            Some(_) if roles.facts(name).kind == Kind::Composite => {
                warnings.push(format!(
                    "control `{name}` is refused: it is made of several models"
                ));
            }
            Some(at) => controls.push(at),
        }
    }
    controls.sort_unstable();
    let ground = Ground::new(fingerprints.models(), roles, &controls, matrix);
    let mut pairs = Vec::new();
    for (i, one) in controls.iter().enumerate() {
        for (j, other) in controls.iter().enumerate().skip(i + 1) {
            if ground.are_strangers(*one, *other)
                && let Some(value) = matrix.get(*one, *other)
            {
                pairs.push((i, j, value));
            }
        }
    }
    let outliers = outlier_pairs(&pairs);
    let name = |at: usize| &fingerprints.models()[controls[at]];
    for (i, j) in &outliers {
        warnings.push(format!(
            "controls `{}` and `{}` are far more alike than controls are: a relation that is not in \
             the registry?",
            name(*i),
            name(*j)
        ));
    }
    let refused = contaminated(controls.len(), &outliers, CONTAMINATED_SHARE);
    for at in &refused {
        warnings.push(format!(
            "control `{}` is refused: an outlier among controls",
            name(*at)
        ));
    }
    let kept = controls
        .iter()
        .enumerate()
        .filter(|(at, _)| !refused.contains(at));
    kept.map(|(_, control)| *control).collect()
}

/// Measures the detector on the controls, and on the relations that are known.
pub(super) fn of(
    ground: &Ground<'_>,
    fingerprints: &Fingerprints,
    matrix: &Similarities,
    settings: &KinSettings,
) -> Calibrated {
    let names = fingerprints.models();
    let (mut scored, mut alarms, mut hits, mut counts) = (vec![], vec![], vec![], vec![]);
    let mut add = |pair: (usize, usize), is_related: bool| {
        let controls = ground.controls_of(pair.0, pair.1);
        let Some(found) = ground.compare(matrix, pair, &controls) else {
            return;
        };
        let groups = BTreeSet::from([ground.families[pair.0], ground.families[pair.1]]);
        scored.push(Scored {
            score: found.standing,
            is_related,
            groups,
        });
        counts.push(controls.len());
        let flagged = f64::from(u8::from(found.p <= settings.alpha));
        let to = if is_related { &mut hits } else { &mut alarms };
        to.push((ground.families[pair.0], flagged));
    };
    for (i, one) in ground.controls.iter().enumerate() {
        for other in ground.controls.iter().skip(i + 1) {
            if ground.are_strangers(*one, *other) {
                add((*one, *other), false);
            }
        }
    }
    for (at, name) in names.iter().enumerate() {
        let parents = ground.roles.facts(name).parents;
        for parent in parents
            .iter()
            .filter_map(|parent| fingerprints.model(parent))
        {
            if fingerprints.is_in_pool(at) && fingerprints.is_in_pool(parent) && parent != at {
                add((at, parent), true);
            }
        }
    }
    let is_related = |scored: &&Scored| scored.is_related;
    let related: Vec<&Scored> = scored.iter().filter(is_related).collect();
    let families: BTreeSet<usize> = related
        .iter()
        .flat_map(|s| s.groups.iter().copied())
        .collect();
    let own = related.len() >= RELATED_MIN && families.len() >= RELATED_FAMILIES_MIN;
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
    let note = fit.is_none().then(|| {
        "likelihood ratio by the fit on the public benchmark: too few known relations here for one \
         of its own"
            .to_owned()
    });
    let rates = (!unrelated.is_empty()).then(|| Calibration {
        detector: Detector::Kin,
        source: format!(
            "{} unrelated pairs of controls and {} known relations of these models",
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
    Calibrated {
        model: fit.unwrap_or(SHIPPED),
        rates,
        note,
    }
}
