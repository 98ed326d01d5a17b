//! The worker: owns domains, asks their samples at their pace, and tells when rows are durable.

mod ask;
mod attempt;
mod context;
mod domain;
mod lane;
mod pace_store;
mod registry;
mod scrub;

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

pub use ask::{Target, Tried, try_once};
pub use pace_store::PaceStore;

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

/// Shortest time between flushes that only move a starved window on.
const FLUSH_PAUSE: Duration = Duration::from_secs(1);

/// Shortest time between flushes when nothing is in the air.
const URGENT_FLUSH_PAUSE: Duration = Duration::from_millis(100);

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
            worker_id: self.worker_id,
        };
        let context = Context {
            attempter: Attempter {
                client: self.client,
                writer: self.writer,
                maker,
                allowance,
            },
            registry: Registry::default(),
            pace_store: self.pace_store,
            settings: self.settings,
            targets: self.targets.into_iter().map(known).collect(),
            reports: Mutex::new(BTreeMap::new()),
            flush_wanted: Notify::new(),
            flush_urgent: Notify::new(),
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

    /// Waits until a domain fails, which a healthy worker's never do.
    pub async fn failed(&mut self) -> CrawlError {
        loop {
            match self.domains.join_next().await {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => return error,
                Some(Err(error)) => return CrawlError::Task(error.to_string()),
                None => std::future::pending().await,
            }
        }
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
        control,
        mut phase,
    } = start;
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
    };
    let saved = context.pace_store.load(&spec.id).await;
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
    let domain = Domain::new(context, (number, spec), pacer, control, phase);
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
        let worker_id = context.attempter.maker.worker_id.clone();
        let receipt = Receipt {
            worker_id,
            records: batch.records().to_vec(),
        };
        send(&context, &*broker, RECEIPT_KIND, &receipt).await;
        for record in receipt
            .records
            .iter()
            .filter(|record| record.final_outcome.is_some())
        {
            for acker in context.registry.finish(record.sample_id) {
                context.acknowledge(acker).await;
            }
        }
    }
}

async fn send<T: serde::Serialize>(context: &Context, broker: &dyn Broker, kind: &str, value: &T) {
    let id = fresh_id(context.clock()).to_string();
    let published = match message(kind, id, value) {
        Ok(message) => broker
            .publish(&Queue::Receipts, message)
            .await
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = published {
        // Receipts are hints: the coordinator finds the rows in the store all the same.
        tracing::warn!(kind, error, "a message to the coordinator was not sent");
    }
}

async fn flush_when_wanted(context: Arc<Context>) {
    loop {
        let pause = tokio::select! {
            () = context.flush_urgent.notified() => URGENT_FLUSH_PAUSE,
            () = context.flush_wanted.notified() => FLUSH_PAUSE,
        };
        if let Err(error) = context.writer().flush().await {
            tracing::warn!(error = %error, "a flush failed; the writer goes on trying");
        }
        tokio::time::sleep(pause).await;
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
            worker_id: context.attempter.maker.worker_id.clone(),
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
                    // A domain that is gone needs no control.
                    drop(domain.send(control.clone()).await);
                }
            }
            Err(error) => tracing::warn!(error = %error, "a control message is unreadable"),
        }
    }
}
