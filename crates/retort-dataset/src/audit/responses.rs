//! The rows of `responses`.

use arrow::array::{Array as _, RecordBatch};
use retort_types::{AttemptRecord, Outcome};

use super::columns::{KEYS, ORDER, PLANNED, RECEIVED, SHARED, joined};
use super::compare::{Rank, append, differences};
use super::tokens::TokenCursor;
use super::{Auditor, Comparable, Final, Looked, short};
use crate::columns::Reader;
use crate::schema::Table;
use crate::snapshot::Place;
use crate::{DatasetError, rows};

/// Rows that are compared at once: few enough that long answers, decoded again, fit in memory.
pub(super) const PIECE_ROWS: usize = 256;

/// Bytes of bodies after which a piece of rows ends.
const PIECE_BYTES: u64 = 64 << 20;

impl Auditor<'_> {
    /// Walks over `responses` and, beside it, `tokens`.
    pub(super) async fn responses(&mut self) -> Result<(), DatasetError> {
        let shared: Vec<&str> = SHARED.iter().map(|(column, _)| *column).collect();
        let mut lists: Vec<&[&str]> = vec![KEYS, PLANNED, &shared];
        if self.exchanges.is_some() {
            lists.push(RECEIVED);
        }
        let columns = joined(&lists);
        let mut tokens = TokenCursor::new(self.snapshot, self.exchanges.is_some());
        for file in self.snapshot.files_of(Table::Responses) {
            let (mut before, mut rows_of_file) = (None, 0);
            let mut batches = self.snapshot.file_rows(Table::Responses, &file, &columns);
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
                self.check_order(&file, &batch, (ORDER, "sample_id"), &mut before)?;
                let mut at = 0;
                while at < batch.num_rows() {
                    let length = piece_length(&batch, at)?;
                    let piece = batch.slice(at, length);
                    self.piece(&file, &piece, &mut tokens).await?;
                    at += length;
                }
                self.audited.responses += batch.num_rows() as u64;
                (self.progress)(batch.num_rows() as u64);
            }
            self.check_count(&file, rows_of_file);
        }
        tokens.finish(&mut self.audited).await
    }

    /// Checks some rows of `file`.
    async fn piece(
        &mut self,
        file: &str,
        piece: &RecordBatch,
        tokens: &mut TokenCursor,
    ) -> Result<(), DatasetError> {
        let (planned, at) = self.planned(file, piece)?;
        let actual = taken(piece, &at)?;
        let expected = rows::responses(&planned)?;
        let ids: Vec<String> = planned.iter().map(id_of).collect();
        differences(&expected, &actual, PLANNED, &mut |row, column| {
            let id = ids.get(row).map_or("", String::as_str);
            let what = format!("`{column}` is not what the plan says");
            self.audited.row(file, id, what);
        });
        let (mut decoded, mut decoded_at) = (Vec::new(), Vec::new());
        let has_logprobs = Reader::new(&actual, file).boolean("has_logprobs")?;
        for (row, mut record) in planned.into_iter().enumerate() {
            let id = id_of(&record);
            let place = place(&actual, file, row)?;
            let looked = self.look((file, &id), place, &mut record).await?;
            let told = match looked {
                Looked::Decoded(Comparable::Whole) => Some(&record),
                Looked::Decoded(_) | Looked::Noted => None,
            };
            if told.is_some_and(|record| record.reply.tokens.is_empty() == has_logprobs.value(row))
            {
                let what = "`has_logprobs` is not what its exchange says";
                self.audited.row(file, &id, what);
            }
            if has_logprobs.value(row) {
                tokens
                    .check(&record, told.is_some(), &mut self.audited)
                    .await?;
            }
            if matches!(looked, Looked::Decoded(_)) {
                decoded.push(record);
                decoded_at.push(row);
            }
        }
        let actual = taken(&actual, &decoded_at)?;
        let expected = rows::responses(&decoded)?;
        differences(&expected, &actual, RECEIVED, &mut |row, column| {
            let id = decoded.get(row).map(id_of).unwrap_or_default();
            let what = format!("`{column}` is not what its exchange says");
            self.audited.row(file, &id, what);
        });
        Ok(())
    }

    /// Returns the planned records of rows and which rows these are; others are noted.
    fn planned(
        &mut self,
        file: &str,
        piece: &RecordBatch,
    ) -> Result<(Vec<AttemptRecord>, Vec<usize>), DatasetError> {
        let reader = Reader::new(piece, file);
        let (samples, attempts) = (reader.text("sample_id")?, reader.text("attempt_id")?);
        let (index, number) = (reader.u64("plan_index")?, reader.u32("attempts")?);
        let (outcome, last) = (reader.text("outcome")?, reader.text("last_outcome")?);
        let (origin, model) = (reader.text("origin")?, reader.text("model")?);
        let reason = reader.text("reason")?;
        let (mut planned, mut at) = (Vec::new(), Vec::new());
        for row in 0..piece.num_rows() {
            let sample = samples.value(row);
            let outcomes = (outcome.value(row).parse(), last.value(row).parse());
            let (Ok(ended), Ok(last)) = outcomes else {
                let what = "its outcome is none that there is";
                self.audited.row(file, sample, what);
                continue;
            };
            let model = self
                .outcomes
                .entry(model.value(row).to_owned())
                .or_default();
            *model.entry(ended).or_default() += 1;
            if origin.value(row) == "import" {
                self.audited.skip("imported rows");
                self.see(index.value(row));
                continue;
            }
            let Some(mut record) = self.oracle.planned(index.value(row)) else {
                let what = format!("the plan has no sample {}", index.value(row));
                self.audited.row(file, sample, what);
                continue;
            };
            if !self.see(index.value(row)) {
                self.audited
                    .row(file, sample, "its sample has another row too");
            }
            if !follows(ended, last) {
                let what = "`outcome` does not follow from `last_outcome`";
                self.audited.row(file, sample, what);
            }
            attempts.value(row).clone_into(&mut record.attempt_id);
            record.attempt_no = number.value(row);
            record.outcome = last;
            record.final_outcome = Some(ended);
            record.reason = reason.is_valid(row).then(|| reason.value(row).to_owned());
            self.remember(piece, row, &record);
            planned.push(record);
            at.push(row);
        }
        Ok((planned, at))
    }

    /// Keeps what the attempt of a final row must say.
    fn remember(&mut self, piece: &RecordBatch, row: usize, record: &AttemptRecord) {
        if record.outcome == Outcome::NotAsked {
            return;
        }
        let mut bytes = Vec::new();
        for (column, _) in SHARED {
            if let Some(array) = piece.column_by_name(column) {
                append(array, row, &mut bytes);
            }
        }
        let told = Final {
            facts: short(&bytes),
            is_met: false,
            index: record.sample.index,
        };
        self.finals
            .insert(short(record.attempt_id.as_bytes()), told);
    }

    /// Notes rows that are not in the order of their table.
    pub(super) fn check_order(
        &mut self,
        file: &str,
        batch: &RecordBatch,
        (columns, id): (&[&str], &str),
        before: &mut Option<Rank>,
    ) -> Result<(), DatasetError> {
        let ids = Reader::new(batch, file).text(id)?;
        for row in 0..batch.num_rows() {
            let rank = Rank::of(batch, columns, row);
            if before
                .as_ref()
                .is_some_and(|before| !before.is_before(&rank))
            {
                let what = "it comes after a row that belongs behind it";
                self.audited.row(file, ids.value(row), what);
            }
            *before = Some(rank);
        }
        Ok(())
    }
}

/// Returns whether a sample can end so after a last attempt that ended so.
fn follows(ended: Outcome, last: Outcome) -> bool {
    ended == last && last.is_terminal() || ended == Outcome::GaveUp && !last.is_terminal()
}

fn id_of(record: &AttemptRecord) -> String {
    record.sample.sample_id.to_string()
}

/// Returns how many rows from `at` on are checked together.
fn piece_length(batch: &RecordBatch, at: usize) -> Result<usize, DatasetError> {
    let bodies = Reader::new(batch, "").u64("response_bytes")?;
    let (mut length, mut bytes) = (0, 0_u64);
    while at + length < batch.num_rows() && length < PIECE_ROWS && bytes < PIECE_BYTES {
        if bodies.is_valid(at + length) {
            bytes = bytes.saturating_add(bodies.value(at + length));
        }
        length += 1;
    }
    Ok(length)
}

/// Returns these rows of a batch.
pub(super) fn taken(batch: &RecordBatch, rows: &[usize]) -> Result<RecordBatch, DatasetError> {
    if rows.len() == batch.num_rows() {
        return Ok(batch.clone());
    }
    let places: Vec<(usize, usize)> = rows.iter().map(|row| (0, *row)).collect();
    Ok(arrow::compute::interleave_record_batch(&[batch], &places)?)
}

/// Returns where a row says its exchange is.
pub(super) fn place(
    batch: &RecordBatch,
    path: &str,
    row: usize,
) -> Result<Option<Place>, DatasetError> {
    let reader = Reader::new(batch, path);
    let (file, sha256) = (
        reader.text("exchange_file")?,
        reader.text("exchange_sha256")?,
    );
    let (offset, length) = (
        reader.u64("exchange_offset")?,
        reader.u64("exchange_length")?,
    );
    Ok(file.is_valid(row).then(|| Place {
        file: file.value(row).to_owned(),
        offset: offset.value(row),
        length: length.value(row),
        sha256: sha256.value(row).to_owned(),
    }))
}
