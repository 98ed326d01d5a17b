//! Whole-program tests: the real binary against a simulated fleet over real HTTP.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test ends where its world breaks"
)]

#[path = "../../../retort-dataset/tests/support/s3.rs"]
mod s3;
#[path = "../support/world.rs"]
mod support;

mod bench;
mod cli;
mod control;
mod custody;
mod ends;
mod first;
mod habits;
mod hostile;
mod models;
mod power;
mod protocols;
mod resume;
mod secrets;
mod store;
mod transfer;
