//! How `teacher` errs on the models at hand.

use retort_fingerprint::{Fingerprints, Similarities};

use super::{Court, Rows, TeacherSettings};
use crate::analysis::Detector;
use crate::calibrate::{Calibrated, Logistic, Sample, can_reach};

/// Likelihood ratios by standing, fitted on the public benchmark of `retort bench lineage`: used
/// where the models at hand hold too few known students for a fit of their own.
pub const SHIPPED: Logistic = Logistic {
    intercept: -1.890,
    slope: 1.694,
};

/// Measures the detector on controls, and on known students of the candidates.
pub(super) fn of(
    court: &Court<'_>,
    fingerprints: &Fingerprints,
    measured: (&Similarities, &Rows),
    settings: &TeacherSettings,
) -> Calibrated {
    let mut sample = Sample::default();
    for candidate in &court.candidates {
        for student in 0..fingerprints.models().len() {
            let is_taught = court
                .roles
                .taught(&court.names[*candidate], &court.names[student]);
            let is_clean = || court.is_control(student) && court.is_clean(student, *candidate);
            if !fingerprints.is_in_pool(student) || !(is_taught || is_clean()) {
                continue;
            }
            let controls = court.compared_with(measured.0, (student, *candidate));
            if let Some(heard) = court.hear(measured, (student, *candidate), &controls) {
                let row_p = heard.row_p.unwrap_or(heard.p);
                let seen = court.asked(student, &heard, controls.len(), row_p);
                // Nothing is ever found without another vendor's candidate.
                let could = heard.row_p.is_some() && can_reach(controls.len(), settings.alpha);
                sample.add(is_taught, seen, could.then_some(seen.p <= settings.alpha));
            }
        }
    }
    let source = "controls beside candidates, and students known among these models";
    sample.calibrate(Detector::Teacher, SHIPPED, (settings.seed, source))
}
