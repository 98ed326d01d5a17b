//! Tests of the fleet over real sockets on loopback.

mod client;
mod endpoints;
mod faults;
mod lifecycle;
mod limits;
