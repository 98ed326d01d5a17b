//! The ledger from the segments of a campaign.

use std::collections::BTreeSet;

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
    "latency_ms",
];

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
    /// Milliseconds from sent to the last byte.
    pub latency_ms: Option<f64>,
}

impl LedgerRow {
    /// Orders the rows of one sample as sealing does: a measurement first, then the lowest attempt.
    fn rank(&self) -> (bool, u32, Timestamp) {
        (self.outcome.is_missing(), self.attempts, self.finished_at)
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
    let mut chosen: Vec<Option<LedgerRow>> =
        vec![None; usize::try_from(total).unwrap_or(usize::MAX)];
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
            choose(&mut chosen, rows);
        }
    }
    let mut ledger = Ledger::new(total);
    for row in chosen.iter().flatten() {
        ledger.record(row.index, row.outcome);
        on_row(row);
    }
    Ok(ledger)
}

fn choose(chosen: &mut [Option<LedgerRow>], rows: Vec<LedgerRow>) {
    for row in rows {
        let slot = usize::try_from(row.index).ok();
        let Some(slot) = slot.and_then(|index| chosen.get_mut(index)) else {
            continue;
        };
        if slot.as_ref().is_none_or(|old| row.rank() < old.rank()) {
            *slot = Some(row);
        }
    }
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
        let (finished, latency) = (reader.time("finished_at")?, reader.f64("latency_ms")?);
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
                latency_ms: optional(latency, row, |array| array.value(row)),
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
