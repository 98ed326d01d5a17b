//! How replies become a dataset: spool, segments, ledger, snapshots and reading them back.
//!
//! A worker hands every attempt to a [`Writer`], which fsyncs it to a local spool, stores it in
//! Parquet segments and says so with [`Committed`]. A [`Ledger`] tells which samples are done;
//! [`seal()`] turns the segments of a finished campaign into a snapshot whose bytes depend on them
//! and the plan alone; [`Snapshot`] reads one back. Nothing here asks a model or knows a broker.

pub mod audit;
mod columns;
pub mod error;
pub mod exchange;
pub mod export;
pub mod import;
pub mod ledger;
pub mod rows;
pub mod schema;
pub mod seal;
pub mod segment;
pub mod signature;
pub mod snapshot;
pub mod spool;
pub mod store;
#[cfg(test)]
mod testing;
pub mod writer;

pub use error::{DatasetError, SealError, SpoolError, StoreError};
pub use ledger::{Ledger, LedgerRow, rebuild};
pub use seal::{ModelRow, Origin, SealInput, SealProgress, Sealed, ServedBy, seal};
pub use snapshot::{ModelSummary, Snapshot};
pub use spool::Spool;
pub use store::{Store, StoreSettings};
pub use writer::{Committed, CommittedRecord, Recovered, Writer, WriterSettings, WriterStatus};
