//! One sample's rows out of a snapshot, by its id or an attempt's, without reading the others.
//!
//! Whole ids are looked up by bloom filters, and the rows of `attempts` by the statistics of their
//! sorted position in the plan; a part of an id costs reading one column.

use std::collections::BTreeSet;

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::UInt64Type;
use parquet::arrow::arrow_reader::RowSelection;
use serde::Serialize;
use serde_json::{Map, Value};

use super::json::object;
use super::{Place, Snapshot, in_folder};
use crate::DatasetError;
use crate::schema::Table;
use crate::segment::{Key, Source, Wanted, read_wanted, row_groups_with};

/// Shortest part of an id that is looked for: with fewer characters something always matches.
const PREFIX_MIN_CHARS: usize = 4;

/// Most ids that are told of when a part of an id fits several.
const TOLD_IDS: usize = 5;

/// A row of a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoundRow {
    /// Its file in the snapshot.
    pub snapshot_file: String,
    /// Its number in that file, from 0.
    pub snapshot_row: u64,
    /// Its columns.
    #[serde(flatten)]
    pub values: Map<String, Value>,
}

impl FoundRow {
    /// Returns a column's text, or nothing when it has none.
    pub fn text(&self, column: &str) -> Option<&str> {
        self.values.get(column)?.as_str()
    }

    /// Returns a column's number, or nothing when it has none.
    pub fn number(&self, column: &str) -> Option<u64> {
        self.values.get(column)?.as_u64()
    }

    /// Returns where its exchange is, if it has one.
    pub fn exchange(&self) -> Option<Place> {
        Some(Place {
            file: self.text("exchange_file")?.to_owned(),
            offset: self.number("exchange_offset")?,
            length: self.number("exchange_length")?,
            sha256: self.text("exchange_sha256")?.to_owned(),
        })
    }
}

/// What a snapshot holds of one sample.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Found {
    /// Its final row; one at most.
    pub responses: Vec<FoundRow>,
    /// Its HTTP exchanges, in order.
    pub attempts: Vec<FoundRow>,
    /// The attempt that was asked for, when it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
}

/// What came of looking for an id.
#[derive(Debug, Clone, PartialEq)]
pub enum Search {
    /// Nothing has it.
    Nothing,
    /// Several ids begin with it; some of them.
    Several(Vec<String>),
    /// The rows of one sample.
    Found(Box<Found>),
}

impl Snapshot {
    /// Returns the rows of the sample with this id, or with an attempt of this id; the beginning of
    /// an id will do when it fits one only.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub async fn find(&self, id: &str) -> Result<Search, DatasetError> {
        let id = id.to_ascii_lowercase();
        let is_id = |c: char| c.is_ascii_hexdigit() || c == '-';
        if id.len() < PREFIX_MIN_CHARS || !id.chars().all(is_id) {
            return Ok(Search::Nothing);
        }
        if id.len() == 32 && !id.contains('-') {
            return self.sample(&id, None).await;
        }
        if id.len() == 36 {
            return self.attempt(&id).await;
        }
        let key = Key::Prefix(id);
        let mut samples = self.ids(Table::Responses, "sample_id", &key).await?;
        let mut attempts = self.ids(Table::Attempts, "attempt_id", &key).await?;
        attempts.extend(self.ids(Table::Responses, "attempt_id", &key).await?);
        match (samples.len(), attempts.len()) {
            (0, 0) => Ok(Search::Nothing),
            (1, 0) => {
                let id = samples.pop_first().unwrap_or_default();
                self.sample(&id, None).await
            }
            (0, 1) => {
                let id = attempts.pop_first().unwrap_or_default();
                self.attempt(&id).await
            }
            _ => {
                samples.extend(attempts);
                Ok(Search::Several(
                    samples.into_iter().take(TOLD_IDS).collect(),
                ))
            }
        }
    }

    async fn sample(&self, id: &str, attempt: Option<String>) -> Result<Search, DatasetError> {
        let key = Key::Text(id.to_owned());
        let responses = self.rows_with(Table::Responses, "sample_id", &key).await?;
        let Some(index) = responses.first().and_then(|row| row.number("plan_index")) else {
            return Ok(Search::Nothing);
        };
        let key = Key::Number(index);
        let attempts = self.rows_with(Table::Attempts, "plan_index", &key).await?;
        Ok(Search::Found(Box::new(Found {
            responses,
            attempts,
            attempt,
        })))
    }

    async fn attempt(&self, id: &str) -> Result<Search, DatasetError> {
        let key = Key::Text(id.to_owned());
        let mut rows = self.rows_with(Table::Attempts, "attempt_id", &key).await?;
        if rows.is_empty() {
            // A sample that was never asked has an id of an attempt in its final row only.
            rows = self.rows_with(Table::Responses, "attempt_id", &key).await?;
        }
        match rows.first().and_then(|row| row.text("sample_id")) {
            Some(sample) => self.sample(sample, Some(id.to_owned())).await,
            None => Ok(Search::Nothing),
        }
    }

    /// Returns distinct values of a column that fit, one more than are told of at most.
    async fn ids(
        &self,
        table: Table,
        column: &'static str,
        key: &Key,
    ) -> Result<BTreeSet<String>, DatasetError> {
        let mut ids = BTreeSet::new();
        for path in self.files_of(table) {
            let hits = self.hits(&path, table, (column, key.clone())).await?;
            ids.extend(hits.into_iter().filter_map(|hit| hit.text));
            if ids.len() > TOLD_IDS {
                break;
            }
        }
        Ok(ids)
    }

    async fn rows_with(
        &self,
        table: Table,
        column: &'static str,
        key: &Key,
    ) -> Result<Vec<FoundRow>, DatasetError> {
        let mut rows = Vec::new();
        for path in self.files_of(table) {
            let hits = self.hits(&path, table, (column, key.clone())).await?;
            if hits.is_empty() {
                continue;
            }
            let source = self.open_file(&path).await?;
            let file = path.clone();
            let read = move || rows_at(source, &file, table, &hits);
            rows.extend(blocking(read).await?);
        }
        Ok(rows)
    }

    async fn hits(
        &self,
        path: &str,
        table: Table,
        (column, key): (&'static str, Key),
    ) -> Result<Vec<Hit>, DatasetError> {
        let sources = (self.open_file(path).await?, self.open_file(path).await?);
        let file = path.to_owned();
        blocking(move || hits_in(sources, &file, table, (column, &key))).await
    }

    async fn open_file(&self, path: &str) -> Result<Source, DatasetError> {
        Ok(Source::open(&self.store, &in_folder(&self.path, path)).await?)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DatasetError> + Send + 'static,
) -> Result<T, DatasetError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(DatasetError::Closed))
}

/// A row that fits.
#[derive(Debug)]
struct Hit {
    row: usize,
    /// The value, when it is text.
    text: Option<String>,
}

fn hits_in(
    (source, again): (Source, Source),
    path: &str,
    table: Table,
    (column, key): (&str, &Key),
) -> Result<Vec<Hit>, DatasetError> {
    let (ranges, total) = row_groups_with(source, path, column, key)?;
    let numbers = ranges.iter().cloned().flatten();
    let wanted = Wanted {
        columns: &[column],
        rows: Some(RowSelection::from_consecutive_ranges(
            ranges.iter().cloned(),
            total,
        )),
    };
    let mut hits = Vec::new();
    let mut numbers = numbers.into_iter();
    for batch in read_wanted(again, path, table, wanted)? {
        let batch = batch?;
        let values = batch.column(0);
        for (row, number) in (0..batch.num_rows()).zip(numbers.by_ref()) {
            let (fits, text) = match key {
                Key::Number(wanted) => {
                    let numbers = values.as_primitive_opt::<UInt64Type>();
                    (
                        numbers.is_some_and(|n| n.is_valid(row) && n.value(row) == *wanted),
                        None,
                    )
                }
                Key::Text(_) | Key::Prefix(_) => {
                    let text = values.as_string_opt::<i32>().map(|texts| texts.value(row));
                    let fits = text.is_some_and(|text| key.fits(text));
                    (fits, text.filter(|_| fits).map(str::to_owned))
                }
            };
            if fits {
                hits.push(Hit { row: number, text });
            }
        }
    }
    Ok(hits)
}

fn rows_at(
    source: Source,
    path: &str,
    table: Table,
    hits: &[Hit],
) -> Result<Vec<FoundRow>, DatasetError> {
    let ranges = hits.iter().map(|hit| hit.row..hit.row + 1);
    let total = hits.last().map_or(0, |hit| hit.row + 1);
    let wanted = Wanted {
        columns: &[],
        rows: Some(RowSelection::from_consecutive_ranges(ranges, total)),
    };
    let mut rows = Vec::with_capacity(hits.len());
    let mut hits = hits.iter();
    for batch in read_wanted(source, path, table, wanted)? {
        let batch = batch?;
        for (row, hit) in (0..batch.num_rows()).zip(hits.by_ref()) {
            rows.push(FoundRow {
                snapshot_file: path.to_owned(),
                snapshot_row: u64::try_from(hit.row).unwrap_or(u64::MAX),
                values: object(&batch, row),
            });
        }
    }
    Ok(rows)
}
