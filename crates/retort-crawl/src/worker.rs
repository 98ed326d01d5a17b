//! The worker: owns domains, asks their samples at their pace, and tells when rows are durable.

mod ask;
pub(crate) mod attempt;
mod claim;
mod context;
mod domain;
mod keep;
mod lane;
mod own;
mod pace_store;
mod registry;
mod rules;
mod scrub;
mod session;
mod settle;
mod spans;
mod tell;
mod trial;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use retort_broker::{Broker, BrokerError, Queue, Topic};
use retort_client::Exchanger;
use retort_dataset::writer::Committed;
use retort_dataset::{DatasetError, Writer, WriterStatus};
use retort_pace::PaceSettings;
use retort_types::{DomainId, DomainSpec, ModelName, WallClock};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;

pub use ask::{Composed, Target, Unaskable};
pub use pace_store::PaceStore;
#[doc(hidden)]
pub use rules::Rules;
pub use trial::{Trial, Tried, ask_once, try_once};

use crate::CrawlError;
use crate::message::DomainReport;
use crate::record::RecordMaker;
use crate::settings::WorkerSettings;
use attempt::{Allowance, Attempter};
use context::{Context, Known, Phase};
use domain::CONTROL_QUEUE;
use own::DomainStart;
use registry::Registry;

/// Askers for the pace of a domain: the settler is the only one.
const WANTED_QUEUE: usize = 1;

/// Shortest time between flushes that only move a starved window on: more would make many small
/// segments.
const FLUSH_PAUSE: Duration = Duration::from_secs(1);

/// How often paces that changed are looked at, to be saved.
const PACES_EVERY: Duration = Duration::from_secs(1);

/// How long the last acknowledgements may take to reach a queue before its session is closed. No
/// broker confirms them, and a busy one keeps some back for a while: what it kept back when the
/// session ends is delivered to the next owner, which asks it again.
const ACKNOWLEDGED_PAUSE: Duration = Duration::from_secs(2);

/// What a worker is made of.
#[derive(Debug)]
pub struct WorkerParts {
    /// Its name in rows and receipts.
    pub worker_id: String,
    /// Where samples come from.
    pub broker: Arc<dyn Broker>,
    /// How requests are sent.
    pub client: Arc<dyn Exchanger>,
    /// Where replies are made durable.
    pub writer: Writer,
    /// What the writer made durable.
    pub committed: mpsc::Receiver<Committed>,
    /// Where the pace of domains is kept.
    pub pace_store: PaceStore,
    /// The time of day.
    pub clock: Arc<dyn WallClock>,
    /// The models it can ask.
    pub targets: BTreeMap<ModelName, Target>,
    /// The domains it consumes.
    pub domains: Vec<DomainSpec>,
    /// How it works.
    pub settings: WorkerSettings,
    /// How it keeps its pace.
    pub pace: PaceSettings,
}

impl WorkerParts {
    fn into_context(
        self,
        rules: Rules,
        pace_of: BTreeMap<DomainId, mpsc::Sender<oneshot::Sender<()>>>,
    ) -> (Arc<Context>, mpsc::Receiver<Committed>) {
        let allowance = Allowance {
            attempts: self.settings.max_attempts.max(1),
            turned_away: self.settings.max_turned_away.max(1),
        };
        let maker = RecordMaker {
            clock: self.clock,
            worker_id: self.worker_id.into(),
            entropy: Arc::default(),
        };
        let context = Context {
            attempter: Attempter {
                client: self.client,
                writer: self.writer,
                maker,
                allowance,
                archiver: Arc::default(),
                asked: Arc::default(),
                broken: watch::channel(None).0,
            },
            registry: Registry::new(rules.dedupe),
            rules,
            pace_store: self.pace_store,
            settings: self.settings,
            targets: self.targets.into_iter().map(known).collect(),
            reports: Mutex::new(BTreeMap::new()),
            paces: Mutex::new(BTreeMap::new()),
            saving: tokio::sync::Mutex::default(),
            pace_of,
            phase: watch::channel(Phase::Work).0,
            in_the_air: watch::channel(0).0,
            flush_wanted: Notify::new(),
            working_domains: watch::channel(0).0,
            sessions: Arc::default(),
        };
        (Arc::new(context), self.committed)
    }
}

/// A worker at work.
#[derive(Debug)]
pub struct Worker {
    context: Arc<Context>,
    domains: JoinSet<Result<(), CrawlError>>,
    services: JoinSet<()>,
    settler: tokio::task::JoinHandle<()>,
}

impl Worker {
    /// Starts a worker: one task per domain, one that settles what became durable, one that flushes
    /// when windows starve and one that tells how it is doing.
    pub async fn start(parts: WorkerParts) -> Result<Self, CrawlError> {
        Self::start_by(parts, Rules::default()).await
    }

    /// Starts a worker that keeps only some rules of the protocol; for tests that must notice.
    #[doc(hidden)]
    pub async fn start_by(parts: WorkerParts, rules: Rules) -> Result<Self, CrawlError> {
        let (broker, domains) = (Arc::clone(&parts.broker), parts.domains.clone());
        declare_queues(&*broker, &domains).await?;
        let pace = parts.pace.clone();
        let (mut pace_of, mut asked) = (BTreeMap::new(), Vec::new());
        for domain in &domains {
            let (sender, wanted) = mpsc::channel(WANTED_QUEUE);
            pace_of.insert(domain.id.clone(), sender);
            asked.push(wanted);
        }
        let (context, committed) = parts.into_context(rules, pace_of);
        let settling = settle::settle(Arc::clone(&context), Arc::clone(&broker), committed);
        let settler = tokio::spawn(settling);
        let mut services = JoinSet::new();
        services.spawn(flush_when_wanted(Arc::clone(&context)));
        services.spawn(measure_lag(Arc::clone(&context)));
        services.spawn(save_paces(Arc::clone(&context)));
        services.spawn(tell::tell(Arc::clone(&context), Arc::clone(&broker)));
        let mut tasks = JoinSet::new();
        let mut controls = Vec::new();
        for (number, (spec, wanted)) in domains.into_iter().zip(asked).enumerate() {
            let (sender, control) = mpsc::channel(CONTROL_QUEUE);
            controls.push(sender);
            let start = DomainStart {
                number,
                spec,
                pace: pace.clone(),
                control,
                wanted,
                phase: context.phase.subscribe(),
            };
            let working = context.working();
            let (context, broker) = (Arc::clone(&context), Arc::clone(&broker));
            tasks.spawn(own::own(context, broker, start, working));
        }
        let heard = broker.subscribe(Topic::Control).await?;
        services.spawn(tell::relay(broker, heard, controls));
        Ok(Self {
            context,
            domains: tasks,
            services,
            settler,
        })
    }

    /// Waits until the worker cannot go on: a domain failed, or replies can no longer be stored.
    pub async fn failed(&mut self) -> CrawlError {
        let mut broken = self.context.attempter.broken.subscribe();
        loop {
            tokio::select! {
                joined = self.domains.join_next() => match joined {
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(error))) => return error,
                    Some(Err(error)) => return CrawlError::Task(error.to_string()),
                    None => std::future::pending().await,
                },
                reason = broken.wait_for(Option::is_some) => {
                    let reason = reason.ok().and_then(|reason| reason.clone());
                    return CrawlError::Task(reason.unwrap_or_default());
                }
            }
        }
    }

    /// Returns what tells how the worker is doing, also while it is being stopped.
    pub fn watcher(&self) -> Watcher {
        Watcher(Arc::clone(&self.context))
    }

    /// Stops: starts nothing more, waits for what is in the air, makes it durable, acknowledges it,
    /// and gives the queues back. Nothing that was asked is asked again.
    pub async fn stop(mut self) -> Result<(), CrawlError> {
        self.context.phase.send_replace(Phase::Drain);
        self.context.all_drained().await;
        self.context.writer().clone().close().await?;
        // The writer is gone, so the stream of committed rows ends and the settler with it.
        let settled = (&mut self.settler).await;
        if !self.context.pace_store.is_locking() {
            tokio::time::sleep(ACKNOWLEDGED_PAUSE).await;
        }
        self.context.phase.send_replace(Phase::Close);
        while let Some(joined) = self.domains.join_next().await {
            joined.map_err(|error| CrawlError::Task(error.to_string()))??;
        }
        self.services.shutdown().await;
        settled.map_err(|error| CrawlError::Task(error.to_string()))
    }
}

/// Tells how a worker is doing.
#[derive(Debug, Clone)]
pub struct Watcher(Arc<Context>);

impl Watcher {
    /// Returns why replies cannot be stored just now.
    pub fn stalled(&self) -> Option<String> {
        self.writer().stalled.map(|trouble| trouble.reason)
    }

    /// Returns how spool and segments are doing.
    pub fn writer(&self) -> WriterStatus {
        self.0.writer().status()
    }

    /// Returns the domains that are this worker's, as it last told.
    pub fn domains(&self) -> BTreeMap<DomainId, DomainReport> {
        let reports = self.0.reports.lock();
        reports.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns whether the worker was told to stop.
    pub fn is_stopping(&self) -> bool {
        *self.0.phase.borrow() != Phase::Work
    }

    /// Returns how many domains have an open session with the broker, of how many.
    pub fn sessions(&self) -> (usize, usize) {
        let standing = self.0.sessions.load(Ordering::Relaxed);
        (standing, self.0.pace_of.len())
    }
}

/// Makes what a worker of these domains uses on its broker, or finds it there: whoever may not make
/// it waits so until others have.
///
/// # Errors
/// All of [`BrokerError`]; with [`BrokerError::Absent`] others have to come first.
pub async fn find_queues(broker: &dyn Broker, domains: &[DomainSpec]) -> Result<(), BrokerError> {
    declare_queues(broker, domains).await?;
    broker.subscribe(Topic::Control).await.map(drop)
}

async fn declare_queues(broker: &dyn Broker, domains: &[DomainSpec]) -> Result<(), BrokerError> {
    broker.declare(&Queue::Receipts).await?;
    for domain in domains {
        broker.declare(&Queue::Probes(domain.id.clone())).await?;
    }
    Ok(())
}

fn known((name, target): (ModelName, Target)) -> (ModelName, Arc<Known>) {
    let identity = target.endpoint.identity();
    (name, Arc::new(Known { target, identity }))
}

async fn flush_when_wanted(context: Arc<Context>) {
    loop {
        context.flush_wanted.notified().await;
        match context.writer().flush().await {
            Ok(()) => {}
            // The worker stops, and what was spooled is stored.
            Err(DatasetError::Closed) => return,
            Err(error) => {
                tracing::warn!(error = %error, "a flush failed; the writer goes on trying");
            }
        }
        tokio::time::sleep(FLUSH_PAUSE).await;
    }
}

/// Measures how late this process reads while it has anything to read: at rest that is the most of what
/// a worker would do.
async fn measure_lag(context: Arc<Context>) {
    let client = &context.attempter.client;
    let mut attempts = context.in_the_air.subscribe();
    while attempts.wait_for(|count| *count > 0).await.is_ok() {
        let measured = async {
            client.measure_lag().await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            landed = attempts.wait_for(|count| *count == 0) => drop(landed),
            () = measured => {}
        }
    }
}

async fn save_paces(context: Arc<Context>) {
    loop {
        tokio::time::sleep(PACES_EVERY).await;
        context.save_due_paces().await;
    }
}
