//! Whether two models share habits beyond what unrelated models share: fine-tunes of one base,
//! versions of one line, one model under two names.
//!
//! Statistic: cosine similarity of hashed habits, double-centred over the pool prompt by prompt, so
//! that neither an easy prompt nor a model that resembles everybody counts; the mean over prompts;
//! the mean over families on one scale. Null: dyadic conformal. A control compared with the
//! candidate, and the suspect compared with a control, must both be less similar than the pair.

mod calibration;

use std::collections::BTreeSet;

use rayon::iter::{IntoParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};
use retort_fingerprint::{BLOCKS, Centring, Family, Fingerprints, Similarities};

use crate::analysis::{Calibration, Detector, Finding, Matrix, Statement};
use crate::calibrate::{Asked, conformal_p, pooled_sd, standing};
use crate::evidence::{
    adjust, as_close_as, finding, not_compared, standing_interval, unmeasured, weigh,
};
use crate::roles::Roles;
use crate::scale;

pub use calibration::SHIPPED;

/// Families that make up the statistic; those not measured are left out.
pub const FAMILIES: [Family; 7] = [
    Family::Words,
    Family::Skeleton,
    Family::Opening,
    Family::Letters,
    Family::Rare,
    Family::Choices,
    Family::Traces,
];

/// How `kin` decides.
#[derive(Debug, Clone, PartialEq)]
pub struct KinSettings {
    /// Level at which a pair is supported, after adjustment.
    pub alpha: f64,
    /// Whether the pairs were registered before the data: Holm, and else BH.
    pub is_registered: bool,
    /// Seed of every resampling.
    pub seed: u64,
}

impl Default for KinSettings {
    fn default() -> Self {
        Self {
            alpha: 0.05,
            is_registered: false,
            seed: 0,
        }
    }
}

/// What `kin` found. Statements come in the order of [`Roles::pairs`]; their `wording` and
/// `exhibits` are left empty for the report to fill.
#[derive(Debug, Clone, PartialEq)]
pub struct KinResult {
    /// One per pair asked for.
    pub statements: Vec<Statement>,
    /// How the detector errs on these models; absent with too few controls.
    pub calibration: Option<Calibration>,
    /// Similarities of all models, in standard deviations of the pool's pairs.
    pub matrix: Matrix,
    /// Outlier pairs of controls, controls that were refused, and why.
    pub warnings: Vec<String>,
}

/// Returns the statistic for all pairs, from the blocks of prompts that are taken.
pub fn similarity(
    fingerprints: &Fingerprints,
    takes: &(dyn Fn(usize) -> bool + Sync),
) -> Similarities {
    let measured = FAMILIES.iter().filter_map(|family| {
        let matrix = fingerprints.similarities(*family, Centring::Double, takes)?;
        Some((1.0, scale::standardised(&matrix, fingerprints)?))
    });
    scale::mean(&measured.collect::<Vec<_>>(), fingerprints.models().len())
}

/// Compares every pair that the roles ask for.
///
/// Never panics on few or empty replies: what cannot be said is a [`Finding`] that says why.
pub fn analyse(fingerprints: &Fingerprints, roles: &Roles, settings: &KinSettings) -> KinResult {
    let matrix = similarity(fingerprints, &|_| true);
    let left_out: Vec<Similarities> = (0..BLOCKS)
        .into_par_iter()
        .map(|out| similarity(fingerprints, &move |block| block != out))
        .collect();
    let mut warnings = Vec::new();
    let controls = calibration::clean_controls(fingerprints, roles, &matrix, &mut warnings);
    let ground = Ground::new(fingerprints.models(), roles, &controls, &matrix);
    let mut calibration = calibration::of(&ground, fingerprints, &matrix, settings);
    let pairs = roles.pairs(fingerprints.models());
    let found: Vec<(Statement, Option<Asked>)> = pairs
        .par_iter()
        .map(|pair| statement(pair, fingerprints, &ground, (&matrix, &left_out)))
        .collect();
    let (mut statements, asked): (Vec<Statement>, Vec<Option<Asked>>) = found.into_iter().unzip();
    weigh(&mut statements, &asked, &mut calibration);
    adjust(&mut statements, settings.is_registered);
    for statement in &mut statements {
        if statement.p.is_some() {
            statement.finding = finding(statement, settings.alpha);
        }
    }
    KinResult {
        statements,
        calibration: calibration.rates,
        matrix: table(Detector::Kin, fingerprints, &matrix),
        warnings,
    }
}

/// Returns a matrix as analyses hold it.
pub(crate) fn table(detector: Detector, of: &Fingerprints, matrix: &Similarities) -> Matrix {
    let models = of.models().len();
    let cell = |at: usize| matrix.get(at / models, at % models);
    Matrix {
        detector,
        models: of.models().to_vec(),
        values: (0..models * models).map(cell).collect(),
    }
}

/// Who may be compared with whom.
pub(crate) struct Ground<'a> {
    names: &'a [String],
    pub(crate) roles: &'a Roles,
    pub(crate) controls: Vec<usize>,
    pub(crate) families: Vec<usize>,
    /// Spread of a control's similarities to the others, over all controls.
    sd: f64,
}

impl<'a> Ground<'a> {
    pub(crate) fn new(
        names: &'a [String],
        roles: &'a Roles,
        controls: &[usize],
        matrix: &Similarities,
    ) -> Self {
        let mut ground = Self {
            names,
            roles,
            controls: controls.to_vec(),
            families: roles.families(names),
            sd: 0.0,
        };
        let sets: Vec<Vec<f64>> = controls
            .iter()
            .map(|one| {
                let others = controls
                    .iter()
                    .filter(|other| ground.are_strangers(*one, **other));
                others
                    .filter_map(|other| matrix.get(*one, *other))
                    .collect()
            })
            .collect();
        ground.sd = pooled_sd(sets.iter().map(Vec::as_slice));
        ground
    }

    /// Returns whether nothing known connects two models: no family, no base, no teaching.
    pub(crate) fn are_strangers(&self, one: usize, other: usize) -> bool {
        let (a, b) = (&self.names[one], &self.names[other]);
        one != other
            && self.families[one] != self.families[other]
            && !self.roles.share_base(a, b)
            && !self.roles.taught(a, b)
            && !self.roles.taught(b, a)
    }

    /// Returns the controls of a pair: strangers to both.
    pub(crate) fn controls_of(&self, suspect: usize, candidate: usize) -> Vec<usize> {
        let fit = |control: &usize| {
            self.are_strangers(*control, suspect) && self.are_strangers(*control, candidate)
        };
        self.controls.iter().copied().filter(fit).collect()
    }

    /// Returns the controls of a pair that were compared with both.
    pub(crate) fn compared_with(
        &self,
        matrix: &Similarities,
        (suspect, candidate): (usize, usize),
    ) -> Vec<usize> {
        let mut controls = self.controls_of(suspect, candidate);
        controls.retain(|control| {
            matrix.get(*control, suspect).is_some() && matrix.get(*control, candidate).is_some()
        });
        controls
    }

    /// Returns of how many families these are.
    fn families_among(&self, models: &[usize]) -> usize {
        let families: BTreeSet<usize> = models.iter().map(|model| self.families[*model]).collect();
        families.len()
    }

    /// Compares a pair with controls, in both directions.
    pub(crate) fn compare(
        &self,
        matrix: &Similarities,
        (suspect, candidate): (usize, usize),
        controls: &[usize],
    ) -> Option<Compared> {
        let value = matrix.get(suspect, candidate)?;
        let side = |of: usize| -> Vec<f64> {
            controls
                .iter()
                .filter_map(|control| matrix.get(*control, of))
                .collect()
        };
        let (one, other) = (side(candidate), side(suspect));
        let standing = standing(value, &one, self.sd)?.min(standing(value, &other, self.sd)?);
        let p = conformal_p(value, &one).max(conformal_p(value, &other));
        Some(Compared { value, standing, p })
    }
}

/// A pair beside its controls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compared {
    /// The similarity.
    pub(crate) value: f64,
    /// The lower of both standings.
    pub(crate) standing: f64,
    /// The higher of both p-values.
    pub(crate) p: f64,
}

fn statement(
    pair: &(String, String),
    fingerprints: &Fingerprints,
    ground: &Ground<'_>,
    (matrix, left_out): (&Similarities, &[Similarities]),
) -> (Statement, Option<Asked>) {
    let none = |finding: Finding| unmeasured(Detector::Kin, pair, finding);
    let places = fingerprints.model(&pair.0).zip(fingerprints.model(&pair.1));
    let Some((suspect, candidate)) = places else {
        let reason = "one of the models has no replies".to_owned();
        return (none(Finding::NotMeasured(reason)), None);
    };
    let prompts = fingerprints.prompts_of(suspect, candidate);
    let controls = ground.compared_with(matrix, (suspect, candidate));
    let apart = ground.controls_of(suspect, candidate).len() - controls.len();
    let names: Vec<String> = controls
        .iter()
        .map(|control| fingerprints.models()[*control].clone())
        .collect();
    let statistic = matrix.get(suspect, candidate);
    let Some(found) = ground.compare(matrix, (suspect, candidate), &controls) else {
        let finding = match (prompts, statistic) {
            (0, _) => Finding::NotMeasured("there is no prompt that both answered".to_owned()),
            (_, None) if controls.len() >= 2 => {
                Finding::NotMeasured("the answers do not differ between models".to_owned())
            }
            (_, _) => Finding::ControlSetInsufficient(format!(
                "{} control models that are strangers to both and answered prompts of theirs",
                controls.len()
            )),
        };
        let statement = Statement {
            statistic,
            prompts,
            controls: names,
            ..none(finding)
        };
        return (statement, None);
    };
    let jackknife: Vec<f64> = left_out
        .iter()
        .filter_map(|matrix| ground.compare(matrix, (suspect, candidate), &controls))
        .map(|compared| compared.standing)
        .collect();
    let families = ground.families_among(&controls);
    let asked = Asked {
        standing: found.standing,
        p: found.p,
        controls: controls.len(),
        families: [ground.families[suspect], ground.families[candidate]],
    };
    let notes = notes(
        fingerprints.models(),
        (matrix, found.value),
        (suspect, candidate),
        (&controls, families),
    );
    let statement = Statement {
        statistic: Some(found.value),
        effect: Some(standing_interval(found.standing, &jackknife, families)),
        p: Some(found.p),
        prompts,
        controls: names,
        notes: not_compared(apart).into_iter().chain(notes).collect(),
        ..none(Finding::NotSupported)
    };
    (statement, Some(asked))
}

/// Returns what a reader must know of a pair: how many controls, and which are as close.
fn notes(
    models: &[String],
    (matrix, value): (&Similarities, f64),
    (suspect, candidate): (usize, usize),
    (controls, families): (&[usize], usize),
) -> Vec<String> {
    let mut notes = vec![format!(
        "{} controls of {families} families; the smallest possible p is {:.4}; who derives from \
         whom cannot be told",
        controls.len(),
        1.0 / (controls.len() + 1) as f64
    )];
    for (of, other) in [(candidate, suspect), (suspect, candidate)] {
        let is_as_close = |control: &&usize| {
            let theirs = matrix.get(**control, of);
            theirs.is_some_and(|theirs| theirs >= value)
        };
        let as_close = controls.iter().filter(is_as_close);
        let as_close = as_close.map(|control| models[*control].as_str());
        notes.extend(as_close_as(&models[other], &models[of], as_close));
    }
    notes
}

#[cfg(test)]
mod tests;
