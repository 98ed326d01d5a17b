//! What others rely on: the reference page of the dataset, and snapshots of released formats.

#![expect(clippy::unwrap_used, reason = "a test ends where its world breaks")]

mod golden;
mod reference;

use std::path::{Path, PathBuf};

/// Returns a path below this crate.
fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Returns whether this variable asks for a file to be written anew.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever changed the format says so in the environment"
)]
fn asks_for(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| value == "1")
}
