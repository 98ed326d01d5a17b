//! Services within this process, over the same broker and store as the others: what they leave out, or say
//! otherwise, is nothing that a setting, a flag or a variable of the binary could switch.

use std::net::SocketAddr;
use std::sync::Arc;

use retort_broker::testkit::{Dressed, Version};
use retort_broker::{AmqpBroker, AmqpSettings};
use retort_client::{ClientSettings, HttpClient};
use retort_crawl::worker::{Rules, WorkerParts};
use retort_crawl::{
    CoordinatorSettings, FleetCoordinator, FleetParts, PaceStore, SOFTWARE, Statuses, Target,
    Worker, WorkerSettings,
};
use retort_dataset::{Committed, Store, Writer, WriterSettings};
use retort_pace::PaceSettings;
use retort_types::{Catalog, HumanDuration, WallClock};
use tokio::sync::{mpsc, watch};

use crate::processes::{Fleet, HEARTBEAT};
use crate::support::TestClock;

/// Which rules a worker keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    /// It begins nothing when its broker was not heard lately.
    pub(crate) fence: bool,
    /// It waits before it asks in a domain that it inherits.
    pub(crate) grace: bool,
}

const ALL: Kept = Kept {
    fence: true,
    grace: true,
};

/// What a service of the fleet works with.
struct Ground {
    broker: AmqpBroker,
    catalog: Catalog,
    store: Store,
    writer: Writer,
    committed: mpsc::Receiver<Committed>,
}

/// A worker at work; it ends with this, as by a kill.
pub(crate) struct Inside {
    _worker: Worker,
    _broker: AmqpBroker,
}

impl Fleet {
    /// Starts a worker that reaches the broker at `address`.
    pub(crate) fn worker_inside(&self, name: &str, address: SocketAddr, kept: Kept) -> Inside {
        let clock = Arc::new(TestClock);
        self.runtime
            .block_on(self.begin(name, (address, kept), clock, Version::Present))
    }

    /// Starts a worker that keeps every rule and has this time of day.
    pub(crate) fn worker_with(&self, name: &str, clock: Arc<dyn WallClock>) -> Inside {
        let beginning = self.begin(name, (self.rabbit.address, ALL), clock, Version::Present);
        self.runtime.block_on(beginning)
    }

    /// Starts a worker that keeps every rule and speaks this version of the messages.
    pub(crate) fn worker_speaking(&self, name: &str, version: Version) -> Inside {
        let clock = Arc::new(TestClock);
        let beginning = self.begin(name, (self.rabbit.address, ALL), clock, version);
        self.runtime.block_on(beginning)
    }

    async fn begin(
        &self,
        name: &str,
        (address, kept): (SocketAddr, Kept),
        clock: Arc<dyn WallClock>,
        version: Version,
    ) -> Inside {
        let Ground {
            broker,
            catalog,
            store,
            writer,
            committed,
        } = self.ground(name, address, kept, Arc::clone(&clock)).await;
        let models: Vec<_> = catalog.models.keys().cloned().collect();
        let resolved = retort_plan::resolve(&catalog, &models).unwrap();
        let endpoints = resolved.endpoints.into_iter();
        let targets = endpoints.map(|endpoint| {
            let name = endpoint.name.clone();
            let secret = None;
            (name, Target { endpoint, secret })
        });
        let client =
            HttpClient::new(ClientSettings::default(), SOFTWARE, Arc::clone(&clock)).unwrap();
        let parts = WorkerParts {
            worker_id: name.to_owned(),
            broker: Arc::new(Dressed::new(Arc::new(broker.clone()), version)),
            client: Arc::new(client),
            writer,
            committed,
            pace_store: PaceStore::new(store, None),
            clock,
            targets: targets.collect(),
            domains: resolved.domains,
            settings: WorkerSettings::default(),
            pace: PaceSettings::default(),
        };
        let rules = Rules {
            grace: kept.grace,
            ..Rules::default()
        };
        let worker = Worker::start_by(parts, rules).await.unwrap();
        Inside {
            _worker: worker,
            _broker: broker,
        }
    }

    async fn ground(
        &self,
        name: &str,
        address: SocketAddr,
        kept: Kept,
        clock: Arc<dyn WallClock>,
    ) -> Ground {
        let mut settings = AmqpSettings::default();
        settings.url = self.url_at(address).parse().unwrap();
        settings.heartbeat = HumanDuration(HEARTBEAT);
        if !kept.fence {
            settings = settings.without_fence();
        }
        let broker = AmqpBroker::start(settings).unwrap();
        broker.connected().await.unwrap();
        let catalog = std::fs::read_to_string(self.world.path("models.yaml")).unwrap();
        let store = Store::open(&self.data.display().to_string()).unwrap();
        let spool = self.world.path("inside").join(name);
        let writing = WriterSettings {
            flush_every: HumanDuration(std::time::Duration::from_millis(500)),
            ..WriterSettings::default()
        };
        let started = Writer::start(&spool, store.clone(), name, writing, clock);
        let (writer, committed, _) = started.unwrap();
        Ground {
            broker,
            catalog: retort_plan::parse_catalog(&catalog, "models.yaml").unwrap(),
            store,
            writer,
            committed,
        }
    }

    /// Starts a coordinator that speaks this version of the messages; it ends with the first of what is
    /// returned.
    pub(crate) fn coordinator_speaking(
        &self,
        name: &str,
        version: Version,
    ) -> (watch::Sender<bool>, Statuses) {
        let (stop, stopping) = watch::channel(false);
        let statuses = self.runtime.block_on(async {
            let clock: Arc<dyn WallClock> = Arc::new(TestClock);
            let address = self.rabbit.address;
            let ground = self.ground(name, address, ALL, Arc::clone(&clock)).await;
            let parts = FleetParts {
                store: ground.store,
                broker: Arc::new(Dressed::new(Arc::new(ground.broker), version)),
                catalog: Arc::new(ground.catalog),
                writer: ground.writer,
                clock,
                settings: CoordinatorSettings::default(),
            };
            let coordinator = FleetCoordinator::new(parts, ground.committed);
            let statuses = coordinator.statuses();
            tokio::spawn(Box::pin(coordinator.run(stopping)));
            statuses
        });
        (stop, statuses)
    }
}
