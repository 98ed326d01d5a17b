//! The dispatcher of one rate-limit domain: takes its samples, keeps its pace, starts attempts.
//!
//! One task owns the pace of its domain, so that nothing waits on a shared limiter. A slot is
//! given back only after the reply is fsynced.

mod intake;
mod judge;
mod tenure;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use retort_broker::Fence;
use retort_pace::{Decision, Now, PaceSettings, Pacer, Permit, Settlement, Waiting};
use retort_types::{CampaignId, Disposition, DomainSpec, ModelName, Outcome, Sample};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use self::judge::{Judged, Judgement};
use self::tenure::{Loaded, Tenure};
use super::attempt::{Ended, Turn};
use super::context::{Context, InTheAir, Kept, Phase, Working};
use super::lane::{Job, Lane};
use super::session::{Event, Session};
use crate::message::{Control, DomainReport, Tally};

/// How often a domain tells how it is doing and saves its pace.
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// How often a session that is not live is looked at again.
const FENCE_EVERY: Duration = Duration::from_millis(100);

/// Control messages waiting for a domain: people are slow.
pub(super) const CONTROL_QUEUE: usize = 256;

/// An attempt in the air.
struct Running {
    permit: Permit,
    job: Job,
    turn: Turn,
    _in_the_air: InTheAir,
}

/// What a domain's work is made of.
pub(super) struct DomainParts {
    /// Position among the worker's domains.
    pub(super) number: usize,
    /// Most samples it holds.
    pub(super) prefetch: usize,
    pub(super) spec: DomainSpec,
    pub(super) pace: PaceSettings,
    /// Its pace so far.
    pub(super) pacer: Pacer,
    /// Where its samples come from.
    pub(super) session: Session,
    pub(super) control: mpsc::Receiver<Control>,
    /// Whoever wants its pace as it is now kept with the context.
    pub(super) wanted: mpsc::Receiver<oneshot::Sender<()>>,
    pub(super) phase: watch::Receiver<Phase>,
}

/// One domain at work.
pub(super) struct Domain {
    context: Arc<Context>,
    number: usize,
    prefetch: usize,
    spec: DomainSpec,
    pace: PaceSettings,
    pacer: Pacer,
    session: Session,
    /// Whether some limit is on what is asked in a day.
    counts_days: bool,
    tenure: Tenure,
    /// The pace of an earlier owner, being read.
    loading: JoinSet<Loaded>,
    /// What the store says of campaigns; nothing while it is asked.
    judged: BTreeMap<CampaignId, Option<Judgement>>,
    judging: JoinSet<Judged>,
    /// Samples that came so far.
    arrivals: u64,
    lanes: Vec<Lane>,
    lane_of: HashMap<ModelName, usize>,
    tallies: BTreeMap<ModelName, Tally>,
    running: HashMap<Id, Running>,
    attempts: JoinSet<Option<Ended>>,
    /// Records of samples that end unasked, on their way to the spool.
    endings: JoinSet<()>,
    paused: Vec<CampaignId>,
    closed: Vec<(CampaignId, Vec<ModelName>, String)>,
    control: mpsc::Receiver<Control>,
    wanted: mpsc::Receiver<oneshot::Sender<()>>,
    phase: watch::Receiver<Phase>,
}

impl Domain {
    pub(super) fn new(context: Arc<Context>, parts: DomainParts) -> Self {
        let DomainParts {
            number,
            prefetch,
            spec,
            pace,
            pacer,
            session,
            control,
            wanted,
            phase,
        } = parts;
        let lane_of = spec
            .lanes
            .iter()
            .enumerate()
            .map(|(lane, spec)| (spec.model.clone(), lane))
            .collect();
        let lanes = spec.lanes.iter().map(|_| Lane::default()).collect();
        let lanes_of = spec.lanes.iter().map(|lane| &lane.limits);
        let counts_days = std::iter::once(&spec.limits)
            .chain(lanes_of)
            .any(|limits| limits.requests_per_day.is_some());
        let tenure = if context.pace_store.is_locking() {
            Tenure::Owner
        } else {
            Tenure::Standby
        };
        Self {
            context,
            number,
            prefetch,
            spec,
            pace,
            pacer,
            session,
            counts_days,
            tenure,
            loading: JoinSet::new(),
            judged: BTreeMap::new(),
            judging: JoinSet::new(),
            arrivals: 0,
            lanes,
            lane_of,
            tallies: BTreeMap::new(),
            running: HashMap::new(),
            attempts: JoinSet::new(),
            endings: JoinSet::new(),
            paused: Vec::new(),
            closed: Vec::new(),
            control,
            wanted,
            phase,
        }
    }

    /// Obeys what was said while the domain was waited for.
    pub(super) fn catch_up(&mut self, said: Vec<Control>) {
        for control in said {
            self.control(control);
        }
    }

    /// Works until told to stop: starts nothing more, waits for what is in the air, and gives the
    /// queue back once everything that ended has been acknowledged.
    pub(super) async fn run(mut self, working: Working) {
        let mut report = tokio::time::interval(REPORT_EVERY);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rested = false;
        loop {
            // Who waits for a domain of somebody else has nothing to look after: hundreds of domains
            // cost nothing then.
            let rests = self.rests();
            if rests && !rested {
                self.report();
            }
            rested = rests;
            let wake = self.start_what_may();
            let stopping = *self.phase.borrow() != Phase::Work;
            if stopping && self.running.is_empty() && self.endings.is_empty() {
                break;
            }
            self.flush_if_starved();
            // In this order, so that a simulated fleet repeats exactly. What comes first comes at
            // most every so often and is quickly done; deliveries end at the prefetch.
            tokio::select! {
                biased;
                changed = self.phase.changed() => if changed.is_err() { break },
                _ = report.tick(), if !rests => self.report(),
                Some(loaded) = self.loading.join_next() => self.take_over(loaded),
                Some(judged) = self.judging.join_next() => self.heed(judged),
                Some(kept) = self.wanted.recv() => self.keep_pace(kept),
                Some(control) = self.control.recv() => self.control(control),
                Some(ended) = self.attempts.join_next_with_id() => self.settle(ended).await,
                Some(_) = self.endings.join_next() => {}
                event = self.session.next(), if !stopping => match event {
                    Event::Delivery(delivery) => self.take_in(delivery).await,
                    Event::Lost => self.lose(),
                },
                () = tokio::time::sleep_until(wake), if !rests => {}
            }
        }
        self.report();
        self.context.save_paces().await;
        // The pace changes no more: whoever asks for it finds it kept.
        self.wanted.close();
        while self.wanted.try_recv().is_ok() {}
        drop(working);
        let closing = self.phase.wait_for(|phase| *phase == Phase::Close).await;
        drop(closing);
        self.session.close().await;
    }

    fn now(&self) -> Now {
        Now {
            instant: Instant::now(),
            wall: self.context.clock().now(),
        }
    }

    /// Starts every request the pace allows now; returns when to look again.
    fn start_what_may(&mut self) -> Instant {
        let idle = Instant::now() + REPORT_EVERY;
        let resting = self.context.writer().is_stalled() || self.context.is_broken();
        if *self.phase.borrow() != Phase::Work || resting {
            return idle;
        }
        if let Some(wait) = self.wait_for_tenure() {
            return wait.min(idle);
        }
        loop {
            let now = self.now();
            let Some(fence) = self.session.fence().filter(Fence::is_live) else {
                return now.instant + FENCE_EVERY;
            };
            for lane in &mut self.lanes {
                lane.wake(now.instant);
            }
            let waiting = self.waiting();
            match self.pacer.poll(now, &waiting) {
                Decision::Start(permit) => self.start(permit, now, fence),
                Decision::WaitUntil(at) => {
                    return at.min(self.next_wake().unwrap_or(idle)).min(idle);
                }
                Decision::WaitForSettle | Decision::Parked => {
                    return self.next_wake().unwrap_or(idle).min(idle);
                }
            }
        }
    }

    fn waiting(&self) -> Vec<Waiting> {
        let heads = self
            .lanes
            .iter()
            .enumerate()
            .filter_map(|(lane, queue)| Some((lane, queue.head()?)));
        heads
            .map(|(lane, job)| Waiting {
                lane,
                priority: job.arrival,
                input_tokens: job.input_tokens,
                output_tokens: job.output_tokens,
            })
            .collect()
    }

    fn next_wake(&self) -> Option<Instant> {
        self.lanes.iter().filter_map(Lane::next_wake).min()
    }

    fn start(&mut self, permit: Permit, now: Now, fence: Fence) {
        let Some(job) = self.lanes[permit.lane()].pop() else {
            self.pacer.release(permit, now);
            return;
        };
        let turn = Turn {
            sample: Arc::clone(&job.sample),
            attempt_no: job.attempts + 1,
            counted: job.counted,
            delivery_count: job.delivery_count,
            due: permit.due(),
            fence,
        };
        let Some(target) = self.context.target(&job.sample.model) else {
            self.pacer.release(permit, now);
            return;
        };
        let (context, for_task) = (Arc::clone(&self.context), turn.clone());
        // Boxed, because a task's memory is aligned to cache lines: large pieces of that kind are
        // the slowest that an allocator can be asked for.
        let attempt = Box::pin(async move { context.attempter.attempt(&target, &for_task).await });
        let handle = self.attempts.spawn(attempt);
        self.tallies
            .entry(job.sample.model.clone())
            .or_default()
            .requests += 1;
        let running = Running {
            permit,
            job,
            turn,
            _in_the_air: self.context.in_the_air(),
        };
        self.running.insert(handle.id(), running);
    }

    async fn settle(&mut self, ended: Result<(Id, Option<Ended>), JoinError>) {
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, Some(ended)),
            Err(error) => (error.id(), None),
        };
        let Some(Running {
            permit,
            mut job,
            turn,
            ..
        }) = self.running.remove(&id)
        else {
            return;
        };
        let now = self.now();
        let Some(ended) = ended else {
            // A panic in a decoder: the sample ends, so that it cannot poison its neighbours.
            tracing::error!(sample.id = %job.sample.sample_id, "an attempt panicked");
            self.pacer
                .settle(permit, &Settlement::of(Outcome::Undecodable), now);
            if let Some(target) = self.context.target(&job.sample.model) {
                self.context.attempter.fault(&turn, &target).await;
            }
            return self.tally(&job.sample, None, Some(Outcome::GaveUp));
        };
        let Some(ended) = ended else {
            self.pacer.release(permit, now);
            let tally = self.tallies.entry(job.sample.model.clone()).or_default();
            tally.requests = tally.requests.saturating_sub(1);
            return self.queue_again(job, now.instant);
        };
        self.pacer.settle(permit, &ended.settlement, now);
        self.tally(&job.sample, Some(&ended.settlement), ended.final_outcome);
        if ended.final_outcome.is_some() {
            if !self.context.rules.durable_first {
                let context = Arc::clone(&self.context);
                context.acknowledge_all(job.sample.sample_id).await;
            }
            return;
        }
        job.attempts += 1;
        // After a 429 the lane itself waits as long as the provider said.
        let mut retry_at = now.instant;
        if ended.outcome.disposition() == Disposition::RetryCounted {
            job.counted += 1;
            retry_at += self.context.retry_wait(job.counted, &job.sample.sample_id);
        }
        self.queue_again(job, retry_at);
    }

    fn queue_again(&mut self, job: Job, not_before: Instant) {
        let id = job.sample.sample_id;
        if self.context.registry.is_lost(id) {
            // Whoever owns the domain now asks it.
            return self.context.registry.forget(id);
        }
        self.queue(job, not_before);
    }

    fn tally(
        &mut self,
        sample: &Sample,
        settlement: Option<&Settlement>,
        outcome: Option<Outcome>,
    ) {
        let tally = self.tallies.entry(sample.model.clone()).or_default();
        match outcome {
            Some(outcome) => *tally.outcomes.entry(outcome).or_default() += 1,
            None => tally.retries += 1,
        }
        if let Some(settlement) = settlement {
            tally.input_tokens += settlement.input_tokens.unwrap_or(0);
            tally.output_tokens += settlement.output_tokens.unwrap_or(0);
            tally.cost_usd += settlement.cost_usd.unwrap_or(0.0);
        }
    }

    /// Asks for a flush when what waits for one keeps the window from moving on: when nothing is
    /// left to do, or when it takes up half of what the domain may hold.
    fn flush_if_starved(&self) {
        let waiting = self
            .context
            .registry
            .held(self.number)
            .saturating_sub(self.held());
        let idle = self.held() == 0 && waiting > 0;
        if idle || (waiting * 2 > self.prefetch && !self.lanes.iter().any(Lane::has_ready)) {
            self.context.flush_wanted.notify_one();
        }
    }

    fn held(&self) -> usize {
        self.running.len() + self.endings.len() + self.lanes.iter().map(Lane::len).sum::<usize>()
    }

    /// Keeps the pace as it is now with the context, and says so.
    fn keep_pace(&self, kept: oneshot::Sender<()>) {
        self.hand_over_pace(self.now());
        // Who asked may have given up waiting.
        kept.send(()).unwrap_or_default();
    }

    fn report(&mut self) {
        let now = self.now();
        self.end_overdue();
        if self.rests() {
            return self.context.withdraw(&self.spec.id);
        }
        let report = DomainReport {
            pace: Some(self.pacer.status(now)),
            waiting_for: None,
            queued: self.lanes.iter().map(Lane::len).sum::<usize>() as u64,
            in_flight: self.running.len() as u64,
            models: self.tallies.clone(),
        };
        self.context.report(&self.spec.id, report);
        if self.tenure.is_owner() {
            self.hand_over_pace(now);
        }
    }

    fn hand_over_pace(&self, now: Now) {
        let kept = Kept {
            state: self.pacer.state(now),
            prompt: self.counts_days || self.context.pace_store.is_locking(),
        };
        self.context.keep_pace(&self.spec.id, kept);
    }
}
