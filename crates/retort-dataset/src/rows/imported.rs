//! What imported rows do not know: null instead of what a crawl would have filled in.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray as _, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;

use crate::seal::Origin;

/// Columns that only a crawl can fill.
const CRAWL_ONLY: &[&str] = &[
    "block_id",
    "order_in_block",
    "provider",
    "account",
    "domain",
    "endpoint_host",
    "wire_protocol",
    "streamed",
    "worker_id",
    "delivery_count",
];

/// Returns whether every crawl fills this column, though it may be null.
#[cfg(test)]
pub(super) fn is_always_crawled(column: &str) -> bool {
    CRAWL_ONLY.contains(&column) || ["finished_at", "request_params"].contains(&column)
}

/// Returns `batch` as rows of an import: what only a crawl knows is null, and so are a time of
/// the epoch and empty request parameters, which stand for unknown ones.
///
/// # Errors
/// When a column that may not be null is among them, which the schema excludes.
pub(crate) fn as_imported(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns());
    let columns: Vec<ArrayRef> = columns
        .map(|(field, column)| match field.name().as_str() {
            name if CRAWL_ONLY.contains(&name) => {
                new_null_array(field.data_type(), batch.num_rows())
            }
            "origin" => Arc::new(StringArray::from(vec![
                Origin::Import.as_str();
                batch.num_rows()
            ])),
            "finished_at" => known_times(column),
            "request_params" => known_texts(column),
            _ => Arc::clone(column),
        })
        .collect();
    RecordBatch::try_new(schema, columns)
}

fn known_times(column: &ArrayRef) -> ArrayRef {
    let times = column.as_primitive::<TimestampMicrosecondType>();
    let known = times.iter().map(|time| time.filter(|micros| *micros != 0));
    let known: TimestampMicrosecondArray = known.collect();
    Arc::new(known.with_timezone("UTC"))
}

fn known_texts(column: &ArrayRef) -> ArrayRef {
    let texts = column.as_string::<i32>();
    let known = texts
        .iter()
        .map(|text| text.filter(|text| !text.is_empty()));
    Arc::new(known.collect::<StringArray>())
}
