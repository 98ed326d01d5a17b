//! Reading sealed snapshots back: finding them, their rows, and whether they are what was sealed.

mod exchanges;
mod find;
mod json;
pub(crate) mod publish;
mod summary;
mod verify;

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use retort_types::CampaignId;

use crate::schema::Table;
use crate::seal::{MANIFEST_FILE, Manifest, SIGNATURE_FILE};
use crate::segment::{Batches, Source, read};
use crate::store::snapshots_folder;
use crate::{DatasetError, Store, StoreError};

pub use exchanges::{Exchanges, Place, Unread};
pub use find::{Found, FoundRow, Search};
pub use summary::{ModelSummary, summarize};
pub use verify::{Finding, Verified};

/// Where a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotRef {
    /// Its number within the campaign, from 1.
    pub seq: u32,
    /// Its folder in the store.
    pub path: String,
}

/// A sealed snapshot, open for reading.
#[derive(Debug, Clone)]
pub struct Snapshot {
    store: Store,
    /// Its folder in the store.
    pub path: String,
    /// What it says it holds.
    pub manifest: Manifest,
}

/// Returns the snapshots of a campaign, oldest first.
///
/// # Errors
/// When the store fails.
pub async fn list(store: &Store, campaign: &CampaignId) -> Result<Vec<SnapshotRef>, DatasetError> {
    let folder = snapshots_folder(campaign);
    let mut found: Vec<SnapshotRef> = store
        .list(&folder)
        .await?
        .iter()
        .filter_map(|path| {
            let path = path.strip_suffix(MANIFEST_FILE)?.strip_suffix('/')?;
            let name = path.strip_prefix(&folder)?.strip_prefix('/')?;
            let (seq, root) = name.split_once('-')?;
            let is_root = root.len() == 12 && root.chars().all(|c| c.is_ascii_hexdigit());
            is_root.then_some(SnapshotRef {
                seq: seq.parse().ok()?,
                path: path.to_owned(),
            })
        })
        .collect();
    found.sort();
    Ok(found)
}

/// Opens the latest snapshot of a campaign, if it has one.
///
/// # Errors
/// When the store fails or the manifest is damaged.
pub async fn latest(
    store: &Store,
    campaign: &CampaignId,
) -> Result<Option<Snapshot>, DatasetError> {
    match list(store, campaign).await?.pop() {
        Some(found) => Ok(Some(Snapshot::open(store, &found.path).await?)),
        None => Ok(None),
    }
}

impl Snapshot {
    /// Opens the snapshot in the folder `path` of `store`.
    ///
    /// # Errors
    /// When there is none, the store fails, or the manifest is damaged.
    pub async fn open(store: &Store, path: &str) -> Result<Self, DatasetError> {
        let file = in_folder(path, MANIFEST_FILE);
        let bytes = store.get(&file).await?;
        let manifest = serde_json::from_slice(&bytes)
            .map_err(|error| DatasetError::damaged(&file, error.to_string()))?;
        Ok(Self {
            store: store.clone(),
            path: path.to_owned(),
            manifest,
        })
    }

    /// Opens the snapshot in `folder` of this machine, wherever it was copied to.
    ///
    /// # Errors
    /// When there is none or the manifest is damaged.
    pub async fn open_folder(folder: &std::path::Path) -> Result<Self, DatasetError> {
        let failed = |source| StoreError::Failed {
            doing: "open folder",
            path: folder.display().to_string(),
            source: Box::new(source),
        };
        let folder = folder.canonicalize().map_err(failed)?;
        // Where it lies in its campaign's folder, the exchanges lie beside it.
        let name = folder.file_name().and_then(std::ffi::OsStr::to_str);
        let campaign = folder
            .parent()
            .filter(|parent| parent.ends_with("snapshots"))
            .and_then(std::path::Path::parent);
        if let Some((campaign, name)) = campaign.zip(name) {
            let store = Store::open_existing(campaign)?;
            return Self::open(&store, &format!("snapshots/{name}")).await;
        }
        let store = Store::open_existing(&folder)?;
        Self::open(&store, "").await
    }

    /// Returns the bytes of a file of the snapshot.
    ///
    /// # Errors
    /// When it is not there or the store fails.
    pub async fn file(&self, path: &str) -> Result<bytes::Bytes, DatasetError> {
        Ok(self.store.get(&in_folder(&self.path, path)).await?)
    }

    /// Returns the bytes of a file of the snapshot's campaign, such as one of exchanges.
    ///
    /// # Errors
    /// When it is not there, the store fails, or the snapshot was opened outside of a campaign.
    pub async fn campaign_file(&self, path: &str) -> Result<bytes::Bytes, DatasetError> {
        let Some((folder, _)) = self.path.rsplit_once("snapshots/") else {
            let path = path.to_owned();
            return Err(crate::StoreError::NotFound { path }.into());
        };
        let folder = folder.trim_end_matches('/');
        Ok(self.store.get(&in_folder(folder, path)).await?)
    }

    /// Returns where it is, as a person can open it.
    pub fn place(&self) -> String {
        match self.store.local_path(&self.path) {
            Some(folder) => folder.display().to_string(),
            None => format!("{}/{}", self.store.url().trim_end_matches('/'), self.path),
        }
    }

    /// Returns the signature of the manifest, if there is one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn signature(&self) -> Result<Option<bytes::Bytes>, DatasetError> {
        match self.file(SIGNATURE_FILE).await {
            Ok(signature) => Ok(Some(signature)),
            Err(DatasetError::Store(error)) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts a signature beside the manifest, in the place of one that is there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put_signature(&self, signature: String) -> Result<(), DatasetError> {
        let path = in_folder(&self.path, SIGNATURE_FILE);
        Ok(self.store.put(&path, signature.into()).await?)
    }

    /// Returns the exchanges of the campaign, when the snapshot lies in its folder.
    pub fn exchanges_beside(&self) -> Option<Exchanges> {
        let (folder, _) = self.path.rsplit_once("snapshots/")?;
        let folder = folder.trim_end_matches('/').to_owned();
        Some(Exchanges::new(self.store.clone(), folder))
    }

    /// Returns the rows of `responses`: these columns, or all when none are named.
    pub fn responses(&self, columns: &[&str]) -> Rows {
        self.rows(Table::Responses, columns)
    }

    /// Returns the rows of `table`: these columns, or all when none are named.
    ///
    /// Rows come by file in the order of the manifest, so those of a model stay together.
    pub fn rows(&self, table: Table, columns: &[&str]) -> Rows {
        self.rows_of(table, &self.files_of(table), columns)
    }

    /// Returns the files of `table`, in the order of the manifest.
    pub(crate) fn files_of(&self, table: Table) -> Vec<String> {
        let folder = format!("{table}/");
        let files = self.manifest.files.iter().map(|file| &file.path);
        files
            .filter(|path| path.starts_with(&folder))
            .cloned()
            .collect()
    }

    /// Returns the rows of one file.
    pub(crate) fn file_rows(&self, table: Table, file: &str, columns: &[&str]) -> Rows {
        self.rows_of(table, &[file.to_owned()], columns)
    }

    fn rows_of(&self, table: Table, files: &[String], columns: &[&str]) -> Rows {
        Rows {
            store: self.store.clone(),
            table,
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            files: files
                .iter()
                .map(|file| in_folder(&self.path, file))
                .collect(),
            current: None,
        }
    }
}

fn in_folder(folder: &str, file: &str) -> String {
    if folder.is_empty() {
        file.to_owned()
    } else {
        format!("{folder}/{file}")
    }
}

/// Rows of a snapshot's table, batch by batch.
#[derive(Debug)]
pub struct Rows {
    store: Store,
    table: Table,
    columns: Vec<String>,
    files: VecDeque<String>,
    current: Option<Batches>,
}

impl Rows {
    /// Returns the next batch, or nothing when all rows were returned.
    ///
    /// # Errors
    /// When the store fails, a file is damaged, or there is no such column.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, DatasetError> {
        loop {
            if let Some(batches) = self.current.take() {
                // Decoding a batch takes milliseconds, which the caller's thread must not lose.
                let step = move || {
                    let mut batches = batches;
                    (batches.next(), batches)
                };
                let (batch, batches) = tokio::task::spawn_blocking(step)
                    .await
                    .map_err(|_| DatasetError::Closed)?;
                if let Some(batch) = batch {
                    self.current = Some(batches);
                    return batch.map(Some);
                }
            }
            let Some(path) = self.files.pop_front() else {
                return Ok(None);
            };
            let source = Source::open(&self.store, &path).await?;
            let (table, columns) = (self.table, self.columns.clone());
            let begin = move || {
                let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
                read(source, &path, table, &columns)
            };
            let begun = tokio::task::spawn_blocking(begin).await;
            self.current = Some(begun.map_err(|_| DatasetError::Closed)??);
        }
    }

    /// Returns all remaining batches.
    ///
    /// # Errors
    /// As [`Rows::next`].
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>, DatasetError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await? {
            batches.push(batch);
        }
        Ok(batches)
    }
}
