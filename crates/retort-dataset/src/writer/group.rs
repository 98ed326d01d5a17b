//! Records that are written and fsynced together, and who waits for that.

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::flush::Boxed;
use crate::{SpoolError, spool};

/// Most records of one write and fsync; more wait for the next.
pub(super) const GROUP_RECORDS: usize = 1_024;

/// Bytes of frames above which a write takes no further record.
pub(super) const GROUP_BYTES: usize = 4 << 20;

/// Groups that may wait to be told of; further ones are told of at once, which only costs more.
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
    pub(super) fn writing_into(frames: Vec<u8>) -> Self {
        Self {
            frames,
            ..Self::default()
        }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.records.len() >= GROUP_RECORDS || self.frames.len() >= GROUP_BYTES
    }

    /// Adds a record; one that no spool could take is told of at once.
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

/// Tells those who wait that their records are fsynced.
///
/// Waking a task of another thread's runtime takes a call of the kernel for each. So a group is handed
/// over as one to a task of the runtime where they wait, which wakes them from within.
#[derive(Debug)]
pub(super) struct Confirmations(Option<mpsc::Sender<Vec<Done>>>);

impl Confirmations {
    /// Returns those that go through the runtime this is called in, if there is one. Its task ends
    /// when they are dropped.
    pub(super) fn through_this_runtime() -> Self {
        let Ok(runtime) = Handle::try_current() else {
            return Self::direct();
        };
        let (groups, mut told) = mpsc::channel(TELL_QUEUE);
        runtime.spawn(async move {
            while let Some(group) = told.recv().await {
                confirm(group);
            }
        });
        Self(Some(groups))
    }

    pub(super) const fn direct() -> Self {
        Self(None)
    }

    /// Tells everybody of a group.
    pub(super) fn tell(&self, group: Vec<Done>) {
        let Some(groups) = &self.0 else {
            return confirm(group);
        };
        if let Err(refused) = groups.try_send(group) {
            confirm(refused.into_inner());
        }
    }
}

fn confirm(group: Vec<Done>) {
    for done in group {
        // A caller that is gone does not need to know; the record is stored all the same.
        done.send(Ok(())).ok();
    }
}
