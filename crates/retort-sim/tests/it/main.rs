//! Tests of the fleet over real sockets on loopback.

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
