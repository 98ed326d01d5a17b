//! Brings a domain to work: its lock, its pace, its session.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use retort_broker::{Broker, ConsumeOptions, Queue};
use retort_pace::{Now, PaceSettings, Pacer};
use retort_types::{DomainSpec, Limits};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::claim::Claim;
use super::context::{Context, Phase, Working};
use super::domain::{CONTROL_QUEUE, Domain, DomainParts};
use super::pace_store::DomainLock;
use super::session::{Place, Session};
use crate::CrawlError;
use crate::message::{Control, DomainReport};

/// How often a domain that another process holds is tried again.
const LOCK_EVERY: Duration = Duration::from_millis(500);

/// Longest time a sample is expected to stay in the air when the size of a prefetch is chosen.
const EXPECTED_LATENCY_S: u32 = 60;

/// How long rows take into the store when the size of a prefetch is chosen: a flush interval and
/// the time to put a segment.
const EXPECTED_FLUSH_S: u32 = 6;

/// How far ahead of its rate a domain holds samples.
const AHEAD_S: u32 = 2;

/// Fewest samples a domain holds ahead.
const AHEAD_MIN: u32 = 8;

/// Fewest samples a domain on one machine holds: nobody else wants them.
const ALONE_MIN: u32 = 256;

/// What a domain's task starts with.
pub(super) struct DomainStart {
    pub(super) number: usize,
    pub(super) spec: DomainSpec,
    pub(super) pace: PaceSettings,
    pub(super) control: mpsc::Receiver<Control>,
    pub(super) wanted: mpsc::Receiver<oneshot::Sender<()>>,
    pub(super) phase: watch::Receiver<Phase>,
}

/// Works on a domain from its lock to its hand-over.
pub(super) async fn own(
    context: Arc<Context>,
    broker: Arc<dyn Broker>,
    mut start: DomainStart,
    working: Working,
) -> Result<(), CrawlError> {
    let mut said = Vec::new();
    let Some(lock) = lock(&context, &mut start, &mut said).await? else {
        return Ok(());
    };
    let DomainStart {
        number,
        spec,
        pace,
        control,
        wanted,
        phase,
    } = start;
    let pacer = first_pace(&context, &spec, &pace).await?;
    let prefetch = prefetch(&context, &spec);
    let session = session(&context, broker, &spec, prefetch);
    let parts = DomainParts {
        number,
        prefetch: usize::try_from(prefetch.get()).unwrap_or(usize::MAX),
        spec,
        pace,
        pacer,
        session,
        control,
        wanted,
        phase,
    };
    let mut domain = Domain::new(context, parts);
    domain.catch_up(said);
    domain.run(working).await;
    drop(lock);
    Ok(())
}

/// Waits for the lock of a domain, keeping what is said meanwhile; returns nothing when the worker
/// stops before.
async fn lock(
    context: &Context,
    start: &mut DomainStart,
    said: &mut Vec<Control>,
) -> Result<Option<DomainLock>, CrawlError> {
    loop {
        let tried = context.pace_store.try_lock(&start.spec.id);
        match tried.map_err(CrawlError::Lock)? {
            Ok(lock) => return Ok(Some(lock)),
            Err(holder) => {
                let report = DomainReport {
                    waiting_for: Some(format!(
                        "another run on this machine uses this quota: {holder}"
                    )),
                    ..DomainReport::default()
                };
                context.report(&start.spec.id, report);
            }
        }
        tokio::select! {
            changed = start.phase.wait_for(|phase| *phase != Phase::Work) => {
                drop(changed);
                return Ok(None);
            }
            () = tokio::time::sleep(LOCK_EVERY) => {}
        }
        while let Ok(control) = start.control.try_recv() {
            // Said again and again while it is not obeyed: once is enough to know.
            if said.last() != Some(&control) {
                said.push(control);
            }
            said.drain(..said.len().saturating_sub(CONTROL_QUEUE));
        }
    }
}

/// Returns the pace that a locked domain begins with. In a fleet it is read once the domain falls
/// to this worker: until then another one changes it.
async fn first_pace(
    context: &Context,
    spec: &DomainSpec,
    pace: &PaceSettings,
) -> Result<Pacer, CrawlError> {
    let saved = if context.pace_store.is_locking() {
        context.pace_store.load(&spec.id).await?
    } else {
        None
    };
    let now = Now {
        instant: Instant::now(),
        wall: context.clock().now(),
    };
    let saved = saved.map(|found| found.state);
    let mut pacer = Pacer::new(spec.clone(), pace.clone(), saved, now);
    // What was parked is tried again by whoever starts next: the cause may be gone.
    pacer.unpark_all();
    Ok(pacer)
}

fn session(
    context: &Context,
    broker: Arc<dyn Broker>,
    spec: &DomainSpec,
    prefetch: NonZeroU32,
) -> Session {
    let claim = Claim::new(&context.attempter.maker.worker_id, &spec.id);
    let in_turn = !broker.capabilities().priority_handoff && !context.pace_store.is_locking();
    let delay = if in_turn {
        claim.delay(context.settings.claim_spread.0)
    } else {
        Duration::ZERO
    };
    let place = Place {
        broker,
        queue: Queue::Probes(spec.id.clone()),
        options: ConsumeOptions {
            prefetch,
            priority: claim.priority(),
        },
        standing: Arc::clone(&context.sessions),
    };
    Session::open(place, delay)
}

/// Returns how many samples a domain holds: those in the air, those flushed late and some ahead.
fn prefetch(context: &Context, spec: &DomainSpec) -> NonZeroU32 {
    let max = context.settings.prefetch_max;
    let wanted = if context.pace_store.is_locking() {
        alone(spec).clamp(ALONE_MIN, max.max(ALONE_MIN))
    } else {
        shared(spec).clamp(1, max.max(1))
    };
    NonZeroU32::new(wanted).unwrap_or(NonZeroU32::MIN)
}

fn limits(spec: &DomainSpec) -> impl Iterator<Item = &Limits> {
    std::iter::once(&spec.limits).chain(spec.lanes.iter().map(|lane| &lane.limits))
}

/// Returns what may be in the air at the same time by limits on that, with what is flushed late:
/// answers may take a small part of a flush interval.
fn by_concurrency(spec: &DomainSpec) -> u32 {
    let each = limits(spec).filter_map(|limits| limits.concurrency);
    each.map(|requests| requests.get().saturating_mul(64))
        .fold(0, u32::saturating_add)
}

fn alone(spec: &DomainSpec) -> u32 {
    let rates = limits(spec).filter_map(|limits| limits.requests_per_minute);
    rates
        .map(|rate| rate.get() / 60 * EXPECTED_LATENCY_S)
        .fold(by_concurrency(spec), u32::saturating_add)
}

/// In a fleet what is held is lost to the next owner's queue when this one dies, so that little is
/// held ahead.
fn shared(spec: &DomainSpec) -> u32 {
    let rates = limits(spec).filter_map(|limits| limits.requests_per_minute);
    let per_minute = rates.map(NonZeroU32::get).fold(0, u32::saturating_add);
    let over = |seconds: u32| per_minute.saturating_mul(seconds).div_ceil(60);
    over(EXPECTED_LATENCY_S + EXPECTED_FLUSH_S)
        .saturating_add(over(AHEAD_S).max(AHEAD_MIN))
        .saturating_add(by_concurrency(spec))
}
