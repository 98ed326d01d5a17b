//! The small tables, and what the manifest counts.

use arrow::array::RecordBatch;
use retort_types::Outcome;

use super::Auditor;
use crate::schema::Table;
use crate::seal::MANIFEST_FILE;
use crate::snapshot::Finding;
use crate::{DatasetError, rows};

impl Auditor<'_> {
    /// Checks what all rows together must say.
    pub(super) async fn finish(&mut self) -> Result<(), DatasetError> {
        self.missing_samples();
        let prompts = rows::prompts(self.oracle.prompts())?;
        self.table(Table::Prompts, &prompts).await?;
        let models = rows::models(&self.oracle.models())?;
        self.table(Table::Models, &models).await?;
        let manifest = &self.snapshot.manifest;
        let mut total = std::collections::BTreeMap::<Outcome, u64>::new();
        for (outcome, count) in self.outcomes.values().flatten() {
            *total.entry(*outcome).or_default() += count;
        }
        let counts = [
            ("samples", manifest.samples == self.samples as u64),
            ("outcomes", manifest.outcomes == total),
            ("models", manifest.models == self.outcomes),
        ];
        for (name, is_right) in counts {
            if !is_right {
                let what = format!("`{name}` does not count what is there");
                self.audited.find(Finding::of_file(MANIFEST_FILE, what));
            }
        }
        Ok(())
    }

    fn missing_samples(&mut self) {
        let seen = |index: usize| self.seen.get(index).copied().unwrap_or(false);
        let missing: Vec<usize> = (0..self.samples).filter(|index| !seen(*index)).collect();
        for index in missing {
            let index = index as u64;
            let planned = self.oracle.planned(index);
            let id = planned.map(|record| record.sample.sample_id.to_string());
            let what = format!("sample {index} of the plan has no row");
            self.audited.row("responses", &id.unwrap_or_default(), what);
        }
    }

    /// Compares a table that is one batch with what it should be.
    async fn table(&mut self, table: Table, expected: &RecordBatch) -> Result<(), DatasetError> {
        for file in self.snapshot.files_of(table) {
            let rows = self.snapshot.file_rows(table, &file, &[]).collect().await;
            let is_right = match rows {
                Ok(batches) => {
                    let found = arrow::compute::concat_batches(&table.schema(), &batches)?;
                    found.columns() == expected.columns()
                }
                Err(error) => {
                    self.unreadable(&file, error)?;
                    continue;
                }
            };
            if !is_right {
                let what = "it does not say what the plan says";
                self.audited.find(Finding::of_file(&file, what));
            }
        }
        Ok(())
    }

    /// Notes a file that has another number of rows than is listed.
    pub(super) fn check_count(&mut self, file: &str, rows: usize) {
        let mut files = self.snapshot.manifest.files.iter();
        let listed = files.find(|listed| listed.path == file);
        let listed = listed.and_then(|listed| listed.rows);
        if listed != u64::try_from(rows).ok() {
            let what = format!("it has {rows} rows, which is not the listed number");
            self.audited.find(Finding::of_file(file, what));
        }
    }

    /// Notes a file that cannot be read; fails when it is the store that fails.
    pub(super) fn unreadable(
        &mut self,
        file: &str,
        error: DatasetError,
    ) -> Result<(), DatasetError> {
        let what = match error {
            DatasetError::Store(error) if error.is_not_found() => "it is not there".to_owned(),
            DatasetError::Store(error) => return Err(error.into()),
            DatasetError::Spool(_)
            | DatasetError::Rows(_)
            | DatasetError::Parquet { .. }
            | DatasetError::OtherPlan { .. }
            | DatasetError::Damaged { .. }
            | DatasetError::System { .. }
            | DatasetError::Closed => format!("its rows cannot be read: {error}"),
        };
        self.audited.find(Finding::of_file(file, what));
        Ok(())
    }
}
