//! What takes too long for every run: faults of minutes, a cluster of three brokers, faults in a row.
//!
//! Not part of the default run: `deploy/soak.sh` starts a private broker and prints what was seen.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test ends where its world breaks, and tells figures"
)]
#![allow(
    dead_code,
    reason = "the shared world of fleets holds more than each of them needs"
)]

#[path = "../fleet/outage.rs"]
mod outage;
#[path = "../fleet/processes.rs"]
mod processes;
#[path = "../fleet/rabbit.rs"]
mod rabbit;
#[path = "../../../retort-dataset/tests/support/s3.rs"]
mod s3;
#[path = "../support/world.rs"]
mod support;

mod cluster;
mod long;
mod row;

/// Tells a line of the table that `deploy/soak.sh` prints.
fn told(fault: &str, seen: &str) {
    println!("| {fault} | {seen} |");
}

/// Returns how many requests within a second one owner makes at most: a busy machine counts some of one
/// second in the next, a second owner doubles them all.
const fn peak_max(per_second: u64) -> u64 {
    per_second * 3 / 2 + 3
}
