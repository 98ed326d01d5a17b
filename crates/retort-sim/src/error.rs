//! What can go wrong on our side: a fleet that cannot be described, started or filled.

use std::path::PathBuf;

/// A fleet could not be started or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The description of the fleet breaks a rule.
    #[error("fleet `{place}`: {rule}")]
    Spec {
        /// Where, as `providers.alpha.limits.burst`.
        place: String,
        /// What is expected there.
        rule: String,
    },
    /// The fleet has no such provider.
    #[error("the fleet has no provider `{0}`")]
    UnknownProvider(String),
    /// The address could not be listened on.
    #[error("failed to listen on {address}")]
    Listen {
        /// Host and port.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The thread or runtime of the fleet could not be started.
    #[error("failed to start the thread of the fleet")]
    Thread(#[source] std::io::Error),
    /// A recording could not be read.
    #[error("failed to read recording `{}`: {reason}", path.display())]
    Recording {
        /// The file or folder.
        path: PathBuf,
        /// What was wrong with it.
        reason: String,
    },
}

impl SimError {
    pub(crate) fn spec(place: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::Spec {
            place: place.into(),
            rule: rule.into(),
        }
    }
}
