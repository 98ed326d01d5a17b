//! How a writer is doing, as other threads see it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use retort_types::Timestamp;
use serde::{Deserialize, Serialize};

/// Share of the spool, in eighths, above which nothing new should be started: the rest is for
/// replies that are already on their way.
const STALLED_FROM_EIGHTHS: u64 = 7;

/// How a writer is doing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WriterStatus {
    /// Records that wait to be fsynced.
    pub waiting_records: u64,
    /// Records that are fsynced and not yet stored.
    pub pending_records: u64,
    /// Bytes of these in the spool.
    pub pending_bytes: u64,
    /// Length of the spool in bytes.
    pub spool_bytes: u64,
    /// Most bytes the spool may have.
    pub spool_max_bytes: u64,
    /// How long the last write and fsync of the spool took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_fsync_ms: Option<f64>,
    /// Records stored since the start.
    pub stored_records: u64,
    /// Segment files stored since the start.
    pub stored_segments: u64,
    /// Why appending waits, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalled: Option<Trouble>,
    /// Why storing waits, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_failing: Option<Trouble>,
}

/// Something that does not work just now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What does not work.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// The status, shared between the writer's thread and its handles.
#[derive(Debug)]
pub(super) struct Shared(Mutex<WriterStatus>);

impl Shared {
    pub(super) fn new(spool_max_bytes: u64) -> Self {
        Self(Mutex::new(WriterStatus {
            spool_max_bytes,
            ..WriterStatus::default()
        }))
    }

    fn lock(&self) -> MutexGuard<'_, WriterStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> WriterStatus {
        self.lock().clone()
    }

    pub(super) fn is_stalled(&self) -> bool {
        let status = self.lock();
        let limit = status.spool_max_bytes / 8 * STALLED_FROM_EIGHTHS;
        status.stalled.is_some() || status.spool_bytes > limit
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut WriterStatus)) {
        change(&mut self.lock());
    }
}

/// Sets `slot` to `reason`, keeping since when; returns whether the trouble is new.
pub(super) fn begin(slot: &mut Option<Trouble>, reason: String, now: Timestamp) -> bool {
    let since = slot.as_ref().map_or(now, |trouble| trouble.since);
    let is_new = slot.is_none();
    *slot = Some(Trouble { reason, since });
    is_new
}

/// Returns an error and its causes as one text.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
