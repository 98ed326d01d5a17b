//! Segments: append-only Parquet files of a worker, three to a flush, and their names.
//!
//! The files of one flush of one campaign share a stem. They are stored in the order `tokens`,
//! `attempts`, `responses`, so a reader that sees a row of `responses` has its tokens and its
//! attempt. A worker that dies in between writes the same records again under another stem; rows
//! without their `responses` sibling are then met twice and told apart by `attempt_id`.

mod name;
mod read;
mod write;

pub use name::{SegmentName, worker_slug};
pub use read::{Batches, Source, read};
pub(crate) use read::{Key, Wanted, metadata, read_wanted, row_groups_with};
pub use write::{Encoded, encode};
pub(crate) use write::{Metadata, properties};
