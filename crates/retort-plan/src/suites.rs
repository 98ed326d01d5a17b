//! The suites that come with the software, and the profiles made of them.
//!
//! Some suites are written out whole. The others have two halves: an open one, and one that their
//! generator draws from the campaign's seed when the campaign is planned, so that no model can have
//! been trained on it. A drawn prompt's id ends in the beginning of its text's SHA-256: one id never
//! means two texts, and two campaigns with one seed ask the same.

use std::sync::LazyLock;

use retort_types::SuiteName;
use retort_types::campaign::NamedPrompt;
use serde::{Deserialize, Serialize};

mod generator;

pub use generator::Generator;

const NAMES: [&str; 9] = [
    "boundary", "genes", "identity", "nulls", "random", "reason", "refusal", "style", "tokens",
];

const TEXTS: [&str; 9] = [
    include_str!("../suites/boundary.yaml"),
    include_str!("../suites/genes.yaml"),
    include_str!("../suites/identity.yaml"),
    include_str!("../suites/nulls.yaml"),
    include_str!("../suites/random.yaml"),
    include_str!("../suites/reason.yaml"),
    include_str!("../suites/refusal.yaml"),
    include_str!("../suites/style.yaml"),
    include_str!("../suites/tokens.yaml"),
];

/// A built-in suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Its name.
    pub name: SuiteName,
    /// A title for people.
    pub title: String,
    /// What its prompts are for.
    pub purpose: String,
    /// From 1; any change to a prompt or the generator raises it.
    pub version: u32,
    /// The prompts that are written out. Ids are stable over versions.
    pub prompts: Vec<NamedPrompt>,
    /// Where the other half comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<Generator>,
}

impl Suite {
    /// Returns the number of prompts of a plan.
    pub fn len(&self) -> usize {
        let drawn = self.generator.as_ref().map_or(0, |half| half.count);
        self.prompts.len() + drawn as usize
    }

    /// Returns whether a plan gets no prompt of it. None of the built-in suites is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the prompts that a campaign with this seed asks: the open half, then the drawn one.
    pub fn prompts_for(&self, seed: u64) -> Vec<NamedPrompt> {
        let mut prompts = self.prompts.clone();
        if let Some(generator) = &self.generator {
            prompts.extend(generator.draw(self, seed));
        }
        prompts
    }
}

/// Returns the names of the built-in suites, sorted.
pub fn names() -> &'static [&'static str] {
    &NAMES
}

/// Returns the built-in suite called `name`.
pub fn get(name: &str) -> Option<&'static Suite> {
    static SUITES: LazyLock<Vec<Suite>> = LazyLock::new(|| {
        let read = |text: &&str| {
            serde_saphyr::from_str_with_options(text, crate::read::options())
                .expect("the built-in suites are read by a test of this file")
        };
        TEXTS.iter().map(read).collect()
    });
    SUITES.iter().find(|suite| suite.name.as_str() == name)
}

/// A profile: all built-in suites, each drawn as often as its detectors need. A campaign names it
/// where it would name a suite, as in `suites: [{suite: quick}]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// A title for people.
    pub title: &'static str,
    /// The suites, in the order of a plan, with the draws of each prompt.
    pub suites: &'static [(&'static str, u32)],
}

/// Draws of `standard`: two of long replies, which show how far a model varies; three where wording
/// and errors are compared; five and more where distributions are. Prefixes are put as a chat here,
/// so four draws are enough for the unbiased statistic; ask 16 in a campaign of its own in mode
/// `completion`. Token counts do not vary.
const PROFILES: [Profile; 2] = [
    Profile {
        name: "quick",
        title: "Every suite once: a first look, and a rehearsal",
        suites: &[
            ("style", 1),
            ("random", 1),
            ("genes", 1),
            ("reason", 1),
            ("refusal", 1),
            ("boundary", 1),
            ("identity", 1),
            ("tokens", 1),
            ("nulls", 2),
        ],
    },
    Profile {
        name: "standard",
        title: "Every suite, drawn as often as its detectors need",
        suites: &[
            ("style", 2),
            ("random", 20),
            ("genes", 4),
            ("reason", 2),
            ("refusal", 3),
            ("boundary", 3),
            ("identity", 5),
            ("tokens", 1),
            ("nulls", 2),
        ],
    },
];

/// Returns the profiles, from small to large.
pub fn profiles() -> &'static [Profile] {
    &PROFILES
}

/// Returns the profile called `name`.
pub fn profile(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.name == name)
}

/// Returns what a campaign may name as `suite`: suites and profiles, sorted.
pub(crate) fn known() -> Vec<&'static str> {
    let mut known = NAMES.to_vec();
    known.extend(PROFILES.iter().map(|profile| profile.name));
    known.sort_unstable();
    known
}

/// Returns the suites that `name` stands for, with their draws: one for a suite, all of a profile.
/// Nothing for an unknown name.
pub(crate) fn meant(name: &str) -> Vec<(&'static Suite, u32)> {
    if let Some(suite) = get(name) {
        return vec![(suite, 1)];
    }
    let parts = profile(name).map_or(&[][..], |profile| profile.suites);
    parts
        .iter()
        .filter_map(|(part, draws)| Some((get(part)?, *draws)))
        .collect()
}

#[cfg(test)]
mod tests;
