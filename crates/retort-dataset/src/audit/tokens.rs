//! The rows of `tokens`, beside the rows of `responses` that they belong to.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use retort_types::AttemptRecord;

use super::Audited;
use super::compare::differences;
use crate::columns::Reader;
use crate::schema::Table;
use crate::snapshot::{Rows, Snapshot};
use crate::{DatasetError, rows};

/// Columns that are compared: all but the time of arrival, which the bytes do not tell.
const COMPARED: &[&str] = &[
    "sample_id",
    "attempt_id",
    "model",
    "position",
    "segment",
    "token",
    "token_bytes",
    "logprob",
    "rank",
    "top_tokens",
    "top_bytes",
    "top_logprobs",
];

/// The same without what only an exchange tells.
const KEYS: &[&str] = &["sample_id", "attempt_id", "model", "position"];

/// Walks over `tokens` in the order of `responses`.
pub(super) struct TokenCursor {
    snapshot: Snapshot,
    columns: &'static [&'static str],
    files: VecDeque<String>,
    /// The file being read.
    file: String,
    rows: Option<Rows>,
    /// What is left of the last batch.
    rest: Option<RecordBatch>,
    /// Set when the tables no longer go together: what follows would all be wrong.
    is_lost: bool,
}

impl TokenCursor {
    pub(super) fn new(snapshot: &Snapshot, with_exchanges: bool) -> Self {
        Self {
            snapshot: snapshot.clone(),
            columns: if with_exchanges { COMPARED } else { KEYS },
            files: snapshot.files_of(Table::Tokens).into(),
            file: Table::Tokens.as_str().to_owned(),
            rows: None,
            rest: None,
            is_lost: false,
        }
    }

    /// Checks the tokens of one final row, which come next; against `record` when it holds what
    /// its exchange says.
    pub(super) async fn check(
        &mut self,
        record: &AttemptRecord,
        is_decoded: bool,
        audited: &mut Audited,
    ) -> Result<(), DatasetError> {
        if self.is_lost {
            audited.skip("tokens behind a place where they do not follow their rows");
            return Ok(());
        }
        let sample = record.sample.sample_id.to_string();
        let run = match self.run(&record.attempt_id, audited).await {
            Ok(run) => run,
            Err(DatasetError::Store(error)) => return Err(error.into()),
            Err(error) => {
                audited.row(&self.file, &sample, error.to_string());
                self.is_lost = true;
                return Ok(());
            }
        };
        let rows = run.iter().map(RecordBatch::num_rows).sum::<usize>();
        if rows == 0 {
            audited.row(&self.file, &sample, "its tokens are not where they belong");
            self.is_lost = true;
            return Ok(());
        }
        if !is_decoded {
            self.check_keys(record, &run, audited)?;
            return Ok(());
        }
        let expected = rows::tokens(std::slice::from_ref(record))?;
        if expected.num_rows() != rows {
            let what = format!(
                "it has {rows} tokens, and its exchange says {}",
                expected.num_rows()
            );
            audited.row(&self.file, &sample, what);
            return Ok(());
        }
        let mut at = 0;
        for actual in &run {
            let expected = expected.slice(at, actual.num_rows());
            differences(&expected, actual, COMPARED, &mut |row, column| {
                let what = format!(
                    "`{column}` of token {} is not what its exchange says",
                    at + row
                );
                audited.row(&self.file, &sample, what);
            });
            at += actual.num_rows();
        }
        Ok(())
    }

    fn check_keys(
        &self,
        record: &AttemptRecord,
        run: &[RecordBatch],
        audited: &mut Audited,
    ) -> Result<(), DatasetError> {
        let sample = record.sample.sample_id.to_string();
        let mut expected = 0;
        for batch in run {
            let reader = Reader::new(batch, &self.file);
            let (position, model) = (reader.u32("position")?, reader.text("model")?);
            let samples = reader.text("sample_id")?;
            for row in 0..batch.num_rows() {
                let is_right = position.value(row) == expected
                    && model.value(row) == record.sample.model.as_str()
                    && samples.value(row) == sample;
                if !is_right {
                    let what = format!("token {expected} is not where it belongs");
                    audited.row(&self.file, &sample, what);
                }
                expected += 1;
            }
        }
        Ok(())
    }

    /// Returns the next rows, as long as they are of this attempt.
    async fn run(
        &mut self,
        attempt: &str,
        audited: &mut Audited,
    ) -> Result<Vec<RecordBatch>, DatasetError> {
        let mut run = Vec::new();
        while self.fill().await? {
            let Some(batch) = self.rest.take() else { break };
            let ids = Reader::new(&batch, &self.file).text("attempt_id")?;
            let length = (0..batch.num_rows())
                .take_while(|row| ids.value(*row) == attempt)
                .count();
            audited.tokens += length as u64;
            if length > 0 {
                run.push(batch.slice(0, length));
            }
            if length < batch.num_rows() {
                self.rest = Some(batch.slice(length, batch.num_rows() - length));
                break;
            }
        }
        Ok(run)
    }

    /// Makes sure that there is a row to look at; returns whether there is.
    async fn fill(&mut self) -> Result<bool, DatasetError> {
        loop {
            if self.rest.as_ref().is_some_and(|rest| rest.num_rows() > 0) {
                return Ok(true);
            }
            if let Some(rows) = &mut self.rows {
                self.rest = rows.next().await?;
                if self.rest.is_none() {
                    self.rows = None;
                }
                continue;
            }
            let Some(file) = self.files.pop_front() else {
                return Ok(false);
            };
            self.rows = Some(self.snapshot.file_rows(Table::Tokens, &file, self.columns));
            self.file = file;
        }
    }

    /// Notes rows that no final row asked for.
    pub(super) async fn finish(mut self, audited: &mut Audited) -> Result<(), DatasetError> {
        if self.is_lost {
            return Ok(());
        }
        match self.fill().await {
            Ok(false) => Ok(()),
            Ok(true) => {
                let rest = self.rest.as_ref();
                let id = rest.and_then(|batch| {
                    let ids = Reader::new(batch, &self.file).text("sample_id").ok()?;
                    (batch.num_rows() > 0).then(|| ids.value(0).to_owned())
                });
                let what = "it has tokens that no row of `responses` has";
                audited.row(&self.file, &id.unwrap_or_default(), what);
                Ok(())
            }
            Err(DatasetError::Store(error)) => Err(error.into()),
            Err(error) => {
                audited.row(&self.file, "", error.to_string());
                Ok(())
            }
        }
    }
}
