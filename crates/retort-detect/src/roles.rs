//! Who is in question, who may have taught them, who is compared against, and what is known of each.
//!
//! Facts select controls. They never enter a pair's evidence.

use std::collections::{BTreeMap, BTreeSet};

/// A month, as releases are known: year × 12 + month − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(i32);

impl Month {
    /// Reads `2024-03` or a date that begins like it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let year: i32 = parts.next()?.parse().ok()?;
        let month: i32 = parts.next()?.parse().ok()?;
        ((1..=12).contains(&month) && (1900..=9999).contains(&year))
            .then_some(Self(year * 12 + month - 1))
    }

    /// Returns how many months lie between the two.
    pub const fn gap(self, other: Self) -> u32 {
        self.0.abs_diff(other.0)
    }

    /// Returns the month as a number, for correlations.
    pub fn number(self) -> f64 {
        f64::from(self.0)
    }
}

/// What a model is made of, as far as it matters for who may be a control.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Nothing is known.
    #[default]
    Unknown,
    /// Trained from scratch by its vendor.
    Origin,
    /// Fine-tuned from another model by whoever.
    Student,
    /// A pipeline of several models, or made to game a benchmark: never in a pool.
    Composite,
}

/// What is known of a model, from the catalog or a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelFacts {
    /// Who made it.
    pub vendor: Option<String>,
    /// Its base model's family.
    pub base: Option<String>,
    /// Whatever it shares with others that makes them one observation: a data set, a line of versions.
    pub groups: BTreeSet<String>,
    /// Models whose weights it continues, and models that it is a variant of.
    pub parents: BTreeSet<String>,
    /// Models that are known to have taught it.
    pub teachers: BTreeSet<String>,
    /// Whether all its teachers are known: an undisclosed teacher may be the candidate.
    pub teachers_known: bool,
    /// When it was published.
    pub released: Option<Month>,
    /// What it is.
    pub kind: Kind,
}

/// Roles of the models in an analysis. A model may have several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles {
    /// The models in question.
    pub suspects: Vec<String>,
    /// Their possible teachers or ancestors.
    pub candidates: Vec<String>,
    /// Models of no known relation to either; everything else in the pool only sets scales.
    pub controls: Vec<String>,
    /// What is known, by model.
    pub facts: BTreeMap<String, ModelFacts>,
    /// Every ordered pair of models instead of suspects against candidates.
    pub all_pairs: bool,
}

impl Roles {
    /// Returns what is known of a model.
    pub fn facts(&self, model: &str) -> ModelFacts {
        self.facts.get(model).cloned().unwrap_or_default()
    }

    /// Returns the names that connect a model to others: itself, its parents, its groups.
    ///
    /// Two models are one family when they share a name, directly or through others.
    pub fn ties(&self, model: &str) -> BTreeSet<String> {
        let mut ties = BTreeSet::from([format!("model:{model}")]);
        if let Some(facts) = self.facts.get(model) {
            ties.extend(facts.parents.iter().map(|name| format!("model:{name}")));
            ties.extend(facts.groups.iter().map(|name| format!("group:{name}")));
        }
        ties
    }

    /// Returns whether two models share a group, a parent, or are each other's parent.
    pub fn are_tied(&self, one: &str, other: &str) -> bool {
        one == other || !self.ties(one).is_disjoint(&self.ties(other))
    }

    /// Returns for each of `models` the number of its family: connected by ties, in the order in
    /// which families first appear.
    pub fn families(&self, models: &[String]) -> Vec<usize> {
        let ties: Vec<BTreeSet<String>> = models.iter().map(|model| self.ties(model)).collect();
        let mut family: Vec<usize> = (0..models.len()).collect();
        let mut first_with: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, ties) in ties.iter().enumerate() {
            for tie in ties {
                let other = *first_with.entry(tie).or_insert(at);
                let (one, other) = (root(&family, at), root(&family, other));
                family[one.max(other)] = one.min(other);
            }
        }
        let roots: Vec<usize> = (0..models.len()).map(|at| root(&family, at)).collect();
        let mut numbers = BTreeMap::new();
        roots
            .iter()
            .map(|root| {
                let next = numbers.len();
                *numbers.entry(*root).or_insert(next)
            })
            .collect()
    }

    /// Returns the models that must set no scale: pipelines of models and benchmark gamers.
    pub fn outside(&self) -> BTreeSet<String> {
        let composite = self
            .facts
            .iter()
            .filter(|(_, facts)| facts.kind == Kind::Composite);
        composite.map(|(name, _)| name.clone()).collect()
    }

    /// Returns whether two models have the same known base.
    pub fn share_base(&self, one: &str, other: &str) -> bool {
        let base = |model: &str| self.facts.get(model)?.base.as_deref();
        base(one).is_some_and(|known| base(other) == Some(known))
    }

    /// Returns whether one is known to have taught the other.
    pub fn taught(&self, teacher: &str, student: &str) -> bool {
        self.facts
            .get(student)
            .is_some_and(|facts| facts.teachers.contains(teacher))
    }

    /// Returns whether a model is known to have been published in an earlier month than another.
    pub fn is_older(&self, one: &str, other: &str) -> bool {
        let released = |model: &str| self.facts.get(model)?.released;
        released(one)
            .zip(released(other))
            .is_some_and(|(one, other)| one < other)
    }

    /// Returns the ordered pairs that are asked about: never a model with itself, each once.
    pub fn pairs(&self, models: &[String]) -> Vec<(String, String)> {
        let (suspects, candidates) = if self.all_pairs {
            (models, models)
        } else {
            (self.suspects.as_slice(), self.candidates.as_slice())
        };
        let pairs: BTreeSet<(String, String)> = suspects
            .iter()
            .flat_map(|s| candidates.iter().map(move |c| (s.clone(), c.clone())))
            .filter(|(suspect, candidate)| suspect != candidate)
            .collect();
        pairs.into_iter().collect()
    }
}

fn root(family: &[usize], mut at: usize) -> usize {
    while family[at] != at {
        at = family[at];
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_read() {
        let (a, b) = (Month::parse("2023-11"), Month::parse("2024-02-29"));
        assert_eq!(a.zip(b).map(|(a, b)| a.gap(b)), Some(3));
        assert!(a < b);
        for bad in ["", "2024", "2024-13", "x-1"] {
            assert_eq!(Month::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn families_are_connected_by_groups_and_parents() {
        let mut roles = Roles::default();
        let mut know = |name: &str, groups: &[&str], parents: &[&str]| {
            let set = |of: &[&str]| of.iter().map(|name| (*name).to_owned()).collect();
            let (groups, parents) = (set(groups), set(parents));
            let facts = ModelFacts {
                groups,
                parents,
                ..ModelFacts::default()
            };
            roles.facts.insert(name.to_owned(), facts);
        };
        know("a", &["set"], &[]);
        know("b", &["set"], &[]);
        know("c", &[], &["b"]);
        know("d", &[], &["gone"]);
        know("e", &[], &["gone"]);
        let names: Vec<String> = ["a", "b", "c", "d", "e", "f"].map(str::to_owned).to_vec();
        assert_eq!(roles.families(&names), [0, 0, 0, 1, 1, 2]);
        assert!(roles.are_tied("a", "b") && roles.are_tied("d", "e"));
        assert!(!roles.are_tied("a", "f") && !roles.are_tied("a", "c"));
    }
}
