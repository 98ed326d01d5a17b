//! What outlives the owner of a domain: counts of the day, blocks, parked lanes, learned limits.
//!
//! All times are of the wall clock. The text changes only when something happened, so that an
//! owner can save it often and write it rarely.

use std::collections::BTreeMap;

use retort_types::{DomainId, ModelName, Timestamp};
use serde::{Deserialize, Serialize};

/// Version of the document.
pub const PACE_SCHEMA: &str = "retort.pace.v1";

/// What outlives the owner of a domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DomainState {
    /// [`PACE_SCHEMA`].
    pub schema: String,
    /// The domain.
    pub domain: DomainId,
    /// Why the whole domain is parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<String>,
    /// What holds for everything in the domain together.
    pub whole: GroupState,
    /// What holds for each group of lanes, by its name.
    #[serde(default)]
    pub groups: BTreeMap<String, GroupState>,
    /// What holds for single lanes; those without anything to keep are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lanes: BTreeMap<ModelName, LaneSaved>,
}

/// What outlives the owner of a domain, for the domain as a whole or one group of lanes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupState {
    /// What was asked in a UTC day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<SavedDay>,
    /// Until when nothing is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<SavedBlock>,
    /// Limits below the configured ones.
    #[serde(default, skip_serializing_if = "LearnedState::is_empty")]
    pub learned: LearnedState,
}

/// What was asked in one UTC day.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedDay {
    /// The UTC day, as `YYYY-MM-DD`.
    pub date: String,
    /// Requests started.
    pub requests: u64,
    /// Tokens of prompts, as far as the provider told.
    #[serde(default)]
    pub input_tokens: u64,
    /// Tokens of answers, as far as the provider told.
    #[serde(default)]
    pub output_tokens: u64,
    /// US dollars, as far as prices are known.
    #[serde(default)]
    pub cost_usd: f64,
}

impl SavedDay {
    pub(crate) fn of(date: String) -> Self {
        Self {
            date,
            ..Self::default()
        }
    }
}

/// Until when nothing is asked, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedBlock {
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
}

/// Limits learned from refusals and announcements, below the configured ones.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LearnedState {
    /// Requests per minute that are served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<f64>,
    /// Requests per minute that were refused, while the search goes on below them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_per_minute: Option<f64>,
    /// Requests at the same time that are served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Whether nothing was refused yet, so that the rate still grows fast.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ramping: bool,
}

impl LearnedState {
    /// Returns whether nothing was learned.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What outlives the owner of a domain, for one lane.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneSaved {
    /// Why it is parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<String>,
    /// Until when it is not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<SavedBlock>,
}

impl LaneSaved {
    /// Returns whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
