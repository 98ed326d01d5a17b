//! Whether an analysis was fixed before the data, and its settings as they are fixed.
//!
//! A campaign carries them in its `analysis` key. The campaign is part of the plan, and the plan's
//! hash is in every row: what the key says was said before the first request. Anything that
//! differs makes an analysis exploratory, with the reason.

use retort_types::Campaign;
use serde::{Deserialize, Serialize};

use crate::analysis::{Cast, Detector, Registration};

/// Version of the methods: statistics, nulls, calibration and decision tree. A change that can
/// change a figure changes it.
pub const METHODS: &str = "retort.methods.v1";

/// Settings of an analysis, as a campaign's `analysis` key says them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Version of the methods it was written for: [`METHODS`].
    pub methods: String,
    /// Which detectors are asked, in the order of the decision tree.
    #[serde(default = "all_detectors")]
    pub detectors: Vec<Detector>,
    /// Level at which a pair is supported, after adjustment: above 0, below 0.5.
    #[serde(default = "usual_level")]
    pub level: f64,
    /// Seeds every resampling.
    #[serde(default)]
    pub seed: u64,
    /// Suites whose replies are read; all when empty.
    #[serde(default)]
    pub suites: Vec<String>,
}

fn all_detectors() -> Vec<Detector> {
    vec![
        Detector::Same,
        Detector::Genes,
        Detector::Kin,
        Detector::Teacher,
    ]
}

const fn usual_level() -> f64 {
    0.05
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            methods: METHODS.to_owned(),
            detectors: all_detectors(),
            level: usual_level(),
            seed: 0,
            suites: Vec::new(),
        }
    }
}

/// Settings that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSettings(String);

impl Settings {
    /// Reads the `analysis` key of a campaign.
    ///
    /// # Errors
    /// When it has unknown keys, misses `methods`, or holds values out of range.
    pub fn from_campaign(analysis: &serde_json::Value) -> Result<Self, InvalidSettings> {
        let settings: Self = serde_json::from_value(analysis.clone())
            .map_err(|error| InvalidSettings(format!("`analysis` cannot be read: {error}")))?;
        settings.check()?;
        Ok(settings)
    }

    /// Checks the values.
    ///
    /// # Errors
    /// When one is out of range.
    pub fn check(&self) -> Result<(), InvalidSettings> {
        let fail = |what: String| Err(InvalidSettings(what));
        if self.methods != METHODS {
            return fail(format!(
                "`analysis` asks for methods `{}`; this software has `{METHODS}`",
                self.methods
            ));
        }
        if !(self.level > 0.0 && self.level < 0.5) {
            return fail(format!(
                "a level of {} is not above 0 and below 0.5",
                self.level
            ));
        }
        if self.detectors.is_empty() {
            return fail("no detector is asked".to_owned());
        }
        let mut seen = std::collections::BTreeSet::new();
        if !self.detectors.iter().all(|detector| seen.insert(*detector)) {
            return fail("a detector is named twice".to_owned());
        }
        Ok(())
    }
}

/// Returns whether the analysis is the one that the campaign registered.
///
/// `doubt` says why the rows cannot be said to follow from the campaign's plan, if they cannot.
pub fn registration(
    campaign: Option<&Campaign>,
    doubt: Option<&str>,
    cast: &Cast,
    settings: &Settings,
) -> Registration {
    match difference(campaign, doubt, cast, settings) {
        Some(reason) => Registration::Exploratory(reason),
        None => Registration::Confirmatory,
    }
}

fn difference(
    campaign: Option<&Campaign>,
    doubt: Option<&str>,
    cast: &Cast,
    settings: &Settings,
) -> Option<String> {
    if let Some(doubt) = doubt {
        return Some(doubt.to_owned());
    }
    let Some(campaign) = campaign else {
        return Some("there is no campaign".to_owned());
    };
    let Some(analysis) = &campaign.analysis else {
        return Some("the campaign carries no `analysis`".to_owned());
    };
    let registered = match Settings::from_campaign(analysis) {
        Ok(registered) => registered,
        Err(error) => return Some(error.to_string()),
    };
    let roles = cast_of(campaign);
    let parts = [
        ("suspects", &roles.suspects, &cast.suspects),
        ("candidates", &roles.candidates, &cast.candidates),
        ("controls", &roles.controls, &cast.controls),
    ];
    for (what, before, now) in parts {
        if before.is_empty() {
            return Some(format!("the campaign names no {what}"));
        }
        if before != now {
            return Some(format!("other {what} than the campaign names"));
        }
    }
    if registered != *settings {
        return Some("other settings than the campaign's `analysis`".to_owned());
    }
    None
}

/// Returns the parts that a campaign names, sorted.
pub fn cast_of(campaign: &Campaign) -> Cast {
    let sorted = |names: &[retort_types::ModelName]| {
        let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
        names.sort();
        names.dedup();
        names
    };
    Cast {
        suspects: sorted(&campaign.roles.suspects),
        candidates: sorted(&campaign.roles.candidates),
        controls: sorted(&campaign.roles.controls),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn campaign(analysis: &Value) -> Campaign {
        serde_json::from_value(json!({
            "id": "c", "purpose": "a test", "models": ["s", "t", "u"],
            "roles": { "suspects": ["s"], "candidates": ["t"], "controls": ["u"] },
            "suites": [{ "suite": "style" }],
            "analysis": analysis,
        }))
        .expect("a campaign")
    }

    #[track_caller]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is written where it is passed"
    )]
    fn check(
        analysis: Value,
        change: impl FnOnce(&mut Cast, &mut Settings),
        doubt: Option<&str>,
        expected: Option<&str>,
    ) {
        let campaign = campaign(&analysis);
        let mut cast = cast_of(&campaign);
        let mut settings = Settings::default();
        change(&mut cast, &mut settings);
        let found = difference(Some(&campaign), doubt, &cast, &settings);
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn only_what_was_registered_is_confirmatory() {
        let registered = || json!({ "methods": METHODS });
        check(registered(), |_, _| {}, None, None);
        check(
            json!({ "methods": METHODS, "level": 0.05, "detectors": ["same", "genes", "kin", "teacher"] }),
            |_, _| {},
            None,
            None,
        );
        check(
            Value::Null,
            |_, _| {},
            None,
            Some("the campaign carries no `analysis`"),
        );
        check(
            registered(),
            |_, _| {},
            Some("rows name another plan"),
            Some("rows name another plan"),
        );
        check(
            registered(),
            |cast, _| cast.controls.clear(),
            None,
            Some("other controls than the campaign names"),
        );
        check(
            registered(),
            |cast, _| cast.suspects.push("u".to_owned()),
            None,
            Some("other suspects than the campaign names"),
        );
        check(
            registered(),
            |_, settings| settings.level = 0.1,
            None,
            Some("other settings than the campaign's `analysis`"),
        );
        check(
            json!({ "methods": "other" }),
            |_, _| {},
            None,
            Some("`analysis` asks for methods `other`; this software has `retort.methods.v1`"),
        );
    }

    #[test]
    fn settings_are_checked() {
        let read =
            |value: Value| Settings::from_campaign(&value).map_err(|error| error.to_string());
        assert!(
            read(json!({ "methods": METHODS, "levle": 1 })).is_err_and(|e| e.contains("levle"))
        );
        assert!(read(json!({})).is_err_and(|e| e.contains("methods")));
        for level in [0.0, 0.5, -1.0] {
            assert!(read(json!({ "methods": METHODS, "level": level })).is_err());
        }
        assert!(read(json!({ "methods": METHODS, "detectors": [] })).is_err());
        assert!(read(json!({ "methods": METHODS, "detectors": ["kin", "kin"] })).is_err());
        assert_eq!(read(json!({ "methods": METHODS })), Ok(Settings::default()));
    }
}
