//! Who may be a control for a candidate, and how a suspect stands beside them.

use std::collections::BTreeSet;

use retort_fingerprint::{Fingerprints, Similarities};

use crate::calibrate::{Asked, conformal_p, pooled_sd, standing};
use crate::roles::{Kind, ModelFacts, Roles};

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

    /// Returns the controls of a pair that were compared with the candidate.
    pub(crate) fn compared_with(
        &self,
        matrix: &Similarities,
        (suspect, candidate): (usize, usize),
    ) -> Vec<usize> {
        let mut controls = self.controls_of(suspect, candidate);
        controls.retain(|control| matrix.get(*control, candidate).is_some());
        controls
    }

    /// Returns a suspect as it is weighed: by the higher of both p-values, as a finding needs both.
    pub(crate) fn asked(
        &self,
        suspect: usize,
        heard: &Heard,
        controls: usize,
        row_p: f64,
    ) -> Asked {
        Asked {
            standing: heard.standing,
            p: heard.p.max(row_p),
            controls,
            families: [self.families[suspect]; 2],
        }
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
        (matrix, rows): (&Similarities, &Rows),
        (suspect, candidate): (usize, usize),
        controls: &[usize],
    ) -> Option<Heard> {
        let value = matrix.get(suspect, candidate)?;
        let others: Vec<f64> = controls
            .iter()
            .filter_map(|control| matrix.get(*control, candidate))
            .collect();
        let row = rows.get(self, suspect, candidate);
        let theirs: Vec<f64> = controls
            .iter()
            .filter_map(|c| rows.get(self, *c, candidate))
            .collect();
        Some(Heard {
            value,
            standing: standing(value, &others, self.sd)?,
            p: conformal_p(value, &others),
            row,
            row_p: row.map(|row| conformal_p(row, &theirs)),
        })
    }

    /// Returns the standing of a pair alone.
    pub(crate) fn stand(
        &self,
        matrix: &Similarities,
        (suspect, candidate): (usize, usize),
        controls: &[usize],
    ) -> Option<f64> {
        let others: Vec<f64> = controls
            .iter()
            .filter_map(|control| matrix.get(*control, candidate))
            .collect();
        standing(matrix.get(suspect, candidate)?, &others, self.sd)
    }

    /// Returns for all models and candidates the closeness beyond the mean closeness to other vendors'
    /// candidates that are neither of the model's base nor known to have taught it.
    pub(crate) fn rows(&self, matrix: &Similarities) -> Rows {
        let facts: Vec<Option<&ModelFacts>> = self
            .names
            .iter()
            .map(|name| self.roles.facts.get(name))
            .collect();
        let vendor = |at: usize| facts[at].and_then(|facts| facts.vendor.as_deref());
        let base = |at: usize| facts[at].and_then(|facts| facts.base.as_deref());
        let mut values = Vec::with_capacity(self.names.len() * self.candidates.len());
        for (model, known) in facts.iter().enumerate() {
            let strangers: Vec<(usize, f64)> = self
                .candidates
                .iter()
                .filter(|other| {
                    let name = &self.names[**other];
                    let is_known =
                        |f: &ModelFacts| f.teachers.contains(name) || f.parents.contains(name);
                    let shares_base = base(model).is_some() && base(model) == base(**other);
                    !shares_base && !known.is_some_and(is_known)
                })
                .filter_map(|other| Some((*other, matrix.get(model, *other)?)))
                .collect();
            for candidate in &self.candidates {
                let own = vendor(*candidate);
                let others = strangers.iter().filter(|(other, _)| {
                    other != candidate && (own.is_none() || vendor(*other) != own)
                });
                let (sum, count) = others.fold((0.0, 0_u32), |(sum, count), (_, value)| {
                    (sum + value, count + 1)
                });
                let value = matrix.get(model, *candidate).filter(|_| count > 0);
                values.push(value.map(|value| value - sum / f64::from(count)));
            }
        }
        Rows(values)
    }
}

/// Closeness of every model to every candidate beyond that to other vendors' candidates.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rows(Vec<Option<f64>>);

impl Rows {
    /// Returns that of a model and a candidate; absent where there is nothing to compare with.
    pub(crate) fn get(&self, court: &Court<'_>, model: usize, candidate: usize) -> Option<f64> {
        let at = court.candidates.binary_search(&candidate).ok()?;
        self.0
            .get(model * court.candidates.len() + at)
            .copied()
            .flatten()
    }
}
