//! A fleet of real processes over a real `RabbitMQ`, against a simulated provider that counts what it
//! is asked. The broker is the private one of `deploy/rabbitmq.sh`; each test has its own virtual host.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test ends where its world breaks, and tells figures"
)]
#![allow(
    dead_code,
    reason = "the shared world of whole-program tests holds more than each of them needs"
)]

#[path = "../../../retort-dataset/tests/support/s3.rs"]
mod s3;
#[path = "../support/world.rs"]
mod support;

mod broker;
mod clock;
mod ends;
mod faults;
mod inside;
mod limits;
mod links;
mod messages;
mod outage;
mod plain;
mod processes;
mod rabbit;
mod rules;
mod side_by_side;
mod storage;
mod upgrade;

/// Worlds that are lived through side by side, the longest first.
const WORLDS: &[&[side_by_side::World]] = &[
    limits::WORLDS,
    links::WORLDS,
    rules::WORLDS,
    broker::WORLDS,
    faults::WORLDS,
    messages::WORLDS,
    storage::WORLDS,
    ends::WORLDS,
    clock::WORLDS,
    upgrade::WORLDS,
];
