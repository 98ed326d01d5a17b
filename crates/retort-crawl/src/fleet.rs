//! The coordinator as a service: many campaigns, any number of processes, one of them active.
//!
//! The broker says which one: whoever is given the messages of the receipts queue. It reads
//! submissions, carries out every submitted campaign of the store that is not sealed, and hands each
//! of them what workers tell. Whatever becomes of a process or of the broker, the next active one
//! begins from the store.

mod campaigns;
mod shares;
mod submission;
mod task;
mod view;

use std::sync::Arc;
use std::time::Duration;

use retort_broker::{
    Broker, BrokerError, ConsumeOptions, Consumer, Delivery, Message, Queue, Topic,
};
use retort_dataset::writer::Committed;
use retort_dataset::{Store, Writer};
use retort_types::{Catalog, WallClock};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::CrawlError;
use crate::coordinator::Note;
use crate::message::{ACCEPTED_KIND, ACTIVE_KIND, Accepted, PING_KIND, REJECTED_KIND, Rejected};
use crate::record::fresh_id;
use crate::settings::CoordinatorSettings;
use crate::submit::Submitted;
use crate::turns::in_turn;
use campaigns::Campaigns;
pub use shares::Share;
pub use submission::stored_path;
use submission::{Refusal, accept};
use task::announce;
pub use view::Statuses;

/// How often a coordinator that is not active asks whether it is.
const PING_EVERY: Duration = Duration::from_secs(2);

/// How often the store is looked through for campaigns.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// First wait before a session that failed to open is tried again; doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(200);

/// Longest wait between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How long to wait before a submission that the store could not take is tried again.
const SUBMISSION_PAUSE: Duration = Duration::from_secs(5);

/// Messages of workers held unacknowledged: each is handed on at once.
const RECEIPT_PREFETCH: std::num::NonZeroU32 =
    std::num::NonZeroU32::new(256).expect("256 is not zero");

/// Submissions held unacknowledged: they are taken up one after the other.
const SUBMISSION_PREFETCH: std::num::NonZeroU32 =
    std::num::NonZeroU32::new(1).expect("1 is not zero");

/// What a coordinator of a fleet is made of.
#[derive(Debug)]
pub struct FleetParts {
    /// The truth.
    pub store: Store,
    /// Where submissions and receipts come from and samples go.
    pub broker: Arc<dyn Broker>,
    /// The models that may be asked.
    pub catalog: Arc<Catalog>,
    /// Where rows of samples that were not asked go.
    pub writer: Writer,
    /// The time of day.
    pub clock: Arc<dyn WallClock>,
    /// How it works.
    pub settings: CoordinatorSettings,
}

/// A coordinator of a fleet.
#[derive(Debug)]
pub struct FleetCoordinator {
    parts: Arc<FleetParts>,
    committed: mpsc::Receiver<Committed>,
    statuses: Statuses,
}

/// How being the active one ended.
#[derive(Debug, PartialEq, Eq)]
enum Led {
    Stopped,
    SessionLost,
}

/// A submission that was dealt with.
type Dealt = (Delivery, Result<Submitted, String>);

impl FleetCoordinator {
    /// Returns a coordinator; `committed` is what the writer makes durable.
    pub fn new(parts: FleetParts, committed: mpsc::Receiver<Committed>) -> Self {
        Self {
            parts: Arc::new(parts),
            committed,
            statuses: Statuses::default(),
        }
    }

    /// Returns what tells how the coordinator is doing.
    pub fn statuses(&self) -> Statuses {
        self.statuses.clone()
    }

    /// Works until told to stop. Nothing is waited for then: the next active one goes on from the
    /// store.
    ///
    /// # Errors
    /// When the broker refuses this process.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), CrawlError> {
        loop {
            let Some((receipts, first)) = self.stand_by(&mut stop).await? else {
                return Ok(());
            };
            tracing::info!("this coordinator is the active one");
            self.statuses.set_active(true);
            let led = Box::pin(self.lead(receipts, first, &mut stop)).await;
            self.statuses.set_active(false);
            self.statuses.clear();
            match led {
                Ok(Led::Stopped) => return Ok(()),
                Ok(Led::SessionLost) => {
                    tracing::warn!(
                        "the session with the broker ended; another coordinator may be active"
                    );
                }
                Err(error) => {
                    tracing::warn!(error = %task::chain(&error), "the coordinator cannot go on; it begins again");
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until this coordinator is the active one; returns its receipts and the first of them,
    /// or nothing when it is to stop.
    async fn stand_by(
        &mut self,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Option<(Box<dyn Consumer>, Delivery)>, CrawlError> {
        let mut ping = ticker(PING_EVERY);
        let mut receipts = None;
        let mut pause = PAUSE;
        loop {
            if *stop.borrow() {
                return Ok(None);
            }
            let Some(consumer) = &mut receipts else {
                let consumed = tokio::select! {
                    biased;
                    changed = stop.changed() => {
                        if changed.is_err() {
                            return Ok(None);
                        }
                        continue;
                    }
                    consumed = consume(&*self.parts.broker, &Queue::Receipts, RECEIPT_PREFETCH) => consumed,
                };
                match consumed {
                    Ok(consumer) => {
                        self.statuses.set_connected(true);
                        receipts = Some(consumer);
                        pause = PAUSE;
                    }
                    Err(error @ BrokerError::Refused { .. }) => return Err(error.into()),
                    Err(error) => {
                        self.statuses.set_connected(false);
                        tracing::warn!(error = %task::chain(&error), "the broker cannot be used; it is tried again");
                        tokio::select! {
                            biased;
                            changed = stop.changed() => drop(changed),
                            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
                        }
                    }
                }
                continue;
            };
            tokio::select! {
                biased;
                changed = stop.changed() => if changed.is_err() { return Ok(None) },
                _ = ping.tick() => self.ping().await,
                // Rows of an earlier time as the active one: whoever is active reads them in the store.
                Some(_) = self.committed.recv() => {}
                delivery = consumer.next() => match delivery {
                    Some(first) => return Ok(receipts.map(|receipts| (receipts, first))),
                    None => receipts = None,
                },
            }
        }
    }

    /// Sends a message that the active coordinator gets, whichever that is.
    async fn ping(&self) {
        let ping = Message {
            id: fresh_id(&*self.parts.clock).to_string(),
            kind: PING_KIND.to_owned(),
            body: "".into(),
        };
        if let Err(error) = self.parts.broker.publish(&Queue::Receipts, ping).await {
            tracing::debug!(error = %error, "the broker did not take a message");
        }
    }

    /// Is the active coordinator until the session ends or it is to stop.
    async fn lead(
        &mut self,
        mut receipts: Box<dyn Consumer>,
        first: Delivery,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Led, CrawlError> {
        let broker = Arc::clone(&self.parts.broker);
        let mut submissions = consume(&*broker, &Queue::Submissions, SUBMISSION_PREFETCH).await?;
        let mut campaigns = Campaigns::new(
            Arc::clone(&self.parts),
            self.statuses.clone(),
            receipts.fence(),
        );
        let mut dealing: JoinSet<Dealt> = JoinSet::new();
        let mut look = ticker(LOOK_EVERY);
        // Whoever listens finds the topics, also before the first campaign: workers may not make theirs.
        for topic in [Topic::Control, Topic::Events] {
            announce(&self.parts, topic, ACTIVE_KIND, &()).await;
        }
        take_in(&campaigns, first).await;
        let mut hears = false;
        loop {
            if *stop.borrow() {
                receipts.close().await;
                submissions.close().await;
                return Ok(Led::Stopped);
            }
            hears = !hears;
            in_turn!(hears, {
                delivery = receipts.next() => match delivery {
                    Some(delivery) => take_in(&campaigns, delivery).await,
                    None => return Ok(Led::SessionLost),
                },
            }, {
                changed = stop.changed() => drop(changed),
                () = campaigns.next_end() => {}
                Some(dealt) = dealing.join_next() => {
                    let dealt = dealt.map_err(|error| CrawlError::Task(error.to_string()))?;
                    self.answer(&mut campaigns, dealt).await;
                }
                delivery = submissions.next(), if dealing.is_empty() => match delivery {
                    Some(delivery) => {
                        dealing.spawn(deal(Arc::clone(&self.parts), delivery));
                    }
                    None => return Ok(Led::SessionLost),
                },
                Some(committed) = self.committed.recv() => campaigns.hand_on_own(&committed).await,
                _ = look.tick() => if let Err(error) = campaigns.look().await {
                    tracing::warn!(error = %task::chain(&error), "the store could not be looked through; it is tried again");
                },
            });
        }
    }

    /// Says what became of a submission.
    async fn answer(&self, campaigns: &mut Campaigns, (delivery, dealt): Dealt) {
        let settled = match dealt {
            Ok(submitted) => {
                let plan = &submitted.plan;
                let news = Accepted {
                    campaign: plan.campaign().id.clone(),
                    plan_hash: plan.hash(),
                    planned: plan.len(),
                    existed: submitted.existed,
                };
                campaigns.take_up(&news.campaign, news.existed).await;
                self.statuses.count_submission(true);
                announce(&self.parts, Topic::Events, ACCEPTED_KIND, &news).await;
                delivery.acknowledge().await
            }
            Err(reason) => {
                tracing::warn!(
                    "a submission is refused; it goes to the dead letters with the reason"
                );
                self.statuses.count_submission(false);
                let message = delivery.message.id.clone();
                let settled = delivery.reject(&reason).await;
                let news = Rejected { message, reason };
                announce(&self.parts, Topic::Events, REJECTED_KIND, &news).await;
                settled
            }
        };
        if let Err(error) = settled {
            tracing::debug!(error = %error, "a submission comes again; it is recognised then");
        }
    }
}

/// Deals with a submission, however long the store fails.
async fn deal(parts: Arc<FleetParts>, delivery: Delivery) -> Dealt {
    loop {
        let accepted = accept(
            &parts.store,
            &parts.catalog,
            &*parts.clock,
            &delivery.message,
        );
        match Box::pin(accepted).await {
            Ok(submitted) => return (delivery, Ok(submitted)),
            Err(Refusal::Invalid(reason)) => return (delivery, Err(reason)),
            Err(Refusal::Trouble(error)) => {
                tracing::warn!(error = %task::chain(&error), "a submission waits for the store");
            }
        }
        tokio::time::sleep(SUBMISSION_PAUSE).await;
    }
}

/// Hands a message of a worker on, then acknowledges it: what it says can be read in the store too.
async fn take_in(campaigns: &Campaigns, delivery: Delivery) {
    if let Some(note) = Note::of(&delivery) {
        campaigns.hand_on(note).await;
    }
    if let Err(error) = delivery.acknowledge().await {
        tracing::debug!(error = %error, "a receipt was acknowledged too late; folding it again is harmless");
    }
}

async fn consume(
    broker: &dyn Broker,
    queue: &Queue,
    prefetch: std::num::NonZeroU32,
) -> Result<Box<dyn Consumer>, BrokerError> {
    broker.declare(queue).await?;
    let options = ConsumeOptions {
        prefetch,
        priority: 0,
    };
    broker.consume(queue, options).await
}

fn ticker(every: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
