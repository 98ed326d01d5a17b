//! A snapshot in numbers, per model.

use std::collections::BTreeMap;

use arrow::array::Array as _;
use retort_types::Outcome;
use serde::Serialize;

use super::Snapshot;
use crate::DatasetError;
use crate::columns::Reader;
use crate::schema::Table;

/// What a snapshot holds of one model. Tokens and cost are of all attempts: what was used.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ModelSummary {
    /// The model.
    pub model: String,
    /// Planned samples, each of which has a row.
    pub planned: u64,
    /// How they ended.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// HTTP exchanges.
    pub attempts: u64,
    /// Exchanges beyond the first of their sample.
    pub retries: u64,
    /// Median latency of answered samples, in milliseconds (nearest rank).
    pub latency_ms_p50: Option<f64>,
    /// 95th percentile of the same.
    pub latency_ms_p95: Option<f64>,
    /// Tokens of prompts, as reported.
    pub input_tokens: u64,
    /// Tokens of answers, as reported.
    pub output_tokens: u64,
    /// Cost by the catalog's prices, in US dollars; absent when nothing was priced.
    pub cost_usd: Option<f64>,
}

/// Summarises a snapshot, by model in the order of names.
///
/// # Errors
/// When it cannot be read.
pub async fn summarize(snapshot: &Snapshot) -> Result<Vec<ModelSummary>, DatasetError> {
    let mut models: BTreeMap<String, ModelSummary> = BTreeMap::new();
    let mut latencies: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut rows = snapshot.responses(&["model", "outcome", "latency_ms"]);
    while let Some(batch) = rows.next().await? {
        let reader = Reader::new(&batch, &snapshot.path);
        let (model, outcome) = (reader.text("model")?, reader.text("outcome")?);
        let latency = reader.f64("latency_ms")?;
        for row in 0..batch.num_rows() {
            let name = model.value(row);
            let outcome = reader.outcome(outcome, row)?;
            let summary = entry(&mut models, name);
            summary.planned += 1;
            *summary.outcomes.entry(outcome).or_default() += 1;
            if outcome == Outcome::Answered && latency.is_valid(row) {
                latencies
                    .entry(name.to_owned())
                    .or_default()
                    .push(latency.value(row));
            }
        }
    }
    count_attempts(snapshot, &mut models).await?;
    for (model, mut latencies) in latencies {
        latencies.sort_by(f64::total_cmp);
        let summary = entry(&mut models, &model);
        summary.latency_ms_p50 = nearest_rank(&latencies, 50);
        summary.latency_ms_p95 = nearest_rank(&latencies, 95);
    }
    Ok(models.into_values().collect())
}

async fn count_attempts(
    snapshot: &Snapshot,
    models: &mut BTreeMap<String, ModelSummary>,
) -> Result<(), DatasetError> {
    let columns = [
        "model",
        "plan_index",
        "input_tokens",
        "output_tokens",
        "cost_usd",
    ];
    let mut rows = snapshot.rows(Table::Attempts, &columns);
    // Rows are sorted by sample, so a sample's further attempts follow its first.
    let mut last_sample = None;
    while let Some(batch) = rows.next().await? {
        let reader = Reader::new(&batch, &snapshot.path);
        let (model, sample) = (reader.text("model")?, reader.u64("plan_index")?);
        let (input, output) = (reader.u32("input_tokens")?, reader.u32("output_tokens")?);
        let cost = reader.f64("cost_usd")?;
        for row in 0..batch.num_rows() {
            let summary = entry(models, model.value(row));
            summary.attempts += 1;
            summary.retries += u64::from(last_sample == Some(sample.value(row)));
            last_sample = Some(sample.value(row));
            if input.is_valid(row) {
                summary.input_tokens += u64::from(input.value(row));
            }
            if output.is_valid(row) {
                summary.output_tokens += u64::from(output.value(row));
            }
            if cost.is_valid(row) {
                *summary.cost_usd.get_or_insert(0.0) += cost.value(row);
            }
        }
    }
    Ok(())
}

fn entry<'a>(models: &'a mut BTreeMap<String, ModelSummary>, model: &str) -> &'a mut ModelSummary {
    if !models.contains_key(model) {
        let summary = ModelSummary {
            model: model.to_owned(),
            ..ModelSummary::default()
        };
        models.insert(model.to_owned(), summary);
    }
    models.entry(model.to_owned()).or_default()
}

/// Returns the smallest of `sorted` that at least `percent` of them do not exceed.
fn nearest_rank(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let numbers: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(nearest_rank(&numbers, 50), Some(10.0));
        assert_eq!(nearest_rank(&numbers, 95), Some(19.0));
        assert_eq!(nearest_rank(&numbers[..1], 50), Some(1.0));
        assert_eq!(nearest_rank(&[], 50), None);
    }
}
