//! Settings of the crawl.

use std::time::Duration;

use retort_types::HumanDuration;
use serde::{Deserialize, Serialize};

/// How a worker works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerSettings {
    /// Failed attempts after which a sample ends as `gave_up`. Being turned away with 429 costs none.
    pub max_attempts: u32,
    /// Attempts in all, 429 included, after which a sample ends as `gave_up`: at the longest
    /// back-off this is several hours of being turned away.
    pub max_turned_away: u32,
    /// Wait before the second attempt; doubles with each failed one.
    pub retry_wait: HumanDuration,
    /// Longest wait between two attempts of one sample.
    pub retry_wait_max: HumanDuration,
    /// Most samples that one domain holds unacknowledged.
    pub prefetch_max: u32,
    /// How long a worker of a fleet waits before it asks in a domain that another one may still be
    /// asking in: longer than a worker goes on without a word from its broker.
    pub grace: HumanDuration,
    /// Over how long the workers of a fleet spread their first claims of domains, where the broker
    /// gives a domain to whoever came first.
    pub claim_spread: HumanDuration,
    /// What a worker calls itself in rows and file names, and what its claims of domains follow from:
    /// the same after a restart. The host's name unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            max_attempts: 6,
            max_turned_away: 300,
            retry_wait: HumanDuration(Duration::from_secs(1)),
            retry_wait_max: HumanDuration(Duration::from_mins(1)),
            prefetch_max: 10_000,
            grace: HumanDuration(Duration::from_secs(5)),
            claim_spread: HumanDuration(Duration::from_secs(2)),
            id: None,
        }
    }
}

/// How a coordinator works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CoordinatorSettings {
    /// How far ahead a domain is supplied with samples, in time at its configured rate.
    pub window: HumanDuration,
    /// Fewest samples in a domain's window.
    pub window_min: u32,
    /// Most samples in a domain's window.
    pub window_max: u32,
    /// How many blocks a domain may run ahead of the slowest healthy one when blocks are aligned; more
    /// where that one is so fast that its receipts lag by more.
    pub align_lead: u32,
    /// After this time without progress a domain no longer holds others back.
    pub align_patience: HumanDuration,
    /// A sample without a receipt for this long is published again.
    pub stall_after: HumanDuration,
    /// When a queue is empty, no worker of a fleet holds samples of it and nothing was heard of them
    /// for this long, they are taken to be lost, and the campaign is repaired from the store.
    pub lost_after: HumanDuration,
    /// How often a coordinator of a fleet writes the status of a campaign into the store.
    pub status_every: HumanDuration,
}

impl Default for CoordinatorSettings {
    fn default() -> Self {
        Self {
            window: HumanDuration(Duration::from_mins(2)),
            window_min: 200,
            window_max: 20_000,
            align_lead: 256,
            align_patience: HumanDuration(Duration::from_mins(1)),
            stall_after: HumanDuration(Duration::from_mins(15)),
            lost_after: HumanDuration(Duration::from_secs(30)),
            status_every: HumanDuration(Duration::from_secs(1)),
        }
    }
}
