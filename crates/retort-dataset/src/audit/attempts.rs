//! The rows of `attempts`.

use arrow::array::{Array as _, RecordBatch};
use retort_types::AttemptRecord;

use super::columns::{ORDER_ATTEMPT, PLANNED_ATTEMPT, RECEIVED_ATTEMPT, SHARED};
use super::compare::{append, differences};
use super::responses::{PIECE_ROWS, place, taken};
use super::{Auditor, Looked, short};
use crate::columns::Reader;
use crate::schema::Table;
use crate::{DatasetError, rows};

impl Auditor<'_> {
    /// Walks over `attempts`.
    pub(super) async fn attempts(&mut self) -> Result<(), DatasetError> {
        let (mut before, mut last) = (None, None);
        for file in self.snapshot.files_of(Table::Attempts) {
            let mut rows_of_file = 0;
            let mut batches = self.snapshot.file_rows(Table::Attempts, &file, &[]);
            loop {
                let batch = match batches.next().await {
                    Ok(Some(batch)) => batch,
                    Ok(None) => break,
                    Err(error) => {
                        self.unreadable(&file, error)?;
                        break;
                    }
                };
                rows_of_file += batch.num_rows();
                let order = (ORDER_ATTEMPT, "attempt_id");
                self.check_order(&file, &batch, order, &mut before)?;
                self.check_numbers(&file, &batch, &mut last)?;
                for at in (0..batch.num_rows()).step_by(PIECE_ROWS) {
                    let length = PIECE_ROWS.min(batch.num_rows() - at);
                    self.attempts_of(&file, &batch.slice(at, length)).await?;
                }
                self.audited.attempts += batch.num_rows() as u64;
                (self.progress)(batch.num_rows() as u64);
            }
            self.check_count(&file, rows_of_file);
        }
        self.unmet_finals();
        Ok(())
    }

    async fn attempts_of(&mut self, file: &str, piece: &RecordBatch) -> Result<(), DatasetError> {
        let (planned, at) = self.planned_attempts(file, piece)?;
        let actual = taken(piece, &at)?;
        let expected = rows::attempts(&planned)?;
        let ids: Vec<String> = planned.iter().map(|r| r.attempt_id.clone()).collect();
        differences(&expected, &actual, PLANNED_ATTEMPT, &mut |row, column| {
            let id = ids.get(row).map_or("", String::as_str);
            let what = format!("`{column}` is not what the plan says");
            self.audited.row(file, id, what);
        });
        let (mut decoded, mut decoded_at) = (Vec::new(), Vec::new());
        for (row, mut record) in planned.into_iter().enumerate() {
            let key = short(record.attempt_id.as_bytes());
            let facts = facts(&actual, row);
            if let Some(told) = self.finals.get_mut(&key) {
                told.is_met = true;
                if told.facts != facts {
                    let what = "it does not say what the final row of its sample says";
                    self.audited.row(file, &record.attempt_id, what);
                }
                // Its exchange was compared with the final row.
                continue;
            }
            let place = place(&actual, file, row)?;
            let id = record.attempt_id.clone();
            if let Looked::Decoded(_) = self.look((file, &id), place, &mut record).await? {
                decoded.push(record);
                decoded_at.push(row);
            }
        }
        let actual = taken(&actual, &decoded_at)?;
        let expected = rows::attempts(&decoded)?;
        differences(&expected, &actual, RECEIVED_ATTEMPT, &mut |row, column| {
            let id = decoded.get(row).map_or("", |r| r.attempt_id.as_str());
            let what = format!("`{column}` is not what its exchange says");
            self.audited.row(file, id, what);
        });
        Ok(())
    }

    fn planned_attempts(
        &mut self,
        file: &str,
        piece: &RecordBatch,
    ) -> Result<(Vec<AttemptRecord>, Vec<usize>), DatasetError> {
        let reader = Reader::new(piece, file);
        let (attempts, index) = (reader.text("attempt_id")?, reader.u64("plan_index")?);
        let (outcome, number) = (reader.text("outcome")?, reader.u32("attempt_no")?);
        let reason = reader.text("reason")?;
        let (mut planned, mut at) = (Vec::new(), Vec::new());
        for row in 0..piece.num_rows() {
            let id = attempts.value(row);
            let Some(mut record) = self.oracle.planned(index.value(row)) else {
                let what = format!("the plan has no sample {}", index.value(row));
                self.audited.row(file, id, what);
                continue;
            };
            let Ok(outcome) = outcome.value(row).parse() else {
                self.audited
                    .row(file, id, "its outcome is none that there is");
                continue;
            };
            id.clone_into(&mut record.attempt_id);
            record.outcome = outcome;
            record.attempt_no = number.value(row);
            record.reason = reason.is_valid(row).then(|| reason.value(row).to_owned());
            if record.attempt_no == 0 {
                self.audited.row(file, id, "it has no number");
                continue;
            }
            planned.push(record);
            at.push(row);
        }
        Ok((planned, at))
    }

    /// Notes attempts whose predecessor is missing: a sample is asked again only when the attempt
    /// before is durable.
    fn check_numbers(
        &mut self,
        file: &str,
        batch: &RecordBatch,
        last: &mut Option<(u64, u32)>,
    ) -> Result<(), DatasetError> {
        let reader = Reader::new(batch, file);
        let (index, number) = (reader.u64("plan_index")?, reader.u32("attempt_no")?);
        let ids = reader.text("attempt_id")?;
        for row in 0..batch.num_rows() {
            let (sample, number) = (index.value(row), number.value(row));
            let before = last
                .filter(|(of, _)| *of == sample)
                .map_or(0, |(_, number)| number);
            if number > before.saturating_add(1) {
                let what = format!("attempt {} of its sample is missing", number - 1);
                self.audited.row(file, ids.value(row), what);
            }
            *last = Some((sample, number));
        }
        Ok(())
    }

    /// Notes final rows whose attempt is not in `attempts`.
    fn unmet_finals(&mut self) {
        let unmet = self.finals.values().filter(|told| !told.is_met);
        let mut indices: Vec<u64> = unmet.map(|told| told.index).collect();
        indices.sort_unstable();
        for index in indices {
            let planned = self.oracle.planned(index);
            let id = planned.map(|record| record.sample.sample_id.to_string());
            let what = "the attempt of its final row is not there";
            self.audited.row("attempts", &id.unwrap_or_default(), what);
        }
    }
}

fn facts(batch: &RecordBatch, row: usize) -> super::Short {
    let mut bytes = Vec::new();
    for (_, column) in SHARED {
        if let Some(array) = batch.column_by_name(column) {
            append(array, row, &mut bytes);
        }
    }
    short(&bytes)
}
