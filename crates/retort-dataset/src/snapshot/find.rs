//! One sample's rows out of a snapshot, as JSON for people.

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;
use retort_types::SampleId;
use serde::Serialize;
use serde_json::Value;

use super::Snapshot;
use crate::DatasetError;

/// What a snapshot holds of one sample.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Found {
    /// Its final row; one at most.
    pub responses: Vec<Value>,
    /// Its HTTP exchanges.
    pub attempts: Vec<Value>,
}

impl Found {
    /// Returns whether the snapshot has nothing of it.
    pub const fn is_empty(&self) -> bool {
        self.responses.is_empty() && self.attempts.is_empty()
    }
}

impl Snapshot {
    /// Returns a sample's rows.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub async fn find(&self, sample: SampleId) -> Result<Found, DatasetError> {
        let mut found = Found::default();
        for file in &self.manifest.files {
            let rows = if file.path.starts_with("responses/") {
                &mut found.responses
            } else if file.path.starts_with("attempts/") {
                &mut found.attempts
            } else {
                continue;
            };
            let bytes = self.file(&file.path).await?;
            let damaged = |source| DatasetError::Parquet {
                path: file.path.clone(),
                source,
            };
            let reader = SerializedFileReader::new(bytes).map_err(damaged)?;
            let id = sample.to_string();
            // `sample_id` is the first column of both tables.
            for row in reader.get_row_iter(None).map_err(damaged)? {
                let row = row.map_err(damaged)?;
                if row.get_string(0).is_ok_and(|found| *found == id) {
                    rows.push(row.to_json_value());
                }
            }
        }
        Ok(found)
    }
}
