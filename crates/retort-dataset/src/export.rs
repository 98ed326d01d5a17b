//! A snapshot's responses for other tools: JSON lines in the shape of OpenAI batch output, or CSV.
//!
//! Rows pass batch by batch; no more than one batch is in memory.

mod csv;
mod exchanges;
mod jsonl;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use crate::DatasetError;
use crate::schema::Table;
use crate::snapshot::Snapshot;

pub use exchanges::copy_exchanges;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Export {
    /// A line per sample, as OpenAI batch output has it.
    BatchOutput,
    /// A line per sample whose prompt is known, as OpenAI batch input has it.
    BatchInput,
    /// A row per sample, every column of `responses` (RFC 4180); lists are JSON.
    Csv,
}

/// An export failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The snapshot could not be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The export could not be written.
    #[error("failed to write the export")]
    Write(#[from] io::Error),
    /// No row names an exchange.
    #[error("the snapshot names no stored exchanges")]
    NoExchanges,
    /// An exchange file is named and not there.
    #[error("exchange file `{0}` is named by the snapshot and not there")]
    MissingExchange(String),
    /// The manifest names a file that cannot be one of exchanges, or another file has its place.
    #[error("`{0}` is no exchange file of this snapshot")]
    BadExchange(String),
}

/// Writes the responses of `snapshot` to `out` and returns how many rows that were; `progress` is
/// told the same number as it grows.
///
/// # Errors
/// When the snapshot is damaged or `out` takes no more.
pub async fn export<W: Write>(
    snapshot: &Snapshot,
    what: Export,
    out: W,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<u64, ExportError> {
    let mut rows = snapshot.rows(Table::Responses, &[]);
    let mut writer = Writer::new(what, out)?;
    let mut written = 0;
    while let Some(batch) = rows.next().await? {
        writer.batch(&batch, &snapshot.path)?;
        written += u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
        progress(written);
    }
    writer.finish()?;
    Ok(written)
}

enum Writer<W: Write> {
    Lines(jsonl::Shape, W),
    Table(Box<::csv::Writer<W>>),
}

impl<W: Write> Writer<W> {
    fn new(what: Export, out: W) -> Result<Self, ExportError> {
        Ok(match what {
            Export::BatchOutput => Self::Lines(jsonl::Shape::Output, out),
            Export::BatchInput => Self::Lines(jsonl::Shape::Input, out),
            Export::Csv => Self::Table(Box::new(csv::begin(out)?)),
        })
    }

    fn batch(&mut self, batch: &arrow::array::RecordBatch, path: &str) -> Result<(), ExportError> {
        match self {
            Self::Lines(shape, out) => jsonl::write(*shape, batch, path, out),
            Self::Table(writer) => csv::write(batch, path, writer),
        }
    }

    fn finish(self) -> Result<(), ExportError> {
        match self {
            Self::Lines(_, mut out) => out.flush()?,
            Self::Table(mut writer) => writer.flush()?,
        }
        Ok(())
    }
}
