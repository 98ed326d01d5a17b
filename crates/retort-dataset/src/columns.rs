//! Typed access to the columns of a batch.

use arrow::array::{
    Array, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt32Array, UInt64Array,
};
use retort_types::Outcome;

use crate::DatasetError;

/// The columns of one batch of the file at `path`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    batch: &'a RecordBatch,
    path: &'a str,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(batch: &'a RecordBatch, path: &'a str) -> Self {
        Self { batch, path }
    }

    fn column<A: 'static>(&self, name: &str) -> Result<&'a A, DatasetError> {
        self.batch
            .column_by_name(name)
            .and_then(|column| column.as_any().downcast_ref())
            .ok_or_else(|| {
                DatasetError::damaged(
                    self.path,
                    format!("column `{name}` is missing or has another type"),
                )
            })
    }

    pub(crate) fn text(&self, name: &str) -> Result<&'a StringArray, DatasetError> {
        self.column(name)
    }

    pub(crate) fn boolean(&self, name: &str) -> Result<&'a BooleanArray, DatasetError> {
        self.column(name)
    }

    pub(crate) fn u32(&self, name: &str) -> Result<&'a UInt32Array, DatasetError> {
        self.column(name)
    }

    pub(crate) fn u64(&self, name: &str) -> Result<&'a UInt64Array, DatasetError> {
        self.column(name)
    }

    pub(crate) fn f64(&self, name: &str) -> Result<&'a Float64Array, DatasetError> {
        self.column(name)
    }

    pub(crate) fn time(&self, name: &str) -> Result<&'a TimestampMicrosecondArray, DatasetError> {
        self.column(name)
    }

    /// Returns the outcome in row `row` of `column`.
    pub(crate) fn outcome(
        &self,
        column: &StringArray,
        row: usize,
    ) -> Result<Outcome, DatasetError> {
        column
            .value(row)
            .parse()
            .map_err(|error| DatasetError::damaged(self.path, format!("{error}")))
    }
}
