//! Where a snapshot is written before it has its place, and what earlier sealers left there.
//!
//! In a folder of this machine, sealers of one campaign take turns: whoever holds the lock of the
//! snapshots' folder knows that every staging folder belongs to a process that died. Elsewhere
//! there are no locks, and none is needed: the name of the staging folder follows from the segments
//! that are sealed, so sealers of the same content write the same bytes to the same names, one that
//! died is carried on by the next, and what other content left is removed once it is old.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use retort_types::{Digest, Timestamp};

use super::keys::InputFile;
use crate::snapshot::publish;
use crate::store::fresh_uuid;
use crate::{DatasetError, Store, StoreError};

/// Begins the names of staging folders.
const NAME: &str = ".staging-";

/// How often a sealer that waits for another looks.
const TURN_PAUSE: Duration = Duration::from_millis(20);

/// Age, by the store's own clock, from which a staging folder of other content is nobody's: a
/// sealer at work writes a file every few seconds.
const OLD: Duration = Duration::from_hours(1);

/// A folder to write a snapshot in.
#[derive(Debug)]
pub(super) struct Staging {
    /// Its path in the store.
    pub(super) path: String,
    snapshots: String,
    /// Held as long as it lives.
    _turn: Option<File>,
}

impl Staging {
    /// Returns a staging folder below `snapshots` for what `files` hold. Waits for another sealer
    /// of the same folder as long as `is_wanted` says so.
    pub(super) fn begin(
        store: &Store,
        snapshots: &str,
        files: &[InputFile],
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Self, DatasetError> {
        let snapshots = snapshots.to_owned();
        let Some(folder) = store.local_path(&snapshots) else {
            return Ok(Self {
                path: format!("{snapshots}/{NAME}{}", content(files).short()),
                snapshots,
                _turn: None,
            });
        };
        let turn = take_turn(&folder, is_wanted)?;
        if turn.is_some() {
            remove_left(&folder);
        }
        Ok(Self {
            path: format!("{snapshots}/{NAME}{}", fresh_uuid(Timestamp::default())?),
            snapshots,
            _turn: turn,
        })
    }

    /// Removes the staging folder and, beyond this machine, those that are old.
    pub(super) async fn end(&self, store: &Store) -> Result<(), StoreError> {
        publish::discard(store, &self.path).await?;
        if store.local_path(&self.snapshots).is_some() {
            return Ok(());
        }
        let objects = store.list_objects(&self.snapshots).await?;
        // The snapshot itself was written just now or long ago; then nothing counts as old.
        let now = objects.iter().map(|object| object.written_at).max();
        let begin = format!("{}/{NAME}", self.snapshots);
        let staged = objects.iter().filter_map(|object| {
            let rest = object.path.strip_prefix(&begin)?;
            Some((rest.split('/').next()?, object.written_at))
        });
        let mut newest = std::collections::BTreeMap::new();
        for (name, written_at) in staged {
            let newest = newest.entry(name).or_insert(written_at);
            *newest = written_at.max(*newest);
        }
        for (name, written_at) in newest {
            if now.is_some_and(|now| now.since(written_at) > OLD) {
                publish::discard(store, &format!("{begin}{name}")).await?;
            }
        }
        Ok(())
    }
}

/// Returns what the snapshot will be made of.
fn content(files: &[InputFile]) -> Digest {
    let mut lines: Vec<String> = files
        .iter()
        .map(|file| format!("{} {}\n", file.listed.sha256, file.listed.path))
        .collect();
    lines.sort_unstable();
    Digest::of(lines.concat().as_bytes())
}

/// Locks `folder`, or returns nothing on a file system without locks.
fn take_turn(folder: &Path, is_wanted: &dyn Fn() -> bool) -> Result<Option<File>, DatasetError> {
    let failed = |source: std::io::Error| StoreError::Failed {
        doing: "open folder",
        path: folder.display().to_string(),
        source: Box::new(source),
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let file = File::open(folder).map_err(failed)?;
    while is_wanted() {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) => std::thread::sleep(TURN_PAUSE),
            Err(TryLockError::Error(error)) => {
                tracing::debug!(error = %error, "no locks here; old staging folders stay");
                return Ok(None);
            }
        }
    }
    Err(DatasetError::Closed)
}

/// Removes the staging folders of processes that died.
fn remove_left(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_staging = entry.file_name().to_string_lossy().starts_with(NAME);
        if !is_staging {
            continue;
        }
        if let Err(error) = std::fs::remove_dir_all(entry.path()) {
            // It is in nobody's way, but takes room.
            tracing::warn!(error = %error, "an old staging folder stays");
        }
    }
}
