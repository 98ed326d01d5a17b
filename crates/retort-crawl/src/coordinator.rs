//! The coordinator: supplies domains with samples, folds receipts into the ledger, repairs holes,
//! ends what cannot be asked, and tells how a campaign is doing.

mod budget;
mod campaign;
mod close_out;
mod earlier;
mod hearing;
mod repair;
#[cfg(test)]
mod tests;
mod view;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use retort_broker::{Broker, BrokerError, Fence, Message, Queue, Topic};
use retort_dataset::{Store, Writer};
use retort_plan::Plan;
use retort_types::{DomainId, DomainSpec, Endpoint, ModelName, Sample, Timestamp, WallClock};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::Instrument as _;

use crate::CrawlError;
use crate::control::{Wish, standing};
use crate::fleet::Share;
use crate::message::{CANCELLED, CONTROL_KIND, Command, Control, message, sample_message};
use crate::record::{RecordMaker, fresh_id};
use crate::settings::CoordinatorSettings;
use crate::status::{self, State, Status};
use crate::turns::in_turn;
use campaign::{CampaignState, Next};
use earlier::{Earlier, earlier};
use hearing::{Heard, Hearing};
pub use hearing::{Membership, Note};
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

/// For how long what a coordinator publishes after it was opened again may have been published
/// before: a domain is owned anew within seconds, and its first sample decides.
const REISSUED_FOR: Duration = Duration::from_mins(1);

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
    /// What it is given when it is one of several, whose workers are other processes; it reads the
    /// receipts itself otherwise.
    pub membership: Option<Membership>,
}

/// How a coordinator's work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Every planned sample has a final row.
    Complete,
    /// It was told to stop.
    Stopped,
    /// Samples of a fleet are gone: it must be opened again, which reads the store.
    Lost,
}

/// A coordinator of one campaign.
#[derive(Debug)]
pub struct Coordinator {
    parts: CoordinatorParts,
    state: CampaignState,
    hearing: Hearing,
    /// Its part of the domains, in a fleet.
    share: Option<Share>,
    /// Whether its process is still the active one, in a fleet.
    fence: Option<Fence>,
    /// Until when what is published may have been published before.
    reissuing: Option<Instant>,
    view: View,
    maker: RecordMaker,
    close_out: Option<JoinHandle<()>>,
    close_sent: Option<Instant>,
    /// Up to which index open samples were ended.
    closed_to: u64,
    repaired: Option<Instant>,
    last_wish: Wish,
    /// When the standing wish was last told to workers.
    wish_told: Instant,
    statuses: watch::Sender<Arc<Status>>,
}

impl Coordinator {
    /// Opens a campaign: reads from the store what is done already.
    pub async fn open(mut parts: CoordinatorParts) -> Result<Self, CrawlError> {
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
        let membership = parts.membership.take();
        let shared = membership.is_some();
        let Joined {
            hearing,
            share,
            fence,
            resumed,
            given_up,
        } = join(&parts, membership).await?;
        let last_wish = standing(&parts.store, &campaign)
            .await?
            .unwrap_or(Wish::Resume);
        let maker = RecordMaker {
            clock: Arc::clone(&parts.clock),
            worker_id: "coordinator".into(),
            entropy: Arc::default(),
        };
        if let Some(reason) = given_up {
            state.end(reason);
        }
        let view = View::new(Arc::clone(&parts.plan), now.1, tallies, shared);
        let first = Arc::new(view.status(&state, State::Asking, now.1));
        let (statuses, _) = watch::channel(first);
        let mut own = Self {
            parts,
            state,
            hearing,
            share,
            fence,
            reissuing: resumed.then(|| now.0 + REISSUED_FOR),
            view,
            maker,
            close_out: None,
            close_sent: None,
            closed_to: 0,
            repaired: None,
            last_wish,
            wish_told: now.0,
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
        let mut telling = ticker(self.status_every());
        let mut wishes = ticker(WISHES_EVERY);
        let mut hears = false;
        loop {
            if *stop.borrow() {
                return Ok(Finish::Stopped);
            }
            hears = !hears;
            in_turn!(hears, {
                heard = self.hearing.next() => match heard {
                    Some(heard) => self.fold(heard).await,
                    None => return Err(CrawlError::BrokerLost),
                },
            }, {
                changed = stop.changed() => if changed.is_err() { return Ok(Finish::Stopped) },
                _ = tick.tick() => {}
                _ = telling.tick() => self.tell(None).await,
                _ = wishes.tick() => self.look_for_wishes().await?,
            });
            if self.advance().await? {
                self.tell(None).await;
                return Ok(Finish::Complete);
            }
            if self.has_lost().await {
                return Ok(Finish::Lost);
            }
        }
    }

    /// Tells a state that the caller brought about: sealing, sealed, interrupted.
    pub async fn tell(&mut self, brought: Option<(State, Option<String>)>) {
        let now = self.parts.clock.now();
        self.view.age(self.state.tallies(), Instant::now());
        let mut status = match &brought {
            Some((state, _)) => self.view.status(&self.state, *state, now),
            None => self.view.status(&self.state, self.present(now), now),
        };
        status.snapshot = brought.and_then(|(_, snapshot)| snapshot);
        // Another one may be the active one by now and know more; a snapshot is one whoever made it.
        let is_news =
            status.state == State::Sealed || self.fence.as_ref().is_none_or(Fence::is_live);
        if is_news && let Err(error) = status::write(&self.parts.store, &status).await {
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
            Ok(_) => self.repeat_wish().await,
            Err(error) => {
                tracing::debug!(error = %error, "the store did not say what is wished");
                Ok(())
            }
        }
    }

    /// Folds what workers told before they stopped, and tells the last of it.
    pub async fn settle(&mut self) {
        while let Ok(Some(heard)) = tokio::time::timeout(SETTLE_PAUSE, self.hearing.next()).await {
            self.fold(heard).await;
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
        if let Some(share) = &self.share {
            self.state.take_share(share);
        }
        let samples = self.state.fill(now, wall);
        self.publish("publish window", samples, now).await?;
        if self.share.is_none() && self.may_repair(now) {
            let view = &self.view;
            let stalled = self.state.stalled(now, |domain| view.holds(domain));
            self.publish("repair", stalled, now).await?;
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

    /// Publishes samples, those of one domain in their order; `why` names its span.
    async fn publish(
        &mut self,
        why: &'static str,
        samples: Vec<Sample>,
        now: Instant,
    ) -> Result<(), CrawlError> {
        if samples.is_empty() {
            return Ok(());
        }
        let span = tracing::debug_span!(
            "publish",
            otel.name = why,
            otel.kind = "producer",
            retort.campaign.id = %self.parts.plan.campaign().id,
            retort.samples = samples.len(),
        );
        self.publish_all(samples, now).instrument(span).await
    }

    async fn publish_all(&mut self, samples: Vec<Sample>, now: Instant) -> Result<(), CrawlError> {
        let reissued = self.reissuing.is_some_and(|until| now < until);
        let mut queues: BTreeMap<DomainId, Vec<Message>> = BTreeMap::new();
        for sample in samples {
            let domain = sample.domain.clone();
            let message = sample_message(sample, reissued);
            queues.entry(domain).or_default().push(message);
        }
        for (domain, messages) in queues {
            let queue = Queue::Probes(domain);
            for result in self.parts.broker.publish_many(&queue, messages).await {
                match result {
                    // The sample counts as out; the repair publishes it again once there is room.
                    Err(BrokerError::Full(queue)) => {
                        tracing::warn!(queue = %queue, "a queue is full; a sample waits for the repair");
                    }
                    other => other?,
                }
            }
        }
        Ok(())
    }

    async fn fold(&mut self, heard: Heard) {
        match heard {
            Heard::Note(note) => self.note(note),
            Heard::Delivery(delivery) => {
                if let Some(note) = Note::of(&delivery) {
                    self.note(note);
                }
                if let Err(error) = delivery.acknowledge().await {
                    tracing::debug!(error = %error, "a receipt was acknowledged too late; folding it again is harmless");
                }
            }
        }
    }

    fn note(&mut self, note: Note) {
        let now = Instant::now();
        match note {
            Note::Receipt(receipt) => {
                for record in &receipt.records {
                    self.state.count(record, now);
                }
            }
            Note::Heartbeat(heartbeat) => self.view.hear(Arc::unwrap_or_clone(heartbeat), now),
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
        self.drop_unheld(now);
        Ok(())
    }

    pub(super) async fn announce(&mut self, command: Command) -> Result<(), CrawlError> {
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
}

/// How a coordinator takes part.
struct Joined {
    hearing: Hearing,
    share: Option<Share>,
    fence: Option<Fence>,
    resumed: bool,
    given_up: Option<String>,
}

async fn join(
    parts: &CoordinatorParts,
    membership: Option<Membership>,
) -> Result<Joined, CrawlError> {
    if let Some(membership) = membership {
        return Ok(Joined {
            hearing: Hearing::Shared(membership.notes),
            share: Some(membership.share),
            fence: Some(membership.fence),
            resumed: membership.resumed,
            given_up: membership.given_up,
        });
    }
    let options = retort_broker::ConsumeOptions {
        prefetch: RECEIPT_PREFETCH,
        priority: 0,
    };
    let consumer = parts.broker.consume(&Queue::Receipts, options).await?;
    Ok(Joined {
        hearing: Hearing::Own(consumer),
        share: None,
        fence: None,
        resumed: false,
        given_up: None,
    })
}

fn ticker(every: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
