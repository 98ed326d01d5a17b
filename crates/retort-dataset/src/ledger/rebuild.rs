//! The ledger from the segments of a campaign.

use std::collections::{BTreeMap, BTreeSet};

use retort_types::{CampaignId, Digest, Outcome, Timestamp};

use super::Ledger;
use crate::columns::Reader;
use crate::schema::Table;
use crate::segment::{SegmentName, Source, read};
use crate::store::segments_folder;
use crate::{DatasetError, Store};

/// Listings of segments, the last of which finds nothing new unless they arrive all the time: one
/// that ran while some were compacted may show neither the old ones nor the new one.
const LISTINGS_MAX: usize = 8;

/// The columns a ledger needs.
const COLUMNS: &[&str] = &[
    "plan_index",
    "plan_hash",
    "outcome",
    "attempts",
    "finished_at",
    "cost_usd",
    "input_tokens",
    "output_tokens",
];

/// Samples whose rows are kept together: memory follows what is done and not what is planned.
const PAGE_SAMPLES: usize = 4_096;

/// How one sample ended, for counters after a restart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LedgerRow {
    /// Dense position within the plan.
    pub index: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Number of the attempt that ended it; 0 when it was never asked.
    pub attempts: u32,
    /// When.
    pub finished_at: Timestamp,
    /// What that attempt cost, in US dollars.
    pub cost_usd: Option<f64>,
    /// Tokens of the prompt.
    pub input_tokens: Option<u32>,
    /// Tokens of the answer.
    pub output_tokens: Option<u32>,
}

/// A row as it is kept while others are read: 32 bytes, of which there are millions. What is not known
/// is told by values that nothing takes.
#[derive(Debug, Clone, Copy)]
struct Kept {
    finished_at: Timestamp,
    cost_usd: f64,
    attempts: u32,
    input_tokens: u32,
    output_tokens: u32,
    outcome: Outcome,
}

impl Kept {
    fn new(row: &LedgerRow) -> Self {
        Self {
            finished_at: row.finished_at,
            cost_usd: row.cost_usd.unwrap_or(f64::NAN),
            attempts: row.attempts,
            input_tokens: row.input_tokens.unwrap_or(u32::MAX),
            output_tokens: row.output_tokens.unwrap_or(u32::MAX),
            outcome: row.outcome,
        }
    }

    fn row(self, index: u64) -> LedgerRow {
        LedgerRow {
            index,
            outcome: self.outcome,
            attempts: self.attempts,
            finished_at: self.finished_at,
            cost_usd: Some(self.cost_usd).filter(|cost| !cost.is_nan()),
            input_tokens: Some(self.input_tokens).filter(|count| *count != u32::MAX),
            output_tokens: Some(self.output_tokens).filter(|count| *count != u32::MAX),
        }
    }

    /// Orders the rows of one sample as sealing does: a measurement first, then the lowest attempt.
    fn rank(&self) -> (bool, u32, Timestamp) {
        (self.outcome.is_missing(), self.attempts, self.finished_at)
    }
}

/// The rows that were chosen so far, by page.
#[derive(Debug, Default)]
struct Chosen(BTreeMap<u64, Vec<Option<Kept>>>);

impl Chosen {
    fn choose(&mut self, rows: &[LedgerRow]) {
        for row in rows {
            let page = self.0.entry(row.index / PAGE_SAMPLES as u64);
            let page = page.or_insert_with(|| vec![None; PAGE_SAMPLES]);
            let place = usize::try_from(row.index % PAGE_SAMPLES as u64).unwrap_or(0);
            let new = Kept::new(row);
            let slot = &mut page[place];
            if slot.is_none_or(|old| new.rank() < old.rank()) {
                *slot = Some(new);
            }
        }
    }

    /// Returns what was chosen, in the order of the plan.
    fn rows(self) -> impl Iterator<Item = LedgerRow> {
        self.0.into_iter().flat_map(|(page, rows)| {
            let first = page * PAGE_SAMPLES as u64;
            let rows = (first..).zip(rows);
            rows.filter_map(|(index, kept)| Some(kept?.row(index)))
        })
    }
}

/// Reads from the segments of `campaign` which of the plan's `total` samples are done.
///
/// `on_row` is called once per sample that is, in the order of the plan, with the row that sealing
/// would choose: duplicates are not counted twice.
///
/// # Errors
/// When the store fails, a file is damaged, or a row belongs to another plan.
pub async fn rebuild(
    store: &Store,
    campaign: &CampaignId,
    plan_hash: Digest,
    total: u64,
    on_row: &mut (dyn FnMut(&LedgerRow) + Send),
) -> Result<Ledger, DatasetError> {
    let mut chosen = Chosen::default();
    let mut seen = BTreeSet::new();
    for _ in 0..LISTINGS_MAX {
        let mut paths = store.list(&segments_folder(campaign)).await?;
        paths.retain(|path| {
            let table = SegmentName::parse(path).map(|(_, table)| table);
            table == Some(Table::Responses) && !seen.contains(path)
        });
        if paths.is_empty() {
            break;
        }
        for path in paths {
            seen.insert(path.clone());
            let source = match Source::open(store, &path).await {
                // Compacted since; its rows are in a segment that the next listing shows.
                Err(error) if error.is_not_found() => continue,
                opened => opened?,
            };
            let read = move || rows_of(source, &path, plan_hash, total);
            let rows = tokio::task::spawn_blocking(read)
                .await
                .map_err(|_| DatasetError::Closed)??;
            chosen.choose(&rows);
        }
    }
    let mut ledger = Ledger::new(total);
    for row in chosen.rows() {
        ledger.record(row.index, row.outcome);
        on_row(&row);
    }
    Ok(ledger)
}

fn rows_of(
    source: Source,
    path: &str,
    plan_hash: Digest,
    total: u64,
) -> Result<Vec<LedgerRow>, DatasetError> {
    let expected = plan_hash.to_string();
    let mut rows = Vec::new();
    for batch in read(source, path, Table::Responses, COLUMNS)? {
        let batch = batch?;
        let reader = Reader::new(&batch, path);
        let (index, hash) = (reader.u64("plan_index")?, reader.text("plan_hash")?);
        let (outcome, attempts) = (reader.text("outcome")?, reader.u32("attempts")?);
        let finished = reader.time("finished_at")?;
        let (cost, input) = (reader.f64("cost_usd")?, reader.u32("input_tokens")?);
        let output = reader.u32("output_tokens")?;
        for row in 0..batch.num_rows() {
            if hash.value(row) != expected {
                return Err(DatasetError::OtherPlan {
                    path: path.to_owned(),
                    found: hash.value(row).to_owned(),
                    expected: plan_hash,
                });
            }
            if index.value(row) >= total {
                let what = format!("sample {} is not in a plan of {total}", index.value(row));
                return Err(DatasetError::damaged(path, what));
            }
            rows.push(LedgerRow {
                index: index.value(row),
                outcome: reader.outcome(outcome, row)?,
                attempts: attempts.value(row),
                finished_at: Timestamp::from_micros(finished.value(row)),
                cost_usd: optional(cost, row, |array| array.value(row)),
                input_tokens: optional(input, row, |array| array.value(row)),
                output_tokens: optional(output, row, |array| array.value(row)),
            });
        }
    }
    Ok(rows)
}

fn optional<A: arrow::array::Array, V>(
    array: &A,
    row: usize,
    value: impl FnOnce(&A) -> V,
) -> Option<V> {
    array.is_valid(row).then(|| value(array))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(index: u64, outcome: Outcome, attempts: u32) -> LedgerRow {
        LedgerRow {
            index,
            outcome,
            attempts,
            finished_at: Timestamp::from_micros(7),
            cost_usd: index.is_multiple_of(2).then_some(0.5),
            input_tokens: index.is_multiple_of(3).then_some(0),
            output_tokens: Some(u32::MAX - 1),
        }
    }

    #[test]
    fn rows_are_kept_as_they_are_and_few_bytes_long() {
        assert_eq!(size_of::<Option<Kept>>(), 32);
        let far = 10_000_000_000;
        let rows = [
            row(far, Outcome::Answered, 1),
            row(5, Outcome::GaveUp, 1),
            row(0, Outcome::Answered, 2),
            row(5, Outcome::Answered, 3),
            row(0, Outcome::Answered, 1),
            row(5, Outcome::Refused, 4),
            row(4_096, Outcome::Answered, 1),
        ];
        let mut chosen = Chosen::default();
        chosen.choose(&rows[..3]);
        chosen.choose(&rows[3..]);
        assert_eq!(chosen.0.len(), 3, "pages");
        let kept: Vec<LedgerRow> = chosen.rows().collect();
        assert_eq!(kept, [rows[4], rows[3], rows[6], rows[0]]);
    }
}
