//! The coordinator: supplies domains with samples, folds receipts into the ledger, repairs holes,
//! ends what cannot be asked, and tells how a campaign is doing.

mod budget;
mod campaign;
#[cfg(test)]
mod tests;
mod view;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use retort_broker::{Broker, BrokerError, Consumer, Delivery, Queue, Topic};
use retort_dataset::writer::CommittedRecord;
use retort_dataset::{Ledger, LedgerRow, Store, Writer, rebuild};
use retort_plan::Plan;
use retort_types::{DomainSpec, Endpoint, ModelName, Sample, Timestamp, WallClock};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::CrawlError;
use crate::control::{Wish, standing};
use crate::message::{
    CANCELLED, CONTROL_KIND, Command, Control, HEARTBEAT_KIND, Heartbeat, RECEIPT_KIND, Receipt,
    Tally, message, parse, sample_message,
};
use crate::record::{RecordMaker, fresh_id};
use crate::settings::CoordinatorSettings;
use crate::status::{self, State, Status};
use campaign::{CampaignState, Next};
use view::View;

/// How often windows are filled and wishes are looked at.
const TICK: Duration = Duration::from_millis(100);

/// How often the status is told.
const STATUS_EVERY: Duration = Duration::from_millis(500);

/// How often the store is asked what people wish.
const WISHES_EVERY: Duration = Duration::from_secs(1);

/// How often a request to end held samples is repeated until they are ended.
const CLOSE_EVERY: Duration = Duration::from_secs(2);

/// Receipts held unacknowledged: each is folded at once.
const RECEIPT_PREFETCH: std::num::NonZeroU32 =
    std::num::NonZeroU32::new(64).expect("64 is not zero");

/// Samples ended together: they share fsyncs of the spool and a segment.
const CLOSE_OUT_BATCH: usize = 4_096;

/// How often samples without a receipt are looked for.
const REPAIR_EVERY: Duration = Duration::from_secs(1);

/// How long nothing must have been told before a stopped worker is taken to have told all.
const SETTLE_PAUSE: Duration = Duration::from_millis(50);

/// What a coordinator is made of.
#[derive(Debug)]
pub struct CoordinatorParts {
    /// The plan that is carried out.
    pub plan: Arc<Plan>,
    /// Its domains, in the plan's order.
    pub domains: Vec<DomainSpec>,
    /// Its models, for rows of samples that were not asked.
    pub endpoints: BTreeMap<ModelName, Endpoint>,
    /// The truth.
    pub store: Store,
    /// Where samples go.
    pub broker: Arc<dyn Broker>,
    /// Where rows of samples that were not asked go.
    pub writer: Writer,
    /// The time of day.
    pub clock: Arc<dyn WallClock>,
    /// How it works.
    pub settings: CoordinatorSettings,
    /// Whether samples that ended without a measurement are asked again.
    pub retry_missing: bool,
}

/// How a coordinator's work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Every planned sample has a final row.
    Complete,
    /// It was told to stop.
    Stopped,
}

/// A coordinator of one campaign.
#[derive(Debug)]
pub struct Coordinator {
    parts: CoordinatorParts,
    state: CampaignState,
    receipts: Box<dyn Consumer>,
    view: View,
    maker: RecordMaker,
    close_out: Option<JoinHandle<()>>,
    close_sent: Option<Instant>,
    /// Up to which index open samples were ended.
    closed_to: u64,
    repaired: Option<Instant>,
    last_wish: Wish,
    statuses: watch::Sender<Arc<Status>>,
}

impl Coordinator {
    /// Opens a campaign: reads from the store what is done already.
    pub async fn open(parts: CoordinatorParts) -> Result<Self, CrawlError> {
        let now = (Instant::now(), parts.clock.now());
        let campaign = parts.plan.campaign().id.clone();
        let Earlier {
            ledger,
            tallies,
            began,
        } = earlier(&parts).await?;
        // Rounds keep their times over restarts: the first reply says when the first one began.
        let rounds_begin = began.unwrap_or(now.1);
        let mut state = CampaignState::new(
            Arc::clone(&parts.plan),
            ledger,
            &parts.domains,
            parts.settings.clone(),
            (now.0, rounds_begin),
        );
        for (model, tally) in tallies.iter().enumerate() {
            state.count_earlier(model, tally);
        }
        parts.broker.declare(&Queue::Receipts).await?;
        for domain in &parts.domains {
            parts
                .broker
                .declare(&Queue::Probes(domain.id.clone()))
                .await?;
        }
        let options = retort_broker::ConsumeOptions {
            prefetch: RECEIPT_PREFETCH,
            priority: 0,
        };
        let receipts = parts.broker.consume(&Queue::Receipts, options).await?;
        let last_wish = standing(&parts.store, &campaign)
            .await?
            .unwrap_or(Wish::Resume);
        let maker = RecordMaker {
            clock: Arc::clone(&parts.clock),
            worker_id: "coordinator".to_owned(),
        };
        let view = View::new(Arc::clone(&parts.plan), now.1, tallies);
        let first = Arc::new(view.status(&state, State::Asking, now.1));
        let (statuses, _) = watch::channel(first);
        let mut own = Self {
            parts,
            state,
            receipts,
            view,
            maker,
            close_out: None,
            close_sent: None,
            closed_to: 0,
            repaired: None,
            last_wish,
            statuses,
        };
        own.obey(last_wish).await?;
        Ok(own)
    }

    /// Returns a view of the campaign's status that stays up to date.
    pub fn statuses(&self) -> watch::Receiver<Arc<Status>> {
        self.statuses.subscribe()
    }

    /// Carries the campaign out until every sample has a final row, or until told to stop.
    pub async fn run(&mut self, mut stop: watch::Receiver<bool>) -> Result<Finish, CrawlError> {
        let mut tick = ticker(TICK);
        let mut telling = ticker(STATUS_EVERY);
        let mut wishes = ticker(WISHES_EVERY);
        loop {
            if *stop.borrow() {
                return Ok(Finish::Stopped);
            }
            tokio::select! {
                delivery = self.receipts.next() => match delivery {
                    Some(delivery) => self.fold(delivery).await,
                    None => return Err(CrawlError::BrokerLost),
                },
                _ = tick.tick() => {}
                _ = telling.tick() => self.tell(None).await,
                _ = wishes.tick() => self.look_for_wishes().await?,
                changed = stop.changed() => if changed.is_err() { return Ok(Finish::Stopped) },
            }
            if self.advance().await? {
                self.tell(None).await;
                return Ok(Finish::Complete);
            }
        }
    }

    /// Tells a state that the caller brought about: sealing, sealed, interrupted.
    pub async fn tell(&mut self, brought: Option<(State, Option<String>)>) {
        let now = self.parts.clock.now();
        let mut status = match &brought {
            Some((state, _)) => self.view.status(&self.state, *state, now),
            None => self.view.status(&self.state, self.present(now), now),
        };
        status.snapshot = brought.and_then(|(_, snapshot)| snapshot);
        if let Err(error) = status::write(&self.parts.store, &status).await {
            tracing::warn!(error = %error, "the status could not be written");
        }
        self.statuses.send_replace(Arc::new(status));
    }

    fn present(&self, now: Timestamp) -> State {
        if self.state.paused {
            State::Paused
        } else if self.close_out.is_some() {
            State::ClosingOut
        } else if self.view.in_flight() == 0
            && (self.view.waits() || self.state.waits_for_round(now))
        {
            State::Waiting
        } else {
            State::Asking
        }
    }

    /// Obeys a new wish. A store that fails, or has lost its wishes for a moment, is no news.
    async fn look_for_wishes(&mut self) -> Result<(), CrawlError> {
        let standing = standing(&self.parts.store, &self.parts.plan.campaign().id).await;
        match standing {
            Ok(Some(wish)) if wish != self.last_wish => {
                self.last_wish = wish;
                self.obey(wish).await
            }
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::debug!(error = %error, "the store did not say what is wished");
                Ok(())
            }
        }
    }

    /// Folds what workers told before they stopped, and tells the last of it.
    pub async fn settle(&mut self) {
        while let Ok(Some(delivery)) =
            tokio::time::timeout(SETTLE_PAUSE, self.receipts.next()).await
        {
            self.fold(delivery).await;
        }
    }

    /// Does what can be done now; returns whether everything is done.
    async fn advance(&mut self) -> Result<bool, CrawlError> {
        let (now, wall) = (Instant::now(), self.parts.clock.now());
        for (model, reason) in self.view.parked() {
            if self.state.park(model, reason) {
                // What a parked lane holds would take the place of its neighbours' samples.
                let models = vec![self.parts.plan.model_name(model).clone()];
                let reason = self.state.reason(model);
                self.announce(Command::Close { models, reason }).await?;
            }
        }
        self.state.check_spent(&self.view.live_total());
        let mut samples = self.state.fill(now, wall);
        if self
            .repaired
            .is_none_or(|last| now.saturating_duration_since(last) >= REPAIR_EVERY)
        {
            self.repaired = Some(now);
            let view = &self.view;
            samples.extend(self.state.stalled(now, |domain| view.holds(domain)));
        }
        for sample in &samples {
            self.publish(sample).await?;
        }
        match self.state.next() {
            Next::Complete => return Ok(true),
            Next::Wait => {}
            Next::Close(groups) => self.close(groups, now).await?,
            Next::CloseOut => self.start_close_out(),
        }
        if self.close_out.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(task) = self.close_out.take()
        {
            task.await
                .map_err(|error| CrawlError::Task(error.to_string()))?;
        }
        Ok(false)
    }

    async fn publish(&self, sample: &Sample) -> Result<(), CrawlError> {
        let message =
            sample_message(sample, false).map_err(|error| CrawlError::Message(error.to_string()))?;
        match self
            .parts
            .broker
            .publish(&Queue::Probes(sample.domain.clone()), message)
            .await
        {
            // The sample counts as out; the repair publishes it again once there is room.
            Err(BrokerError::Full(queue)) => {
                tracing::warn!(queue = %queue, "a queue is full; a sample waits for the repair");
                Ok(())
            }
            other => Ok(other?),
        }
    }

    async fn fold(&mut self, delivery: Delivery) {
        let now = Instant::now();
        match delivery.message.kind.as_str() {
            RECEIPT_KIND => match parse::<Receipt>(&delivery.message) {
                Ok(receipt) => receipt
                    .records
                    .iter()
                    .for_each(|record: &CommittedRecord| self.state.count(record, now)),
                Err(error) => tracing::warn!(error = %error, "a receipt is unreadable"),
            },
            HEARTBEAT_KIND => match parse::<Heartbeat>(&delivery.message) {
                Ok(heartbeat) => self.view.hear(heartbeat, now),
                Err(error) => tracing::warn!(error = %error, "a heartbeat is unreadable"),
            },
            other => tracing::warn!(kind = other, "a message of unknown kind among the receipts"),
        }
        if let Err(error) = delivery.acknowledge().await {
            tracing::debug!(error = %error, "a receipt was acknowledged too late; folding it again is harmless");
        }
    }

    async fn obey(&mut self, wish: Wish) -> Result<(), CrawlError> {
        let command = match wish {
            Wish::Pause => {
                self.state.paused = true;
                Command::Pause
            }
            Wish::Resume => {
                self.state.paused = false;
                self.state.unend(CANCELLED);
                Command::Resume
            }
            Wish::Cancel => {
                self.state.paused = false;
                self.state.end(CANCELLED.to_owned());
                Command::Close {
                    models: Vec::new(),
                    reason: CANCELLED.to_owned(),
                }
            }
        };
        self.announce(command).await
    }

    /// Has what workers hold ended, again and again until it is.
    async fn close(
        &mut self,
        groups: Vec<(Vec<ModelName>, String)>,
        now: Instant,
    ) -> Result<(), CrawlError> {
        if self
            .close_sent
            .is_some_and(|sent| now.saturating_duration_since(sent) < CLOSE_EVERY)
        {
            return Ok(());
        }
        self.close_sent = Some(now);
        for (models, reason) in groups {
            self.announce(Command::Close { models, reason }).await?;
        }
        for domain in self.view.unowned() {
            // Nobody consumes this queue, so nobody would end what is in it.
            self.parts
                .broker
                .purge(&Queue::Probes(domain.clone()))
                .await?;
            self.state.drop_outstanding(&domain);
        }
        Ok(())
    }

    async fn announce(&self, command: Command) -> Result<(), CrawlError> {
        let control = Control {
            campaign: self.parts.plan.campaign().id.clone(),
            command,
        };
        let message = message(
            CONTROL_KIND,
            fresh_id(&*self.parts.clock).to_string(),
            &control,
        )
        .map_err(|error| CrawlError::Message(error.to_string()))?;
        Ok(self.parts.broker.announce(Topic::Control, message).await?)
    }

    /// Begins to write a `not_asked` row for everything open; receipts tell when they are durable.
    fn start_close_out(&mut self) {
        if self.close_out.is_some() {
            return;
        }
        let mut open = self.state.open_from(self.closed_to, CLOSE_OUT_BATCH);
        if open.is_empty() {
            // Everything was ended once; what is still open lost its receipt.
            open = self.state.open_from(0, CLOSE_OUT_BATCH);
        }
        self.closed_to = open.last().map_or(0, |last| last + 1);
        let mut records = Vec::with_capacity(open.len());
        for index in open {
            let Some(model) = self.parts.plan.model_at(index) else {
                continue;
            };
            let Some(sample) = self.parts.plan.sample(index) else {
                continue;
            };
            let Some(endpoint) = self.parts.endpoints.get(&sample.model) else {
                continue;
            };
            records.push(
                self.maker
                    .not_asked(&sample, endpoint, self.state.reason(model)),
            );
        }
        let writer = self.parts.writer.clone();
        self.close_out = Some(tokio::spawn(async move {
            let stored = join_all(
                records
                    .into_iter()
                    .map(|record| writer.append(Box::new(record))),
            )
            .await;
            let flushed = writer.flush().await;
            if let Some(error) = stored.into_iter().find_map(Result::err) {
                tracing::error!(error = %error, "a row of a sample that was not asked could not be stored");
            }
            if let Err(error) = flushed {
                tracing::error!(error = %error, "rows of samples that were not asked could not be flushed");
            }
        }));
    }
}

fn ticker(every: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// What the store tells of earlier runs.
struct Earlier {
    ledger: Ledger,
    tallies: Vec<Tally>,
    /// When the first reply was finished.
    began: Option<Timestamp>,
}

/// Reads from the store which samples are done and what was spent on them.
async fn earlier(parts: &CoordinatorParts) -> Result<Earlier, CrawlError> {
    let plan = &parts.plan;
    let mut tallies = vec![Tally::default(); plan.model_count()];
    let mut began: Option<Timestamp> = None;
    let (mut block, mut order) = (None, Vec::new());
    let models = (plan.model_count() as u64).max(1);
    let mut count = |row: &LedgerRow| {
        // Rows come in the order of the plan, so the order of a block is looked up once.
        if block != Some(plan.block_of(row.index)) {
            block = Some(plan.block_of(row.index));
            order = plan.models_of_block(plan.block_of(row.index));
        }
        let place = usize::try_from(row.index % models).unwrap_or(usize::MAX);
        let Some(tally) = order.get(place).and_then(|model| tallies.get_mut(*model)) else {
            return;
        };
        tally.requests += u64::from(row.attempts);
        tally.retries += u64::from(row.attempts).saturating_sub(1);
        tally.input_tokens += u64::from(row.input_tokens.unwrap_or(0));
        tally.output_tokens += u64::from(row.output_tokens.unwrap_or(0));
        tally.cost_usd += row.cost_usd.unwrap_or(0.0);
        *tally.outcomes.entry(row.outcome).or_default() += 1;
        if row.attempts > 0 {
            began = Some(began.map_or(row.finished_at, |began| began.min(row.finished_at)));
        }
    };
    let campaign = &plan.campaign().id;
    let mut ledger = rebuild(&parts.store, campaign, plan.hash(), plan.len(), &mut count).await?;
    if parts.retry_missing {
        let again = ledger.forget_missing();
        tracing::info!(
            samples = again,
            "samples without a measurement are asked again"
        );
        for tally in &mut tallies {
            tally.outcomes.retain(|outcome, _| !outcome.is_missing());
        }
    }
    Ok(Earlier {
        ledger,
        tallies,
        began,
    })
}
