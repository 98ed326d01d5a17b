//! Rate-limit domains as configured, and limits as providers announce them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{DomainId, Limits, ModelName};

/// Everything that shares a quota, and the lanes within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainSpec {
    /// Its name; also its queue's.
    pub id: DomainId,
    /// Limits of everything in it together.
    pub limits: Limits,
    /// Its models.
    pub lanes: Vec<LaneSpec>,
}

/// One model within its domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneSpec {
    /// The model.
    pub model: ModelName,
    /// Lanes with the same group share `limits`; the model's own name unless the catalog groups it.
    pub group: String,
    /// Limits of the lane's group, within the domain's.
    pub limits: Limits,
}

/// What a provider's answer said about its limits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AnnouncedLimits {
    /// How long to wait before the next request.
    pub retry_after: Option<Duration>,
    /// Limits by what they count, in the order of the headers.
    pub counts: Vec<AnnouncedLimit>,
}

/// One announced limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnouncedLimit {
    /// What is counted.
    pub counted: Counted,
    /// How many are allowed per window.
    pub limit: Option<u64>,
    /// How many are left.
    pub remaining: Option<u64>,
    /// Time until the window or bucket is full again.
    pub reset: Option<Duration>,
    /// Length of the window, where the header's name or another header tells it.
    pub window: Option<Duration>,
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Requests.
    Requests,
    /// Tokens of prompts and answers together.
    Tokens,
    /// Tokens of prompts.
    InputTokens,
    /// Tokens of answers.
    OutputTokens,
}
