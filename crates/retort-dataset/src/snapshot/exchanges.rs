//! The exchanges that the rows of a snapshot point to, wherever they were delivered.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use retort_types::Digest;

use super::verify::{Finding, difference, hash};
use super::{Snapshot, in_folder};
use crate::exchange::{Stored, is_exchange_file, read};
use crate::segment::Source;
use crate::{DatasetError, Store};

/// Files that are held open, or in memory where the store is no folder: rows that follow each other
/// point to few files, of a few MB.
const OPEN_FILES: usize = 16;

/// Where a row says its exchange is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, below the campaign's folder.
    pub file: String,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}

/// Why an exchange could not be had.
#[derive(Debug)]
pub enum Unread {
    /// Its file was not delivered.
    Absent,
    /// It is not what its row says; why, in our words.
    Different(String),
    /// The store failed.
    Failed(DatasetError),
}

/// Reads exchanges by place.
#[derive(Debug)]
pub struct Exchanges {
    store: Store,
    folder: String,
    open: VecDeque<(String, Opened)>,
}

#[derive(Debug, Clone)]
enum Opened {
    File(Arc<File>),
    Bytes(Bytes),
    Absent,
}

impl Exchanges {
    /// Returns the exchanges below `folder` of `store`: a campaign's folder, or a copy of one.
    pub const fn new(store: Store, folder: String) -> Self {
        Self {
            store,
            folder,
            open: VecDeque::new(),
        }
    }

    /// Returns whether there is any file of exchanges.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_empty(&self) -> Result<bool, DatasetError> {
        let folder = in_folder(&self.folder, "exchanges");
        Ok(self.store.list(&folder).await?.is_empty())
    }

    /// Hashes the files that the manifest lists and returns which of them differ, how many were
    /// hashed and how many are not there; `progress` is told the bytes of each.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn check_files(
        &self,
        snapshot: &Snapshot,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(Vec<Finding>, u64, u64), DatasetError> {
        let (mut findings, mut hashed, mut absent) = (Vec::new(), 0, 0);
        for file in &snapshot.manifest.exchanges {
            if !is_exchange_file(&file.path) {
                let what = "it is listed and no file of exchanges";
                findings.push(Finding::of_file(&file.path, what));
                continue;
            }
            let path = in_folder(&self.folder, &file.path);
            let source = match Source::open(&self.store, &path).await {
                Ok(source) => source,
                Err(error) if error.is_not_found() => {
                    absent += 1;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let (length, digest) = hash(source, &path).await?;
            hashed += 1;
            progress(length);
            findings.extend(difference(file, length, digest));
        }
        Ok((findings, hashed, absent))
    }

    /// Returns the bytes at `place` when they have its SHA-256.
    ///
    /// # Errors
    /// See [`Unread`].
    pub async fn bytes(&mut self, place: &Place) -> Result<Bytes, Unread> {
        if !is_exchange_file(&place.file) {
            return Err(Unread::Different(
                "it points to what is no file of exchanges".to_owned(),
            ));
        }
        let bytes = match self.opened(&place.file).await.map_err(Unread::Failed)? {
            Opened::Absent => return Err(Unread::Absent),
            Opened::Bytes(bytes) => {
                let end = place.offset.checked_add(place.length);
                usize::try_from(place.offset)
                    .ok()
                    .zip(end)
                    .and_then(|(from, end)| {
                        let end = usize::try_from(end).ok()?;
                        (end <= bytes.len()).then(|| bytes.slice(from..end))
                    })
            }
            Opened::File(file) => read_at(&file, place),
        };
        let beyond = || Unread::Different("its exchange ends beyond the file".to_owned());
        let bytes = bytes.ok_or_else(beyond)?;
        if Digest::of(&bytes).to_string() == place.sha256 {
            return Ok(bytes);
        }
        let what = "the SHA-256 of its exchange is not the one it says";
        Err(Unread::Different(what.to_owned()))
    }

    /// Returns the exchange at `place`.
    ///
    /// # Errors
    /// See [`Unread`].
    pub async fn get(&mut self, place: &Place) -> Result<Stored, Unread> {
        let bytes = self.bytes(place).await?;
        read(&bytes).map_err(|why| Unread::Different(format!("its exchange cannot be read: {why}")))
    }

    async fn opened(&mut self, file: &str) -> Result<Opened, DatasetError> {
        if let Some((_, opened)) = self.open.iter().find(|(name, _)| name == file) {
            return Ok(opened.clone());
        }
        let path = in_folder(&self.folder, file);
        let opened = match Source::open(&self.store, &path).await {
            Ok(Source::File(file)) => Opened::File(Arc::new(file)),
            Ok(Source::Bytes(bytes)) => Opened::Bytes(bytes),
            Err(error) if error.is_not_found() => Opened::Absent,
            Err(error) => return Err(error.into()),
        };
        if self.open.len() >= OPEN_FILES {
            self.open.pop_front();
        }
        self.open.push_back((file.to_owned(), opened.clone()));
        Ok(opened)
    }
}

/// Returns the bytes at `place`, or nothing when the file is too short.
fn read_at(mut file: &File, place: &Place) -> Option<Bytes> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let end = place.offset.checked_add(place.length)?;
    if file.metadata().ok()?.len() < end {
        return None;
    }
    file.seek(SeekFrom::Start(place.offset)).ok()?;
    let mut bytes = vec![0; usize::try_from(place.length).ok()?];
    file.read_exact(&mut bytes).ok()?;
    Some(bytes.into())
}
