//! `pairs.parquet` of the benchmark: one row per labelled pair and detector.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array};
use parquet::arrow::ArrowWriter;

use super::{BenchError, PairRow};

/// Writes the rows to a Parquet file.
///
/// # Errors
/// When the file cannot be written.
pub fn write_pairs(path: &Path, rows: &[PairRow]) -> Result<(), BenchError> {
    let failed = |error: &dyn std::fmt::Display| BenchError::Write {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let batch = batch(rows).map_err(|error| failed(&error))?;
    let file = File::create(path).map_err(|error| failed(&error))?;
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), None).map_err(|error| failed(&error))?;
    writer.write(&batch).map_err(|error| failed(&error))?;
    writer.close().map_err(|error| failed(&error))?;
    Ok(())
}

fn batch(rows: &[PairRow]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let texts = |of: &dyn Fn(&PairRow) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    };
    let numbers = |of: &dyn Fn(&PairRow) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<Float64Array>())
    };
    let counts = |of: &dyn Fn(&PairRow) -> usize| -> ArrayRef {
        let count = |row: &PairRow| u32::try_from(of(row)).ok();
        Arc::new(rows.iter().map(count).collect::<UInt32Array>())
    };
    RecordBatch::try_from_iter_with_nullable([
        ("suspect", texts(&|row| &row.suspect), false),
        ("candidate", texts(&|row| &row.candidate), false),
        ("label", texts(&|row| row.label.as_str()), false),
        ("detector", texts(&|row| row.detector), false),
        ("statistic", numbers(&|row| row.statistic), true),
        ("effect", numbers(&|row| row.effect), true),
        ("row", numbers(&|row| row.row), true),
        ("p", numbers(&|row| row.p), true),
        ("log10_lr", numbers(&|row| row.log10_lr), true),
        ("log10_lr_cap", numbers(&|row| Some(row.cap)), true),
        ("prompts", counts(&|row| row.prompts), true),
        ("controls", counts(&|row| row.controls), true),
    ])
}
