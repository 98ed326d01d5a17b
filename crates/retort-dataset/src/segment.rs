//! Segments: append-only Parquet files of a worker, three to a flush, and their names.
//!
//! The files of one flush of one campaign share a stem. They are stored in the order `tokens`,
//! `attempts`, `responses`, so a reader that sees a row of `responses` has its tokens and its
//! attempt. A worker that dies in between writes the same records again under another stem; rows
//! without their `responses` sibling are then met twice and told apart by `attempt_id`.
//!
//! While a crawl runs, its workers replace their small segments by larger ones. Whoever queries
//! `segments/**/*.responses.parquet` live, with DuckDB as an example, therefore sees every stored
//! reply at least once; for a moment, or after a crash, some twice (`select distinct on
//! (attempt_id)` sets that right); and a query that began before a file was replaced may end with
//! an error about a file that is gone, and can be run again.

mod name;
mod read;
mod size;
mod write;

pub use name::{SegmentName, worker_slug};
pub use read::{Batches, Source, read};
pub(crate) use read::{Key, Wanted, metadata, read_wanted, row_groups_with};
pub(crate) use size::row_lengths;
pub use write::{Encoded, encode, writer_properties};
pub(crate) use write::{Metadata, properties};
