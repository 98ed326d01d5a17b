//! A world: services over links to one broker and one store, and the lives they lead.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::memory::InMemory;
use retort_broker::testkit::Version;
use retort_broker::{Broker as _, MemoryBroker, Message, Queue};
use retort_crawl::control::{self, Wish};
use retort_crawl::worker::{Rules, WorkerParts};
use retort_crawl::{
    CoordinatorSettings, CrawlError, FleetCoordinator, FleetParts, PaceStore, State, Target,
    Worker, WorkerSettings, status,
};
use retort_dataset::{Committed, Store, Writer, WriterSettings};
use retort_pace::PaceSettings;
use retort_types::{CampaignId, Catalog, HumanDuration};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::chance::Chance;
use crate::journal::{Clock, Journal, Lines};
use crate::net::{Link, Net};
use crate::provider::{Line, Providers, SAMPLE_HEADER};
use crate::shelf::{Shelf, Shelves, Weather};

/// How the world is made.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) seed: u64,
    pub(crate) rules: Rules,
    /// Requests a minute of each domain.
    pub(crate) rates: Vec<u32>,
    pub(crate) workers: u64,
    /// Campaigns and how many samples of each model they draw.
    pub(crate) campaigns: Vec<u64>,
    pub(crate) handoff: bool,
    /// Whether nothing happens but workers that are told to stop, and come back.
    pub(crate) calm: bool,
    /// Of a hundred requests, how many go wrong.
    pub(crate) trouble: u64,
    pub(crate) flush: Duration,
    /// Fewest samples published ahead.
    pub(crate) window_min: u32,
    /// Small segments of one day that are made one.
    pub(crate) compact_files: usize,
    pub(crate) keeps_exchanges: bool,
    /// Which version of the messages each process speaks, by its name.
    pub(crate) version: fn(&str) -> Version,
    pub(crate) lines: Lines,
}

/// What runs.
enum Body {
    Worker(Worker),
    Coordinator {
        stop: watch::Sender<bool>,
        task: JoinHandle<Result<(), CrawlError>>,
    },
}

/// What a life begins with.
struct Ground {
    link: Arc<Link>,
    store: Store,
    writer: Writer,
    committed: mpsc::Receiver<Committed>,
}

/// One life of a process.
struct Life {
    link: Arc<Link>,
    is_alive: Arc<AtomicBool>,
    writing: JoinHandle<()>,
    body: Body,
}

/// A simulated fleet.
pub(crate) struct World {
    pub(crate) shape: Shape,
    pub(crate) journal: Arc<Journal>,
    pub(crate) net: Arc<Net>,
    pub(crate) shelves: Shelves,
    pub(crate) providers: Arc<Providers>,
    pub(crate) catalog: Arc<Catalog>,
    clock: Arc<Clock>,
    dir: TempDir,
    lives: BTreeMap<String, Life>,
    /// How many lives each process has had.
    born: BTreeMap<String, u32>,
}

/// Returns a folder whose syncs cost nothing, where the machine has one.
fn folder() -> TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir()
        && let Ok(dir) = TempDir::new_in(memory)
    {
        return dir;
    }
    TempDir::new().unwrap()
}

fn catalog(rates: &[u32]) -> Catalog {
    let (mut providers, mut accounts, mut models) = (json!({}), json!({}), json!({}));
    for (n, rate) in rates.iter().enumerate() {
        let name = format!("p{n}");
        providers[&name] = json!({
            "wire": "openai-chat",
            "base_url": format!("http://127.0.0.1:1/{name}"),
            "sample_id_header": SAMPLE_HEADER,
        });
        let limits = json!({ "requests_per_minute": rate });
        accounts[&name] = json!({ "provider": name, "limits": limits });
        models[format!("m{n}")] = json!({ "account": name, "model": "m" });
    }
    let catalog = json!({ "providers": providers, "accounts": accounts, "models": models });
    retort_plan::parse_catalog(&catalog.to_string(), "simulation").unwrap()
}

impl World {
    pub(crate) fn new(shape: Shape) -> Self {
        let seed = shape.seed;
        let journal = Arc::new(Journal::new(shape.lines));
        let clock = Arc::new(Clock::new(seed));
        let mut chance = Chance::of(seed, "net");
        let net = Net {
            broker: MemoryBroker::new(),
            journal: Arc::clone(&journal),
            handoff: shape.handoff,
            doubles: if shape.calm { 0 } else { chance.below(40) },
            unconfirmed: if shape.calm { 0 } else { chance.below(20) },
            chance: Mutex::new(chance),
            sessions: AtomicU64::new(0),
        };
        let weather = Weather {
            failing_until: None,
            slow_until: None,
            chance: Chance::of(seed, "store"),
        };
        let shelves = Shelves {
            inner: Arc::new(InMemory::new()),
            weather: Arc::new(Mutex::new(weather)),
            journal: Arc::clone(&journal),
            home: std::thread::current().id(),
        };
        let providers = Providers::new(
            seed,
            shape.trouble,
            Arc::clone(&journal),
            Arc::clone(&clock),
        );
        Self {
            catalog: Arc::new(catalog(&shape.rates)),
            shape,
            journal,
            net: Arc::new(net),
            shelves,
            providers: Arc::new(providers),
            clock,
            dir: folder(),
            lives: BTreeMap::new(),
            born: BTreeMap::new(),
        }
    }

    fn shelf(&self, by: &str, is_alive: &Arc<AtomicBool>) -> Store {
        let shelf = Shelf {
            shared: self.shelves.clone(),
            by: by.to_owned(),
            is_alive: Arc::clone(is_alive),
        };
        Store::over(Arc::new(shelf), "memory:///world")
    }

    /// Returns the store as somebody beside the fleet sees it, in any weather.
    pub(crate) fn store(&self) -> Store {
        Store::over(Arc::clone(&self.shelves.inner) as Arc<_>, "memory:///world")
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.lives.keys().cloned().collect()
    }

    pub(crate) fn is_up(&self, name: &str) -> bool {
        self.lives.contains_key(name)
    }

    pub(crate) fn link(&self, name: &str) -> Option<Arc<Link>> {
        Some(Arc::clone(&self.lives.get(name)?.link))
    }

    /// Brings a process to life over the spool of its last one; returns whether it came up.
    pub(crate) async fn start(&mut self, name: &str) -> bool {
        if self.is_up(name) {
            return true;
        }
        let born = self.born.entry(name.to_owned()).or_default();
        *born += 1;
        if *born > 1 {
            self.journal.mishap("process started over its spool");
        }
        let by = format!("{name}.{born}");
        self.journal.note(format_args!("{by} starts"));
        let is_alive = Arc::new(AtomicBool::new(true));
        let link = Link::new(Arc::clone(&self.net), &by, (self.shape.version)(name));
        let store = self.shelf(&by, &is_alive);
        let settings = WriterSettings {
            flush_every: HumanDuration(self.shape.flush),
            compact_files: self.shape.compact_files.try_into().unwrap(),
            ..WriterSettings::default()
        };
        let spool = self.dir.path().join(name);
        let clock = Arc::clone(&self.clock) as Arc<_>;
        let opened = Writer::start_here(&spool, store.clone(), name, settings, clock);
        let (writer, committed, _, work) = opened.unwrap();
        let writing = tokio::spawn(work);
        let ground = Ground {
            link: Arc::clone(&link),
            store,
            writer,
            committed,
        };
        let body = if name.starts_with('c') {
            self.coordinator(ground)
        } else if let Ok(worker) = self.worker(name, &by, ground).await {
            Body::Worker(worker)
        } else {
            is_alive.store(false, Ordering::Relaxed);
            link.kill(Duration::ZERO);
            end(writing).await;
            return false;
        };
        let life = Life {
            link,
            is_alive,
            writing,
            body,
        };
        self.lives.insert(name.to_owned(), life);
        true
    }

    fn coordinator(&self, ground: Ground) -> Body {
        let Ground {
            link,
            store,
            writer,
            committed,
        } = ground;
        let parts = FleetParts {
            store,
            broker: link,
            catalog: Arc::clone(&self.catalog),
            writer,
            clock: Arc::clone(&self.clock) as Arc<_>,
            settings: CoordinatorSettings {
                window: HumanDuration(Duration::from_secs(8)),
                window_min: self.shape.window_min,
                lost_after: HumanDuration(Duration::from_secs(12)),
                status_every: HumanDuration(Duration::from_secs(2)),
                ..CoordinatorSettings::default()
            },
        };
        let coordinator = FleetCoordinator::new(parts, committed);
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(Box::pin(coordinator.run(stopping)));
        Body::Coordinator { stop, task }
    }

    async fn worker(&self, name: &str, by: &str, ground: Ground) -> Result<Worker, CrawlError> {
        let models: Vec<_> = self.catalog.models.keys().cloned().collect();
        let resolved = retort_plan::resolve(&self.catalog, &models).unwrap();
        let targets = resolved.endpoints.into_iter().map(|endpoint| {
            let name = endpoint.name.clone();
            let secret = None;
            (name, Target { endpoint, secret })
        });
        let line = Line {
            providers: Arc::clone(&self.providers),
            by: by.to_owned(),
        };
        let parts = WorkerParts {
            worker_id: name.to_owned(),
            broker: ground.link,
            client: Arc::new(line),
            writer: ground.writer,
            committed: ground.committed,
            pace_store: PaceStore::new(ground.store, None),
            clock: Arc::clone(&self.clock) as Arc<_>,
            targets: targets.collect(),
            domains: resolved.domains,
            settings: WorkerSettings::default(),
            pace: PaceSettings::default(),
        };
        Worker::start_by(parts, self.shape.rules).await
    }

    /// Ends a process at once; its broker notices after `noticed`.
    pub(crate) async fn kill(&mut self, name: &str, noticed: Duration) {
        let Some(life) = self.lives.remove(name) else {
            return;
        };
        self.journal.note(format_args!("{name} is killed"));
        life.is_alive.store(false, Ordering::Relaxed);
        life.link.kill(noticed);
        end(life.writing).await;
        match life.body {
            Body::Worker(worker) => drop(worker),
            Body::Coordinator { task, .. } => {
                task.abort();
                drop(task.await);
            }
        }
    }

    /// Tells a process to stop and waits until it has; returns whether it did.
    pub(crate) async fn stop(&mut self, name: &str) -> bool {
        let Some(life) = self.lives.remove(name) else {
            return true;
        };
        self.journal.note(format_args!("{name} is told to stop"));
        let stopped = async {
            match life.body {
                Body::Worker(worker) => drop(worker.stop().await),
                Body::Coordinator { stop, task } => {
                    stop.send_replace(true);
                    drop(task.await);
                }
            }
        };
        let in_time = tokio::time::timeout(Duration::from_mins(5), stopped).await;
        life.is_alive.store(false, Ordering::Relaxed);
        life.link.kill(Duration::ZERO);
        end(life.writing).await;
        self.journal.note(format_args!("{name} has stopped"));
        in_time.is_ok()
    }

    /// Returns a campaign: as many prompts as samples of a model.
    pub(crate) fn campaign(&self, number: usize) -> Value {
        let prompts: Vec<String> = (0..self.shape.campaigns[number] / 2)
            .map(|prompt| format!("Describe {prompt} of {number}."))
            .collect();
        json!({
            "id": format!("c{number}"),
            "purpose": "a simulation",
            "models": self.catalog.models.keys().collect::<Vec<_>>(),
            "params": { "max_tokens": 8, "stream": false },
            "suites": [{ "inline": { "name": "s", "prompts": prompts }, "samples": 2 }],
            "seed": self.shape.seed,
            "store": { "exchanges": self.shape.keeps_exchanges },
        })
    }

    /// Submits as any client of the broker would; returns whether the broker took it.
    pub(crate) async fn submit(&self, number: usize) -> bool {
        let message = Message {
            id: format!("submission {number}"),
            kind: "retort.campaign.v1".to_owned(),
            body: self.campaign(number).to_string().into(),
        };
        let broker = &self.net.broker;
        broker.declare(&Queue::Submissions).await.is_ok()
            && broker.publish(&Queue::Submissions, message).await.is_ok()
    }

    pub(crate) async fn wish(&self, number: usize, wish: Wish) {
        let id = CampaignId::new(&format!("c{number}")).unwrap();
        control::wish(&self.store(), &*self.clock, &id, wish)
            .await
            .unwrap();
    }

    /// Returns what a campaign is doing, once it was taken up.
    pub(crate) async fn state(&self, number: usize) -> Option<State> {
        let id = CampaignId::new(&format!("c{number}")).unwrap();
        let status = status::read(&self.store(), &id).await.unwrap();
        status.map(|status| status.state)
    }

    pub(crate) fn weather(&self, change: impl FnOnce(&mut Weather)) {
        let mut weather = self
            .shelves
            .weather
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        change(&mut weather);
    }
}

/// Ends a task and waits until it is gone.
async fn end(task: JoinHandle<()>) {
    task.abort();
    drop(task.await);
}
