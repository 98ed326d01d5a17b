//! Whole-program tests: the real binary against a simulated fleet over real HTTP.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test ends where its world breaks"
)]

#[path = "../support/world.rs"]
mod support;

mod cli;
mod control;
mod custody;
mod ends;
mod first;
mod hostile;
mod resume;
mod secrets;
