//! The dispatcher of one rate-limit domain: takes its samples, keeps its pace, starts attempts.
//!
//! One task owns the pace of its domain, so that nothing waits on a shared limiter. A slot is
//! given back only after the reply is fsynced.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use retort_broker::{Consumer, Delivery};
use retort_pace::{Decision, Now, Pacer, Permit, Settlement, Waiting};
use retort_types::{CampaignId, Disposition, DomainSpec, ModelName, Outcome, Sample};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use super::attempt::{Ended, Turn};
use super::context::{Context, Phase, Working};
use super::lane::{Job, Lane};
use super::registry::Admission;
use crate::message::{CANCELLED, Command, Control, DEADLINE_PASSED, DomainReport, Tally, parse};

/// How often a domain tells how it is doing and saves its pace.
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// Control messages waiting for a domain: people are slow.
pub(super) const CONTROL_QUEUE: usize = 256;

/// An attempt in the air.
struct Running {
    permit: Permit,
    job: Job,
    turn: Turn,
}

/// One domain at work.
pub(super) struct Domain {
    context: Arc<Context>,
    /// Position among the worker's domains.
    number: usize,
    /// Most samples it holds.
    prefetch: usize,
    spec: DomainSpec,
    pacer: Pacer,
    lanes: Vec<Lane>,
    lane_of: HashMap<ModelName, usize>,
    tallies: BTreeMap<ModelName, Tally>,
    running: HashMap<Id, Running>,
    attempts: JoinSet<Ended>,
    /// Records of samples that end unasked, on their way to the spool.
    endings: JoinSet<()>,
    paused: Vec<CampaignId>,
    closed: Vec<(CampaignId, Vec<ModelName>, String)>,
    control: mpsc::Receiver<Control>,
    phase: watch::Receiver<Phase>,
}

impl Domain {
    pub(super) fn new(
        context: Arc<Context>,
        (number, spec, prefetch): (usize, DomainSpec, usize),
        pacer: Pacer,
        control: mpsc::Receiver<Control>,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        let lane_of = spec
            .lanes
            .iter()
            .enumerate()
            .map(|(lane, spec)| (spec.model.clone(), lane))
            .collect();
        let lanes = spec.lanes.iter().map(|_| Lane::default()).collect();
        Self {
            context,
            number,
            prefetch,
            spec,
            pacer,
            lanes,
            lane_of,
            tallies: BTreeMap::new(),
            running: HashMap::new(),
            attempts: JoinSet::new(),
            endings: JoinSet::new(),
            paused: Vec::new(),
            closed: Vec::new(),
            control,
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
    pub(super) async fn run(mut self, mut consumer: Box<dyn Consumer>, working: Working) {
        let mut report = tokio::time::interval(REPORT_EVERY);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut delivering = true;
        loop {
            let wake = self.start_what_may();
            let stopping = *self.phase.borrow() != Phase::Work;
            if stopping && self.running.is_empty() && self.endings.is_empty() {
                break;
            }
            self.flush_if_starved();
            tokio::select! {
                Some(ended) = self.attempts.join_next_with_id() => self.settle(ended).await,
                Some(_) = self.endings.join_next() => {}
                Some(control) = self.control.recv() => self.control(control),
                changed = self.phase.changed() => if changed.is_err() { break },
                delivery = consumer.next(), if delivering && !stopping => match delivery {
                    Some(delivery) => self.take_in(delivery).await,
                    None => delivering = false,
                },
                _ = report.tick() => self.report(),
                () = tokio::time::sleep_until(wake) => {}
            }
        }
        self.report();
        self.context.save_paces().await;
        drop(working);
        let closing = self.phase.wait_for(|phase| *phase == Phase::Close).await;
        drop(closing);
        consumer.close().await;
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
        loop {
            let now = self.now();
            for lane in &mut self.lanes {
                lane.wake(now.instant);
            }
            let waiting = self.waiting();
            match self.pacer.poll(now, &waiting) {
                Decision::Start(permit) => self.start(permit, now),
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
                priority: job.sample.index,
                input_tokens: job.input_tokens,
                output_tokens: job.output_tokens,
            })
            .collect()
    }

    fn next_wake(&self) -> Option<Instant> {
        self.lanes.iter().filter_map(Lane::next_wake).min()
    }

    fn start(&mut self, permit: Permit, now: Now) {
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
        self.running
            .insert(handle.id(), Running { permit, job, turn });
    }

    async fn settle(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, Some(ended)),
            Err(error) => (error.id(), None),
        };
        let Some(Running {
            permit,
            mut job,
            turn,
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
        self.pacer.settle(permit, &ended.settlement, now);
        self.tally(&job.sample, Some(&ended.settlement), ended.final_outcome);
        if ended.final_outcome.is_some() {
            return;
        }
        job.attempts += 1;
        // After a 429 the lane itself waits as long as the provider said.
        let mut retry_at = now.instant;
        if ended.outcome.disposition() == Disposition::RetryCounted {
            job.counted += 1;
            retry_at += self.context.retry_wait(job.counted, &job.sample.sample_id);
        }
        self.queue(job, retry_at);
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

    async fn take_in(&mut self, delivery: Delivery) {
        let delivery_count = delivery.delivery_count;
        let sample: Sample = match parse(&delivery.message) {
            Ok(sample) => sample,
            Err(error) => {
                tracing::warn!(error = %error, "a message is not a sample; it goes to the dead letters");
                self.context.reject(delivery, "not a sample").await;
                return;
            }
        };
        if !self.lane_of.contains_key(&sample.model) || self.context.target(&sample.model).is_none()
        {
            tracing::warn!(model = %sample.model, "a sample of an unknown model goes to the dead letters");
            self.context
                .reject(delivery, "the worker does not know this model")
                .await;
            return;
        }
        let (_, acker) = delivery.split();
        match self
            .context
            .registry
            .admit(sample.sample_id, self.number, acker)
        {
            Admission::New => {}
            Admission::Held => return,
            Admission::Finished(acker) => return self.context.acknowledge(acker).await,
        }
        let (input_tokens, output_tokens) =
            retort_plan::estimate_tokens(&sample.input, sample.system.as_deref(), &sample.params);
        let sample = Arc::new(sample);
        let job = Job {
            sample,
            attempts: 0,
            counted: 0,
            delivery_count,
            input_tokens,
            output_tokens,
        };
        self.queue(job, Instant::now());
    }

    /// Puts a sample in its lane, or ends it when it must not be asked.
    fn queue(&mut self, job: Job, not_before: Instant) {
        if let Some(reason) = self.unaskable(&job.sample) {
            return self.end(&job, reason);
        }
        let Some(&lane) = self.lane_of.get(&job.sample.model) else {
            return self.end(&job, "the model is not in this domain".to_owned());
        };
        let lane = &mut self.lanes[lane];
        if self.paused.contains(&job.sample.campaign) {
            lane.push_paused(job);
        } else if not_before > Instant::now() {
            lane.push_later(job, not_before);
        } else {
            lane.push(job);
        }
    }

    fn unaskable(&self, sample: &Sample) -> Option<String> {
        if sample
            .deadline
            .is_some_and(|deadline| deadline <= self.context.clock().now())
        {
            return Some(DEADLINE_PASSED.to_owned());
        }
        for (campaign, models, reason) in &self.closed {
            if *campaign == sample.campaign && (models.is_empty() || models.contains(&sample.model))
            {
                return Some(reason.clone());
            }
        }
        let target = self.context.target(&sample.model);
        let other = target.filter(|target| target.identity != sample.endpoint);
        other.map(|_| {
            "the worker's catalog means another model by this name than the plan".to_owned()
        })
    }

    /// Ends a sample that is not asked, or not asked again.
    fn end(&mut self, job: &Job, reason: String) {
        self.tally(&job.sample, None, Some(Outcome::NotAsked));
        let (context, sample, attempts) = (
            Arc::clone(&self.context),
            Arc::clone(&job.sample),
            job.attempts,
        );
        self.endings
            .spawn(async move { context.end(&sample, attempts, reason).await });
    }

    fn control(&mut self, control: Control) {
        let Control { campaign, command } = control;
        match command {
            Command::Pause => {
                self.lanes.iter_mut().for_each(|lane| lane.pause(&campaign));
                if !self.paused.contains(&campaign) {
                    self.paused.push(campaign);
                }
            }
            Command::Resume => {
                self.lanes
                    .iter_mut()
                    .for_each(|lane| lane.resume(&campaign));
                self.paused.retain(|paused| *paused != campaign);
                // A resume takes a cancellation back, and nothing else.
                self.closed
                    .retain(|(closed, _, reason)| *closed != campaign || reason != CANCELLED);
            }
            Command::Close { models, reason } => {
                let meant = |job: &Job| {
                    job.sample.campaign == campaign
                        && (models.is_empty() || models.contains(&job.sample.model))
                };
                let jobs: Vec<Job> = self
                    .lanes
                    .iter_mut()
                    .flat_map(|lane| lane.take(meant))
                    .collect();
                let entry = (campaign.clone(), models.clone(), reason.clone());
                if !self.closed.contains(&entry) {
                    self.closed.push(entry);
                }
                for job in jobs {
                    self.end(&job, reason.clone());
                }
            }
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

    fn report(&mut self) {
        let now = self.now();
        let report = DomainReport {
            pace: Some(self.pacer.status(now)),
            waiting_for: None,
            queued: self.lanes.iter().map(Lane::len).sum::<usize>() as u64,
            in_flight: self.running.len() as u64,
            models: self.tallies.clone(),
        };
        self.context.report(&self.spec.id, report);
        self.context.keep_pace(&self.spec.id, self.pacer.state(now));
        self.end_overdue();
    }

    /// Ends samples whose deadline passed while they waited.
    fn end_overdue(&mut self) {
        let now = self.context.clock().now();
        let overdue = |job: &Job| job.sample.deadline.is_some_and(|deadline| deadline <= now);
        let jobs: Vec<Job> = self
            .lanes
            .iter_mut()
            .flat_map(|lane| lane.take(overdue))
            .collect();
        for job in jobs {
            self.end(&job, DEADLINE_PASSED.to_owned());
        }
    }
}
