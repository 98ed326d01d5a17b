//! Whether a model was trained on outputs of a candidate of another base.
//!
//! Statistic: closeness of six text families, uncentred (what all assistants share is part of what a
//! teacher gives), and of six counts over the prompts, on one scale with fixed weights. Null: how
//! close *students* are to the candidate that it cannot have taught; frontier and origin models are
//! no controls, since they differ from students whoever taught them. What it cannot tell is said in
//! every statement: see [`CONFOUNDS`].

mod calibration;
mod court;
mod notes;

use rayon::iter::{IntoParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};
use retort_fingerprint::{BLOCKS, Centring, Family, Fingerprints, Similarities};

use crate::analysis::{Calibration, Detector, Finding, Matrix, Statement, TeacherSet};
use crate::calibrate::Asked;
use crate::evidence::{
    adjust, as_close_as, finding, not_compared, standing_interval, unmeasured, weigh,
};
use crate::kin::table;
use crate::roles::Roles;
use crate::scale;

pub use calibration::SHIPPED;
pub(crate) use court::{Court, Heard, Rows};

/// Families of texts that make up the statistic.
pub const FAMILIES: [Family; 6] = [
    Family::Words,
    Family::Phrases,
    Family::Close,
    Family::Beginning,
    Family::Skeleton,
    Family::Layout,
];

/// Counts that make up the statistic, by their names in [`Fingerprints::correlations`].
const COUNTS: [&str; 6] = [
    "characters",
    "line breaks",
    "bullets",
    "numbered lines",
    "commas",
    "quotes",
];

/// Weights of the mean of the texts and of the counts. Fixed: with fewer than twenty groups of
/// students, fitted weights overfit.
const WEIGHTS: [f64; 2] = [0.75, 0.25];

/// What no statement of this detector can exclude.
pub const CONFOUNDS: [&str; 4] = [
    "fine-tuning on assistant-style data of whatever source explains part of any closeness",
    "models of one vendor are not told apart: read the candidate as its family",
    "training on public data made by the candidate, or on outputs of its student, looks the same",
    "a data set that both were trained on looks the same",
];

/// How `teacher` decides.
#[derive(Debug, Clone, PartialEq)]
pub struct TeacherSettings {
    /// Level at which a pair is supported, after adjustment.
    pub alpha: f64,
    /// Whether the pairs were registered before the data: Holm, and else BH.
    pub is_registered: bool,
    /// Seed of every resampling.
    pub seed: u64,
}

impl Default for TeacherSettings {
    fn default() -> Self {
        Self {
            alpha: 0.05,
            is_registered: false,
            seed: 0,
        }
    }
}

/// What `teacher` found. Statements come in the order of [`Roles::pairs`]; their `wording` and
/// `exhibits` are left empty for the report to fill.
#[derive(Debug, Clone, PartialEq)]
pub struct TeacherResult {
    /// One per pair asked for.
    pub statements: Vec<Statement>,
    /// One per suspect, sorted.
    pub sets: Vec<TeacherSet>,
    /// How the detector errs on these models; absent with too few controls.
    pub calibration: Option<Calibration>,
    /// Uncentred closeness of all models, in standard deviations of the pool's pairs.
    pub matrix: Matrix,
    /// Controls that were refused, and why.
    pub warnings: Vec<String>,
}

/// Returns the statistic for all pairs, from the blocks of prompts that are taken.
pub fn closeness(
    fingerprints: &Fingerprints,
    takes: &(dyn Fn(usize) -> bool + Sync),
) -> Similarities {
    let mut all = Vec::new();
    for family in FAMILIES {
        if let Some(matrix) = fingerprints.similarities(family, Centring::Raw, takes)
            && let Some(matrix) = scale::standardised(&matrix, fingerprints)
        {
            all.push((WEIGHTS[0] / FAMILIES.len() as f64, matrix));
        }
    }
    for (name, matrix) in fingerprints.correlations(takes) {
        if COUNTS.contains(&name)
            && let Some(matrix) = scale::standardised(&matrix, fingerprints)
        {
            all.push((WEIGHTS[1] / COUNTS.len() as f64, matrix));
        }
    }
    scale::mean(&all, fingerprints.models().len())
}

/// Compares every pair that the roles ask for.
///
/// Never panics on few or empty replies: what cannot be said is a [`Finding`] that says why.
pub fn analyse(
    fingerprints: &Fingerprints,
    roles: &Roles,
    settings: &TeacherSettings,
) -> TeacherResult {
    let matrix = closeness(fingerprints, &|_| true);
    let left_out: Vec<Similarities> = (0..BLOCKS)
        .into_par_iter()
        .map(|out| closeness(fingerprints, &move |block| block != out))
        .collect();
    let mut warnings = Vec::new();
    let pairs = roles.pairs(fingerprints.models());
    let court = Court::of_roles(fingerprints, roles, &pairs, &matrix, &mut warnings);
    let rows = court.rows(&matrix);
    let mut calibrated = calibration::of(&court, fingerprints, (&matrix, &rows), settings);
    let heard: Vec<(Statement, Option<Heard>)> = pairs
        .par_iter()
        .map(|pair| statement(pair, fingerprints, &court, (&matrix, &rows, &left_out)))
        .collect();
    let (mut statements, heard): (Vec<Statement>, Vec<Option<Heard>>) = heard.into_iter().unzip();
    // A ratio is of a teacher only where the teacher may be this one and no other.
    let asked: Vec<Option<Asked>> = statements
        .iter()
        .zip(&heard)
        .map(|(statement, heard)| {
            let is_older = roles.is_older(&statement.suspect, &statement.candidate);
            let heard = heard.as_ref().filter(|_| !is_older)?;
            let suspect = fingerprints.model(&statement.suspect)?;
            Some(court.asked(suspect, heard, statement.controls.len(), heard.row_p?))
        })
        .collect();
    weigh(&mut statements, &asked, &mut calibrated);
    for statement in &mut statements {
        if roles.is_older(&statement.suspect, &statement.candidate) {
            // Nobody learns from a model that does not exist yet: nothing is asked of chance.
            statement.p = None;
        }
    }
    adjust(&mut statements, settings.is_registered);
    for (statement, heard) in statements.iter_mut().zip(&heard) {
        // One that is excluded by dates was compared and stays not supported.
        if statement.p.is_some() {
            let row_p = heard.as_ref().and_then(|heard| heard.row_p);
            let found = finding(statement, settings.alpha);
            statement.finding = specific(found, row_p, settings.alpha);
        }
    }
    TeacherResult {
        sets: sets(&statements, roles, &calibrated.related),
        statements,
        calibration: calibrated.rates,
        matrix: table(Detector::Teacher, fingerprints, &matrix),
        warnings,
    }
}

/// Withholds support where the suspect is not closer to this candidate than to other vendors'.
fn specific(finding: Finding, row_p: Option<f64>, alpha: f64) -> Finding {
    match (finding, row_p) {
        (Finding::Supported, Some(p)) if p > alpha => Finding::Inconclusive(format!(
            "close to assistants of several vendors alike (p of the difference {p:.3}): \
             assistant-style data, teacher not identified"
        )),
        (Finding::Supported, None) => Finding::Inconclusive(
            "no candidate of another vendor to compare with: teacher not identified".to_owned(),
        ),
        (finding, _) => finding,
    }
}

fn statement(
    pair: &(String, String),
    fingerprints: &Fingerprints,
    court: &Court<'_>,
    (matrix, rows, left_out): (&Similarities, &Rows, &[Similarities]),
) -> (Statement, Option<Heard>) {
    let none = |finding: Finding| unmeasured(Detector::Teacher, pair, finding);
    let places = fingerprints.model(&pair.0).zip(fingerprints.model(&pair.1));
    let Some((suspect, candidate)) = places else {
        let reason = "one of the models has no replies".to_owned();
        return (none(Finding::NotMeasured(reason)), None);
    };
    let prompts = fingerprints.prompts_of(suspect, candidate);
    if matrix.get(suspect, candidate).is_none() {
        let reason = "there is no prompt that both answered at length".to_owned();
        return (
            Statement {
                prompts,
                ..none(Finding::NotMeasured(reason))
            },
            None,
        );
    }
    let controls = court.compared_with(matrix, (suspect, candidate));
    let apart = court.controls_of(suspect, candidate).len() - controls.len();
    let names = controls
        .iter()
        .map(|control| fingerprints.models()[*control].clone())
        .collect();
    let Some(heard) = court.hear((matrix, rows), (suspect, candidate), &controls) else {
        let reason = format!(
            "{} students that answered prompts of the candidate and that it cannot have taught",
            controls.len()
        );
        let statement = Statement {
            prompts,
            controls: names,
            statistic: matrix.get(suspect, candidate),
            ..none(Finding::ControlSetInsufficient(reason))
        };
        return (statement, None);
    };
    let jackknife: Vec<f64> = left_out
        .iter()
        .filter_map(|matrix| court.stand(matrix, (suspect, candidate), &controls))
        .collect();
    let families = court.families_among(&controls);
    let mut notes: Vec<String> = not_compared(apart).into_iter().collect();
    let as_close = controls.iter().filter(|control| {
        matrix
            .get(**control, candidate)
            .is_some_and(|value| value >= heard.value)
    });
    let as_close = as_close.map(|control| fingerprints.models()[*control].as_str());
    notes.extend(as_close_as(&pair.0, &pair.1, as_close));
    notes.extend(notes::of(
        court,
        (matrix, rows),
        (suspect, candidate),
        (&heard, &controls),
    ));
    let statement = Statement {
        statistic: Some(heard.value),
        effect: Some(standing_interval(heard.standing, &jackknife, families)),
        p: Some(heard.p),
        prompts,
        controls: names,
        notes,
        ..none(Finding::NotSupported)
    };
    (statement, Some(heard))
}

/// Share of known students whose standing may lie below a candidate's before it is excluded.
const SET_LEVEL: f64 = 0.05;

/// Known students from which on their standings decide who is excluded.
const SET_STUDENTS_MIN: usize = 19;

/// Returns for each suspect the candidates that are not excluded. With enough known students, a
/// candidate is excluded when nearly all of them stand higher (conformal, at 5 %); else when the
/// suspect is no closer to it than the median control; one that is younger than the suspect always
/// is. "None of these" is excluded only by support
/// for one.
fn sets(statements: &[Statement], roles: &Roles, taught: &[f64]) -> Vec<TeacherSet> {
    let mut sets: std::collections::BTreeMap<&str, TeacherSet> = std::collections::BTreeMap::new();
    for statement in statements {
        let set = sets
            .entry(&statement.suspect)
            .or_insert_with(|| TeacherSet {
                suspect: statement.suspect.clone(),
                candidates: Vec::new(),
                none_of_these: true,
            });
        let is_excluded = match (statement.effect, statement.p) {
            (Some(effect), _) if taught.len() >= SET_STUDENTS_MIN => {
                let below = taught
                    .iter()
                    .filter(|known| **known <= effect.value)
                    .count();
                ((below + 1) as f64) / ((taught.len() + 1) as f64) <= SET_LEVEL
            }
            (_, Some(p)) => p > 0.5,
            // What was not measured is not excluded.
            (_, None) => false,
        };
        if !is_excluded && !roles.is_older(&statement.suspect, &statement.candidate) {
            set.candidates.push(statement.candidate.clone());
        }
        set.none_of_these &= statement.finding != Finding::Supported;
    }
    sets.into_values().collect()
}

#[cfg(test)]
mod tests;
