//! Records that are written and fsynced together, and who waits for that.

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::flush::Boxed;
use crate::{SpoolError, spool};

/// Most records of one write and fsync; more wait for the next.
pub(super) const GROUP_RECORDS: usize = 1_024;

/// Bytes of frames above which a write takes no further record.
const GROUP_BYTES: usize = 4 << 20;

/// Groups that may wait to be told of; who is in a further one is woken from here, which only costs more.
const TELL_QUEUE: usize = 64;

/// Tells one who waits what became of a record.
pub(super) type Done = oneshot::Sender<Result<(), SpoolError>>;

/// Records on their way to the spool, already encoded.
#[derive(Default)]
pub(super) struct Group {
    pub(super) frames: Vec<u8>,
    pub(super) records: Vec<Boxed>,
    pub(super) done: Vec<Done>,
}

impl Group {
    /// Returns an empty group that writes into `frames`.
    pub(super) fn into_buffer(frames: Vec<u8>) -> Self {
        Self {
            frames,
            ..Self::default()
        }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.records.len() >= GROUP_RECORDS || self.frames.len() >= GROUP_BYTES
    }

    /// Adds a record; who waits for one that no spool could take is told at once.
    pub(super) fn add(&mut self, record: Boxed, done: Done) {
        match spool::encode(&record, &mut self.frames) {
            Ok(()) => {
                self.records.push(record);
                self.done.push(done);
            }
            // A caller that is gone does not need to know.
            Err(error) => drop(done.send(Err(error))),
        }
    }

    /// Returns its buffer, to be used again, unless it grew far beyond what groups need.
    pub(super) fn take_buffer(&mut self) -> Vec<u8> {
        if self.frames.capacity() > 2 * GROUP_BYTES {
            return Vec::new();
        }
        self.frames.clear();
        std::mem::take(&mut self.frames)
    }
}

/// How those who wait for a group of records are woken.
///
/// To wake a task of another thread's runtime takes a call of the kernel for each. So a group goes as
/// one to a task of the runtime in which they wait, which wakes them from within.
#[derive(Debug, Default)]
pub(super) struct Confirmations(Option<mpsc::Sender<Vec<Done>>>);

impl Confirmations {
    /// Returns those that go through the runtime in which this is called, if there is one. Its task
    /// ends when they are dropped.
    pub(super) fn through_this_runtime() -> Self {
        let Ok(runtime) = Handle::try_current() else {
            return Self::default();
        };
        let (groups, mut told) = mpsc::channel(TELL_QUEUE);
        runtime.spawn(async move {
            while let Some(group) = told.recv().await {
                confirm(group);
            }
        });
        Self(Some(groups))
    }

    /// Tells everybody of a group.
    pub(super) fn tell(&self, group: Vec<Done>) {
        let untold = match &self.0 {
            Some(groups) => groups
                .try_send(group)
                .err()
                .map(mpsc::error::TrySendError::into_inner),
            None => Some(group),
        };
        confirm(untold.unwrap_or_default());
    }
}

fn confirm(group: Vec<Done>) {
    for done in group {
        // A caller that is gone does not need to know; the record is stored all the same.
        done.send(Ok(())).ok();
    }
}
