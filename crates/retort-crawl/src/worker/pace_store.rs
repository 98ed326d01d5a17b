//! Where the pace of a domain outlives its owner: limits learned, requests of the day, blocks.
//!
//! On one machine this is a folder that all stores share, since a quota belongs to an account and
//! not to a dataset; a lock file in it keeps two processes from spending one quota at the same time.
//! In a fleet it is the store that all workers share, and the broker says whose a domain is.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use retort_dataset::{Store, StoreError};
use retort_pace::DomainState;
use retort_types::{DomainId, WallClock};

use crate::record::fresh_id;

/// States of a domain that are kept: the newest is read, older ones guard against a torn one.
const KEPT_STATES: usize = 3;

/// The pace states of domains and the locks that guard them.
#[derive(Debug)]
pub struct PaceStore {
    store: Store,
    lock_dir: Option<PathBuf>,
    saved: Mutex<BTreeMap<DomainId, Saved>>,
}

/// What this process saved last of a domain.
#[derive(Debug, Clone)]
struct Saved {
    name: String,
    text: String,
}

/// A state of a domain that was saved.
#[derive(Debug)]
pub(super) struct Found {
    /// What was saved.
    pub(super) state: DomainState,
    /// Whether this process saved it.
    pub(super) is_own: bool,
}

/// A domain that this process owns until dropped.
#[derive(Debug)]
pub(super) struct DomainLock {
    _file: Option<File>,
}

impl PaceStore {
    /// Returns a store of pace states in `store`. With `lock_dir`, domains are locked there
    /// against other processes of this machine; without, a broker's queues must do that.
    pub const fn new(store: Store, lock_dir: Option<PathBuf>) -> Self {
        Self {
            store,
            lock_dir,
            saved: Mutex::new(BTreeMap::new()),
        }
    }

    /// Takes the domain's lock, or tells who holds it.
    pub(super) fn try_lock(
        &self,
        domain: &DomainId,
    ) -> std::io::Result<Result<DomainLock, String>> {
        let Some(dir) = &self.lock_dir else {
            return Ok(Ok(DomainLock { _file: None }));
        };
        std::fs::create_dir_all(dir)?;
        let path = dir.join(format!("{domain}.lock"));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                write!(file, "{}", std::process::id())?;
                Ok(Ok(DomainLock { _file: Some(file) }))
            }
            Err(TryLockError::WouldBlock) => Ok(Err(holder(&path))),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Returns the store itself: in a fleet, the one that holds everything.
    pub(super) const fn store(&self) -> &Store {
        &self.store
    }

    /// Returns whether domains are owned by lock, and not by what a broker delivers.
    pub(super) const fn is_locking(&self) -> bool {
        self.lock_dir.is_some()
    }

    fn last_saved(&self, domain: &DomainId) -> Option<Saved> {
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        saved.get(domain).cloned()
    }

    /// Returns the newest state of a domain that can be read. Not knowing whether there is one is an
    /// error: a quota that was spent must not be spent again.
    pub(super) async fn load(&self, domain: &DomainId) -> Result<Option<Found>, StoreError> {
        let mut names = self.names(domain).await?;
        while let Some(name) = names.pop() {
            let Ok(bytes) = self.store.get(&name).await else {
                continue;
            };
            match serde_json::from_slice(&bytes) {
                Ok(state) => {
                    let own = self.last_saved(domain);
                    let is_own = own.is_some_and(|saved| saved.name == name);
                    return Ok(Some(Found { state, is_own }));
                }
                Err(error) => {
                    tracing::warn!(domain.id = %domain, error = %error, "a pace state is unreadable");
                }
            }
        }
        Ok(None)
    }

    /// Saves a state unless it is the one saved last.
    pub(super) async fn save(
        &self,
        domain: &DomainId,
        state: &DomainState,
        clock: &dyn WallClock,
    ) -> Result<(), StoreError> {
        let Ok(text) = serde_json::to_string(state) else {
            return Ok(());
        };
        let last = self.last_saved(domain);
        if last.is_some_and(|saved| saved.text == text) {
            return Ok(());
        }
        let name = format!("domains/{domain}/{}.json", fresh_id(clock));
        self.store.put(&name, text.clone().into()).await?;
        self.saved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(domain.clone(), Saved { name, text });
        let names = self.names(domain).await?;
        for old in names.iter().rev().skip(KEPT_STATES) {
            self.store.delete(old).await?;
        }
        Ok(())
    }

    /// Names of a domain's states, oldest first: the names sort by time.
    async fn names(&self, domain: &DomainId) -> Result<Vec<String>, StoreError> {
        let mut names = self.store.list(&format!("domains/{domain}")).await?;
        names.sort();
        Ok(names)
    }
}

fn holder(path: &Path) -> String {
    match std::fs::read_to_string(path) {
        Ok(pid) if !pid.trim().is_empty() => format!("process {} holds it", pid.trim()),
        _ => "another process holds it".to_owned(),
    }
}
