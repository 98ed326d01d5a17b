//! Coordinators and workers of a fleet over one broker in memory and one store, against a simulated
//! provider that counts what it is asked.

#![expect(clippy::unwrap_used, reason = "a test ends where its world breaks")]

mod faults;
mod together;
mod world;
