//! A domain's session with the broker: opened again and again until it stands, for as long as the
//! worker works.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use retort_broker::{Broker, BrokerError, ConsumeOptions, Consumer, Delivery, Fence, Queue};
use tokio::task::JoinSet;

/// First wait before a session that failed to open is tried again; doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(200);

/// Longest wait between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What a session brings.
#[derive(Debug)]
pub(super) enum Event {
    /// A message.
    Delivery(Delivery),
    /// The session ended: what it held belongs to whoever is given it next. Another one is opened.
    Lost,
}

/// How a queue is consumed.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Through what.
    pub(super) broker: Arc<dyn Broker>,
    /// What.
    pub(super) queue: Queue,
    /// How.
    pub(super) options: ConsumeOptions,
    /// Counts the sessions that stand.
    pub(super) standing: Arc<AtomicUsize>,
}

/// A consumer that is counted while it stands.
#[derive(Debug)]
struct Standing {
    consumer: Option<Box<dyn Consumer>>,
    count: Arc<AtomicUsize>,
}

impl Standing {
    fn new(consumer: Box<dyn Consumer>, count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self {
            consumer: Some(consumer),
            count: Arc::clone(count),
        }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A session with the broker.
#[derive(Debug)]
pub(super) struct Session {
    place: Place,
    standing: Option<Standing>,
    /// The next consumer, on its way; given up when the session is.
    opening: JoinSet<Box<dyn Consumer>>,
}

impl Session {
    /// Begins to open a session after `delay`.
    pub(super) fn open(place: Place, delay: Duration) -> Self {
        let mut session = Self {
            place,
            standing: None,
            opening: JoinSet::new(),
        };
        session.begin(delay);
        session
    }

    fn begin(&mut self, delay: Duration) {
        self.opening.spawn(opened(self.place.clone(), delay));
    }

    /// Returns what comes next, waiting for it.
    ///
    /// Cancel safe: a future dropped early takes nothing with it.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            let standing = self.standing.as_mut();
            let Some(consumer) = standing.and_then(|own| own.consumer.as_mut()) else {
                match self.opening.join_next().await {
                    Some(Ok(consumer)) => {
                        self.standing = Some(Standing::new(consumer, &self.place.standing));
                    }
                    Some(Err(_)) | None => self.begin(PAUSE),
                }
                continue;
            };
            if let Some(delivery) = consumer.next().await {
                return Event::Delivery(delivery);
            }
            self.standing = None;
            self.begin(PAUSE);
            return Event::Lost;
        }
    }

    /// Returns what tells whether something may be begun on what was delivered, if the session
    /// stands: an owner that no longer hears from its broker may have been replaced.
    pub(super) fn fence(&self) -> Option<Fence> {
        let consumer = self.standing.as_ref()?.consumer.as_ref()?;
        Some(consumer.fence())
    }

    /// Returns whether the broker may give the queue to another worker while this one still holds it.
    pub(super) fn hands_over(&self) -> bool {
        self.place.broker.capabilities().priority_handoff
    }

    /// Ends the session; what it holds returns to the queue.
    pub(super) async fn close(mut self) {
        let consumer = self.standing.as_mut().and_then(|own| own.consumer.take());
        if let Some(consumer) = consumer {
            consumer.close().await;
        }
    }
}

async fn opened(place: Place, delay: Duration) -> Box<dyn Consumer> {
    tokio::time::sleep(delay).await;
    let mut pause = PAUSE;
    loop {
        match open(&place).await {
            Ok(consumer) => return consumer,
            Err(error) => {
                tracing::warn!(queue = %place.queue, error = %error, "a queue could not be consumed; it is tried again");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// A broker may have lost its queues, so each is declared before it is consumed.
async fn open(place: &Place) -> Result<Box<dyn Consumer>, BrokerError> {
    place.broker.declare(&Queue::Receipts).await?;
    place.broker.declare(&place.queue).await?;
    place.broker.consume(&place.queue, place.options).await
}
