//! Workers within this process, over the same broker and store as the others: what they leave out is
//! nothing that a setting, a flag or a variable of the binary could switch off.

use std::net::SocketAddr;
use std::sync::Arc;

use retort_broker::{AmqpBroker, AmqpSettings};
use retort_client::{ClientSettings, HttpClient};
use retort_crawl::worker::{Rules, WorkerParts};
use retort_crawl::{PaceStore, SOFTWARE, Target, Worker, WorkerSettings};
use retort_dataset::{Store, Writer, WriterSettings};
use retort_pace::PaceSettings;
use retort_types::{HumanDuration, WallClock};

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
            .block_on(self.begin(name, address, kept, clock))
    }

    /// Starts a worker that keeps every rule and has this time of day.
    pub(crate) fn worker_with(&self, name: &str, clock: Arc<dyn WallClock>) -> Inside {
        let kept = Kept {
            fence: true,
            grace: true,
        };
        self.runtime
            .block_on(self.begin(name, self.rabbit.address, kept, clock))
    }

    async fn begin(
        &self,
        name: &str,
        address: SocketAddr,
        kept: Kept,
        clock: Arc<dyn WallClock>,
    ) -> Inside {
        let mut settings = AmqpSettings::default();
        settings.url = self.url_at(address).parse().unwrap();
        settings.heartbeat = HumanDuration(HEARTBEAT);
        if !kept.fence {
            settings = settings.without_fence();
        }
        let broker = AmqpBroker::start(settings).unwrap();
        broker.connected().await.unwrap();
        let catalog = std::fs::read_to_string(self.world.path("models.yaml")).unwrap();
        let catalog = retort_plan::parse_catalog(&catalog, "models.yaml").unwrap();
        let models: Vec<_> = catalog.models.keys().cloned().collect();
        let resolved = retort_plan::resolve(&catalog, &models).unwrap();
        let endpoints = resolved.endpoints.into_iter();
        let targets = endpoints.map(|endpoint| {
            let name = endpoint.name.clone();
            let secret = None;
            (name, Target { endpoint, secret })
        });
        let store = Store::open(&self.data.display().to_string()).unwrap();
        let spool = self.world.path("inside").join(name);
        let writing = WriterSettings {
            flush_every: HumanDuration(std::time::Duration::from_millis(500)),
            ..WriterSettings::default()
        };
        let started = Writer::start(&spool, store.clone(), name, writing, Arc::clone(&clock));
        let (writer, committed, _) = started.unwrap();
        let client =
            HttpClient::new(ClientSettings::default(), SOFTWARE, Arc::clone(&clock)).unwrap();
        let parts = WorkerParts {
            worker_id: name.to_owned(),
            broker: Arc::new(broker.clone()),
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
}
