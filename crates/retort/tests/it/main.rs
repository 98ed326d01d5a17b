//! Whole-program tests: the real binary against a simulated fleet over real HTTP.

#[path = "../support/world.rs"]
mod support;

mod cli;
mod control;
mod ends;
mod first;
mod hostile;
mod resume;
mod secrets;
