//! Compaction: the small segments of a long crawl become larger ones while it runs.
//!
//! A writer compacts only what it stored itself since it started, so that no two ever work on the
//! same files. There is no rename on object stores: the new segment is stored first, then the old
//! ones are deleted, their `responses` before what these refer to. Whoever reads in between, or
//! after a crash in between, meets rows twice and tells them apart by `attempt_id`, as after any
//! repeated flush.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use retort_types::{CampaignId, Digest, Timestamp};
use tokio::task::JoinHandle;

use super::WriterSettings;
use super::flush::ORDER;
use super::join::join;
use crate::columns::Reader;
use crate::schema::Table;
use crate::segment::{Metadata, SegmentName, Source, properties, read};
use crate::store::fresh_uuid;
use crate::{DatasetError, Store};

/// Memory of a row group from which on it is written out: a crawl at full speed is to stay below
/// 300 MB.
const GROUP_MAX_BYTES: usize = 24 << 20;

/// Segments of these are compacted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    pub(super) campaign: CampaignId,
    pub(super) plan_hash: Digest,
    /// The folder of a day.
    pub(super) folder: String,
}

/// One flush in the store, or several that were compacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) name: SegmentName,
    /// Its files; not every flush has all three.
    pub(super) tables: Vec<Table>,
    pub(super) bytes: u64,
    pub(super) rows: u64,
}

/// What is compacted into one.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) group: Group,
    pub(super) from: Vec<Stored>,
}

/// The small segments of a writer, and the one that is being made of some.
#[derive(Debug)]
pub(super) struct Compactor {
    settings: WriterSettings,
    worker: String,
    small: BTreeMap<Group, Vec<Stored>>,
    task: Option<JoinHandle<(Group, Result<Stored, DatasetError>)>>,
}

impl Drop for Compactor {
    fn drop(&mut self) {
        // A compaction can stop anywhere; nothing waits for it.
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Compactor {
    pub(super) fn new(settings: &WriterSettings, worker: &str) -> Self {
        Self {
            settings: settings.clone(),
            worker: worker.to_owned(),
            small: BTreeMap::new(),
            task: None,
        }
    }

    /// Notes what was stored just now and begins to compact when there is enough.
    pub(super) async fn turn(
        &mut self,
        stored: Vec<(Group, Stored)>,
        store: &Store,
        now: Timestamp,
    ) {
        for (group, stored) in stored {
            self.note(group, stored);
        }
        if self.task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        if let Some(task) = self.task.take() {
            match task.await {
                Ok((group, Ok(stored))) => self.note(group, stored),
                // They stay as they are: small, and complete.
                Ok((_, Err(error))) => {
                    tracing::warn!(error = %error, "segments stay small");
                }
                Err(_) => {}
            }
        }
        if let Some(work) = self.due() {
            let (store, worker) = (store.clone(), self.worker.clone());
            self.task = Some(tokio::spawn(async move {
                let group = work.group.clone();
                let done = compact(&store, work, &worker, now).await;
                (group, done)
            }));
        }
    }

    fn note(&mut self, group: Group, stored: Stored) {
        if stored.bytes < self.settings.compact_bytes.get() {
            self.small.entry(group).or_default().push(stored);
        }
    }

    /// Takes the segments that are compacted next: all small ones of a day once they are many or
    /// large enough together.
    fn due(&mut self) -> Option<Work> {
        let (files, bytes) = (
            self.settings.compact_files.get(),
            self.settings.compact_bytes.get(),
        );
        let group = self.small.iter().find_map(|(group, small)| {
            let sum: u64 = small.iter().map(|stored| stored.bytes).sum();
            let is_due = small.len() >= files || (small.len() > 1 && sum >= bytes);
            is_due.then(|| group.clone())
        })?;
        let from = self.small.remove(&group)?;
        Some(Work { group, from })
    }
}

/// Makes one segment of several: stores it, then deletes them.
///
/// Its rows are theirs in the order of their names, each attempt once; so the same segments make
/// the same bytes. Large row groups are taken over as they are.
pub(super) async fn compact(
    store: &Store,
    mut work: Work,
    worker: &str,
    now: Timestamp,
) -> Result<Stored, DatasetError> {
    work.from.sort_by(|a, b| a.name.cmp(&b.name));
    let id = fresh_uuid(now)?;
    let name = SegmentName::beside(&work.group.folder, worker, id);
    let mut made = Stored {
        name,
        tables: Vec::new(),
        bytes: 0,
        rows: 0,
    };
    for table in ORDER {
        let of_table = work
            .from
            .iter()
            .filter(|stored| stored.tables.contains(&table));
        let paths: Vec<String> = of_table.map(|stored| stored.name.path(table)).collect();
        if paths.is_empty() {
            continue;
        }
        let mut sources = Vec::with_capacity(paths.len());
        for path in paths {
            sources.push((Source::open(store, &path).await?, path));
        }
        let group = work.group.clone();
        let merge = move || match join(table, &sources, &group)? {
            Some(joined) => Ok(joined),
            None => merge(table, sources, &group),
        };
        let (bytes, rows) = tokio::task::spawn_blocking(merge)
            .await
            .map_err(|_| DatasetError::Closed)??;
        made.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        made.rows += rows;
        made.tables.push(table);
        store.put(&made.name.path(table), bytes).await?;
    }
    for stored in &work.from {
        for table in ORDER
            .into_iter()
            .rev()
            .filter(|table| stored.tables.contains(table))
        {
            store.delete(&stored.name.path(table)).await?;
        }
    }
    Ok(made)
}

/// Returns the rows of `sources` as one file, and how many they are.
fn merge(
    table: Table,
    sources: Vec<(Source, String)>,
    group: &Group,
) -> Result<(Bytes, u64), DatasetError> {
    let metadata = Metadata::of(&group.campaign, group.plan_hash).with_software();
    let properties = properties(table, &metadata, usize::MAX, u64::MAX);
    let failed = DatasetError::parquet;
    let mut writer = ArrowWriter::try_new(Vec::new(), table.schema(), Some(properties))
        .map_err(failed(table.as_str()))?;
    let mut seen: HashSet<Box<str>> = HashSet::new();
    let mut rows = 0;
    for (source, path) in sources {
        let mut here = HashSet::new();
        for batch in read(source, &path, table, &[])? {
            let batch = unseen(&batch?, &path, &seen, &mut here)?;
            rows += u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
            writer.write(&batch).map_err(failed(&path))?;
            if writer.memory_size() > GROUP_MAX_BYTES {
                writer.flush().map_err(failed(&path))?;
            }
        }
        seen.extend(here);
    }
    let bytes = writer.into_inner().map_err(failed(table.as_str()))?;
    Ok((bytes.into(), rows))
}

/// Returns the rows of attempts that no earlier file has; `here` takes the attempts of this one.
fn unseen(
    batch: &RecordBatch,
    path: &str,
    seen: &HashSet<Box<str>>,
    here: &mut HashSet<Box<str>>,
) -> Result<RecordBatch, DatasetError> {
    let ids = Reader::new(batch, path).text("attempt_id")?;
    let mut keep = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let id = ids.value(row);
        let is_new = !seen.contains(id);
        if is_new && !here.contains(id) {
            here.insert(id.into());
        }
        keep.push(is_new);
    }
    Ok(filter_record_batch(batch, &BooleanArray::from(keep))?)
}
