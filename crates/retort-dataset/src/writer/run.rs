//! The writer's loop: spool what arrives, store what is due, wait for what fails.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use retort_types::{AttemptRecord, WallClock};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::compact::Compactor;
use super::flush::{self, Batch, Boxed};
use super::group::{Confirmations, Done, GROUP_RECORDS, Group};
use super::status::{Shared, begin, chain};
use super::{Committed, WriterSettings};
use crate::spool::FileNumber;
use crate::{DatasetError, Spool, SpoolError, Store};

/// Shortest time from one write and fsync to the next. Each costs as much as some records do; what
/// arrives meanwhile shares the next one.
const SYNC_EVERY: Duration = Duration::from_millis(5);

/// First pause after a store failed; it doubles up to the setting.
const STORE_RETRY_FIRST: Duration = Duration::from_secs(1);

/// Flushes whose records stay in memory while an earlier one is stored; later ones are read back
/// from the spool when their turn comes.
const UNITS_IN_MEMORY: usize = 2;

/// Wakes a loop that has nothing to wait for but its queue.
const IDLE: Duration = Duration::from_hours(1);

/// What a handle asks for.
#[derive(Debug)]
pub(super) enum Job {
    /// Spool a record.
    Append {
        record: Box<AttemptRecord>,
        done: Done,
    },
    /// Store everything before.
    Flush { done: oneshot::Sender<()> },
    /// Store everything before and end.
    Close {
        done: oneshot::Sender<Result<(), DatasetError>>,
    },
}

/// What a writer works with.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) store: Store,
    pub(super) worker_id: String,
    pub(super) settings: WriterSettings,
    pub(super) clock: Arc<dyn WallClock>,
    pub(super) confirmations: Confirmations,
}

/// The records of one spool file, on their way to the store.
#[derive(Debug)]
struct Unit {
    file: FileNumber,
    /// The records; `None` when they are only in the spool.
    records: Option<Vec<Boxed>>,
    count: u64,
    bytes: u64,
    since: Instant,
}

/// The end was asked for, by a handle that waits for it or by dropping all of them.
#[derive(Default)]
struct Closing {
    done: Option<oneshot::Sender<Result<(), DatasetError>>>,
}

type Stored = Pin<Box<dyn Future<Output = Result<(), DatasetError>> + Send>>;

/// The loop and its state.
pub(super) struct Loop {
    parts: Parts,
    spool: Spool,
    queue: mpsc::Receiver<Job>,
    commits: mpsc::Sender<Committed>,
    shared: Arc<Shared>,
    waiting: VecDeque<Job>,
    group: Option<Group>,
    /// The buffer of the last group, for the next.
    spare: Vec<u8>,
    disk_retry_at: Option<Instant>,
    /// Until when what arrives waits to share the next write.
    rests_until: Option<Instant>,
    current: Option<Unit>,
    /// Closed units, oldest first; the first one is being stored.
    units: VecDeque<Unit>,
    /// The first unit's segments, kept for the next try.
    encoded: Option<Arc<Batch>>,
    storing: Option<Stored>,
    compactor: Compactor,
    store_retry_at: Option<Instant>,
    store_pause: Duration,
    /// Who waits for which file, in order.
    flushes: Vec<(FileNumber, oneshot::Sender<()>)>,
    closing: Option<Closing>,
}

impl Loop {
    pub(super) fn new(
        parts: Parts,
        spool: Spool,
        queue: mpsc::Receiver<Job>,
        commits: mpsc::Sender<Committed>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            compactor: Compactor::new(&parts.settings, &parts.worker_id),
            parts,
            spool,
            queue,
            commits,
            shared,
            waiting: VecDeque::new(),
            group: None,
            spare: Vec::new(),
            disk_retry_at: None,
            rests_until: None,
            current: None,
            units: VecDeque::new(),
            encoded: None,
            storing: None,
            store_retry_at: None,
            store_pause: STORE_RETRY_FIRST,
            flushes: Vec::new(),
            closing: None,
        }
    }

    /// Runs until every handle is gone or one asks to close.
    pub(super) async fn run(mut self) {
        let now = Instant::now();
        for file in self.spool.numbers() {
            self.units.push_back(Unit {
                file,
                records: None,
                count: 0,
                bytes: 0,
                since: now,
            });
        }
        let result = loop {
            if let Some(result) = self.step().await {
                break result;
            }
        };
        self.refresh();
        if let Some(done) = self.closing.take().and_then(|closing| closing.done) {
            // Nobody waits any more when the handle was dropped.
            done.send(result).ok();
        } else if let Err(error) = result {
            tracing::warn!(error = %error, "records stay in the spool");
        }
    }

    /// Does what can be done, then waits for the next thing; returns how the loop ends.
    async fn step(&mut self) -> Option<Result<(), DatasetError>> {
        let now = Instant::now();
        self.rests_until.take_if(|until| *until <= now);
        let rests = self.rests_until.is_some() && self.closing.is_none();
        if !rests && let Err(error) = self.spool_waiting(now) {
            return Some(Err(error));
        }
        if self.is_due(now) || self.closing.is_some() {
            self.close_current();
        }
        if let Err(error) = self.start_storing(now) {
            return Some(Err(error));
        }
        self.refresh();
        if self.closing.is_some() && self.units.is_empty() && self.group.is_none() {
            return Some(Ok(()));
        }
        let timer = self.next_timer(now);
        // Who rests is not woken for each record that arrives.
        let has_room = self.waiting.len() < GROUP_RECORDS;
        let takes_jobs = self.closing.is_none() && self.rests_until.is_none() && has_room;
        let storing = async {
            match &mut self.storing {
                Some(storing) => storing.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            stored = storing => {
                self.storing = None;
                self.after_storing(stored).await
            }
            job = self.queue.recv(), if takes_jobs => {
                self.take(job);
                None
            }
            () = tokio::time::sleep_until(timer) => None,
        }
    }

    /// Takes `job` and everything else that has arrived.
    fn take(&mut self, job: Option<Job>) {
        let Some(job) = job else {
            self.closing = Some(Closing::default());
            return;
        };
        self.waiting.push_back(job);
        while self.waiting.len() < GROUP_RECORDS {
            match self.queue.try_recv() {
                Ok(job) => self.waiting.push_back(job),
                Err(_) => return,
            }
        }
    }

    /// Writes waiting records to the spool until none is left or the disk fails.
    ///
    /// Fails only while closing, when waiting for the disk would be for ever.
    fn spool_waiting(&mut self, now: Instant) -> Result<(), DatasetError> {
        if self.disk_retry_at.is_some_and(|at| now < at) {
            return Ok(());
        }
        loop {
            let Some(group) = self.group.take().or_else(|| self.next_group()) else {
                self.disk_retry_at = None;
                return Ok(());
            };
            let begun = Instant::now();
            self.rests_until = Some(begun + SYNC_EVERY);
            match self.spool.append_frames(&group.frames) {
                Ok(bytes) => {
                    self.disk_retry_at = None;
                    let elapsed = begun.elapsed().as_secs_f64() * 1e3;
                    self.shared.update(|status| {
                        status.last_fsync_ms = Some(elapsed);
                        status.stalled = None;
                    });
                    self.confirm(group, bytes, now);
                }
                Err(error) => {
                    self.group = Some(group);
                    return self.after_disk_failure(error, now);
                }
            }
        }
    }

    fn after_disk_failure(&mut self, error: SpoolError, now: Instant) -> Result<(), DatasetError> {
        // The spool goes on in another file, and room comes from storing what there is.
        self.close_current();
        self.disk_retry_at = Some(now + self.parts.settings.disk_retry_every.0);
        let reason = chain(&error);
        let wall = self.parts.clock.now();
        self.shared.update(|status| {
            if begin(&mut status.stalled, reason.clone(), wall) {
                tracing::warn!(error = reason, "the spool cannot be written; records wait");
            }
        });
        let can_make_room = matches!(error, SpoolError::Full { .. }) && !self.units.is_empty();
        if self.closing.is_some() && !can_make_room {
            return Err(error.into());
        }
        Ok(())
    }

    /// Encodes the next records up to a flush or close request, which is acted on when it is first.
    fn next_group(&mut self) -> Option<Group> {
        let mut group = Group::into_buffer(std::mem::take(&mut self.spare));
        while !group.is_full() {
            match self.waiting.pop_front() {
                Some(Job::Append { record, done }) => group.add(record, done),
                Some(job) if !group.records.is_empty() => {
                    self.waiting.push_front(job);
                    break;
                }
                Some(Job::Flush { done }) => self.flush_before(done),
                Some(Job::Close { done }) => self.closing = Some(Closing { done: Some(done) }),
                None => break,
            }
        }
        if group.records.is_empty() {
            self.spare = group.frames;
            return None;
        }
        Some(group)
    }

    /// Closes the current unit and remembers who waits for the last one.
    fn flush_before(&mut self, done: oneshot::Sender<()>) {
        self.close_current();
        match self.units.back() {
            Some(unit) => self.flushes.push((unit.file, done)),
            // A caller that is gone does not need to know.
            None => {
                done.send(()).ok();
            }
        }
    }

    fn confirm(&mut self, mut group: Group, bytes: u64, now: Instant) {
        self.spare = group.take_buffer();
        let file = self.spool.active().unwrap_or_default();
        if self.current.as_ref().is_some_and(|unit| unit.file != file) {
            self.close_current();
        }
        let unit = self.current.get_or_insert_with(|| Unit {
            file,
            records: Some(Vec::new()),
            count: 0,
            bytes: 0,
            since: now,
        });
        unit.count += u64::try_from(group.records.len()).unwrap_or(u64::MAX);
        unit.bytes += bytes;
        if let Some(records) = &mut unit.records {
            records.extend(group.records);
        }
        self.parts.confirmations.tell(group.done);
        if self.is_due(now) {
            self.close_current();
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let settings = &self.parts.settings;
        let rows = u64::try_from(settings.flush_rows.get()).unwrap_or(u64::MAX);
        self.current.as_ref().is_some_and(|unit| {
            unit.bytes >= settings.flush_bytes.get()
                || unit.count >= rows
                || now >= unit.since + settings.flush_every.0
        })
    }

    fn close_current(&mut self) {
        let Some(mut unit) = self.current.take() else {
            return;
        };
        self.spool.rotate();
        if self.units.len() >= UNITS_IN_MEMORY {
            unit.records = None;
        }
        self.units.push_back(unit);
    }

    /// Begins to store the first unit unless something is being stored or a pause runs.
    fn start_storing(&mut self, now: Instant) -> Result<(), DatasetError> {
        let pausing = self.store_retry_at.is_some_and(|at| now < at);
        if self.storing.is_some() || pausing {
            return Ok(());
        }
        match self.encode_first() {
            Ok(Some(batch)) => {
                let store = self.parts.store.clone();
                let commits = self.commits.clone();
                self.storing = Some(Box::pin(async move {
                    let committed = batch.store(&store).await?;
                    if !committed.records().is_empty() {
                        // Without a receiver the rows are durable all the same.
                        commits.send(committed).await.ok();
                    }
                    Ok(())
                }));
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) => self.after_store_failure(error),
        }
    }

    /// Returns the first unit's segments.
    fn encode_first(&mut self) -> Result<Option<Arc<Batch>>, DatasetError> {
        if let Some(batch) = &self.encoded {
            return Ok(Some(Arc::clone(batch)));
        }
        let Some(unit) = self.units.front_mut() else {
            return Ok(None);
        };
        let records = match unit.records.take() {
            Some(records) => records,
            None => flush::boxed(self.spool.read(unit.file)?),
        };
        unit.count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let batch = Batch::encode(records, &self.parts.worker_id, self.parts.clock.now())?;
        let batch = Arc::new(batch);
        self.encoded = Some(Arc::clone(&batch));
        Ok(Some(batch))
    }

    async fn after_storing(
        &mut self,
        stored: Result<(), DatasetError>,
    ) -> Option<Result<(), DatasetError>> {
        if let Err(error) = stored {
            return self.after_store_failure(error).err().map(Err);
        }
        self.store_retry_at = None;
        self.store_pause = STORE_RETRY_FIRST;
        let batch = self.encoded.take();
        let segments = batch.as_ref().map_or(0, |batch| batch.file_count());
        if self.closing.is_none() {
            let stored = batch.map_or_else(Vec::new, |batch| batch.stored());
            let now = self.parts.clock.now();
            self.compactor.turn(stored, &self.parts.store, now).await;
        }
        let unit = self.units.pop_front()?;
        if let Err(error) = self.spool.remove(unit.file) {
            tracing::warn!(
                error = chain(&error),
                "a stored spool file stays and will be stored again"
            );
        }
        // There is room now.
        self.disk_retry_at = None;
        self.shared.update(|status| {
            status.store_failing = None;
            status.stored_records += unit.count;
            status.stored_segments += segments;
        });
        let is_done = |(file, _): &mut (FileNumber, oneshot::Sender<()>)| *file <= unit.file;
        for (_, done) in self.flushes.extract_if(.., is_done) {
            // A caller that is gone does not need to know.
            done.send(()).ok();
        }
        None
    }

    /// Pauses before the next try; while closing there is none.
    fn after_store_failure(&mut self, error: DatasetError) -> Result<(), DatasetError> {
        let pause = self.store_pause.min(self.parts.settings.store_retry_max.0);
        self.store_pause = self.store_pause.saturating_mul(2);
        self.store_retry_at = Some(Instant::now() + pause);
        let reason = chain(&error);
        let wall = self.parts.clock.now();
        self.shared.update(|status| {
            if begin(&mut status.store_failing, reason.clone(), wall) {
                tracing::warn!(
                    error = reason,
                    "segments cannot be stored; they stay in the spool"
                );
            }
        });
        if self.closing.is_some() {
            return Err(error);
        }
        Ok(())
    }

    fn next_timer(&self, now: Instant) -> Instant {
        let current = self.current.as_ref();
        let flush = current.map(|unit| unit.since + self.parts.settings.flush_every.0);
        let disk = self.group.as_ref().and(self.disk_retry_at);
        let store = match self.storing {
            Some(_) => None,
            None => self.store_retry_at,
        };
        let timers = [flush, disk, store, self.rests_until];
        let next = timers.into_iter().flatten().min();
        next.unwrap_or(now + IDLE)
    }

    /// Tells how things are.
    fn refresh(&self) {
        let in_group = self.group.as_ref().map_or(0, |group| group.records.len());
        let waiting = u64::try_from(self.waiting.len() + in_group).unwrap_or(u64::MAX);
        let units = || self.units.iter().chain(&self.current);
        let records = units().map(|unit| unit.count).sum();
        let bytes = units().map(|unit| unit.bytes).sum();
        let spool_bytes = self.spool.bytes();
        self.shared.update(|status| {
            status.waiting_records = waiting;
            status.pending_records = records;
            status.pending_bytes = bytes;
            status.spool_bytes = spool_bytes;
        });
    }
}
