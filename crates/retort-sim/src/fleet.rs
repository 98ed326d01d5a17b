//! Starting, steering and stopping a fleet, on the caller's runtime or on a thread of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use retort_types::{Catalog, WallClock};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::catalog;
use crate::error::SimError;
use crate::fault::FaultSpec;
use crate::model::SimModel;
use crate::replay::ReplayModels;
use crate::server;
use crate::spec::FleetSpec;
use crate::state::Shared;
use crate::stats::Stats;

/// What a fleet needs besides its description.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Tells the time of day for dates in answers.
    pub clock: Arc<dyn WallClock>,
    /// What models of the kind `replay` repeat.
    pub replay: Option<Arc<ReplayModels>>,
    /// Models of the kind `custom`, by name.
    pub models: BTreeMap<String, Arc<dyn SimModel>>,
}

impl Setup {
    /// Returns a setup without recordings and models of the caller's.
    pub fn new(clock: Arc<dyn WallClock>) -> Self {
        Self {
            clock,
            replay: None,
            models: BTreeMap::new(),
        }
    }
}

/// A running fleet on the runtime it was started on. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Fleet {
    handle: Handle,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

/// What can be asked of a running fleet from anywhere.
#[derive(Debug, Clone)]
struct Handle {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Handle {
    fn base_url(&self, provider: &str) -> Result<String, SimError> {
        let spec = &self.shared.provider(provider)?.spec;
        let path = spec.base_path(spec.wire);
        Ok(format!("http://{}{path}", self.address))
    }
}

impl Fleet {
    /// Starts a fleet of canned models.
    ///
    /// # Errors
    /// When the description breaks a rule or the address cannot be listened on.
    pub async fn start(spec: FleetSpec, clock: Arc<dyn WallClock>) -> Result<Self, SimError> {
        Self::start_with(spec, Setup::new(clock)).await
    }

    /// Starts a fleet with recordings or models of the caller's.
    ///
    /// # Errors
    /// As [`start`](Self::start), and when a model names a source that `setup` does not hold.
    pub async fn start_with(spec: FleetSpec, setup: Setup) -> Result<Self, SimError> {
        let wanted = SocketAddr::new(spec.host, spec.port);
        let shared = Arc::new(Shared::new(spec, setup)?);
        let listen = |source| SimError::Listen {
            address: wanted.to_string(),
            source,
        };
        let listener = TcpListener::bind(wanted).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(server::run(listener, Arc::clone(&shared), stopped));
        tracing::info!(%address, providers = shared.providers.len(), "simulated fleet started");
        Ok(Self {
            handle: Handle { address, shared },
            stop,
            task,
        })
    }

    /// Starts a fleet on a thread and runtime of its own.
    ///
    /// # Errors
    /// As [`start_with`](Self::start_with), and when the thread cannot be started.
    pub fn start_in_thread(spec: FleetSpec, setup: Setup) -> Result<FleetThread, SimError> {
        FleetThread::start(spec, setup)
    }

    /// Returns where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.handle.address
    }

    /// Returns the URL in front of a provider's endpoints, as `http://127.0.0.1:8080/p/alpha/v1`.
    ///
    /// # Errors
    /// When there is no such provider.
    pub fn base_url(&self, provider: &str) -> Result<String, SimError> {
        self.handle.base_url(provider)
    }

    /// Returns what happened so far.
    pub fn stats(&self) -> Stats {
        self.handle.shared.stats()
    }

    /// Forgets what happened so far, but not what is at work.
    pub fn reset_stats(&self) {
        self.handle.shared.reset_stats();
    }

    /// Replaces the faults of a provider; their counts begin anew.
    ///
    /// # Errors
    /// When there is no such provider or a fault breaks a rule.
    pub fn set_faults(&self, provider: &str, faults: &[FaultSpec]) -> Result<(), SimError> {
        self.handle.shared.set_faults(Some(provider), faults)
    }

    /// Returns a catalog of every model of the fleet.
    ///
    /// # Errors
    /// When a name fits the fleet but not a catalog.
    pub fn catalog(&self) -> Result<Catalog, SimError> {
        catalog::catalog(&self.handle.shared.spec, self.handle.address)
    }

    /// Stops: closes the port and every connection, and returns what happened.
    pub async fn shutdown(mut self) -> Stats {
        self.stop.send_replace(true);
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "simulated fleet failed");
        }
        self.stats()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Without effect after a shutdown; otherwise the task ends its connections by itself.
        self.stop.send_replace(true);
    }
}

/// A running fleet on a thread of its own. Dropping it stops it and waits for the thread.
#[derive(Debug)]
pub struct FleetThread {
    handle: Handle,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FleetThread {
    fn start(spec: FleetSpec, setup: Setup) -> Result<Self, SimError> {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        // One message: whether it started.
        let (started, start) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("retort-sim".to_owned())
            .spawn(move || live(spec, setup, &started, stopped))
            .map_err(SimError::Thread)?;
        let gone = || SimError::Thread(std::io::Error::other("the thread ended at once"));
        let handle = start.recv().map_err(|_| gone())??;
        Ok(Self {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Returns where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.handle.address
    }

    /// Returns the URL in front of a provider's endpoints.
    ///
    /// # Errors
    /// When there is no such provider.
    pub fn base_url(&self, provider: &str) -> Result<String, SimError> {
        self.handle.base_url(provider)
    }

    /// Returns what happened so far.
    pub fn stats(&self) -> Stats {
        self.handle.shared.stats()
    }

    /// Forgets what happened so far, but not what is at work.
    pub fn reset_stats(&self) {
        self.handle.shared.reset_stats();
    }

    /// Replaces the faults of a provider; their counts begin anew.
    ///
    /// # Errors
    /// When there is no such provider or a fault breaks a rule.
    pub fn set_faults(&self, provider: &str, faults: &[FaultSpec]) -> Result<(), SimError> {
        self.handle.shared.set_faults(Some(provider), faults)
    }

    /// Returns a catalog of every model of the fleet.
    ///
    /// # Errors
    /// When a name fits the fleet but not a catalog.
    pub fn catalog(&self) -> Result<Catalog, SimError> {
        catalog::catalog(&self.handle.shared.spec, self.handle.address)
    }

    /// Stops, waits for the thread, and returns what happened.
    pub fn shutdown(mut self) -> Stats {
        self.halt();
        self.stats()
    }

    fn halt(&mut self) {
        if let Some(stop) = self.stop.take()
            && stop.send(()).is_err()
        {
            tracing::debug!("simulated fleet had ended before");
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("simulated fleet failed");
        }
    }
}

impl Drop for FleetThread {
    fn drop(&mut self) {
        self.halt();
    }
}

/// The life of the thread.
fn live(
    spec: FleetSpec,
    setup: Setup,
    started: &mpsc::SyncSender<Result<Handle, SimError>>,
    stopped: tokio::sync::oneshot::Receiver<()>,
) {
    let tell = |result| {
        if started.send(result).is_err() {
            tracing::debug!("nobody waited for the simulated fleet");
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return tell(Err(SimError::Thread(error))),
    };
    runtime.block_on(async {
        match Fleet::start_with(spec, setup).await {
            Err(error) => tell(Err(error)),
            Ok(fleet) => {
                tell(Ok(fleet.handle.clone()));
                if stopped.await.is_err() {
                    tracing::debug!("simulated fleet was left alone");
                }
                fleet.shutdown().await;
            }
        }
    });
}
