//! Who may be a control for a candidate, and how a suspect stands beside them.

use std::collections::BTreeSet;

use retort_fingerprint::{Fingerprints, Similarities};

use crate::calibrate::{conformal_p, pooled_sd, standing};
use crate::roles::{Kind, Roles};

/// A suspect heard beside the controls of a candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Heard {
    /// Closeness to the candidate.
    pub(crate) value: f64,
    /// In spreads of the controls from their mean.
    pub(crate) standing: f64,
    /// Conformal p-value.
    pub(crate) p: f64,
    /// Closeness beyond that to other vendors' candidates.
    pub(crate) row: Option<f64>,
    /// Conformal p-value of that.
    pub(crate) row_p: Option<f64>,
}

/// The models and what is known of them.
pub(crate) struct Court<'a> {
    pub(crate) names: &'a [String],
    pub(crate) roles: &'a Roles,
    /// Models that may be controls of some candidate.
    controls: Vec<usize>,
    pub(crate) candidates: Vec<usize>,
    /// Pairs (control, candidate) that are documented to be unrelated; by the facts when absent.
    documented: Option<BTreeSet<(usize, usize)>>,
    pub(crate) families: Vec<usize>,
    /// Spread of controls around a candidate, over all candidates.
    sd: f64,
}

impl<'a> Court<'a> {
    /// Returns a court of the roles' controls and the candidates that are asked about.
    pub(crate) fn of_roles(
        fingerprints: &'a Fingerprints,
        roles: &'a Roles,
        pairs: &[(String, String)],
        matrix: &Similarities,
        warnings: &mut Vec<String>,
    ) -> Self {
        let asked: BTreeSet<&String> = pairs.iter().map(|(_, candidate)| candidate).collect();
        let candidates = asked
            .iter()
            .filter_map(|name| fingerprints.model(name))
            .collect();
        let mut controls = BTreeSet::new();
        for name in &roles.controls {
            let kind = roles.facts(name).kind;
            match (fingerprints.model(name), kind) {
                (None, _) => {}
                (Some(_), Kind::Composite | Kind::Origin) => warnings.push(format!(
                    "control `{name}` is no control for teachers: it is not a student"
                )),
                (Some(at), Kind::Student | Kind::Unknown) => {
                    controls.insert(at);
                }
            }
        }
        Self::new(
            (fingerprints.models(), roles),
            controls.into_iter().collect(),
            candidates,
            None,
            matrix,
        )
    }

    /// Returns a court of these controls and candidates.
    pub(crate) fn new(
        (names, roles): (&'a [String], &'a Roles),
        controls: Vec<usize>,
        candidates: Vec<usize>,
        documented: Option<BTreeSet<(usize, usize)>>,
        matrix: &Similarities,
    ) -> Self {
        let mut court = Self {
            names,
            roles,
            controls,
            candidates,
            documented,
            families: roles.families(names),
            sd: 0.0,
        };
        let sets: Vec<Vec<f64>> = court
            .candidates
            .iter()
            .map(|candidate| {
                let clean = court
                    .controls
                    .iter()
                    .filter(|c| court.is_clean(**c, *candidate));
                clean
                    .filter_map(|control| matrix.get(*control, *candidate))
                    .collect()
            })
            .collect();
        court.sd = pooled_sd(sets.iter().map(Vec::as_slice).filter(|set| set.len() >= 10));
        court
    }

    /// Returns whether the candidate cannot have taught the control, as far as anybody knows.
    pub(crate) fn is_clean(&self, control: usize, candidate: usize) -> bool {
        if control == candidate || self.families[control] == self.families[candidate] {
            return false;
        }
        if let Some(documented) = &self.documented {
            return documented.contains(&(control, candidate));
        }
        let (facts, of) = (
            self.roles.facts(&self.names[control]),
            self.roles.facts(&self.names[candidate]),
        );
        if let Some((control, candidate)) = facts.released.zip(of.released)
            && control < candidate
        {
            return true;
        }
        let same_vendor =
            |teacher: &String| of.vendor.is_some() && self.roles.facts(teacher).vendor == of.vendor;
        let taught = facts.teachers.contains(&self.names[candidate])
            || facts.teachers.iter().any(same_vendor);
        !taught
    }

    /// Returns the controls of a pair: clean for the candidate, of another family than the suspect.
    pub(crate) fn controls_of(&self, suspect: usize, candidate: usize) -> Vec<usize> {
        let fit = |control: &usize| {
            *control != suspect
                && self.families[*control] != self.families[suspect]
                && self.is_clean(*control, candidate)
        };
        self.controls.iter().copied().filter(fit).collect()
    }

    /// Returns whether a model may be a control of some candidate.
    pub(crate) fn is_control(&self, model: usize) -> bool {
        self.controls.binary_search(&model).is_ok()
    }

    /// Returns of how many families these are.
    pub(crate) fn families_among(&self, models: &[usize]) -> usize {
        let families: BTreeSet<usize> = models.iter().map(|model| self.families[*model]).collect();
        families.len()
    }

    /// Compares a pair with controls; nothing with fewer than two.
    pub(crate) fn hear(
        &self,
        matrix: &Similarities,
        (suspect, candidate): (usize, usize),
        controls: &[usize],
    ) -> Option<Heard> {
        let value = matrix.get(suspect, candidate)?;
        let others: Vec<f64> = controls
            .iter()
            .filter_map(|control| matrix.get(*control, candidate))
            .collect();
        let row = self.row(matrix, suspect, candidate);
        let rows: Vec<f64> = controls
            .iter()
            .filter_map(|c| self.row(matrix, *c, candidate))
            .collect();
        Some(Heard {
            value,
            standing: standing(value, &others, self.sd)?,
            p: conformal_p(value, &others),
            row,
            row_p: row.map(|row| conformal_p(row, &rows)),
        })
    }

    /// Returns the closeness to a candidate beyond the mean closeness to other vendors' candidates
    /// that are neither of the model's base nor known to have taught it.
    pub(crate) fn row(&self, matrix: &Similarities, model: usize, candidate: usize) -> Option<f64> {
        let vendor = |of: usize| self.roles.facts.get(&self.names[of])?.vendor.as_deref();
        let own = vendor(candidate);
        let known = self.roles.facts.get(&self.names[model]);
        let others = self.candidates.iter().copied().filter(|other| {
            let name = &self.names[*other];
            *other != candidate
                && *other != model
                && (own.is_none() || vendor(*other) != own)
                && !self.roles.share_base(&self.names[model], name)
                && !known.is_some_and(|k| k.teachers.contains(name) || k.parents.contains(name))
        });
        let values: Vec<f64> = others
            .filter_map(|other| matrix.get(model, other))
            .collect();
        if values.is_empty() {
            return None;
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Some(matrix.get(model, candidate)? - mean)
    }
}
