//! How a pace is kept, beyond the limits of the catalog.

use std::time::Duration;

use retort_types::HumanDuration;
use serde::{Deserialize, Serialize};

/// The longest wait that is ever kept, whatever the settings say: a year.
pub(crate) const WAIT_MAX: Duration = Duration::from_hours(365 * 24);

/// How a pace is kept, beyond the limits of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PaceSettings {
    /// The longest wait a provider may ask for; longer ones are cut to it. At most a year.
    pub retry_after_max: HumanDuration,
    /// First wait after a refusal that names none; doubles with each further one in a row.
    pub backoff_first: HumanDuration,
    /// Longest wait after a refusal that names none.
    pub backoff_max: HumanDuration,
    /// How much of the request rate may be caught up at once after late timers. At 60 requests a
    /// minute and more the burst is 1 + the rate × this, rounded up; below, it is 1. At most 10 s.
    pub burst_window: HumanDuration,
    /// How much of a token rate may be used at once. A request that is estimated to need more
    /// starts when all of it is there. From 1 s to 60 s.
    pub token_window: HumanDuration,
    /// How long a learned limit is kept before a higher one is tried; doubles with each try that
    /// is refused, up to four times this.
    pub probe_after: HumanDuration,
    /// When an endpoint that does not answer is left alone.
    pub breaker: BreakerSettings,
}

/// When an endpoint that does not answer is left alone, and when it is given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerSettings {
    /// Failures in a row after which the lane waits. At least 1.
    pub failures_to_open: u32,
    /// First wait; then one request is let through, and the wait doubles while it fails.
    pub first_wait: HumanDuration,
    /// Longest wait between two such requests.
    pub max_wait: HumanDuration,
    /// How long a lane may fail without any success before it parks.
    pub park_after: HumanDuration,
}

const fn seconds(seconds: u64) -> HumanDuration {
    HumanDuration(Duration::from_secs(seconds))
}

impl Default for PaceSettings {
    fn default() -> Self {
        Self {
            retry_after_max: seconds(86_400),
            backoff_first: seconds(1),
            backoff_max: seconds(60),
            // Timers wake up to a few tens of milliseconds late on a busy machine.
            burst_window: HumanDuration(Duration::from_millis(40)),
            token_window: seconds(10),
            probe_after: seconds(60),
            breaker: BreakerSettings::default(),
        }
    }
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures_to_open: 5,
            first_wait: seconds(1),
            max_wait: seconds(60),
            park_after: seconds(600),
        }
    }
}
