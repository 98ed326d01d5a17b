//! The first pass: which rows there are, and which of them the snapshot holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::StringArray;
use bytes::Bytes;
use parquet::file::metadata::RowGroupMetaData;
use retort_types::{Digest, Outcome, Timestamp};

use super::id::Id;
use super::manifest::ManifestFile;
use crate::columns::Reader;
use crate::schema::Table;
use crate::segment::{SegmentName, Source, metadata, read};
use crate::{DatasetError, SealError};

const RESPONSE_KEYS: &[&str] = &[
    "sample_id",
    "attempt_id",
    "plan_hash",
    "plan_index",
    "attempts",
    "finished_at",
    "outcome",
    "has_logprobs",
    "model",
    "suite",
    "prompt_id",
    "arm",
    "round",
    "sample_index",
    "software_version",
    "exchange_file",
];

const ATTEMPT_KEYS: &[&str] = &[
    "attempt_id",
    "plan_hash",
    "plan_index",
    "attempt_no",
    "finished_at",
    "exchange_file",
];

/// A segment file.
#[derive(Debug)]
pub(super) struct InputFile {
    pub(super) name: SegmentName,
    pub(super) listed: ManifestFile,
    /// Uncompressed bytes, which is about what its rows take in memory.
    pub(super) memory: u64,
}

impl InputFile {
    pub(super) fn path(&self) -> &str {
        &self.listed.path
    }

    /// Returns what `rows` of its rows take in memory, about.
    pub(super) fn memory_of(&self, rows: u64) -> u64 {
        let all = self.listed.rows.unwrap_or(0).max(1);
        self.memory.saturating_mul(rows) / all
    }
}

/// A final row of a sample.
#[derive(Debug)]
pub(super) struct Final {
    pub(super) file: u32,
    pub(super) row: u32,
    pub(super) attempt_id: Id,
    pub(super) outcome: Outcome,
    pub(super) has_logprobs: bool,
    pub(super) model: u32,
    /// The file of its exchange, as a name's number.
    exchange: u32,
    attempt_no: u32,
    finished_at: i64,
    sample_id: Id,
    suite: u32,
    prompt_id: u32,
    arm: u32,
    round: u32,
    sample_index: u32,
}

impl Final {
    /// Orders the final rows of one sample: the lowest one is kept.
    fn rank(&self) -> (bool, u32, i64, &Id) {
        let missing = self.outcome.is_missing();
        (missing, self.attempt_no, self.finished_at, &self.attempt_id)
    }
}

/// An attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) file: u32,
    pub(super) row: u32,
    plan_index: u64,
    number: u32,
    finished_at: i64,
    id: Id,
    exchange: u32,
}

/// Texts by number, so that a key does not carry them.
#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<Box<str>, u32>,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(name.into(), number);
        number
    }

    /// Returns whether the first name does not come after the second.
    fn are_in_order(&self, first: u32, second: u32) -> bool {
        if first == second {
            return true;
        }
        let name = |wanted: u32| {
            let mut names = self.numbers.iter();
            names
                .find(|(_, number)| **number == wanted)
                .map(|(name, _)| name)
        };
        name(first) <= name(second)
    }

    /// Returns the names in their order, and each number's place in it.
    fn sorted(&self) -> (Vec<&str>, Vec<usize>) {
        let ordered: BTreeMap<&str, u32> =
            self.numbers.iter().map(|(name, n)| (&**name, *n)).collect();
        let mut places = vec![0; ordered.len()];
        for (place, number) in ordered.values().enumerate() {
            if let Some(slot) = usize::try_from(*number)
                .ok()
                .and_then(|n| places.get_mut(n))
            {
                *slot = place;
            }
        }
        (ordered.into_keys().collect(), places)
    }
}

/// The keys of all rows.
#[derive(Debug)]
pub(super) struct Keys {
    plan_hash: Digest,
    pub(super) files: Vec<InputFile>,
    finals: Vec<Option<Final>>,
    attempts: Vec<Attempt>,
    names: Names,
    /// Files of exchanges; none is the empty name.
    exchanges: Names,
    software: BTreeSet<String>,
}

/// The rows of a snapshot, in its order.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) files: Vec<InputFile>,
    /// Final rows by model, in the order of model names.
    pub(super) finals: Vec<(String, Vec<Final>)>,
    pub(super) attempts: Vec<Attempt>,
    /// The files of exchanges that these rows point to, sorted.
    pub(super) exchanges: Vec<String>,
    /// The software that made the rows.
    pub(super) software: Vec<String>,
}

impl Chosen {
    /// Returns when the newest final row was made; absent when no row tells.
    pub(super) fn last_finished_at(&self) -> Option<Timestamp> {
        let finals = self.finals.iter().flat_map(|(_, finals)| finals);
        let newest = finals.map(|f| f.finished_at).max();
        newest
            .filter(|micros| *micros > 0)
            .map(Timestamp::from_micros)
    }
}

impl Keys {
    pub(super) fn new(plan_hash: Digest, total: u64) -> Self {
        let mut finals = Vec::new();
        finals.resize_with(usize::try_from(total).unwrap_or(usize::MAX), || None);
        Self {
            plan_hash,
            files: Vec::new(),
            finals,
            attempts: Vec::new(),
            names: Names::default(),
            exchanges: Names::default(),
            software: BTreeSet::new(),
        }
    }

    fn add_software(&mut self, software: &StringArray) {
        for version in software.iter().flatten() {
            if !self.software.contains(version) {
                self.software.insert(version.to_owned());
            }
        }
    }

    /// Adds the rows of the segment at `path`.
    pub(super) fn add(&mut self, path: &str, bytes: &Bytes) -> Result<(), DatasetError> {
        let Some((name, table)) = SegmentName::parse(path) else {
            return Ok(());
        };
        let parquet = metadata(&Source::Bytes(bytes.clone()), path)?;
        let memory = parquet.row_groups().iter();
        let memory = memory.map(RowGroupMetaData::total_byte_size).sum::<i64>();
        let file = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        self.files.push(InputFile {
            name,
            listed: ManifestFile {
                path: path.to_owned(),
                bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
                rows: u64::try_from(parquet.file_metadata().num_rows()).ok(),
                sha256: Digest::of(bytes),
            },
            memory: u64::try_from(memory).unwrap_or(0),
        });
        match table {
            Table::Responses => self.add_responses(file, path, bytes),
            Table::Attempts => self.add_attempts(file, path, bytes),
            Table::Tokens | Table::Prompts | Table::Models => Ok(()),
        }
    }

    fn add_responses(&mut self, file: u32, path: &str, bytes: &Bytes) -> Result<(), DatasetError> {
        let mut row_in_file = 0;
        let source = Source::Bytes(bytes.clone());
        for batch in read(source, path, Table::Responses, RESPONSE_KEYS)? {
            let batch = batch?;
            let reader = Reader::new(&batch, path);
            check_plan(&reader, path, self.plan_hash)?;
            let (sample_id, attempt_id) = (reader.text("sample_id")?, reader.text("attempt_id")?);
            let (index, attempts) = (reader.u64("plan_index")?, reader.u32("attempts")?);
            let (finished, outcome) = (reader.time("finished_at")?, reader.text("outcome")?);
            let (model, suite) = (reader.text("model")?, reader.text("suite")?);
            let (prompt_id, arm) = (reader.text("prompt_id")?, reader.text("arm")?);
            let (round, draw) = (reader.u32("round")?, reader.u32("sample_index")?);
            let has_logprobs = reader.boolean("has_logprobs")?;
            let exchange = reader.text("exchange_file")?;
            self.add_software(reader.text("software_version")?);
            for row in 0..batch.num_rows() {
                let found = Final {
                    file,
                    row: row_in_file,
                    attempt_id: Id::of(attempt_id.value(row)),
                    outcome: reader.outcome(outcome, row)?,
                    has_logprobs: has_logprobs.value(row),
                    model: self.names.number(model.value(row)),
                    exchange: self.exchanges.number(exchange.value(row)),
                    attempt_no: attempts.value(row),
                    finished_at: finished.value(row),
                    sample_id: Id::of(sample_id.value(row)),
                    suite: self.names.number(suite.value(row)),
                    prompt_id: self.names.number(prompt_id.value(row)),
                    arm: self.names.number(arm.value(row)),
                    round: round.value(row),
                    sample_index: draw.value(row),
                };
                self.choose(index.value(row), found, path)?;
                row_in_file += 1;
            }
        }
        Ok(())
    }

    fn choose(&mut self, index: u64, found: Final, path: &str) -> Result<(), DatasetError> {
        let slot = usize::try_from(index).ok();
        let Some(slot) = slot.and_then(|index| self.finals.get_mut(index)) else {
            let what = format!("sample {index} is outside the plan");
            return Err(DatasetError::damaged(path, what));
        };
        match slot {
            Some(kept) if kept.sample_id != found.sample_id => {
                let what = format!("sample {index} has another identity than elsewhere");
                Err(DatasetError::damaged(path, what))
            }
            Some(kept) if kept.rank() < found.rank() => Ok(()),
            // One attempt that was stored twice is the same but for the file of its exchange.
            Some(kept)
                if kept.rank() == found.rank()
                    && self.exchanges.are_in_order(kept.exchange, found.exchange) =>
            {
                Ok(())
            }
            _ => {
                *slot = Some(found);
                Ok(())
            }
        }
    }

    fn add_attempts(&mut self, file: u32, path: &str, bytes: &Bytes) -> Result<(), DatasetError> {
        let mut row_in_file = 0;
        let source = Source::Bytes(bytes.clone());
        for batch in read(source, path, Table::Attempts, ATTEMPT_KEYS)? {
            let batch = batch?;
            let reader = Reader::new(&batch, path);
            check_plan(&reader, path, self.plan_hash)?;
            let (index, number) = (reader.u64("plan_index")?, reader.u32("attempt_no")?);
            let (finished, id) = (reader.time("finished_at")?, reader.text("attempt_id")?);
            let exchange = reader.text("exchange_file")?;
            for row in 0..batch.num_rows() {
                self.attempts.push(Attempt {
                    file,
                    row: row_in_file,
                    plan_index: index.value(row),
                    number: number.value(row),
                    finished_at: finished.value(row),
                    id: Id::of(id.value(row)),
                    exchange: self.exchanges.number(exchange.value(row)),
                });
                row_in_file += 1;
            }
        }
        Ok(())
    }

    /// Returns the rows of the snapshot when every sample has one.
    pub(super) fn chosen(mut self) -> Result<Chosen, SealError> {
        let open = |slot: &&Option<Final>| slot.is_none();
        let missing = self.finals.iter().filter(open).count();
        if let Some(first) = self.finals.iter().position(Option::is_none) {
            return Err(SealError::Incomplete {
                missing: u64::try_from(missing).unwrap_or(u64::MAX),
                first: u64::try_from(first).unwrap_or(u64::MAX),
            });
        }
        let attempts = distinct_attempts(std::mem::take(&mut self.attempts), &self.exchanges);
        let finals = std::mem::take(&mut self.finals);
        let exchanges = used_exchanges(&finals, &attempts, &self.exchanges);
        let finals = by_model(finals.into_iter().flatten().collect(), &self.names);
        Ok(Chosen {
            files: self.files,
            finals,
            attempts,
            exchanges,
            software: self.software.into_iter().collect(),
        })
    }
}

fn by_model(mut finals: Vec<Final>, names: &Names) -> Vec<(String, Vec<Final>)> {
    let (sorted, places) = names.sorted();
    let place = |number: u32| {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        places.get(index).copied().unwrap_or(usize::MAX)
    };
    finals.sort_by(|a, b| {
        let key = |f: &Final| {
            let texts = (
                place(f.model),
                place(f.suite),
                place(f.prompt_id),
                place(f.arm),
            );
            (texts, f.round, f.sample_index)
        };
        key(a)
            .cmp(&key(b))
            .then_with(|| a.sample_id.cmp(&b.sample_id))
    });
    let mut groups: Vec<(String, Vec<Final>)> = Vec::new();
    for found in finals {
        match groups.last_mut() {
            Some((_, group)) if group.last().is_some_and(|last| last.model == found.model) => {
                group.push(found);
            }
            _ => {
                let name = sorted.get(place(found.model)).copied().unwrap_or_default();
                groups.push((name.to_owned(), vec![found]));
            }
        }
    }
    groups
}

/// Returns the files of exchanges that chosen rows point to, sorted.
fn used_exchanges(finals: &[Option<Final>], attempts: &[Attempt], names: &Names) -> Vec<String> {
    let finals = finals.iter().flatten().map(|found| found.exchange);
    let used: BTreeSet<u32> = finals.chain(attempts.iter().map(|a| a.exchange)).collect();
    let (sorted, places) = names.sorted();
    let place = |number: &u32| places.get(usize::try_from(*number).ok()?).copied();
    let used: BTreeSet<usize> = used.iter().filter_map(place).collect();
    let files = used.iter().filter_map(|place| sorted.get(*place));
    files
        .filter(|file| !file.is_empty())
        .map(|file| (*file).to_owned())
        .collect()
}

/// Returns each attempt once, by sample and number.
fn distinct_attempts(mut attempts: Vec<Attempt>, exchanges: &Names) -> Vec<Attempt> {
    let (_, places) = exchanges.sorted();
    let place = |number: u32| {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        places.get(number).copied()
    };
    attempts.sort_by(|a, b| {
        let key = |x: &Attempt| (x.plan_index, x.number, x.finished_at, place(x.exchange));
        a.id.cmp(&b.id).then_with(|| key(a).cmp(&key(b)))
    });
    attempts.dedup_by(|a, b| a.id == b.id);
    attempts.sort_by(|a, b| {
        let key = |x: &Attempt| (x.plan_index, x.number, x.finished_at);
        key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id))
    });
    attempts
}

fn check_plan(reader: &Reader<'_>, path: &str, expected: Digest) -> Result<(), DatasetError> {
    let text = expected.to_string();
    let hashes = reader.text("plan_hash")?;
    match hashes.iter().flatten().find(|hash| *hash != text) {
        None => Ok(()),
        Some(found) => Err(DatasetError::OtherPlan {
            path: path.to_owned(),
            found: found.to_owned(),
            expected,
        }),
    }
}
