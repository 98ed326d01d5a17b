//! The worker: owns domains, asks their samples at their pace, and tells when rows are durable.

mod ask;
pub(crate) mod attempt;
mod context;
mod domain;
mod keep;
mod lane;
mod pace_store;
mod registry;
mod scrub;
mod trial;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use retort_broker::{Broker, Queue, Topic};
use retort_client::HttpClient;
use retort_dataset::Writer;
use retort_dataset::writer::Committed;
use retort_pace::{Now, PaceSettings, Pacer};
use retort_types::{DomainId, DomainSpec, ModelName, WallClock};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use ask::{Composed, Target, Unaskable};
pub use pace_store::PaceStore;
pub use trial::{Trial, Tried, ask_once, try_once};

use crate::CrawlError;
use crate::message::{
    CONTROL_KIND, Control, DomainReport, HEARTBEAT_KIND, Heartbeat, RECEIPT_KIND, Receipt, message,
    parse,
};
use crate::record::{RecordMaker, fresh_id};
use crate::settings::WorkerSettings;
use attempt::{Allowance, Attempter};
use context::{Context, Known, Phase, Working};
use domain::{CONTROL_QUEUE, Domain};
use registry::Registry;

/// How often a worker tells how it is doing.
const HEARTBEAT_EVERY: Duration = Duration::from_millis(500);

/// How often a domain that another process holds is tried again.
const LOCK_EVERY: Duration = Duration::from_millis(500);

/// Shortest time between flushes that only move a starved window on: more would make many small
/// segments.
const FLUSH_PAUSE: Duration = Duration::from_secs(1);

/// How often paces are saved.
const PACES_EVERY: Duration = Duration::from_secs(1);

/// Attempts told in one receipt: far below what a message may hold.
const RECEIPT_RECORDS: usize = 2_000;

/// How long to wait before a receipt that could not be sent is sent again.
const RECEIPT_PAUSE: Duration = Duration::from_secs(1);

/// Longest time a sample is expected to stay in the air when the size of a prefetch is chosen.
const EXPECTED_LATENCY_S: u32 = 60;

/// What a worker is made of.
#[derive(Debug)]
pub struct WorkerParts {
    /// Its name in rows and receipts.
    pub worker_id: String,
    /// Where samples come from.
    pub broker: Arc<dyn Broker>,
    /// How requests are sent.
    pub client: HttpClient,
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
    fn into_context(self) -> (Arc<Context>, mpsc::Receiver<Committed>) {
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
            registry: Registry::default(),
            pace_store: self.pace_store,
            settings: self.settings,
            targets: self.targets.into_iter().map(known).collect(),
            reports: Mutex::new(BTreeMap::new()),
            paces: Mutex::new(BTreeMap::new()),
            flush_wanted: Notify::new(),
            working_domains: watch::channel(0).0,
        };
        (Arc::new(context), self.committed)
    }
}

/// A worker at work.
#[derive(Debug)]
pub struct Worker {
    context: Arc<Context>,
    phase: watch::Sender<Phase>,
    domains: JoinSet<Result<(), CrawlError>>,
    services: JoinSet<()>,
    settler: tokio::task::JoinHandle<()>,
}

impl Worker {
    /// Starts a worker: one task per domain, one that settles what became durable, one that flushes
    /// when windows starve and one that tells how it is doing.
    pub async fn start(parts: WorkerParts) -> Result<Self, CrawlError> {
        let (broker, domains) = (Arc::clone(&parts.broker), parts.domains.clone());
        broker.declare(&Queue::Receipts).await?;
        for domain in &domains {
            broker.declare(&Queue::Probes(domain.id.clone())).await?;
        }
        let pace = parts.pace.clone();
        let (context, committed) = parts.into_context();
        let (phase, phases) = watch::channel(Phase::Work);
        let settler = tokio::spawn(settle(Arc::clone(&context), Arc::clone(&broker), committed));
        let mut services = JoinSet::new();
        services.spawn(flush_when_wanted(Arc::clone(&context)));
        let client = context.attempter.client.clone();
        services.spawn(async move { client.measure_lag().await });
        services.spawn(save_paces(Arc::clone(&context)));
        services.spawn(tell(Arc::clone(&context), Arc::clone(&broker)));
        let mut tasks = JoinSet::new();
        let mut controls = Vec::new();
        for (number, spec) in domains.into_iter().enumerate() {
            let (sender, control) = mpsc::channel(CONTROL_QUEUE);
            controls.push(sender);
            let start = DomainStart {
                number,
                spec,
                pace: pace.clone(),
                control,
                phase: phases.clone(),
            };
            let working = context.working();
            tasks.spawn(own(
                Arc::clone(&context),
                Arc::clone(&broker),
                start,
                working,
            ));
        }
        services.spawn(relay(broker.subscribe(Topic::Control).await?, controls));
        Ok(Self {
            context,
            phase,
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

    /// Returns what tells how the worker is doing while it is being stopped.
    pub fn watcher(&self) -> Watcher {
        Watcher(self.context.writer().clone())
    }

    /// Stops: starts nothing more, waits for what is in the air, makes it durable, acknowledges it,
    /// and gives the queues back. Nothing that was asked is asked again.
    pub async fn stop(mut self) -> Result<(), CrawlError> {
        self.phase.send_replace(Phase::Drain);
        self.context.all_drained().await;
        self.context.writer().clone().close().await?;
        // The writer is gone, so the stream of committed rows ends and the settler with it.
        let settled = (&mut self.settler).await;
        self.phase.send_replace(Phase::Close);
        while let Some(joined) = self.domains.join_next().await {
            joined.map_err(|error| CrawlError::Task(error.to_string()))??;
        }
        self.services.shutdown().await;
        settled.map_err(|error| CrawlError::Task(error.to_string()))
    }
}

/// Tells how a worker is doing while it is being stopped.
#[derive(Debug)]
pub struct Watcher(Writer);

impl Watcher {
    /// Returns why replies cannot be stored just now.
    pub fn stalled(&self) -> Option<String> {
        self.0.status().stalled.map(|trouble| trouble.reason)
    }
}

fn known((name, target): (ModelName, Target)) -> (ModelName, Arc<Known>) {
    let identity = target.endpoint.identity();
    (name, Arc::new(Known { target, identity }))
}

/// What a domain's task starts with.
struct DomainStart {
    number: usize,
    spec: DomainSpec,
    pace: PaceSettings,
    control: mpsc::Receiver<Control>,
    phase: watch::Receiver<Phase>,
}

/// Owns a domain from its lock to its hand-over.
async fn own(
    context: Arc<Context>,
    broker: Arc<dyn Broker>,
    start: DomainStart,
    working: Working,
) -> Result<(), CrawlError> {
    let DomainStart {
        number,
        spec,
        pace,
        mut control,
        mut phase,
    } = start;
    let mut said = Vec::new();
    let lock = loop {
        match context
            .pace_store
            .try_lock(&spec.id)
            .map_err(CrawlError::Lock)?
        {
            Ok(lock) => break lock,
            Err(holder) => {
                let waiting_for = Some(format!(
                    "another run on this machine uses this quota: {holder}"
                ));
                context.report(
                    &spec.id,
                    DomainReport {
                        waiting_for,
                        ..DomainReport::default()
                    },
                );
            }
        }
        tokio::select! {
            changed = phase.wait_for(|phase| *phase != Phase::Work) => {
                drop(changed);
                return Ok(());
            }
            () = tokio::time::sleep(LOCK_EVERY) => {}
        }
        while let Ok(control) = control.try_recv() {
            // Said again and again while it is not obeyed: once is enough to know.
            if said.last() != Some(&control) {
                said.push(control);
            }
            said.drain(..said.len().saturating_sub(CONTROL_QUEUE));
        }
    };
    let saved = context.pace_store.load(&spec.id).await?;
    let now = Now {
        instant: Instant::now(),
        wall: context.clock().now(),
    };
    let prefetch = prefetch(&spec, context.settings.prefetch_max);
    let options = retort_broker::ConsumeOptions {
        prefetch,
        priority: 0,
    };
    let consumer = broker
        .consume(&Queue::Probes(spec.id.clone()), options)
        .await?;
    let mut pacer = Pacer::new(spec.clone(), pace, saved, now);
    // What was parked is tried again by whoever starts next: the cause may be gone.
    pacer.unpark_all();
    let prefetch = usize::try_from(prefetch.get()).unwrap_or(usize::MAX);
    let mut domain = Domain::new(context, (number, spec, prefetch), pacer, control, phase);
    domain.catch_up(said);
    domain.run(consumer, working).await;
    drop(lock);
    Ok(())
}

/// Returns how many samples a domain holds: those in the air, those flushed late and some ahead.
fn prefetch(spec: &DomainSpec, max: u32) -> NonZeroU32 {
    let limits = std::iter::once(&spec.limits).chain(spec.lanes.iter().map(|lane| &lane.limits));
    let by_rate = limits
        .clone()
        .filter_map(|limits| limits.requests_per_minute)
        .map(|rate| rate.get() / 60 * EXPECTED_LATENCY_S);
    let by_concurrency = limits
        .filter_map(|limits| limits.concurrency)
        .map(|requests| requests.get().saturating_mul(64));
    let wanted = by_rate
        .chain(by_concurrency)
        .fold(0_u32, u32::saturating_add);
    NonZeroU32::new(wanted.clamp(256, max.max(256))).unwrap_or(NonZeroU32::MIN)
}

/// Publishes receipts for what became durable, then acknowledges it: never the other way round.
async fn settle(
    context: Arc<Context>,
    broker: Arc<dyn Broker>,
    mut committed: mpsc::Receiver<Committed>,
) {
    while let Some(batch) = committed.recv().await {
        for records in batch.records().chunks(RECEIPT_RECORDS) {
            let worker_id = context.attempter.maker.worker_id.to_string();
            let receipt = Receipt {
                worker_id,
                records: records.to_vec(),
            };
            while !send(&context, &*broker, RECEIPT_KIND, &receipt).await {
                tokio::time::sleep(RECEIPT_PAUSE).await;
            }
        }
        for record in batch
            .records()
            .iter()
            .filter(|record| record.final_outcome.is_some())
        {
            for acker in context.registry.finish(record.sample_id) {
                context.acknowledge(acker).await;
            }
        }
    }
}

/// Sends a message to the coordinator; returns whether it was taken.
async fn send<T: serde::Serialize>(
    context: &Context,
    broker: &dyn Broker,
    kind: &str,
    value: &T,
) -> bool {
    let id = fresh_id(context.clock()).to_string();
    let published = match message(kind, id, value) {
        Ok(message) => broker
            .publish(&Queue::Receipts, message)
            .await
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = &published {
        tracing::warn!(kind, error, "a message to the coordinator was not sent");
    }
    published.is_ok()
}

async fn flush_when_wanted(context: Arc<Context>) {
    loop {
        context.flush_wanted.notified().await;
        if let Err(error) = context.writer().flush().await {
            tracing::warn!(error = %error, "a flush failed; the writer goes on trying");
        }
        tokio::time::sleep(FLUSH_PAUSE).await;
    }
}

async fn save_paces(context: Arc<Context>) {
    loop {
        tokio::time::sleep(PACES_EVERY).await;
        context.save_paces().await;
    }
}

async fn tell(context: Arc<Context>, broker: Arc<dyn Broker>) {
    let mut every = tokio::time::interval(HEARTBEAT_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let domains: BTreeMap<DomainId, DomainReport> = context
            .reports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let heartbeat = Heartbeat {
            worker_id: context.attempter.maker.worker_id.to_string(),
            at: context.clock().now(),
            domains,
            writer: context.writer().status(),
        };
        send(&context, &*broker, HEARTBEAT_KIND, &heartbeat).await;
    }
}

/// Hands control messages to every domain.
async fn relay(
    mut subscription: Box<dyn retort_broker::Subscription>,
    domains: Vec<mpsc::Sender<Control>>,
) {
    while let Some(message) = subscription.next().await {
        if message.kind != CONTROL_KIND {
            continue;
        }
        match parse::<Control>(&message) {
            Ok(control) => {
                for domain in &domains {
                    if domain.try_send(control.clone()).is_err() {
                        tracing::debug!(
                            "a domain is busy or gone; what it must know is said again"
                        );
                    }
                }
            }
            Err(error) => tracing::warn!(error = %error, "a control message is unreadable"),
        }
    }
}
