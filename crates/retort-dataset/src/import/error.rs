//! What can be wrong with an import: which file and row, and what helps.

use std::fmt;

use retort_types::CampaignId;

use crate::{DatasetError, SealError, StoreError};

/// An import failed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file could not be read.
    #[error("failed to read `{file}`")]
    File {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file holds something that is no reply.
    #[error("`{file}`{place}: {what}")]
    Bad {
        /// The file.
        file: String,
        /// Where in it.
        place: Place,
        /// What is wrong.
        what: String,
        /// What helps.
        hint: Option<String>,
    },
    /// No file holds a reply.
    #[error("the files hold no replies")]
    Empty,
    /// A file is not what it was when it was checked.
    #[error("a file changed while it was imported")]
    Changed,
    /// The id is taken by another campaign or by an import of other files.
    #[error("campaign `{0}` exists with other content")]
    Taken(CampaignId),
    /// Rows could not be stored or sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl ImportError {
    /// Returns what helps, where something is known to.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Bad { hint, .. } => hint.as_deref(),
            Self::Taken(_) => Some("an import of other files needs another id"),
            Self::Changed => Some("run the same command again once nothing writes the files"),
            Self::File { .. } | Self::Empty | Self::Seal(_) => None,
        }
    }
}

impl From<DatasetError> for ImportError {
    fn from(error: DatasetError) -> Self {
        Self::Seal(error.into())
    }
}

impl From<StoreError> for ImportError {
    fn from(error: StoreError) -> Self {
        Self::Seal(error.into())
    }
}

/// Where in a file something is; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    File,
    /// A line.
    Line(u64),
    /// A row of a table, without its heading.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => Ok(()),
            Self::Line(number) => write!(f, ", line {number}"),
            Self::Row(number) => write!(f, ", row {number}"),
        }
    }
}

/// A place in a named file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position<'a> {
    pub(super) file: &'a str,
    pub(super) place: Place,
}

impl Position<'_> {
    /// Returns an error about this place.
    pub(super) fn bad(&self, what: impl Into<String>) -> ImportError {
        ImportError::Bad {
            file: self.file.to_owned(),
            place: self.place,
            what: what.into(),
            hint: None,
        }
    }

    /// Returns an error about this place with what helps.
    pub(super) fn bad_hint(&self, what: impl Into<String>, hint: impl Into<String>) -> ImportError {
        ImportError::Bad {
            file: self.file.to_owned(),
            place: self.place,
            what: what.into(),
            hint: Some(hint.into()),
        }
    }
}
