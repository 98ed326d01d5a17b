//! What happened in a simulated world, in order: what is checked, and what must repeat exactly.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use retort_types::{SampleId, Timestamp, WallClock};
use tokio::time::Instant;

use crate::chance::{Chance, FNV_BASIS, hash};

/// Place in the order of everything that happened.
pub(crate) type Step = u64;

/// One request that a provider got.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Microseconds since the world began.
    pub(crate) at_us: u64,
    pub(crate) domain: String,
    pub(crate) sample: SampleId,
    /// Which life of which process sent it.
    pub(crate) by: String,
    /// When a complete answer had been given, if one was.
    pub(crate) answered: Option<Step>,
}

/// A segment that was stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) step: Step,
    pub(crate) path: String,
    pub(crate) bytes: Bytes,
}

/// A sample that was published.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) step: Step,
    pub(crate) sample: SampleId,
    pub(crate) by: String,
}

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) requests: Vec<Request>,
    pub(crate) stored: Vec<Stored>,
    /// Samples that a broker was told to forget, and forgot.
    pub(crate) acknowledged: Vec<(Step, SampleId)>,
    pub(crate) published: Vec<Published>,
    /// When a process began to read a campaign's segments.
    pub(crate) read: Vec<(Step, String)>,
    /// How often a queue of samples went to another session.
    pub(crate) changes: u64,
    /// Messages that came to nothing.
    pub(crate) rejected: u64,
    /// How often each kind of thing went wrong.
    pub(crate) mishaps: BTreeMap<&'static str, u64>,
    owners: BTreeMap<String, u64>,
    step: Step,
    digest: u64,
    lines: Lines,
    text: String,
}

/// What becomes of the lines of a journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Lines {
    /// Only their digest is kept.
    #[default]
    Forgotten,
    /// They are kept.
    Kept,
    /// They are told at once.
    Told,
}

/// The journal of one world.
pub(crate) struct Journal {
    begun: Instant,
    told: Mutex<Told>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

impl Journal {
    /// Begins a journal.
    pub(crate) fn new(lines: Lines) -> Self {
        let told = Told {
            digest: FNV_BASIS,
            lines,
            ..Told::default()
        };
        Self {
            begun: Instant::now(),
            told: Mutex::new(told),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn at_us(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Takes down one line and returns its step.
    pub(crate) fn note(&self, line: fmt::Arguments<'_>) -> Step {
        let at_us = self.at_us();
        self.lock().note(at_us, line)
    }

    pub(crate) fn request(&self, domain: &str, sample: SampleId, by: &str) -> usize {
        let at_us = self.at_us();
        let mut told = self.lock();
        told.note(at_us, format_args!("{by} asks {sample} in {domain}"));
        told.requests.push(Request {
            at_us,
            domain: domain.to_owned(),
            sample,
            by: by.to_owned(),
            answered: None,
        });
        told.requests.len() - 1
    }

    pub(crate) fn answered(&self, request: usize, complete: bool, what: &str) {
        let at_us = self.at_us();
        let mut told = self.lock();
        let sample = told.requests[request].sample;
        let step = told.note(at_us, format_args!("{sample} gets {what}"));
        told.requests[request].answered = complete.then_some(step);
    }

    pub(crate) fn stored(&self, by: &str, path: &str, bytes: Bytes) {
        let at_us = self.at_us();
        let mut told = self.lock();
        // Names are random in part; what is in them is told by its size.
        let step = told.note(at_us, format_args!("{by} stores a segment"));
        told.stored.push(Stored {
            step,
            path: path.to_owned(),
            bytes,
        });
    }

    pub(crate) fn reads(&self, by: &str) {
        let step = self.note(format_args!("{by} reads segments"));
        self.lock().read.push((step, by.to_owned()));
    }

    pub(crate) fn published(&self, sample: SampleId, by: &str, kind: &str) {
        let step = self.note(format_args!("{by} publishes {sample} as {kind}"));
        self.lock().published.push(Published {
            step,
            sample,
            by: by.to_owned(),
        });
    }

    pub(crate) fn acknowledged(&self, sample: SampleId, by: &str) {
        let step = self.note(format_args!("{by} acknowledges {sample}"));
        self.lock().acknowledged.push((step, sample));
    }

    pub(crate) fn rejected(&self, by: &str, reason: &str) {
        self.note(format_args!("{by} rejects: {reason}"));
        self.lock().rejected += 1;
    }

    /// Counts something that goes wrong, beside the lines.
    pub(crate) fn mishap(&self, kind: &'static str) {
        *self.lock().mishaps.entry(kind).or_default() += 1;
    }

    /// Takes note that a session was given a message of a queue.
    pub(crate) fn delivered(&self, queue: &str, session: u64, by: &str) {
        let at_us = self.at_us();
        let mut told = self.lock();
        let before = told.owners.insert(queue.to_owned(), session);
        if before != Some(session) {
            told.note(at_us, format_args!("{queue} goes to {by}"));
            told.changes += u64::from(before.is_some());
        }
    }

    /// Takes what was remembered out.
    pub(crate) fn take(&self) -> Told {
        std::mem::take(&mut *self.lock())
    }
}

impl Told {
    #[expect(clippy::print_stderr, reason = "somebody wants to read it")]
    fn note(&mut self, at_us: u64, line: fmt::Arguments<'_>) -> Step {
        self.step += 1;
        let text = format!("{:>10.3} {line}\n", at_us as f64 / 1e6);
        self.digest = hash(self.digest, text.as_bytes());
        match self.lines {
            Lines::Forgotten => {}
            Lines::Kept => self.text.push_str(&text),
            Lines::Told => eprint!("{text}"),
        }
        self.step
    }

    /// Returns a digest of every line.
    pub(crate) const fn digest(&self) -> u64 {
        self.digest
    }

    /// Returns every line, if they were kept.
    pub(crate) fn lines(&self) -> &str {
        &self.text
    }
}

/// The time of day of a world, and the chance in its names.
#[derive(Debug)]
pub(crate) struct Clock {
    begun: Instant,
    chance: Mutex<Chance>,
}

/// When every world begins: 2026-11-25T22:00:00Z. Two hours later is another day.
const BEGINNING_US: i64 = 1_795_644_000_000_000;

impl Clock {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            begun: Instant::now(),
            chance: Mutex::new(Chance::of(seed, "names")),
        }
    }
}

impl WallClock for Clock {
    fn now(&self) -> Timestamp {
        let elapsed = self.begun.elapsed().as_micros();
        Timestamp::from_micros(BEGINNING_US + i64::try_from(elapsed).unwrap())
    }

    fn chance(&self) -> Option<[u8; 10]> {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&chance.draw().to_be_bytes());
        bytes[8..].copy_from_slice(&chance.draw().to_be_bytes()[..2]);
        Some(bytes)
    }
}
