//! The two services of the crawl. A coordinator plans windows, keeps the ledger and repairs; a
//! worker asks and makes replies durable. They speak through a broker and agree through the store.

pub mod control;
pub mod coordinator;
mod decoding;
pub mod fleet;
pub mod message;
mod record;
pub mod sealing;
pub mod settings;
pub mod status;
pub mod submit;
mod turns;
pub mod verify;
pub mod worker;

pub use coordinator::{Coordinator, CoordinatorParts, Finish, Membership, Note};
pub use fleet::{FleetCoordinator, FleetParts, Statuses};
pub use record::SOFTWARE;
pub use settings::{CoordinatorSettings, WorkerSettings};
pub use status::{State, Status};
pub use worker::{PaceStore, Target, Worker, WorkerParts};

/// The crawl itself failed; what providers do is data and never an error.
#[derive(Debug, thiserror::Error)]
pub enum CrawlError {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] retort_dataset::StoreError),
    /// Spool, segments or ledger failed.
    #[error("the dataset could not be written or read")]
    Dataset(#[from] retort_dataset::DatasetError),
    /// The broker failed.
    #[error("the broker failed")]
    Broker(#[from] retort_broker::BrokerError),
    /// The session with the broker ended.
    #[error("the session with the broker ended")]
    BrokerLost,
    /// A domain's lock failed.
    #[error("a rate-limit domain could not be locked")]
    Lock(#[source] std::io::Error),
    /// A message could not be written.
    #[error("a message could not be written: {0}")]
    Message(String),
    /// A task ended in a way it never should.
    #[error("a task failed: {0}")]
    Task(String),
}
