//! Limits of a catalog: of accounts and models, and as providers document them.

use std::num::{NonZeroU32, NonZeroU64};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limits. Absent ones do not limit; none is ever zero. With `auto` they are caps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests per minute, spread evenly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens of prompts and answers together per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<NonZeroU64>,
    /// Tokens of prompts per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens_per_minute: Option<NonZeroU64>,
    /// Tokens of answers per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens_per_minute: Option<NonZeroU64>,
    /// Requests per UTC day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_day: Option<NonZeroU32>,
    /// Requests at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<NonZeroU32>,
    /// Whether the provider's real limits are found while asking: from what it announces and
    /// refuses, starting at one request a second. The limits beside it are then caps that are
    /// never passed; one of `requests_per_minute`, `tokens_per_minute` and `concurrency` is
    /// required.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto: bool,
}

impl Limits {
    /// Returns whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether limits are to be found, but nothing says how far the search may go.
    pub const fn is_auto_without_cap(&self) -> bool {
        self.auto
            && self.requests_per_minute.is_none()
            && self.tokens_per_minute.is_none()
            && self.concurrency.is_none()
    }
}

/// Limits as a provider documents them for an account about which nothing else is known. They
/// narrow our own defaults and never widen them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefaultLimits {
    /// What they hold for: all models of an account together, or each model.
    pub per: LimitScope,
    /// The limits.
    pub limits: Limits,
    /// Where they were read.
    pub source: String,
    /// When they were read, as `YYYY-MM` or `YYYY-MM-DD`.
    pub as_of: String,
    /// Of whom they hold, as a tier's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a provider's default limits hold for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitScope {
    /// All models of an account together.
    Account,
    /// Each model of an account.
    Model,
}
