//! What is asked of a pacer, and what it answers.

use retort_types::{AnnouncedLimits, Outcome, Timestamp};
use tokio::time::Instant;

/// The time, on the two clocks that matter: waits are measured on one, days and saved waits on the other.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The monotonic clock.
    pub instant: Instant,
    /// The wall clock, UTC.
    pub wall: Timestamp,
}

/// A lane that has something waiting, and what its first request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The lane's index in the domain's specification.
    pub lane: usize,
    /// Lower goes first: the place in the plan.
    pub priority: u64,
    /// Estimated tokens of the prompt.
    pub input_tokens: u64,
    /// Estimated tokens of the answer.
    pub output_tokens: u64,
}

/// What to do now.
#[derive(Debug)]
#[must_use = "a permit that is not settled or released holds its slot for ever"]
pub enum Decision {
    /// Start one request, then ask again.
    Start(Permit),
    /// Ask again at this instant, or when something changes.
    WaitUntil(Instant),
    /// Ask again when a request is settled or something new waits.
    WaitForSettle,
    /// Everything that waits is parked.
    Parked,
}

/// Leave to send one request now. To be settled or released by the pacer that gave it.
#[derive(Debug)]
#[must_use = "a permit that is not settled or released holds its slot for ever"]
pub struct Permit {
    pub(crate) lane: usize,
    pub(crate) due: Instant,
    pub(crate) started: Instant,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    /// Which run between two pauses of the ruling scope it belongs to.
    pub(crate) run: u64,
    /// Requests of the ruling scope that were in flight before it.
    pub(crate) in_flight_before: u32,
    /// Its number among the starts of the domain and of its group.
    pub(crate) numbers: [u64; 2],
    /// The end of the day that it counts for.
    pub(crate) day_ends_at: Timestamp,
}

impl Permit {
    /// Returns the lane it is for.
    pub const fn lane(&self) -> usize {
        self.lane
    }

    /// Returns when pace allowed it: not later than when it was given, and not before the lane
    /// had something waiting.
    pub const fn due(&self) -> Instant {
        self.due
    }
}

/// How a request ended, as far as pace goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// How it ended.
    pub outcome: Outcome,
    /// What the answer said about limits.
    pub limits: AnnouncedLimits,
    /// Tokens of the prompt, if the provider told.
    pub input_tokens: Option<u64>,
    /// Tokens of the answer, if the provider told.
    pub output_tokens: Option<u64>,
    /// US dollars it cost, if known.
    pub cost_usd: Option<f64>,
}

impl Settlement {
    /// Returns the settlement of a request of which nothing but its outcome is known.
    pub fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            limits: AnnouncedLimits::default(),
            input_tokens: None,
            output_tokens: None,
            cost_usd: None,
        }
    }
}

/// What a settlement changed beyond its counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The lane, or more with it, waits.
    Blocked {
        /// Until when.
        until: Instant,
        /// Why.
        reason: String,
    },
    /// The lane is not asked until it is unparked.
    LaneParked {
        /// The lane.
        lane: usize,
        /// Why.
        reason: String,
    },
    /// No lane is asked until the domain is unparked.
    DomainParked {
        /// Why.
        reason: String,
    },
}
