//! The description of a family tree.

use std::collections::BTreeMap;

use retort_types::HumanDuration;
use serde::{Deserialize, Serialize};

use crate::error::SimError;

/// One model of a family tree. Parents may be named before or after their children.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineageSpec {
    /// Its name, as the models of providers say it in `source`.
    pub name: String,
    /// How it was made.
    pub made: Made,
}

/// How a model was made: the truth that detectors are measured against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Made {
    /// From texts of its own makers, in a style of their own.
    Base,
    /// From another model, whose way of answering is replaced in part by that of other makers.
    FineTune {
        /// The model it was tuned from.
        of: String,
        /// Share of its answering that is new, above 0 to 1.
        strength: f64,
    },
    /// From the makers of another model, in their style, partly on the same texts.
    Sibling {
        /// The other model.
        of: String,
        /// Share of the same texts, from 0 to below 1.
        shared: f64,
    },
    /// From another model, whose own training on answers is replaced in part by replies sampled
    /// from a teacher.
    Student {
        /// The model it would be without the teacher.
        of: String,
        /// Whose replies it learned.
        teacher: String,
        /// Share of the training on answers that are the teacher's replies, from 0 to 1. At 0 it is
        /// the model it was made of, under another name.
        dose: f64,
    },
    /// The same model under another name.
    SameAs {
        /// The model it is.
        of: String,
    },
    /// One model that is replaced by another under the same name.
    Changes {
        /// What it is at first.
        from: String,
        /// What it is later.
        into: String,
        /// When, counted from the start of the fleet.
        after: HumanDuration,
    },
}

impl Made {
    /// Returns the model it was made of, if it was made of one.
    pub fn parent(&self) -> Option<&str> {
        match self {
            Self::FineTune { of, .. }
            | Self::Sibling { of, .. }
            | Self::Student { of, .. }
            | Self::SameAs { of } => Some(of),
            Self::Base | Self::Changes { .. } => None,
        }
    }

    /// Returns every model that must exist before it.
    fn needs(&self) -> Vec<&str> {
        match self {
            Self::Base => Vec::new(),
            Self::FineTune { of, .. } | Self::Sibling { of, .. } | Self::SameAs { of } => vec![of],
            Self::Student { of, teacher, .. } => vec![of, teacher],
            Self::Changes { from, into, .. } => vec![from, into],
        }
    }

    fn check(&self, place: &str) -> Result<(), SimError> {
        let (share, range, rule) = match self {
            Self::FineTune { strength, .. } => (
                *strength,
                *strength > 0.0 && *strength <= 1.0,
                "strength is above 0, up to 1",
            ),
            Self::Sibling { shared, .. } => (
                *shared,
                (0.0..1.0).contains(shared),
                "shared is from 0 to below 1",
            ),
            Self::Student { dose, .. } => {
                (*dose, (0.0..=1.0).contains(dose), "dose is from 0 to 1")
            }
            Self::Base | Self::SameAs { .. } | Self::Changes { .. } => (0.0, true, ""),
        };
        if share.is_finite() && range {
            Ok(())
        } else {
            Err(SimError::spec(place, rule))
        }
    }
}

/// Returns the models so that each comes after those it is made of, and otherwise in the order
/// given.
///
/// # Errors
/// When a rule is broken.
pub(super) fn ordered(specs: &[LineageSpec]) -> Result<Vec<&LineageSpec>, SimError> {
    let place = |name: &str| format!("lineage.{name}");
    let mut by_name = BTreeMap::new();
    for spec in specs {
        spec.made.check(&place(&spec.name))?;
        if spec.name.is_empty() || by_name.insert(spec.name.as_str(), spec).is_some() {
            let rule = "the name is empty or used twice";
            return Err(SimError::spec(place(&spec.name), rule));
        }
    }
    for spec in specs {
        for need in spec.made.needs() {
            let found = by_name.get(need).ok_or_else(|| {
                SimError::spec(place(&spec.name), format!("there is no model `{need}`"))
            })?;
            if matches!(found.made, Made::Changes { .. }) {
                let rule = format!("`{need}` changes, so nothing can be made of it");
                return Err(SimError::spec(place(&spec.name), rule));
            }
        }
    }
    let mut order: Vec<&LineageSpec> = Vec::with_capacity(specs.len());
    while order.len() < specs.len() {
        let before = order.len();
        for spec in specs {
            let is_placed = |name: &str| order.iter().any(|placed| placed.name == name);
            if !is_placed(&spec.name) && spec.made.needs().into_iter().all(is_placed) {
                order.push(spec);
            }
        }
        if order.len() == before {
            let stuck = specs
                .iter()
                .find(|spec| order.iter().all(|placed| placed.name != spec.name));
            let name = stuck.map_or("", |spec| spec.name.as_str());
            return Err(SimError::spec(
                place(name),
                "it is made of itself, in a circle",
            ));
        }
    }
    Ok(order)
}
