//! The twin over AMQP 0-9-1: `RabbitMQ` 3.10 and newer.
//!
//! A supervisor keeps one session, that is two connections, and builds a new one whenever anything
//! about it fails. It never uses the client library's own recovery, under which a consumer goes on
//! as if nothing had happened while its deliveries are someone else's. Consumers and subscriptions
//! end with their session; calls wait a while for the next one.

mod consumer;
mod failure;
mod fence;
mod greeting;
mod incoming;
mod publisher;
mod session;
mod settings;
mod supervisor;
#[cfg(test)]
mod tests;
mod topics;
mod topology;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueuePurgeOptions};
use lapin::types::{AMQPValue, FieldTable};
use retort_types::DomainId;
use tokio::sync::watch;
use tokio::time::timeout;

pub use self::settings::{AmqpSettings, AmqpSettingsError, BrokerUrl, InvalidBrokerUrl};

use self::consumer::AmqpConsumer;
use self::failure::Failure;
use self::publisher::{Publication, Unpublished};
use self::session::Session;
use self::supervisor::State;
use self::topics::AmqpSubscription;
use self::topology::Exchange;
use crate::broker::retry_tier;
use crate::{
    Broker, BrokerError, Capabilities, ConsumeOptions, Consumer, DeadLetter, Health, Message,
    Queue, Subscription, Topic,
};

/// Largest dead letter that is published, in bytes: `RabbitMQ` 4 takes messages up to 16 MiB. Of a
/// message that grew beyond in its envelope the beginning is kept.
const LETTER_MAX_BYTES: usize = 15 * 1024 * 1024;

/// How often a message that the broker refused to store is offered again.
const OFFER_EVERY: Duration = Duration::from_millis(200);

/// A broker over AMQP. Clones share its connections; the last one dropped closes them.
#[derive(Clone)]
pub struct AmqpBroker(Arc<Inner>);

struct Inner {
    settings: AmqpSettings,
    state: watch::Receiver<State>,
    /// What was declared, to be declared again in each new session.
    declared: Arc<Mutex<BTreeSet<Queue>>>,
    closing: watch::Sender<bool>,
}

impl AmqpBroker {
    /// Starts to connect, and returns at once; calls wait for the connection. Needs a running
    /// runtime, as all of this does.
    ///
    /// # Errors
    /// When the settings do not add up.
    pub fn start(settings: AmqpSettings) -> Result<Self, AmqpSettingsError> {
        settings.heartbeat_s()?;
        let declared = Arc::<Mutex<BTreeSet<Queue>>>::default();
        let closing = watch::Sender::new(false);
        let state = supervisor::start(settings.clone(), &declared, &closing);
        Ok(Self(Arc::new(Inner {
            settings,
            state,
            declared,
            closing,
        })))
    }

    /// Waits until the connection stands.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] as soon as the broker refuses the credentials or the virtual host,
    /// or shows a certificate that is not believed; [`BrokerError::Unavailable`] when the patience
    /// of the settings is at its end.
    pub async fn connected(&self) -> Result<(), BrokerError> {
        self.session("connect to the broker").await.map(drop)
    }

    /// Closes the connections; every consumer and subscription ends. Dropping the last clone does
    /// the same, without waiting for it.
    pub async fn close(&self) {
        self.0.closing.send_replace(true);
        let mut state = self.0.state.clone();
        let closed = state.wait_for(|state| matches!(state, State::Closed));
        // Both goodbyes have their own, shorter limits.
        drop(timeout(Duration::from_secs(10), closed).await);
    }

    fn settings(&self) -> &AmqpSettings {
        &self.0.settings
    }

    /// Returns the session that stands, waiting for one with the patience of the settings.
    async fn session(&self, attempted: &str) -> Result<Arc<Session>, BrokerError> {
        let mut state = self.0.state.clone();
        let settled = state.wait_for(State::is_settled);
        match timeout(self.0.settings.patience.0, settled).await {
            Ok(Ok(state)) => state.session(attempted),
            // The supervisor is gone, or patience is at its end.
            Ok(Err(_)) | Err(_) => Err(self.0.state.borrow().error(attempted)),
        }
    }

    /// Stores a dead letter; its envelope may be larger than a message may be.
    async fn bury(&self, letter: &DeadLetter) -> Result<(), BrokerError> {
        let mut message = letter.to_message();
        if message.body.bytes_at_most() > LETTER_MAX_BYTES {
            message = letter.cut().to_message();
        }
        self.store(&Queue::Dead, message).await
    }

    /// Stores a message. One that the broker refuses to store is offered again while patience lasts:
    /// after a crash a queue has no leader for some moments, and takes nothing.
    async fn store(&self, queue: &Queue, message: Message) -> Result<(), BrokerError> {
        let attempted = format!("publish to queue `{queue}`");
        let end = Instant::now() + self.0.settings.patience.0;
        loop {
            let session = self.session(&attempted).await?;
            let published = session.publish(publication(queue, message.clone()), &attempted);
            let Err(unpublished) = published.await? else {
                return Ok(());
            };
            let nacked = matches!(unpublished, Unpublished::Nacked);
            if matches!(unpublished, Unpublished::Returned) {
                session.forget_queues();
            }
            let full = nacked && session.is_full(queue).await;
            if !nacked || full || Instant::now() >= end {
                return Err(unpublished.into_error(Some(queue), full, &attempted));
            }
            tokio::time::sleep(OFFER_EVERY).await;
        }
    }

    fn remember(&self, queue: &Queue) {
        let declared = self.0.declared.lock();
        declared
            .unwrap_or_else(PoisonError::into_inner)
            .insert(queue.clone());
    }
}

impl fmt::Debug for AmqpBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpBroker")
            .field("url", &self.0.settings.url)
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

fn publication(queue: &Queue, message: Message) -> Publication {
    Publication {
        exchange: Exchange::of(queue),
        key: topology::routing_key(queue),
        mandatory: true,
        message,
    }
}

/// Returns the error of an attempt on a queue; one that is gone is no longer known to be there.
fn about(session: &Session, queue: &Queue, failure: Failure, attempted: &str) -> BrokerError {
    match failure {
        Failure::NotFound(_) => {
            session.forget_queues();
            BrokerError::UnknownQueue(queue.clone())
        }
        Failure::Refused(_) | Failure::Lost(_) | Failure::Ended => {
            failure.while_trying_to(attempted)
        }
    }
}

#[async_trait]
impl Broker for AmqpBroker {
    /// Priorities count from `RabbitMQ` 4.0; as long as there is no connection it is not known, and
    /// they do not.
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            priority_handoff: self.0.state.borrow().has_priorities(),
        }
    }

    async fn declare(&self, queue: &Queue) -> Result<(), BrokerError> {
        let session = self.session(&format!("declare queue `{queue}`")).await?;
        session.declare(queue).await?;
        self.remember(queue);
        Ok(())
    }

    async fn publish(&self, queue: &Queue, message: Message) -> Result<(), BrokerError> {
        self.store(queue, message.within_limit()?).await
    }

    async fn publish_many(
        &self,
        queue: &Queue,
        messages: Vec<Message>,
    ) -> Vec<Result<(), BrokerError>> {
        let attempted = format!("publish to queue `{queue}`");
        let mut begun = Vec::with_capacity(messages.len());
        for message in messages {
            let handed = async {
                let message = message.within_limit()?;
                let session = self.session(&attempted).await?;
                let publisher = session.publisher(Exchange::of(queue), &attempted).await?;
                Ok(publisher.begin(publication(queue, message)).await)
            };
            begun.push(handed.await);
        }
        let mut results = Vec::with_capacity(begun.len());
        let mut returned = false;
        // Asked once for all of them.
        let mut full = None;
        for handed in begun {
            let ended = match handed {
                Ok(ended) => ended.await.unwrap_or(Err(Unpublished::Lost(None))),
                Err(error) => {
                    results.push(Err(error));
                    continue;
                }
            };
            if matches!(ended, Err(Unpublished::Nacked)) && full.is_none() {
                let session = self.session(&attempted).await;
                full = Some(match session {
                    Ok(session) => session.is_full(queue).await,
                    Err(_) => false,
                });
            }
            returned |= matches!(ended, Err(Unpublished::Returned));
            let full = full.unwrap_or(false);
            results.push(ended.map_err(|ended| ended.into_error(Some(queue), full, &attempted)));
        }
        if returned && let Ok(session) = self.session(&attempted).await {
            session.forget_queues();
        }
        results
    }

    async fn publish_later(
        &self,
        domain: &DomainId,
        message: Message,
        delay: Duration,
    ) -> Result<(), BrokerError> {
        let message = message.within_limit()?;
        let queue = Queue::Probes(domain.clone());
        let attempted = format!("publish for later to queue `{queue}`");
        let session = self.session(&attempted).await?;
        let mut publication = publication(&queue, message);
        publication.exchange = Exchange::Retry(retry_tier(delay));
        let exchange = publication.exchange;
        let published = session.publish(publication, &attempted).await?;
        published.map_err(|unpublished| {
            // Returned: someone deleted the queue of the tier.
            session.forget(exchange);
            unpublished.into_error(None, false, &attempted)
        })
    }

    fn health(&self) -> Health {
        self.0.state.borrow().health()
    }

    async fn consume(
        &self,
        queue: &Queue,
        options: ConsumeOptions,
    ) -> Result<Box<dyn Consumer>, BrokerError> {
        let attempted = format!("consume queue `{queue}`");
        let session = self.session(&attempted).await?;
        let failed = |failure: Failure| about(&session, queue, failure, &attempted);
        let prefetch = u16::try_from(options.prefetch.get()).unwrap_or(u16::MAX);
        let mut arguments = FieldTable::default();
        let priority = AMQPValue::LongInt(options.priority);
        arguments.insert("x-priority".into(), priority);
        let begun = Instant::now();
        let registered = session.kept(async |channel| {
            channel
                .basic_qos(prefetch, BasicQosOptions::default())
                .await?;
            let (name, tag) = (queue.to_string(), String::new());
            let options = BasicConsumeOptions::default();
            channel
                .basic_consume(name.into(), tag.into(), options, arguments)
                .await
        });
        let registered = registered.await.map_err(failed)?;
        Ok(Box::new(AmqpConsumer::start(
            self.clone(),
            session,
            registered,
            queue.clone(),
            (prefetch, begun),
        )))
    }

    async fn announce(&self, topic: Topic, message: Message) -> Result<(), BrokerError> {
        let message = message.within_limit()?;
        let attempted = format!("announce on topic `{topic}`");
        let session = self.session(&attempted).await?;
        let publication = Publication {
            exchange: Exchange::of_topic(topic),
            key: message.kind.clone(),
            mandatory: false,
            message,
        };
        let published = session.publish(publication, &attempted).await?;
        published.map_err(|unpublished| unpublished.into_error(None, false, &attempted))
    }

    async fn subscribe(&self, topic: Topic) -> Result<Box<dyn Subscription>, BrokerError> {
        let attempted = format!("subscribe to topic `{topic}`");
        let session = self.session(&attempted).await?;
        let failed = |failure: Failure| failure.while_trying_to(&attempted);
        let exchange = Exchange::of_topic(topic);
        session.publisher(exchange, &attempted).await?;
        let subscription = AmqpSubscription::start(session, topic).await;
        Ok(Box::new(subscription.map_err(failed)?))
    }

    async fn purge(&self, queue: &Queue) -> Result<u64, BrokerError> {
        let attempted = format!("purge queue `{queue}`");
        let session = self.session(&attempted).await?;
        let purged = session
            .scoped(async |channel| {
                let name = queue.to_string().into();
                channel
                    .queue_purge(name, QueuePurgeOptions::default())
                    .await
            })
            .await;
        let purged = purged.map_err(|failure| about(&session, queue, failure, &attempted))?;
        Ok(purged.into())
    }

    /// What the broker says when it cannot reach the leader of a queue looks like a queue that is
    /// empty and has no consumers; so that is never taken for known.
    async fn depth(&self, queue: &Queue) -> Result<Option<u64>, BrokerError> {
        let attempted = format!("count queue `{queue}`");
        let session = self.session(&attempted).await?;
        let name = queue.to_string();
        let found = session
            .scoped(async |channel| topology::look(channel, &name).await)
            .await;
        let found = found.map_err(|failure| about(&session, queue, failure, &attempted))?;
        Ok((found != (0, 0)).then_some(found.0.into()))
    }
}
