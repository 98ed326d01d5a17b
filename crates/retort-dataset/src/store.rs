//! Where datasets live: a thin layer over object storage with durable writes.
//!
//! Paths are relative to the store's address and use `/`. Nothing rests on conditional writes:
//! names that must not clash carry random parts, and what is written twice is the same bytes. An
//! object is there as a whole or not at all, also when it is sent in parts.

mod connect;
pub mod doctor;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};
use rand::TryRng as _;
use rand::rngs::SysRng;
use retort_types::{CampaignId, Timestamp};

use crate::{DatasetError, StoreError};

pub use connect::{Environment, StoreSettings};

/// Parts of one object that are on their way at the same time: with parts of 8 MiB, 32 MiB that
/// are in memory anyway.
const PARTS_AT_ONCE: usize = 4;

/// A store: a folder of this machine, or anything else that speaks the `object_store` interface.
#[derive(Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    url: Arc<str>,
    /// The folder behind it, which allows partial reads without a copy and renames of folders.
    folder: Option<Arc<FilePath>>,
    /// Bytes above which an object is sent in parts of this size.
    part_bytes: Option<NonZeroUsize>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.url)
    }
}

/// An object of a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectInfo {
    /// Its path.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last written, by the store's clock.
    pub written_at: Timestamp,
}

impl Store {
    /// Opens the folder at `url` (a path or `file:///a/folder`), which is created.
    ///
    /// # Errors
    /// As [`Store::connect`], and when the store is beyond this machine: that needs credentials.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Self::connect(url, &StoreSettings::default(), &Environment::new())
    }

    fn open_folder(folder: &FilePath) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(|source| StoreError::Failed {
            doing: "create folder",
            path: folder.display().to_string(),
            source: Box::new(source),
        })?;
        Self::open_existing(folder)
    }

    /// Opens the store in `folder`, which must be there.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn open_existing(folder: &FilePath) -> Result<Self, StoreError> {
        let folder = folder.canonicalize().map_err(|source| StoreError::Failed {
            doing: "open folder",
            path: folder.display().to_string(),
            source: Box::new(source),
        })?;
        let url = format!("file://{}", folder.display());
        let inner = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|error| wrap("open store", &url, error))?
            .with_fsync(true);
        Ok(Self {
            inner: Arc::new(inner),
            url: url.into(),
            folder: Some(folder.into()),
            part_bytes: None,
        })
    }

    /// Returns a store over `inner`, which must make a write durable before it reports success.
    pub fn over(inner: Arc<dyn ObjectStore>, url: &str) -> Self {
        Self {
            inner,
            url: url.into(),
            folder: None,
            part_bytes: None,
        }
    }

    /// Sends objects of more than `part_bytes` in parts of that size.
    #[must_use]
    pub const fn with_parts(mut self, part_bytes: NonZeroUsize) -> Self {
        self.part_bytes = Some(part_bytes);
        self
    }

    /// Returns the store with another between it and whoever asks; partial reads and renames of a
    /// folder stay what they are.
    #[cfg(test)]
    pub(crate) fn wrapped(
        &self,
        wrap: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>,
    ) -> Self {
        Self {
            inner: wrap(Arc::clone(&self.inner)),
            ..self.clone()
        }
    }

    /// Returns the store's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the file behind `path` when the store is a folder.
    pub fn local_path(&self, path: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(path))
    }

    /// Stores `bytes` at `path`, replacing what is there; durable when it returns.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        let at = location(path)?;
        let stored = match self.part_bytes {
            Some(part) if bytes.len() > part.get() => self.put_parts(&at, bytes, part).await,
            _ => self.inner.put(&at, bytes.into()).await.map(drop),
        };
        stored.map_err(|error| self.refused("store", path, error))
    }

    /// Stores `bytes` part by part; readers see nothing until the last part is there.
    async fn put_parts(
        &self,
        at: &Path,
        mut bytes: Bytes,
        part: NonZeroUsize,
    ) -> object_store::Result<()> {
        let mut upload = self.inner.put_multipart(at).await?;
        let mut parts = Vec::with_capacity(bytes.len().div_ceil(part.get()));
        while !bytes.is_empty() {
            let next = bytes.split_to(part.get().min(bytes.len()));
            parts.push(upload.put_part(next.into()));
        }
        let sent = futures_util::stream::iter(parts)
            .buffer_unordered(PARTS_AT_ONCE)
            .try_collect::<()>()
            .await;
        match sent {
            Ok(()) => upload.complete().await.map(drop),
            Err(error) => {
                abandon(upload).await;
                Err(error)
            }
        }
    }

    /// Stores `bytes` at `path` unless something is there, and returns whether it did.
    ///
    /// Not every object store keeps this promise under a race, so nothing may rest on it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<bool, StoreError> {
        let options = PutOptions::from(PutMode::Create);
        let at = location(path)?;
        let payload = bytes.clone().into();
        match self.inner.put_opts(&at, payload, options).await {
            Ok(_) => Ok(true),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(false),
            Err(
                object_store::Error::NotImplemented { .. }
                | object_store::Error::NotSupported { .. },
            ) => self.put_unless_seen(path, bytes).await,
            Err(error) => Err(self.refused("store", path, error)),
        }
    }

    /// What is left to do where the store knows no conditions: look first.
    async fn put_unless_seen(&self, path: &str, bytes: Bytes) -> Result<bool, StoreError> {
        match self.get(path).await {
            Ok(_) => Ok(false),
            Err(error) if error.is_not_found() => self.put(path, bytes).await.map(|()| true),
            Err(error) => Err(error),
        }
    }

    /// Returns the bytes at `path`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is nothing, another when the store fails.
    pub async fn get(&self, path: &str) -> Result<Bytes, StoreError> {
        let read = async { self.inner.get(&location(path)?).await?.bytes().await };
        read.await.map_err(|error| wrap("read", path, error))
    }

    /// Returns the bytes of `path` in `range`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is nothing, another when the store fails.
    pub async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.inner
            .get_range(&location(path)?, range)
            .await
            .map_err(|error| wrap("read", path, error))
    }

    /// Returns the paths of everything below the folder `prefix`, sorted.
    ///
    /// # Errors
    /// When the store fails; a folder that is not there is empty.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let objects = self.list_objects(prefix).await?;
        Ok(objects.into_iter().map(|object| object.path).collect())
    }

    /// Returns everything below the folder `prefix` with its length, sorted by path.
    ///
    /// # Errors
    /// When the store fails; a folder that is not there is empty.
    pub async fn list_objects(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let folder = location(prefix)?;
        let folder = (!prefix.is_empty()).then_some(&folder);
        let listed: Result<Vec<_>, _> = self
            .inner
            .list(folder)
            .map_ok(|meta| ObjectInfo {
                path: meta.location.to_string(),
                size: meta.size,
                written_at: Timestamp::from_micros(meta.last_modified.timestamp_micros()),
            })
            .try_collect()
            .await;
        match listed {
            Ok(mut objects) => {
                objects.sort();
                Ok(objects)
            }
            Err(object_store::Error::NotFound { .. }) if self.folder.is_some() => Ok(Vec::new()),
            Err(error) => Err(self.refused("list", prefix, error)),
        }
    }

    /// Removes `path`; nothing there is no error.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete(&self, path: &str) -> Result<(), StoreError> {
        match self.inner.delete(&location(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(wrap("delete", path, error)),
        }
    }

    /// Returns the names of the folders and of the objects right below the folder `prefix`, each
    /// sorted.
    ///
    /// # Errors
    /// When the store fails; a folder that is not there is empty.
    pub async fn list_folder(
        &self,
        prefix: &str,
    ) -> Result<(Vec<String>, Vec<String>), StoreError> {
        let listed = self
            .inner
            .list_with_delimiter(Some(&location(prefix)?))
            .await;
        let listed = listed.map_err(|error| self.refused("list", prefix, error))?;
        let name = |path: &Path| path.filename().map(str::to_owned);
        let mut folders: Vec<String> = listed.common_prefixes.iter().filter_map(name).collect();
        let objects = listed.objects.iter();
        let mut files: Vec<String> = objects.filter_map(|meta| name(&meta.location)).collect();
        folders.sort();
        files.sort();
        Ok((folders, files))
    }

    /// Copies `from` to `to`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn copy(&self, from: &str, to: &str) -> Result<(), StoreError> {
        self.inner
            .copy(&location(from)?, &location(to)?)
            .await
            .map_err(|error| wrap("copy", from, error))
    }

    /// Wraps the failure of a request that names no object which could be missing: beyond this
    /// machine it is the bucket that is not there.
    fn refused(&self, doing: &'static str, path: &str, error: object_store::Error) -> StoreError {
        if self.folder.is_none() && is_absent(&error) {
            return StoreError::NoBucket {
                url: self.url.to_string(),
            };
        }
        wrap(doing, path, error)
    }
}

/// Returns whether a store says that something is not there. Of listings the interface passes that
/// on as text only.
fn is_absent(error: &object_store::Error) -> bool {
    if matches!(error, object_store::Error::NotFound { .. }) {
        return true;
    }
    let text = error.to_string();
    let codes = ["404 Not Found", "NoSuchBucket", "ContainerNotFound"];
    codes.iter().any(|code| text.contains(code))
}

/// Gives an upload up, so that its parts take no room. A store that fails cannot be told; its
/// rules for old uploads apply then.
async fn abandon(mut upload: Box<dyn MultipartUpload>) {
    if let Err(error) = upload.abort().await {
        tracing::debug!(error = %error, "an upload that broke off could not be given up");
    }
}

/// Returns the folder of a campaign.
pub fn campaign_folder(campaign: &CampaignId) -> String {
    format!("campaigns/{campaign}")
}

/// Returns the folder of a campaign's segments.
pub fn segments_folder(campaign: &CampaignId) -> String {
    format!("campaigns/{campaign}/segments")
}

/// Returns the folder of a campaign's snapshots.
pub fn snapshots_folder(campaign: &CampaignId) -> String {
    format!("campaigns/{campaign}/snapshots")
}

/// Returns a fresh `UUIDv7`: names that carry one sort by time and never clash.
pub(crate) fn fresh_uuid(now: Timestamp) -> Result<uuid::Uuid, DatasetError> {
    let mut random = [0; 10];
    SysRng
        .try_fill_bytes(&mut random)
        .map_err(|error| DatasetError::System {
            doing: "get random bytes from the system",
            source: std::io::Error::other(error),
        })?;
    let millis = u64::try_from(now.as_micros() / 1_000).unwrap_or(0);
    Ok(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
}

fn location(path: &str) -> Result<Path, StoreError> {
    Path::parse(path).map_err(|error| StoreError::Failed {
        doing: "use path",
        path: path.to_owned(),
        source: Box::new(error),
    })
}

impl From<StoreError> for object_store::Error {
    fn from(error: StoreError) -> Self {
        Self::Generic {
            store: "path",
            source: Box::new(error),
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is the interface's and open; whatever else it says is a failure"
)]
fn wrap(doing: &'static str, path: &str, error: object_store::Error) -> StoreError {
    let path = path.to_owned();
    match error {
        object_store::Error::NotFound { .. } => StoreError::NotFound { path },
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => StoreError::Forbidden {
            doing,
            path,
            source: Box::new(error),
        },
        error => StoreError::Failed {
            doing,
            path,
            source: Box::new(error),
        },
    }
}
