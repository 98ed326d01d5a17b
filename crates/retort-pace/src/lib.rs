//! Rate-limit domains: when the next request may start, and on which lane.
//!
//! A [`Pacer`] keeps the limits of one domain: requests, tokens, concurrency, requests per day,
//! waits that a provider asked for, limits learned from refusals, and endpoints that do not answer.
//! It knows neither HTTP nor prompts, is not async, and reads no clock: its one owner asks
//! [`Pacer::poll`] whenever something changed, and tells by [`Pacer::settle`] how each request ended.
//!
//! **The promise.** In any window of time a domain, and each group of lanes in it, starts at most
//! `burst + rate × time` requests, where `burst` is one request plus what the rate allows in
//! [`PaceSettings::burst_window`] (see there). It holds over any number of owners one after another,
//! as long as each starts from the state the last one saved.

mod announced;
mod backoff;
mod block;
mod breaker;
mod bucket;
mod ceiling;
mod day;
mod lane;
mod learned;
mod meter;
mod pacer;
mod permit;
mod ramp;
mod scope;
mod settings;
mod state;
mod status;
mod tokens;

pub use pacer::Pacer;
pub use permit::{Decision, Effect, Now, Permit, Settlement, Waiting};
pub use settings::{BreakerSettings, PaceSettings};
pub use state::{
    DomainState, GroupState, LaneSaved, LearnedState, PACE_SCHEMA, SavedBlock, SavedDay,
};
pub use status::{Blocked, DomainStatus, LaneState, LaneStatus, LimitInForce, LimitSource, Today};

#[cfg(test)]
mod simulation;
