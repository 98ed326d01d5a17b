//! A simulated provider, a store, a broker in memory, and services over them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use retort_broker::{Broker, MemoryBroker, Message, Queue};
use retort_client::{ClientSettings, HttpClient};
use retort_crawl::worker::WorkerParts;
use retort_crawl::{
    CoordinatorSettings, CrawlError, FleetCoordinator, FleetParts, PaceStore, SOFTWARE, State,
    Statuses, Target, Worker, WorkerSettings, status,
};
use retort_dataset::snapshot::{self, ModelSummary};
use retort_dataset::{Store, Writer, WriterSettings};
use retort_pace::PaceSettings;
use retort_sim::{Fleet, FleetSpec, FleetThread, Setup};
use retort_types::{CampaignId, Catalog, HumanDuration, Timestamp, WallClock};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Longest wait for anything: far beyond the slowest on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

#[derive(Debug)]
pub(crate) struct Clock;

impl WallClock for Clock {
    #[expect(clippy::disallowed_methods, reason = "the provider lives in real time")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp::from_micros(i64::try_from(since.unwrap().as_micros()).unwrap())
    }
}

pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) sim: FleetThread,
    pub(crate) broker: MemoryBroker,
    pub(crate) store: Store,
    pub(crate) catalog: Arc<Catalog>,
    /// How workers work; short times for tests.
    pub(crate) worker: WorkerSettings,
    pub(crate) coordinator: CoordinatorSettings,
    pub(crate) writer: WriterSettings,
}

const fn millis(ms: u64) -> HumanDuration {
    HumanDuration(Duration::from_millis(ms))
}

impl World {
    /// Serves a model `m<n>` per limit, each of a provider and an account of its own.
    pub(crate) fn new(limits: &[Value], latency_ms: u64) -> Self {
        let providers: Vec<Value> = (0..limits.len())
            .map(|n| {
                json!({ "name": format!("p{n}"), "latency": { "ms": latency_ms },
                        "models": [{ "name": format!("m{n}"), "words_max": 30 }] })
            })
            .collect();
        let spec: FleetSpec = serde_json::from_value(json!({ "providers": providers })).unwrap();
        let sim = Fleet::start_in_thread(spec, Setup::new(Arc::new(Clock))).unwrap();
        let mut catalog = serde_json::to_value(sim.catalog().unwrap()).unwrap();
        for (n, limits) in limits.iter().enumerate() {
            let name = format!("p{n}");
            catalog["accounts"][&name]["limits"] = limits.clone();
            catalog["providers"][&name]["sample_id_header"] = json!("x-retort-sample-id");
        }
        let catalog = retort_plan::parse_catalog(&catalog.to_string(), "test").unwrap();
        let dir = TempDir::new().unwrap();
        let store = Store::open(&dir.path().join("store").display().to_string()).unwrap();
        Self {
            dir,
            sim,
            broker: MemoryBroker::new(),
            store,
            catalog: Arc::new(catalog),
            worker: WorkerSettings {
                grace: millis(300),
                claim_spread: millis(0),
                ..WorkerSettings::default()
            },
            coordinator: CoordinatorSettings {
                lost_after: millis(1_500),
                ..CoordinatorSettings::default()
            },
            writer: WriterSettings {
                flush_every: millis(100),
                ..WriterSettings::default()
            },
        }
    }

    pub(crate) fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(self.broker.clone())
    }

    /// Starts a worker of this name over its own spool.
    pub(crate) async fn work(&self, name: &str) -> Worker {
        let models: Vec<_> = self.catalog.models.keys().cloned().collect();
        let resolved = retort_plan::resolve(&self.catalog, &models).unwrap();
        let spool = self.dir.path().join("spools").join(name);
        let writer = self.writer.clone();
        let started = Writer::start(&spool, self.store.clone(), name, writer, Arc::new(Clock));
        let (writer, committed, _) = started.unwrap();
        let endpoints = resolved.endpoints.into_iter();
        let targets = endpoints.map(|endpoint| {
            let name = endpoint.name.clone();
            let secret = None;
            (name, Target { endpoint, secret })
        });
        Worker::start(WorkerParts {
            worker_id: name.to_owned(),
            broker: self.broker(),
            client: HttpClient::new(ClientSettings::default(), SOFTWARE, Arc::new(Clock)).unwrap(),
            writer,
            committed,
            pace_store: PaceStore::new(self.store.clone(), None),
            clock: Arc::new(Clock),
            targets: targets.collect(),
            domains: resolved.domains,
            settings: self.worker.clone(),
            pace: PaceSettings::default(),
        })
        .await
        .unwrap()
    }

    /// Starts a coordinator of this name.
    pub(crate) fn coordinate(&self, name: &str) -> Coordinating {
        let spool = self.dir.path().join("spools").join(name);
        let writer = self.writer.clone();
        let started = Writer::start(&spool, self.store.clone(), name, writer, Arc::new(Clock));
        let (writer, committed, _) = started.unwrap();
        let parts = FleetParts {
            store: self.store.clone(),
            broker: self.broker(),
            catalog: Arc::clone(&self.catalog),
            writer,
            clock: Arc::new(Clock),
            settings: self.coordinator.clone(),
        };
        let coordinator = FleetCoordinator::new(parts, committed);
        let statuses = coordinator.statuses();
        let (stop, stopping) = watch::channel(false);
        Coordinating {
            statuses,
            stop,
            task: tokio::spawn(Box::pin(coordinator.run(stopping))),
        }
    }

    /// Returns a campaign of `prompts` prompts with `samples` draws each, of every model.
    pub(crate) fn campaign(&self, id: &str, prompts: usize, samples: u32) -> Value {
        let texts: Vec<String> = (0..prompts)
            .map(|n| format!("Describe {n} of {id}."))
            .collect();
        json!({
            "id": id,
            "purpose": "a test of this program",
            "models": self.catalog.models.keys().collect::<Vec<_>>(),
            "params": { "max_tokens": 8 },
            "suites": [{ "inline": { "name": "objects", "prompts": texts }, "samples": samples }],
        })
    }

    /// Submits as any client of the broker would.
    pub(crate) async fn submit(&self, campaign: &Value) {
        let message = Message {
            id: "submission".to_owned(),
            kind: "retort.campaign.v1".to_owned(),
            body: campaign.to_string().into(),
        };
        self.broker.declare(&Queue::Submissions).await.unwrap();
        self.broker
            .publish(&Queue::Submissions, message)
            .await
            .unwrap();
    }

    pub(crate) fn served(&self) -> u64 {
        self.sim.stats().totals().served
    }

    pub(crate) fn paid_twice(&self) -> u64 {
        let stats = self.sim.stats();
        stats.providers.values().map(|own| own.paid_twice).sum()
    }

    /// Waits until `done` says so.
    pub(crate) async fn until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            assert!(begun.elapsed() < PATIENCE, "waited too long for {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn state(&self, id: &str) -> Option<State> {
        let status = status::read(&self.store, &CampaignId::new(id).unwrap()).await;
        status.unwrap().map(|status| status.state)
    }

    pub(crate) async fn until_state(&self, id: &str, state: State) {
        let begun = Instant::now();
        while self.state(id).await != Some(state) {
            let late = begun.elapsed() >= PATIENCE;
            assert!(!late, "`{id}` is {:?}, not {state:?}", self.state(id).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for the snapshot of a campaign and asserts that it holds one final row for each of
    /// `planned` samples; returns what it says of models.
    pub(crate) async fn sealed(&self, id: &str, planned: usize) -> Vec<ModelSummary> {
        self.until_state(id, State::Sealed).await;
        let campaign = CampaignId::new(id).unwrap();
        let snapshot = snapshot::latest(&self.store, &campaign)
            .await
            .unwrap()
            .unwrap();
        let mut ids = BTreeSet::new();
        let mut count = 0;
        for batch in snapshot.responses(&["sample_id"]).collect().await.unwrap() {
            let column = batch.column(0);
            for row in 0..batch.num_rows() {
                let text = arrow::util::display::array_value_to_string(column, row).unwrap();
                ids.insert(text);
                count += 1;
            }
        }
        assert_eq!((count, ids.len()), (planned, planned), "rows of `{id}`");
        snapshot::summarize(&snapshot).await.unwrap()
    }
}

/// Counts samples that were answered.
pub(crate) fn answered(models: &[ModelSummary]) -> u64 {
    let outcomes: BTreeMap<_, u64> = models.iter().flat_map(|model| model.outcomes.clone()).fold(
        BTreeMap::new(),
        |mut sum, (outcome, count)| {
            *sum.entry(outcome).or_default() += count;
            sum
        },
    );
    outcomes
        .get(&retort_types::Outcome::Answered)
        .copied()
        .unwrap_or(0)
}

/// Counts requests in the rows of attempts.
pub(crate) fn attempts(models: &[ModelSummary]) -> u64 {
    models.iter().map(|model| model.attempts).sum()
}

/// A coordinator at work.
pub(crate) struct Coordinating {
    pub(crate) statuses: Statuses,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), CrawlError>>,
}

impl Coordinating {
    /// Ends it as a kill does: nothing is said to anyone.
    pub(crate) fn kill(self) {
        self.task.abort();
    }

    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap().unwrap();
    }
}
