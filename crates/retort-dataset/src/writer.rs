//! The writer: one OS thread that fsyncs records to the spool and stores them as segments.
//!
//! A record is confirmed ([`Writer::append`] returns) once it is fsynced in the spool, and reported
//! as [`Committed`] once its rows are durable in the store. A spool file is one flush: it is removed
//! after its segments are stored and reported, so a crash in between stores the same records twice,
//! which sealing tells apart by `attempt_id`. Failing disks and stores are waited for, for ever.

mod committed;
mod compact;
mod flush;
mod group;
mod here;
mod join;
mod run;
mod status;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use retort_types::{AttemptRecord, HumanDuration, WallClock};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::spool::disk::{Disk, RealDisk};
use crate::{DatasetError, Spool, SpoolError, Store};

pub use committed::{Committed, CommittedRecord, SegmentRef};
#[doc(hidden)]
pub use here::Work;
pub use status::{Trouble, WriterStatus};

use group::Confirmations;
use run::{Job, Loop, Parts};
use status::Shared;

/// Committed batches that may wait to be received. One is a flush of seconds; a receiver that is
/// this far behind is stuck, and then the spool is where to wait.
const COMMITTED_QUEUE: usize = 64;

/// How a writer works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WriterSettings {
    /// Longest time a confirmed record waits before it is stored as a segment.
    pub flush_every: HumanDuration,
    /// Bytes of records that are stored without waiting longer; bounds memory.
    pub flush_bytes: NonZeroU64,
    /// Records that are stored without waiting longer.
    pub flush_rows: NonZeroUsize,
    /// Records that may wait for the writer thread.
    pub queue_records: NonZeroUsize,
    /// Most bytes of the spool. When the store fails for long, appending waits at this limit.
    pub spool_max_bytes: NonZeroU64,
    /// Time between attempts to write to a disk that failed.
    pub disk_retry_every: HumanDuration,
    /// Longest time between attempts to write to a store that failed; the first is after a second.
    pub store_retry_max: HumanDuration,
    /// Small segments of one day that are made one. A listing page of object stores has a thousand
    /// objects; 48 flushes of 5 s are three files every four minutes.
    pub compact_files: NonZeroUsize,
    /// Bytes from which a segment is not small any more, and from which small ones are made one
    /// however few they are. Compacting holds some hundred times as much in memory when texts are
    /// short: 1 MiB on disk is tens of thousands of such rows.
    pub compact_bytes: NonZeroU64,
}

impl Default for WriterSettings {
    fn default() -> Self {
        let bytes = |n: u64| NonZeroU64::new(n).unwrap_or(NonZeroU64::MIN);
        let count = |n: usize| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
        Self {
            flush_every: HumanDuration(Duration::from_secs(5)),
            // 2 to 4 MiB keeps 1,000 requests in flight under 100 MB resident.
            flush_bytes: bytes(4 << 20),
            // Above 1,000 rows the fixed cost of a file (2 ms) no longer shows.
            flush_rows: count(8_192),
            queue_records: count(4_096),
            spool_max_bytes: bytes(1 << 30),
            disk_retry_every: HumanDuration(Duration::from_secs(1)),
            store_retry_max: HumanDuration(Duration::from_secs(30)),
            compact_files: count(48),
            compact_bytes: bytes(1 << 20),
        }
    }
}

/// What an earlier process left in the spool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Spool files.
    pub files: u64,
    /// Records in them; they are stored and reported like any other.
    pub records: u64,
    /// Bytes of writes that had not finished and were never confirmed.
    pub torn_bytes: u64,
    /// Bytes that cannot be read any more; the files that hold them are kept aside.
    pub damaged_bytes: u64,
}

/// Handle of a writer. When all handles are dropped without [`Writer::close`], the thread stores
/// what it can and ends; what it cannot store stays in the spool.
#[derive(Clone)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts a writer over the spool in `spool_dir`, whose earlier records are stored first.
    ///
    /// # Errors
    /// When the spool is in use or cannot be opened, or no thread can be made.
    pub fn start(
        spool_dir: &Path,
        store: Store,
        worker_id: &str,
        settings: WriterSettings,
        clock: Arc<dyn WallClock>,
    ) -> Result<(Self, mpsc::Receiver<Committed>, Recovered), DatasetError> {
        let parts = Parts {
            store,
            worker_id: worker_id.to_owned(),
            settings,
            clock,
            confirmations: Confirmations::through_this_runtime(),
        };
        let (writer, committed, recovered, work) =
            Self::prepare(Box::new(RealDisk), spool_dir, parts)?;
        let system = |doing| move |source| DatasetError::System { doing, source };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(system("start the runtime of the dataset writer"))?;
        let thread = std::thread::Builder::new()
            .name("dataset-writer".to_owned())
            .spawn(move || runtime.block_on(work.run()))
            .map_err(system("start the thread of the dataset writer"))?;
        *writer.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok((writer, committed, recovered))
    }

    /// Opens the spool and returns a writer whose work is still to be run.
    fn prepare(
        disk: Box<dyn Disk>,
        spool_dir: &Path,
        parts: Parts,
    ) -> Result<(Self, mpsc::Receiver<Committed>, Recovered, Loop), DatasetError> {
        let limit = parts.settings.spool_max_bytes.get();
        let holder = format!("worker {}", parts.worker_id);
        let (spool, files) = Spool::open_on(disk, spool_dir, limit, &holder)?;
        let mut recovered = Recovered::default();
        for file in &files {
            recovered.files += 1;
            recovered.records += file.records;
            recovered.torn_bytes += file.torn_bytes;
            recovered.damaged_bytes += file.damaged_bytes;
        }
        if recovered.damaged_bytes > 0 {
            tracing::warn!(
                bytes = recovered.damaged_bytes,
                "parts of the spool cannot be read; their files are kept aside"
            );
        }
        let (jobs, queue) = mpsc::channel(parts.settings.queue_records.get());
        let (commits, committed) = mpsc::channel(COMMITTED_QUEUE);
        let shared = Arc::new(Shared::new(limit));
        let work = Loop::new(parts, spool, queue, commits, Arc::clone(&shared));
        let writer = Self {
            jobs,
            shared,
            thread: Arc::default(),
        };
        Ok((writer, committed, recovered, work))
    }

    /// Hands over a record and returns once it is fsynced in the spool.
    ///
    /// While the disk fails or the spool is full this waits rather than fails; [`Writer::status`]
    /// tells, and nothing new should be started then.
    ///
    /// # Errors
    /// [`SpoolError::Closed`] when the writer has ended, [`SpoolError::TooLarge`] and
    /// [`SpoolError::Encode`] when no spool could ever take the record.
    pub async fn append(&self, mut record: Box<AttemptRecord>) -> Result<(), SpoolError> {
        make_finite(&mut record);
        let (done, confirmed) = oneshot::channel();
        let job = Job::Append { record, done };
        self.jobs.send(job).await.map_err(|_| SpoolError::Closed)?;
        confirmed.await.unwrap_or(Err(SpoolError::Closed))
    }

    /// Returns how the writer is doing.
    pub fn status(&self) -> WriterStatus {
        self.shared.status()
    }

    /// Returns whether nothing new should be started: the disk fails, or the spool is nearly full.
    pub fn is_stalled(&self) -> bool {
        self.shared.is_stalled()
    }

    /// Stores everything that was confirmed before, and returns once it is durable in the store.
    ///
    /// # Errors
    /// [`DatasetError::Closed`] when the writer ends before.
    pub async fn flush(&self) -> Result<(), DatasetError> {
        let (done, flushed) = oneshot::channel();
        let job = Job::Flush { done };
        self.jobs
            .send(job)
            .await
            .map_err(|_| DatasetError::Closed)?;
        flushed.await.map_err(|_| DatasetError::Closed)
    }

    /// Stores everything that was appended before, then ends the thread.
    ///
    /// A store that fails is not waited for: what is not stored stays in the spool. The receiver of
    /// [`Committed`] must still be read, or dropped.
    ///
    /// # Errors
    /// When something stays in the spool, the store's or spool's error.
    pub async fn close(self) -> Result<(), DatasetError> {
        let (done, closed) = oneshot::channel();
        if self.jobs.send(Job::Close { done }).await.is_err() {
            return Err(DatasetError::Closed);
        }
        let result = closed.await.unwrap_or(Err(DatasetError::Closed));
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // The loop has answered and only returns; joining does not wait for anything.
            if thread.join().is_err() {
                return Err(DatasetError::Closed);
            }
        }
        result
    }
}

/// Replaces numbers that JSON cannot carry, so that a record reads back from the spool as it was
/// confirmed: a log probability too small for its type becomes the smallest that is not.
pub fn make_finite(record: &mut AttemptRecord) {
    let finite = |value: &mut Option<f64>| *value = value.filter(|number| number.is_finite());
    let timing = &mut record.timing;
    finite(&mut timing.client_queue_ms);
    finite(&mut timing.ttfb_ms);
    finite(&mut timing.ttft_ms);
    finite(&mut timing.latency_ms);
    finite(&mut timing.client_lag_ms);
    finite(&mut record.cost_usd);
    for gap in &mut timing.itl_ms {
        *gap = clamp(*gap, 0.0);
    }
    for token in &mut record.reply.tokens {
        token.logprob = token.logprob.filter(|p| !p.is_nan()).map(|p| clamp(p, p));
        token.arrived_ms = token.arrived_ms.filter(|ms| ms.is_finite());
        for top in &mut token.top {
            top.logprob = clamp(top.logprob, f32::MIN);
        }
    }
}

fn clamp(value: f32, if_nan: f32) -> f32 {
    if value.is_nan() {
        return if_nan;
    }
    value.clamp(f32::MIN, f32::MAX)
}
