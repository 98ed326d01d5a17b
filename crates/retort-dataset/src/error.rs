//! What can fail, split by what a caller can do about it. What a provider does is never an error.

use std::path::PathBuf;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;
use retort_types::Digest;

use crate::spool::BinaryError;

/// The store failed, or was asked for something it does not have.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such object.
    #[error("`{path}` is not in the store")]
    NotFound {
        /// What was asked for.
        path: String,
    },
    /// The address names a kind of store that there is none of.
    #[error(
        "failed to open store `{url}`: there are no `{scheme}` stores, only folders (a path or file:///…), s3://, gs:// and az://"
    )]
    Unsupported {
        /// The address as given.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// Nothing says with which credentials the store is to be asked.
    #[error("failed to open store `{url}`: no credentials, set {usual}")]
    NoCredentials {
        /// The address as given.
        url: String,
        /// The variables that usually name them.
        usual: &'static str,
    },
    /// The store has no such bucket or container.
    #[error("there is no bucket behind `{url}`")]
    NoBucket {
        /// The store's address.
        url: String,
    },
    /// The store does not let these credentials do this.
    #[error("not allowed to {doing} `{path}`")]
    Forbidden {
        /// What was attempted.
        doing: &'static str,
        /// On which object or folder.
        path: String,
        /// What the store said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address is not one.
    #[error("failed to open store `{url}`: {rule}")]
    InvalidUrl {
        /// The address as given.
        url: String,
        /// What it breaks.
        rule: &'static str,
    },
    /// The store's own failure; trying again may help.
    #[error("failed to {doing} `{path}`")]
    Failed {
        /// What was attempted.
        doing: &'static str,
        /// On which object or folder.
        path: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// Returns whether the object is simply not there.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Returns what a person can do about it, where something is known.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoCredentials { .. } => Some(
                "export them; on a machine with a role of its own set `store_access.instance_credentials = true`",
            ),
            Self::NoBucket { .. } => {
                Some("create the bucket, or correct --store, the region or `store_access.endpoint`")
            }
            Self::Forbidden { .. } => Some(
                "the credentials must be valid there and may list, read, write and delete below the store's prefix; `retort store doctor` tries each",
            ),
            Self::NotFound { .. }
            | Self::Unsupported { .. }
            | Self::InvalidUrl { .. }
            | Self::Failed { .. } => None,
        }
    }
}

/// The spool failed.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process writes this spool.
    #[error("the spool `{}` is in use by {holder}", dir.display())]
    Locked {
        /// The spool's folder.
        dir: PathBuf,
        /// Who holds it.
        holder: String,
    },
    /// The spool holds as much as it may; room comes when segments reach the store.
    #[error("the spool is full: {bytes} of {limit} bytes")]
    Full {
        /// What it holds.
        bytes: u64,
        /// What it may hold.
        limit: u64,
    },
    /// A record is larger than a frame may be.
    #[error("a record of {bytes} bytes exceeds the limit of {limit} bytes")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A record has no form that can be stored.
    #[error("failed to encode a record")]
    Encode(#[from] BinaryError),
    /// The file system failed; trying again may help.
    #[error("failed to {doing} `{}`", path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The writer has ended.
    #[error("the dataset writer has ended")]
    Closed,
}

/// Writing or reading a dataset failed.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The spool failed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Rows could not be built.
    #[error("failed to build rows")]
    Rows(#[from] ArrowError),
    /// A Parquet file could not be written or read.
    #[error("failed to process `{path}`")]
    Parquet {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: ParquetError,
    },
    /// A file holds rows of another plan.
    #[error("`{path}` holds rows of plan {found}, not of {expected}")]
    OtherPlan {
        /// The file.
        path: String,
        /// The plan its rows name.
        found: String,
        /// The plan that was meant.
        expected: Digest,
    },
    /// A file holds something that no writer of ours makes.
    #[error("`{path}` is damaged: {what}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// The system gave no thread or no randomness.
    #[error("failed to {doing}")]
    System {
        /// What was attempted.
        doing: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The writer ended before the work was done; what it held is in the spool.
    #[error("the dataset writer has ended")]
    Closed,
}

impl DatasetError {
    /// Returns a [`DatasetError::Parquet`] about `path`.
    pub(crate) fn parquet(path: &str) -> impl FnOnce(ParquetError) -> Self + '_ {
        move |source| Self::Parquet {
            path: path.to_owned(),
            source,
        }
    }

    /// Returns a [`DatasetError::Damaged`] about `path`.
    pub(crate) fn damaged(path: &str, what: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}

/// Sealing failed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Samples have not ended yet.
    #[error("{missing} samples have no final row, the first is number {first}")]
    Incomplete {
        /// How many.
        missing: u64,
        /// The lowest plan index among them.
        first: u64,
    },
    /// Something failed.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}

impl From<StoreError> for SealError {
    fn from(error: StoreError) -> Self {
        Self::Dataset(error.into())
    }
}

impl From<ArrowError> for SealError {
    fn from(error: ArrowError) -> Self {
        Self::Dataset(error.into())
    }
}
