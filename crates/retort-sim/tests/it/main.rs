//! Tests of the fleet over real sockets on loopback.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at some protocols only, and fails where it should have looked"
)]

mod client;
mod endpoints;
mod faults;
mod frames;
mod lifecycle;
mod limits;
mod mistakes;
mod protocols;
mod signatures;
mod wire;
