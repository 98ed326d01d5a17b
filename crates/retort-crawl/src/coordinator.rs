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
use retort_broker::{Broker, Consumer, Delivery, Queue, Topic};
use retort_dataset::writer::CommittedRecord;
use retort_dataset::{Store, Writer};
use retort_plan::Plan;
use retort_types::{DomainSpec, Endpoint, ModelName, Sample, Timestamp, WallClock};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::CrawlError;
use crate::control::{Wish, standing};
use crate::message::{
    CONTROL_KIND, Command, Control, HEARTBEAT_KIND, Heartbeat, RECEIPT_KIND, Receipt, Tally,
    message, parse, sample_message,
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

/// Samples ended together: they share an fsync of the spool.
const CLOSE_OUT_BATCH: usize = 512;

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
    last_wish: Wish,
    statuses: watch::Sender<Arc<Status>>,
}

impl Coordinator {
    /// Opens a campaign: reads from the store what is done already.
    pub async fn open(parts: CoordinatorParts) -> Result<Self, CrawlError> {
        let now = (Instant::now(), parts.clock.now());
        let campaign = parts.plan.campaign().id.clone();
        let (ledger, earlier) = earlier(&parts).await?;
        let mut state = CampaignState::new(
            Arc::clone(&parts.plan),
            ledger,
            parts.domains.clone(),
            parts.settings.clone(),
            now,
        );
        for (model, tally) in earlier.iter().enumerate() {
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
        let last_wish = standing(&parts.store, &campaign).await?;
        let maker = RecordMaker {
            clock: Arc::clone(&parts.clock),
            worker_id: "coordinator".to_owned(),
        };
        let view = View::new(Arc::clone(&parts.plan), now.1);
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
                _ = wishes.tick() => {
                    let wish = standing(&self.parts.store, &self.parts.plan.campaign().id).await?;
                    if wish != self.last_wish {
                        self.last_wish = wish;
                        self.obey(wish).await?;
                    }
                }
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

    /// Does what can be done now; returns whether everything is done.
    async fn advance(&mut self) -> Result<bool, CrawlError> {
        let (now, wall) = (Instant::now(), self.parts.clock.now());
        for (model, reason) in self.view.parked() {
            self.state.park(model, reason);
        }
        let mut samples = self.state.fill(now, wall);
        samples.extend(self.state.stalled(now));
        for sample in &samples {
            self.publish(sample).await?;
        }
        match self.state.next(wall) {
            Next::Complete => return Ok(true),
            Next::Wait => {}
            Next::Close(models, reason) => self.close(models, reason, now).await?,
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
            sample_message(sample).map_err(|error| CrawlError::Message(error.to_string()))?;
        Ok(self
            .parts
            .broker
            .publish(&Queue::Probes(sample.domain.clone()), message)
            .await?)
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
                Command::Resume
            }
            Wish::Cancel => {
                self.state.paused = false;
                self.state.end("cancelled".to_owned());
                Command::Close {
                    models: Vec::new(),
                    reason: "cancelled".to_owned(),
                }
            }
        };
        self.announce(command).await
    }

    async fn close(
        &mut self,
        models: Vec<ModelName>,
        reason: String,
        now: Instant,
    ) -> Result<(), CrawlError> {
        let due = self
            .close_sent
            .is_none_or(|sent| now.saturating_duration_since(sent) >= CLOSE_EVERY);
        if due {
            self.close_sent = Some(now);
            self.announce(Command::Close { models, reason }).await?;
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
        let open = self.state.open_from(0, CLOSE_OUT_BATCH);
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

/// Reads from the store which samples are done and what was spent on them.
async fn earlier(
    parts: &CoordinatorParts,
) -> Result<(retort_dataset::Ledger, Vec<Tally>), CrawlError> {
    let plan = &parts.plan;
    let mut tallies = vec![Tally::default(); plan.model_count()];
    let mut count = |row: &retort_dataset::ledger::LedgerRow| {
        let Some(tally) = plan
            .model_at(row.index)
            .and_then(|model| tallies.get_mut(model))
        else {
            return;
        };
        tally.requests += u64::from(row.attempts);
        tally.retries += u64::from(row.attempts).saturating_sub(1);
        tally.input_tokens += u64::from(row.input_tokens.unwrap_or(0));
        tally.output_tokens += u64::from(row.output_tokens.unwrap_or(0));
        tally.cost_usd += row.cost_usd.unwrap_or(0.0);
        *tally.outcomes.entry(row.outcome).or_default() += 1;
    };
    let campaign = &plan.campaign().id;
    let mut ledger = retort_dataset::ledger::rebuild(
        &parts.store,
        campaign,
        plan.hash(),
        plan.len(),
        &mut count,
    )
    .await?;
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
    Ok((ledger, tallies))
}
