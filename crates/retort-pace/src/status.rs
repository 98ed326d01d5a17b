//! What a domain is doing, as people and programs read it.

use retort_types::{DomainId, ModelName, Timestamp};
use serde::{Deserialize, Serialize};

/// What a domain is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DomainStatus {
    /// The domain.
    pub domain: DomainId,
    /// Requests started in the last 60 s.
    pub requests_last_minute: u64,
    /// Tokens of answered requests in the last 60 s, prompts and answers together.
    pub tokens_last_minute: u64,
    /// The limit on requests of the domain as a whole, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitInForce>,
    /// Requests started and not settled.
    pub in_flight: u32,
    /// Most requests at the same time, configured or learned, if limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Most requests at the same time as learned from refusals, if that was learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned_concurrency: Option<u32>,
    /// Tokens per minute that the provider announces, with `limits: auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_tokens_per_minute: Option<u64>,
    /// Until when nothing in the domain is asked, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Blocked>,
    /// Why nothing in the domain is asked until a person acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<String>,
    /// What was asked in the present UTC day.
    pub today: Today,
    /// Its lanes, in the order of the specification.
    pub lanes: Vec<LaneStatus>,
}

/// A limit on requests, and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LimitInForce {
    /// Requests per minute.
    pub requests_per_minute: f64,
    /// Where it comes from.
    pub source: LimitSource,
}

/// Where a limit comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitSource {
    /// The catalog.
    Configured,
    /// Refusals of the provider, below the catalog's.
    Learned,
    /// What the provider announces, with `limits: auto`.
    Announced,
    /// Nothing yet, with `limits: auto`: it grows until something is refused.
    Growing,
}

/// Until when nothing is asked, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
}

/// What was asked in the present UTC day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Today {
    /// The UTC day, as `YYYY-MM-DD`.
    pub date: String,
    /// Requests started.
    pub requests: u64,
    /// Most requests in a day, if limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_limit: Option<u32>,
    /// Tokens of prompts, as far as the provider told.
    pub input_tokens: u64,
    /// Tokens of answers, as far as the provider told.
    pub output_tokens: u64,
    /// US dollars, as far as prices are known.
    pub cost_usd: f64,
}

/// What a lane is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaneStatus {
    /// The model.
    pub model: ModelName,
    /// Whether it may be asked.
    pub state: LaneState,
    /// The limit on requests of its group, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitInForce>,
    /// Requests started and not settled.
    pub in_flight: u32,
}

/// Whether a lane may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LaneState {
    /// It may, as its limits allow.
    Open,
    /// Not before a time.
    Blocked {
        /// Until when.
        until: Timestamp,
        /// Why.
        reason: String,
    },
    /// Not until a person acts or another run begins.
    Parked {
        /// Why.
        reason: String,
    },
}
