//! A writer as a task: for simulated worlds, whose time stands still while nothing in it runs.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use retort_types::WallClock;
use tokio::sync::mpsc;

use super::group::Confirmations;
use super::run::Parts;
use super::{Committed, Recovered, Writer, WriterSettings};
use crate::spool::disk::RealDisk;
use crate::{DatasetError, Store};

/// What a writer does until it is closed.
#[doc(hidden)]
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Writer {
    /// Returns a writer as [`Writer::start`] does, with its work to be run by the caller. The work
    /// writes files without giving way to other tasks, so that it has no place in a service. When it
    /// is dropped, whatever is in the spool stays there, as after a kill.
    ///
    /// # Errors
    /// When the spool is in use or cannot be opened.
    #[doc(hidden)]
    pub fn start_here(
        spool_dir: &Path,
        store: Store,
        worker_id: &str,
        settings: WriterSettings,
        clock: Arc<dyn WallClock>,
    ) -> Result<(Self, mpsc::Receiver<Committed>, Recovered, Work), DatasetError> {
        let parts = Parts {
            store,
            worker_id: worker_id.to_owned(),
            settings,
            clock,
            confirmations: Confirmations::default(),
        };
        let (writer, committed, recovered, work) =
            Self::prepare(Box::new(RealDisk), spool_dir, parts)?;
        Ok((writer, committed, recovered, Box::pin(work.run())))
    }
}
