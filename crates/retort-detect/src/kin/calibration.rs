//! How `kin` errs on the models at hand, and which controls are fit.

use std::collections::BTreeSet;

use retort_fingerprint::{Fingerprints, Similarities};

use super::{Ground, KinSettings};
use crate::analysis::Detector;
use crate::calibrate::{
    Calibrated, Logistic, Sample, Seen, can_reach, contaminated, outlier_pairs,
};
use crate::roles::{Kind, Roles};

/// Likelihood ratios by standing, fitted on the public benchmark of `retort bench lineage`: used
/// where the models at hand hold too few known relations for a fit of their own.
pub const SHIPPED: Logistic = Logistic {
    intercept: -2.600,
    slope: 0.877,
};

/// Share of its pairs in which a control must be an outlier to be refused.
const CONTAMINATED_SHARE: f64 = 0.25;

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

/// Measures the detector on pairs of controls, and on the relations that are known.
pub(super) fn of(
    ground: &Ground<'_>,
    fingerprints: &Fingerprints,
    matrix: &Similarities,
    settings: &KinSettings,
) -> Calibrated {
    let mut sample = Sample::default();
    let mut add = |pair: (usize, usize), is_related: bool| {
        let controls = ground.compared_with(matrix, pair);
        if let Some(found) = ground.compare(matrix, pair, &controls) {
            let seen = Seen {
                standing: found.standing,
                p: found.p,
                controls: controls.len(),
                families: [ground.families[pair.0], ground.families[pair.1]],
            };
            let could = can_reach(controls.len(), settings.alpha);
            sample.add(is_related, seen, could.then_some(found.p <= settings.alpha));
        }
    };
    for (i, one) in ground.controls.iter().enumerate() {
        for other in ground.controls.iter().skip(i + 1) {
            if ground.are_strangers(*one, *other) {
                add((*one, *other), false);
            }
        }
    }
    for (at, name) in fingerprints.models().iter().enumerate() {
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
    let source = "pairs of controls, and parents known among these models";
    sample.calibrate(Detector::Kin, SHIPPED, (settings.seed, source))
}
