//! The broker of a world, and the links of processes to it, which break in every way a link can.
//!
//! Behind the links is the broker in memory. A link adds what lies between: a connection that is
//! silently lost, which either end notices at its own time; publications that are stored and not
//! confirmed, or stored twice; acknowledgements that never arrive.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use retort_broker::testkit::Version;
use retort_broker::{
    Broker, BrokerError, Capabilities, ConsumeOptions, Consumer, Health, MemoryBroker, Message,
    Queue, Subscription, Topic,
};
use retort_types::DomainId;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::chance::Chance;
use crate::journal::Journal;
use crate::session::{self, Session};

/// How long whoever calls through a silently lost connection waits before it gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// What all links share.
#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) broker: MemoryBroker,
    pub(crate) journal: Arc<Journal>,
    /// Whether the strongest claim owns, or the first.
    pub(crate) handoff: bool,
    /// Of a thousand publications, how many are stored twice.
    pub(crate) doubles: u64,
    /// Of a thousand publications, how many are stored and not confirmed.
    pub(crate) unconfirmed: u64,
    pub(crate) chance: Mutex<Chance>,
    pub(crate) sessions: AtomicU64,
}

/// One life's connection to the broker.
pub(crate) struct Link {
    net: Arc<Net>,
    by: String,
    version: Version,
    is_dead: AtomicBool,
    lost: watch::Sender<bool>,
    sessions: Mutex<Vec<Arc<Session>>>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.by)
    }
}

fn unavailable(attempted: &str) -> BrokerError {
    BrokerError::Unavailable {
        attempted: attempted.to_owned(),
        source: None,
    }
}

impl Link {
    pub(crate) fn new(net: Arc<Net>, by: &str, version: Version) -> Arc<Self> {
        Arc::new(Self {
            net,
            version,
            by: by.to_owned(),
            is_dead: AtomicBool::new(false),
            lost: watch::channel(false).0,
            sessions: Mutex::default(),
        })
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection as the death of its process does: nothing comes back from any call, and
    /// the broker notices after `noticed`.
    pub(crate) fn kill(&self, noticed: Duration) {
        self.is_dead.store(true, Ordering::Relaxed);
        let sessions = std::mem::take(&mut *self.sessions());
        for session in &sessions {
            session.lose();
        }
        if noticed.is_zero() {
            for session in &sessions {
                session.drop_by_broker();
            }
            return;
        }
        tokio::spawn(async move {
            sleep(noticed).await;
            for session in &sessions {
                session.drop_by_broker();
            }
        });
    }

    /// Loses the connection silently; the broker notices after `by_broker`, the process after
    /// `by_process`, and after `healed` it can be opened again.
    pub(crate) fn lose(
        self: &Arc<Self>,
        by_broker: Duration,
        by_process: Duration,
        healed: Duration,
    ) {
        let begun = Instant::now();
        self.lost.send_replace(true);
        let sessions = self.sessions().clone();
        for session in &sessions {
            session.lose();
        }
        let link = Arc::clone(self);
        tokio::spawn(async move {
            let mut events = [(by_broker, 0_u8), (by_process, 1), (healed, 2)];
            events.sort_unstable();
            for (after, event) in events {
                tokio::time::sleep_until(begun + after).await;
                match event {
                    0 => sessions.iter().for_each(|session| session.drop_by_broker()),
                    1 => sessions
                        .iter()
                        .for_each(|session| session.drop_by_process()),
                    _ => {
                        link.lost.send_replace(false);
                        for session in &sessions {
                            session.heal().await;
                        }
                    }
                }
                if event == 2 {
                    // Packets arrive again: either end hears at once what the other one did.
                    return;
                }
            }
        });
    }

    pub(crate) fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Waits for as long as a call through this link takes to fail, or not at all when it passes.
    async fn pass(&self, attempted: &str) -> Result<(), BrokerError> {
        if self.is_dead.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        if self.is_lost() {
            sleep(PATIENCE).await;
            if self.is_dead.load(Ordering::Relaxed) {
                return std::future::pending().await;
            }
            return Err(unavailable(attempted));
        }
        Ok(())
    }

    fn enrol(&self) -> Arc<Session> {
        let number = self.net.sessions.fetch_add(1, Ordering::Relaxed);
        let session = Arc::new(Session::new(
            number,
            &self.by,
            Arc::clone(&self.net.journal),
        ));
        let mut sessions = self.sessions();
        sessions.retain(|session| !session.is_over());
        sessions.push(Arc::clone(&session));
        session
    }

    fn draw(&self) -> (bool, bool) {
        let chance = self.net.chance.lock();
        let mut chance = chance.unwrap_or_else(PoisonError::into_inner);
        (
            chance.below(1_000) < self.net.doubles,
            chance.below(1_000) < self.net.unconfirmed,
        )
    }
}

#[async_trait]
impl Broker for Link {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            priority_handoff: self.net.handoff,
        }
    }

    async fn declare(&self, queue: &Queue) -> Result<(), BrokerError> {
        self.pass("declare a queue").await?;
        self.net.broker.declare(queue).await
    }

    async fn publish(&self, queue: &Queue, message: Message) -> Result<(), BrokerError> {
        self.pass("publish a message").await?;
        let (twice, unconfirmed) = self.draw();
        if matches!(queue, Queue::Probes(_))
            && let Ok(sample) = message.id.parse()
        {
            self.net.journal.published(sample, &self.by, &message.kind);
        }
        if let Some(besides) = self.version.besides(&message.kind) {
            self.net.broker.publish(queue, besides).await?;
        }
        let message = self.version.dress(message);
        if twice {
            self.net.journal.mishap("publication stored twice");
            self.net.broker.publish(queue, message.clone()).await?;
        }
        self.net.broker.publish(queue, message).await?;
        if unconfirmed {
            self.net.journal.mishap("publication stored, not confirmed");
            return Err(unavailable("hear that a message was stored"));
        }
        Ok(())
    }

    async fn publish_later(
        &self,
        domain: &DomainId,
        message: Message,
        delay: Duration,
    ) -> Result<(), BrokerError> {
        self.pass("publish a message").await?;
        self.net.broker.publish_later(domain, message, delay).await
    }

    fn health(&self) -> Health {
        if self.is_lost() {
            Health::Down
        } else {
            self.net.broker.health()
        }
    }

    async fn consume(
        &self,
        queue: &Queue,
        options: ConsumeOptions,
    ) -> Result<Box<dyn Consumer>, BrokerError> {
        self.pass("consume a queue").await?;
        let priority = if self.net.handoff {
            options.priority
        } else {
            0
        };
        let options = ConsumeOptions {
            priority,
            ..options
        };
        let inner = self.net.broker.consume(queue, options).await?;
        let session = self.enrol();
        Ok(Box::new(session::Consuming::new(session, queue, inner)))
    }

    async fn announce(&self, topic: Topic, message: Message) -> Result<(), BrokerError> {
        self.pass("announce a message").await?;
        if let Some(besides) = self.version.besides(&message.kind) {
            self.net.broker.announce(topic, besides).await?;
        }
        let message = self.version.dress(message);
        self.net.broker.announce(topic, message).await
    }

    async fn subscribe(&self, topic: Topic) -> Result<Box<dyn Subscription>, BrokerError> {
        self.pass("subscribe to a topic").await?;
        let inner = self.net.broker.subscribe(topic).await?;
        Ok(Box::new(session::Listening::new(self.enrol(), inner)))
    }

    async fn purge(&self, queue: &Queue) -> Result<u64, BrokerError> {
        self.pass("purge a queue").await?;
        self.net.broker.purge(queue).await
    }

    async fn depth(&self, queue: &Queue) -> Result<Option<u64>, BrokerError> {
        self.pass("count a queue").await?;
        self.net.broker.depth(queue).await
    }
}
