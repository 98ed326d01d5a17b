//! Where the pace of a domain outlives its owner: limits learned, requests of the day, blocks.
//!
//! On one machine this is a folder that all stores share, since a quota belongs to an account and
//! not to a dataset; a lock file in it keeps two processes from spending one quota at the same time.
//! In a fleet it is the store that all workers share, and the broker says whose a domain is.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use retort_dataset::{Store, StoreError};
use retort_pace::DomainState;
use retort_types::{DomainId, WallClock};
use tokio::time::Instant;

use crate::record::fresh_id;

/// States of a domain that are kept: the newest is read, older ones guard against a torn one.
const KEPT_STATES: usize = 3;

/// How often a state is saved of which only counts of the day changed. The next owner of a domain
/// begins with nothing saved up whatever it reads, and what is acknowledged is saved before that, so
/// that a kill loses the counts of what is asked again.
const COUNTS_EVERY: Duration = Duration::from_secs(5);

/// The pace states of domains and the locks that guard them.
#[derive(Debug)]
pub struct PaceStore {
    store: Store,
    lock_dir: Option<PathBuf>,
    saved: Mutex<BTreeMap<DomainId, Saved>>,
}

/// What this process saved last of a domain.
#[derive(Debug, Default)]
struct Saved {
    state: Option<DomainState>,
    at: Option<Instant>,
    name: Option<String>,
    /// Names of all that is there, oldest first.
    names: VecDeque<String>,
    /// Whether states that others saved may be there, which are then looked for.
    others: bool,
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

    fn saved(&self) -> MutexGuard<'_, BTreeMap<DomainId, Saved>> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a state should be saved before anything asks for it: at once when more than
    /// counts of the day changed, as a wait that a provider asked for, and otherwise so long after
    /// the last time, `prompt` shortening that.
    pub(super) fn is_due(
        &self,
        domain: &DomainId,
        state: &DomainState,
        prompt: bool,
        now: Instant,
    ) -> bool {
        let saved = self.saved();
        let Some(Saved {
            state: Some(last),
            at: Some(at),
            ..
        }) = saved.get(domain)
        else {
            return true;
        };
        let waited = now.saturating_duration_since(*at);
        prompt || waited >= COUNTS_EVERY || uncounted(last) != uncounted(state)
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
                    let mut saved = self.saved();
                    let own = saved.entry(domain.clone()).or_default();
                    own.others = true;
                    let is_own = own.name.as_ref() == Some(&name);
                    return Ok(Some(Found { state, is_own }));
                }
                Err(error) => {
                    tracing::warn!(domain.id = %domain, error = %error, "a pace state is unreadable");
                }
            }
        }
        Ok(None)
    }

    /// Saves a state unless it is the one saved last: one put, and one deletion of an older one.
    pub(super) async fn save(
        &self,
        domain: &DomainId,
        state: &DomainState,
        clock: &dyn WallClock,
    ) -> Result<(), StoreError> {
        let others = match self.saved().get(domain) {
            Some(saved) if saved.state.as_ref() == Some(state) => return Ok(()),
            Some(saved) => saved.others || saved.names.is_empty(),
            None => true,
        };
        let Ok(text) = serde_json::to_vec(state) else {
            return Ok(());
        };
        let name = format!("domains/{domain}/{}.json", fresh_id(clock));
        self.store.put(&name, text.into()).await?;
        let found = if others {
            Some(self.names(domain).await?)
        } else {
            None
        };
        let old = {
            let mut known = self.saved();
            let saved = known.entry(domain.clone()).or_default();
            saved.state = Some(state.clone());
            saved.at = Some(Instant::now());
            saved.names.push_back(name.clone());
            saved.name = Some(name);
            if let Some(found) = found {
                saved.names = found.into();
                saved.others = false;
            }
            let old = saved.names.len().saturating_sub(KEPT_STATES);
            saved.names.drain(..old).collect::<Vec<String>>()
        };
        for old in old {
            self.store.delete(&old).await?;
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

/// Returns a state without what was counted of the day.
fn uncounted(state: &DomainState) -> DomainState {
    let mut state = state.clone();
    for group in std::iter::once(&mut state.whole).chain(state.groups.values_mut()) {
        group.day = None;
    }
    state
}

fn holder(path: &Path) -> String {
    match std::fs::read_to_string(path) {
        Ok(pid) if !pid.trim().is_empty() => format!("process {} holds it", pid.trim()),
        _ => "another process holds it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use retort_types::Timestamp;
    use serde_json::json;

    use super::*;

    /// A clock that runs on with each look at it.
    #[derive(Debug, Default)]
    struct Clock(AtomicI64);

    impl WallClock for Clock {
        fn now(&self) -> Timestamp {
            let seconds = self.0.fetch_add(1, Ordering::Relaxed);
            Timestamp::from_micros(seconds * 1_000_000)
        }
    }

    fn state(requests: u64, blocked: bool) -> DomainState {
        let mut whole = json!({ "day": { "date": "2026-11-26", "requests": requests } });
        if blocked {
            whole["blocked"] =
                json!({ "until": "2026-11-26T10:00:00Z", "reason": "asked to wait" });
        }
        serde_json::from_value(
            json!({ "schema": retort_pace::PACE_SCHEMA, "domain": "d", "whole": whole }),
        )
        .unwrap()
    }

    fn store(folder: &tempfile::TempDir) -> PaceStore {
        let store = Store::open(&folder.path().display().to_string()).unwrap();
        PaceStore::new(store, None)
    }

    #[tokio::test]
    async fn states_are_saved_once_and_few_are_kept() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::default());
        let domain = DomainId::new("d").unwrap();
        let one = store(&folder);
        assert!(one.load(&domain).await.unwrap().is_none());
        for requests in 1..=5 {
            for _ in 0..2 {
                one.save(&domain, &state(requests, false), &clock)
                    .await
                    .unwrap();
            }
            let kept = usize::try_from(requests).unwrap().min(KEPT_STATES);
            assert_eq!(one.names(&domain).await.unwrap().len(), kept);
        }
        let found = one.load(&domain).await.unwrap().unwrap();
        assert_eq!((found.state, found.is_own), (state(5, false), true));
        // The next owner reads it, and what it leaves takes the place of it.
        let other = store(&folder);
        let found = other.load(&domain).await.unwrap().unwrap();
        assert_eq!((found.state, found.is_own), (state(5, false), false));
        for requests in 6..=9 {
            other
                .save(&domain, &state(requests, false), &clock)
                .await
                .unwrap();
        }
        assert_eq!(other.names(&domain).await.unwrap().len(), KEPT_STATES);
        // Back again: what it saved last is no longer the newest.
        let found = one.load(&domain).await.unwrap().unwrap();
        assert_eq!((found.state, found.is_own), (state(9, false), false));
        one.save(&domain, &state(10, false), &clock).await.unwrap();
        assert_eq!(one.names(&domain).await.unwrap().len(), KEPT_STATES);
        let found = other.load(&domain).await.unwrap().unwrap();
        assert_eq!((found.state, found.is_own), (state(10, false), false));
    }

    #[tokio::test]
    async fn only_counts_of_the_day_may_wait() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::default());
        let domain = DomainId::new("d").unwrap();
        let paces = store(&folder);
        let begun = Instant::now();
        assert!(paces.is_due(&domain, &state(1, false), false, begun));
        paces.save(&domain, &state(1, false), &clock).await.unwrap();
        assert!(!paces.is_due(&domain, &state(2, false), false, begun));
        assert!(paces.is_due(&domain, &state(2, true), false, begun));
        assert!(paces.is_due(&domain, &state(2, false), true, begun));
        let later = Instant::now() + COUNTS_EVERY;
        assert!(paces.is_due(&domain, &state(2, false), false, later));
    }
}
