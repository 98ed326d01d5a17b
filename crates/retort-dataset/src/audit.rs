//! Whether the rows of a snapshot are what was planned and what was received.
//!
//! [`audit`] walks over every row once. What it should say is asked of an [`Oracle`], which knows
//! the plan and can decode an exchange again: for each row a record is made anew, turned into a row
//! by the code that made the first one, and compared column by column. Memory holds some 50 bytes
//! per row and one piece of rows.

mod attempts;
mod columns;
mod compare;
mod imported;
mod responses;
mod tables;
mod tokens;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use retort_types::{AttemptRecord, Digest, Outcome, Prompt};

pub use imported::audit_import;

use crate::exchange::Stored;
use crate::snapshot::{Exchanges, Finding, Place, Snapshot, Unread};
use crate::{DatasetError, ModelRow};

/// Findings that are told in full; of more only the number.
const TOLD_FINDINGS: usize = 100;

/// Knows what rows should say.
pub trait Oracle: Send + Sync {
    /// Returns the number of samples of the plan.
    fn total(&self) -> u64;

    /// Returns the record of the sample at `index` with all that the plan decides, and nothing
    /// received; nothing when the plan has no such sample.
    fn planned(&self, index: u64) -> Option<AttemptRecord>;

    /// Puts what an exchange says into `record`, and tells how far it can be compared.
    ///
    /// # Errors
    /// Why it cannot be decoded, in our words.
    fn decode(&self, stored: &Stored, record: &mut AttemptRecord) -> Result<Comparable, String>;

    /// Returns the prompts of the plan.
    fn prompts(&self) -> &[Prompt];

    /// Returns the models of the plan.
    fn models(&self) -> Vec<ModelRow>;
}

/// How far a row can be compared with its exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparable {
    /// In everything.
    Whole,
    /// In everything but tokens: a secret was replaced, and tokens may hold it in pieces.
    WithoutTokens,
    /// Not at all, for this reason.
    Not(&'static str),
}

/// What was compared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Audited {
    /// Rows of `responses`.
    pub responses: u64,
    /// Rows of `attempts`.
    pub attempts: u64,
    /// Rows of `tokens`.
    pub tokens: u64,
    /// Exchanges that were decoded again and compared.
    pub exchanges: u64,
    /// What differs, at most a hundred of it.
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub more_findings: u64,
    /// Rows that could not be checked, by why.
    pub unchecked: BTreeMap<String, u64>,
}

impl Audited {
    fn find(&mut self, finding: Finding) {
        if self.findings.len() < TOLD_FINDINGS {
            self.findings.push(finding);
        } else {
            self.more_findings += 1;
        }
    }

    fn row(&mut self, file: &str, row: &str, what: impl Into<String>) {
        self.find(Finding {
            file: file.to_owned(),
            row: Some(row.to_owned()),
            what: what.into(),
        });
    }

    fn skip(&mut self, why: &str) {
        *self.unchecked.entry(why.to_owned()).or_default() += 1;
    }
}

/// Compares every row of `snapshot` with the plan, and with its exchange when `exchanges` has it;
/// `progress` is told the rows done, at times.
///
/// # Errors
/// When the store fails. Files that cannot be read are findings.
pub async fn audit(
    snapshot: &Snapshot,
    oracle: &dyn Oracle,
    exchanges: Option<Exchanges>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Audited, DatasetError> {
    let listed = snapshot.manifest.exchanges.iter();
    let samples = usize::try_from(oracle.total()).unwrap_or(usize::MAX);
    let mut auditor = Auditor {
        snapshot,
        oracle,
        exchanges,
        progress,
        listed: listed.map(|file| file.path.as_str()).collect(),
        seen: Vec::new(),
        samples,
        finals: HashMap::new(),
        outcomes: BTreeMap::new(),
        audited: Audited::default(),
    };
    auditor.responses().await?;
    auditor.attempts().await?;
    auditor.finish().await?;
    Ok(auditor.audited)
}

/// Enough of an attempt's id and of what is told of it to compare both.
type Short = [u8; 16];

/// A final row, waiting for its attempt.
#[derive(Debug)]
struct Final {
    /// Over the columns that both tables have.
    facts: Short,
    is_met: bool,
    index: u64,
}

struct Auditor<'a> {
    snapshot: &'a Snapshot,
    oracle: &'a dyn Oracle,
    exchanges: Option<Exchanges>,
    progress: &'a (dyn Fn(u64) + Sync),
    /// Files of exchanges in the manifest.
    listed: BTreeSet<&'a str>,
    /// Which samples of the plan have a row.
    seen: Vec<bool>,
    samples: usize,
    finals: HashMap<Short, Final>,
    outcomes: BTreeMap<String, BTreeMap<Outcome, u64>>,
    audited: Audited,
}

/// What became of looking at a row's exchange.
enum Looked {
    /// The record holds what it says.
    Decoded(Comparable),
    /// It could not be looked at, or is not what the row says; that is noted.
    Noted,
}

impl Auditor<'_> {
    /// Notes that a sample has a row.
    fn see(&mut self, index: u64) -> bool {
        let Some(at) = usize::try_from(index).ok().filter(|at| *at < self.samples) else {
            return true;
        };
        if self.seen.len() <= at {
            self.seen.resize(at + 1, false);
        }
        self.seen
            .get_mut(at)
            .is_none_or(|seen| !std::mem::replace(seen, true))
    }

    /// Puts what the exchange at `place` says into `record`.
    async fn look(
        &mut self,
        (file, row): (&str, &str),
        place: Option<Place>,
        record: &mut AttemptRecord,
    ) -> Result<Looked, DatasetError> {
        let Some(place) = place else {
            if record.outcome != Outcome::NotAsked {
                self.audited.skip("rows without a stored exchange");
            }
            return Ok(Looked::Noted);
        };
        if !self.listed.contains(place.file.as_str()) {
            let what = format!("its file of exchanges, `{}`, is not listed", place.file);
            self.audited.row(file, row, what);
            return Ok(Looked::Noted);
        }
        let Some(exchanges) = &mut self.exchanges else {
            self.audited.skip("exchanges that were not delivered");
            return Ok(Looked::Noted);
        };
        let stored = match exchanges.get(&place).await {
            Ok(stored) => stored,
            Err(Unread::Absent) => {
                self.audited.skip("exchanges that were not delivered");
                return Ok(Looked::Noted);
            }
            Err(Unread::Different(what)) => {
                let what = format!("{what} (`{}` at {})", place.file, place.offset);
                self.audited.row(file, row, what);
                return Ok(Looked::Noted);
            }
            Err(Unread::Failed(error)) => return Err(error),
        };
        let is_its = stored.attempt_id == record.attempt_id
            && stored.sample_id == record.sample.sample_id.to_string();
        if !is_its {
            self.audited
                .row(file, row, "its exchange is of another attempt");
            return Ok(Looked::Noted);
        }
        match self.oracle.decode(&stored, record) {
            Ok(Comparable::Not(why)) => {
                self.audited.skip(why);
                Ok(Looked::Noted)
            }
            Ok(comparable) => {
                self.audited.exchanges += 1;
                Ok(Looked::Decoded(comparable))
            }
            Err(why) => {
                let what = format!("its exchange cannot be decoded: {why}");
                self.audited.row(file, row, what);
                Ok(Looked::Noted)
            }
        }
    }
}

/// Returns the first 16 bytes of the SHA-256 of `bytes`.
fn short(bytes: &[u8]) -> Short {
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(Digest::of(bytes).as_bytes()) {
        *to = *from;
    }
    short
}
