//! A wait on both clocks, and why.

use std::time::Duration;

use retort_types::Timestamp;
use tokio::time::Instant;

use crate::backoff::later;
use crate::permit::Now;
use crate::state::SavedBlock;
use crate::status::Blocked;

/// A wait on both clocks, and why.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) until: Instant,
    pub(crate) until_at: Timestamp,
    pub(crate) reason: String,
}

impl Block {
    /// Returns a wait that begins now.
    pub(crate) fn new(now: Now, wait: Duration, reason: String) -> Self {
        Self {
            until: later(now.instant, wait),
            until_at: now.wall.after(wait),
            reason,
        }
    }

    /// Returns what is left of a saved wait, at most `longest`; nothing when it is over.
    pub(crate) fn restored(saved: &SavedBlock, now: Now, longest: Duration) -> Option<Self> {
        let wait = saved.until.since(now.wall).min(longest);
        (wait > Duration::ZERO).then(|| Self::new(now, wait, saved.reason.clone()))
    }

    /// Returns what is kept for the next owner.
    pub(crate) fn saved(&self) -> SavedBlock {
        SavedBlock {
            until: self.until_at,
            reason: self.reason.clone(),
        }
    }

    /// Returns what people read.
    pub(crate) fn status(&self) -> Blocked {
        Blocked {
            until: self.until_at,
            reason: self.reason.clone(),
        }
    }
}
