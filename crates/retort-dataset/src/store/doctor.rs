//! What a store guarantees, tried on the store itself: below a scratch folder that is removed.
//!
//! Retort relies on writes that are whole, durable and seen at once, on listings that show them,
//! and on ranges, copies and deletions. It does not rely on conditional writes, since some stores
//! ignore the condition without a word; what they do is told for those who plan on them.

use std::fmt;
use std::num::NonZeroUsize;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use retort_types::{Digest, Timestamp, WallClock};
use serde::Serialize;

use super::{Store, fresh_uuid};
use crate::{DatasetError, StoreError};

/// Bytes of a part: the least that S3 takes for all but the last one.
const PART_BYTES: usize = 5 << 20;

/// Parts of the large object.
const PARTS: usize = 3;

/// Writers that race for one name.
const RACERS: usize = 16;

/// Objects of the listing: more than one page would need a thousand, which tells nothing more.
const LISTED: usize = 8;

/// Difference of clocks that is none: stores tell whole seconds, and a request takes some time.
const CLOCK_TOLERANCE_MS: i64 = 5_000;

/// Longest text of a failure in the report.
const REASON_CHARS: usize = 300;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// The store keeps the promise.
    Holds,
    /// It does not.
    Broken,
    /// The store refused or failed.
    Failed,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Holds => "holds",
            Self::Broken => "BROKEN",
            Self::Failed => "FAILED",
        })
    }
}

/// One promise and whether it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The promise.
    pub name: &'static str,
    /// Whether Retort relies on it.
    pub needed: bool,
    /// Whether it is kept.
    pub found: Found,
    /// What was seen.
    pub seen: String,
    /// What follows from it.
    pub follows: &'static str,
}

/// What a store guarantees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The store's address.
    pub store: String,
    /// Whether everything holds that Retort relies on.
    pub fit: bool,
    /// The promises, in the order they were tried.
    pub checks: Vec<Check>,
    /// What could not be removed again.
    pub left_behind: Option<String>,
}

/// What is tried: its name, whether it is needed, and what follows when it holds and when not.
struct Promise {
    name: &'static str,
    needed: bool,
    kept: &'static str,
    broken: &'static str,
}

const READ: Promise = Promise {
    name: "read after write",
    needed: true,
    kept: "what was stored can be read at once",
    broken: "a resumed campaign may not see its own plan and status",
};
const OVERWRITE: Promise = Promise {
    name: "read after overwrite",
    needed: true,
    kept: "a status is the newest one",
    broken: "a status may be an old one",
};
const LIST: Promise = Promise {
    name: "list after write",
    needed: true,
    kept: "the ledger sees every segment",
    broken: "samples that were stored may be asked again",
};
const CREATE: Promise = Promise {
    name: "conditional put, one after the other",
    needed: false,
    kept: "a second creation is refused; Retort does not rely on it",
    broken: "a second creation overwrites; Retort does not rely on it",
};
const RACE: Promise = Promise {
    name: "conditional put, 16 at once",
    needed: false,
    kept: "one creation of many wins; Retort does not rely on it",
    broken: "several creations win; Retort does not rely on it",
};
const PARTS_WHOLE: Promise = Promise {
    name: "multipart, 3 parts of 5 MiB",
    needed: true,
    kept: "large files of snapshots are stored whole",
    broken: "large files of snapshots come back damaged",
};
const RANGE: Promise = Promise {
    name: "range reads",
    needed: true,
    kept: "single rows and exchanges are read without their file",
    broken: "reading single rows returns something else",
};
const COPY: Promise = Promise {
    name: "copy",
    needed: true,
    kept: "a snapshot moves from its staging folder to its own",
    broken: "snapshots cannot be published",
};
const DELETE: Promise = Promise {
    name: "delete",
    needed: true,
    kept: "what is deleted is gone, for readers and listings",
    broken: "compacted segments and staging folders stay; they do no harm and take room",
};
const CLOCK: Promise = Promise {
    name: "clock",
    needed: false,
    kept: "requests are signed with the right time",
    broken: "signatures may be refused: stores allow some minutes; set this machine's clock",
};

/// What trying a promise came to: whether it is kept and what was seen.
type Tried = Result<(bool, String), StoreError>;

/// Tries what `store` guarantees; `clock` is this machine's.
///
/// # Errors
/// When the system gives no randomness; what the store does is in the report.
pub async fn examine(store: &Store, clock: &dyn WallClock) -> Result<Report, DatasetError> {
    let part = NonZeroUsize::new(PART_BYTES).unwrap_or(NonZeroUsize::MIN);
    let patient = Patient {
        store: store.clone().with_parts(part),
        folder: format!("doctor-{}", fresh_uuid(clock.now())?),
    };
    let mut checks = vec![check(&READ, patient.read().await)];
    // Without it nothing else says anything.
    if checks.iter().all(|check| check.found == Found::Holds) {
        checks.push(check(&OVERWRITE, patient.overwrite().await));
        checks.push(check(&LIST, patient.list().await));
        checks.push(check(&CREATE, patient.create_twice().await));
        checks.push(check(&RACE, patient.race().await));
        checks.push(check(&PARTS_WHOLE, patient.parts().await));
        checks.push(check(&RANGE, patient.range().await));
        checks.push(check(&COPY, patient.copy().await));
        checks.push(check(&DELETE, patient.delete().await));
        checks.push(check(&CLOCK, patient.clock(clock).await));
    }
    let left = patient.clean().await.err();
    Ok(Report {
        store: store.url().to_owned(),
        fit: checks
            .iter()
            .all(|check| !check.needed || check.found == Found::Holds),
        checks,
        left_behind: left.map(|error| format!("{}: {}", patient.folder, reason(&error))),
    })
}

fn check(promise: &Promise, tried: Tried) -> Check {
    let (found, seen) = match tried {
        Ok((true, seen)) => (Found::Holds, seen),
        Ok((false, seen)) => (Found::Broken, seen),
        Err(error) => (Found::Failed, reason(&error)),
    };
    Check {
        name: promise.name,
        needed: promise.needed,
        found,
        seen,
        follows: match found {
            Found::Holds => promise.kept,
            Found::Broken | Found::Failed => promise.broken,
        },
    }
}

/// Returns an error and its causes, bounded: a store may answer with pages.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().take(REASON_CHARS).collect()
}

/// The store that is examined, and the folder in which.
struct Patient {
    store: Store,
    folder: String,
}

impl Patient {
    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    async fn read(&self) -> Tried {
        let path = self.path("read");
        self.store.put(&path, "one".into()).await?;
        let same = self.store.get(&path).await? == "one";
        Ok((
            same,
            seen(same, "the bytes that were written", "other bytes"),
        ))
    }

    async fn overwrite(&self) -> Tried {
        let path = self.path("read");
        self.store.put(&path, "two".into()).await?;
        let same = self.store.get(&path).await? == "two";
        Ok((same, seen(same, "the newer bytes", "the older bytes")))
    }

    async fn list(&self) -> Tried {
        let names: Vec<String> = (0..LISTED)
            .map(|number| self.path(&format!("list/{number}")))
            .collect();
        let mut missed = 0;
        for (number, name) in names.iter().enumerate() {
            self.store.put(name, "x".into()).await?;
            let listed = self.store.list(&self.path("list")).await?;
            missed += usize::from(names.get(..=number) != Some(&*listed));
        }
        Ok((
            missed == 0,
            format!("{missed} of {LISTED} listings were behind"),
        ))
    }

    async fn create_twice(&self) -> Tried {
        let path = self.path("create");
        let first = self.store.put_if_absent(&path, "first".into()).await?;
        let second = self.store.put_if_absent(&path, "second".into()).await?;
        let stays = self.store.get(&path).await? == "first";
        let holds = first && !second && stays;
        Ok((
            holds,
            seen(
                holds,
                "the second was refused",
                "the second was not refused",
            ),
        ))
    }

    async fn race(&self) -> Tried {
        let path = self.path("race");
        let racers = (0..RACERS).map(|n| {
            let path = &path;
            async move { self.store.put_if_absent(path, format!("{n}").into()).await }
        });
        let mut racers: FuturesUnordered<_> = racers.collect();
        let mut winners = 0;
        while let Some(won) = racers.next().await {
            winners += usize::from(won?);
        }
        Ok((winners == 1, format!("{winners} of {RACERS} won")))
    }

    /// Returns bytes that differ from part to part and from place to place.
    fn large() -> Bytes {
        let bytes = (0..PART_BYTES * PARTS).map(|at| {
            let mixed = at.wrapping_mul(2_654_435_761) >> 13;
            u8::try_from(mixed & 0xff).unwrap_or_default()
        });
        bytes.collect()
    }

    async fn parts(&self) -> Tried {
        let large = Self::large();
        self.store.put(&self.path("large"), large.clone()).await?;
        let back = self.store.get(&self.path("large")).await?;
        let same = Digest::of(&back) == Digest::of(&large);
        Ok((
            same,
            format!(
                "{} of {} bytes came back{}",
                back.len(),
                large.len(),
                seen(same, "", ", changed")
            ),
        ))
    }

    async fn range(&self) -> Tried {
        let (large, border) = (Self::large(), PART_BYTES);
        let path = self.path("large");
        let wide = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let mut right = 0;
        let ranges = [0..1, border - 7..border + 7, large.len() - 1..large.len()];
        for range in &ranges {
            let bytes = self
                .store
                .get_range(&path, wide(range.start)..wide(range.end));
            right += usize::from(large.get(range.clone()) == Some(&*bytes.await?));
        }
        Ok((
            right == ranges.len(),
            format!("{right} of {} ranges were right", ranges.len()),
        ))
    }

    async fn copy(&self) -> Tried {
        let (from, to) = (self.path("read"), self.path("copy"));
        self.store.copy(&from, &to).await?;
        let same = self.store.get(&from).await? == self.store.get(&to).await?;
        Ok((same, seen(same, "the copy is the same", "the copy differs")))
    }

    async fn delete(&self) -> Tried {
        let path = self.path("copy");
        self.store.delete(&path).await?;
        // Again: what is gone already is no error.
        self.store.delete(&path).await?;
        let gone = match self.store.get(&path).await {
            Ok(_) => false,
            Err(error) if error.is_not_found() => true,
            Err(error) => return Err(error),
        };
        let listed = self.store.list(&self.folder).await?.contains(&path);
        let holds = gone && !listed;
        Ok((
            holds,
            seen(holds, "it is gone", "it is still read or listed"),
        ))
    }

    async fn clock(&self, clock: &dyn WallClock) -> Tried {
        let path = self.path("clock");
        let before = clock.now();
        self.store.put(&path, "x".into()).await?;
        let after = clock.now();
        let objects = self.store.list_objects(&self.folder).await?;
        let Some(object) = objects.iter().find(|object| object.path == path) else {
            return Ok((
                false,
                "the listing does not show when it was written".to_owned(),
            ));
        };
        let millis = |at: Timestamp| at.as_micros() / 1_000;
        let written = millis(object.written_at);
        let difference = if written < millis(before) {
            written - millis(before)
        } else {
            (written - millis(after)).max(0)
        };
        let holds = difference.abs() <= CLOCK_TOLERANCE_MS;
        let text = match difference {
            0 => "the store's clock is this machine's".to_owned(),
            ahead if ahead > 0 => format!("the store is {} s ahead", seconds(ahead)),
            behind => format!("the store is {} s behind", seconds(-behind)),
        };
        Ok((holds, text))
    }

    async fn clean(&self) -> Result<(), StoreError> {
        for path in self.store.list(&self.folder).await? {
            self.store.delete(&path).await?;
        }
        match self.store.local_path(&self.folder) {
            Some(folder) => remove_folder(&folder),
            None => Ok(()),
        }
    }
}

fn remove_folder(folder: &std::path::Path) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::Failed {
            doing: "remove",
            path: folder.display().to_string(),
            source: Box::new(error),
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn seen(holds: bool, kept: &str, broken: &str) -> String {
    if holds { kept } else { broken }.to_owned()
}

/// Returns whole seconds of milliseconds, up: a difference under a second is still one.
const fn seconds(millis: i64) -> i64 {
    (millis + 999) / 1_000
}
