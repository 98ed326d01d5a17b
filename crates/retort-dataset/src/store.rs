//! Where datasets live: a thin layer over object storage with durable writes.
//!
//! Paths are relative to the store's address and use `/`. Nothing rests on conditional writes:
//! names that must not clash carry random parts, and what is written twice is the same bytes.

use std::fmt;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};
use rand::TryRng as _;
use rand::rngs::SysRng;
use retort_types::{CampaignId, Timestamp};

use crate::{DatasetError, StoreError};

/// A store: a folder of this machine, or anything else that speaks the `object_store` interface.
#[derive(Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    url: Arc<str>,
    /// The folder behind it, which allows partial reads without a copy and renames of folders.
    folder: Option<Arc<FilePath>>,
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
}

impl Store {
    /// Opens the store at `url`: `file:///a/folder` or the path of a folder, which is created.
    ///
    /// # Errors
    /// When the address is not one, names another kind of store, or the folder cannot be made.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let folder = folder_of(url)?;
        std::fs::create_dir_all(&folder).map_err(|source| StoreError::Failed {
            doing: "create folder",
            path: folder.display().to_string(),
            source: Box::new(source),
        })?;
        Self::open_existing(&folder)
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
        })
    }

    /// Returns a store over `inner`, which must make a write durable before it reports success.
    pub fn over(inner: Arc<dyn ObjectStore>, url: &str) -> Self {
        Self {
            inner,
            url: url.into(),
            folder: None,
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
        self.inner
            .put(&location(path)?, bytes.into())
            .await
            .map_err(|error| wrap("store", path, error))?;
        Ok(())
    }

    /// Stores `bytes` at `path` unless something is there, and returns whether it did.
    ///
    /// Not every object store keeps this promise under a race, so nothing may rest on it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<bool, StoreError> {
        let options = PutOptions::from(PutMode::Create);
        match self
            .inner
            .put_opts(&location(path)?, bytes.into(), options)
            .await
        {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(wrap("store", path, error)),
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
            })
            .try_collect()
            .await;
        match listed {
            Ok(mut objects) => {
                objects.sort();
                Ok(objects)
            }
            Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(wrap("list", prefix, error)),
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
        let listed = listed.map_err(|error| wrap("list", prefix, error))?;
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

fn wrap(doing: &'static str, path: &str, error: object_store::Error) -> StoreError {
    if matches!(error, object_store::Error::NotFound { .. }) {
        return StoreError::NotFound {
            path: path.to_owned(),
        };
    }
    StoreError::Failed {
        doing,
        path: path.to_owned(),
        source: Box::new(error),
    }
}

fn folder_of(url: &str) -> Result<PathBuf, StoreError> {
    let invalid = |rule| StoreError::InvalidUrl {
        url: url.to_owned(),
        rule,
    };
    if url.trim().is_empty() {
        return Err(invalid("the address is empty"));
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return Ok(PathBuf::from(url));
    };
    if scheme != "file" {
        return Err(StoreError::Unsupported {
            url: url.to_owned(),
            scheme: scheme.to_owned(),
        });
    }
    if rest.starts_with('/') {
        Ok(PathBuf::from(rest))
    } else {
        Err(invalid("a file address has three slashes: file:///folder"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &tempfile::TempDir) -> Store {
        Store::open(dir.path().to_str().expect("a path in UTF-8")).expect("a folder opens")
    }

    #[tokio::test]
    async fn stores_reads_lists_and_deletes() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        store.put("a/b/2.json", "two".into()).await.unwrap();
        store.put("a/1.json", "one".into()).await.unwrap();
        store.put("ab/3.json", "three".into()).await.unwrap();
        assert_eq!(store.list("a").await.unwrap(), ["a/1.json", "a/b/2.json"]);
        assert_eq!(store.list("nothing").await.unwrap(), Vec::<String>::new());
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let listed = store.list_folder("a").await.unwrap();
        assert_eq!(listed, (names(&["b"]), names(&["1.json"])));
        let listed = store.list_folder("nothing").await.unwrap();
        assert_eq!(listed, (names(&[]), names(&[])));
        assert_eq!(store.get("a/1.json").await.unwrap(), "one");
        assert_eq!(store.get_range("ab/3.json", 1..3).await.unwrap(), "hr");
        store.copy("a/1.json", "c/1.json").await.unwrap();
        store.delete("a/1.json").await.unwrap();
        store.delete("a/1.json").await.unwrap();
        assert!(store.get("a/1.json").await.unwrap_err().is_not_found());
        assert_eq!(store.get("c/1.json").await.unwrap(), "one");
        let file = store.local_path("c/1.json").unwrap();
        assert_eq!(std::fs::read(file).unwrap(), b"one");
    }

    #[tokio::test]
    async fn a_second_creation_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        assert!(store.put_if_absent("x", "1".into()).await.unwrap());
        assert!(!store.put_if_absent("x", "2".into()).await.unwrap());
        assert_eq!(store.get("x").await.unwrap(), "1");
    }

    #[tokio::test]
    async fn a_path_cannot_leave_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        assert!(store.put("../x", "1".into()).await.is_err());
        assert!(store.get("a/../../x").await.is_err());
    }

    #[test]
    fn addresses() {
        let message = |url: &str| Store::open(url).unwrap_err().to_string();
        insta::assert_snapshot!(
            [message("s3://bucket/x"), message("file://x"), message("")].join("\n"),
            @r"
        failed to open store `s3://bucket/x`: `s3` stores are not supported, only folders (a path or file:///...)
        failed to open store `file://x`: a file address has three slashes: file:///folder
        failed to open store ``: the address is empty
        "
        );
        let dir = tempfile::tempdir().unwrap();
        let url = format!("file://{}/new", dir.path().display());
        assert!(Store::open(&url).unwrap().url().ends_with("/new"));
    }
}
