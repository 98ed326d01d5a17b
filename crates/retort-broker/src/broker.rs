//! The trait every twin implements.

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use retort_types::DomainId;

use crate::{BrokerError, Delivery, Message, Queue, Topic};

/// How long [`Broker::publish_later`] can hold a message back. Shorter waits belong into the lane of
/// a worker, longer ones are waited for in several steps.
pub const RETRY_TIERS: [Duration; 4] = [
    Duration::from_secs(10),
    Duration::from_mins(1),
    Duration::from_mins(10),
    Duration::from_hours(1),
];

/// How the way to the broker is doing; for health checks and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It answers.
    Up,
    /// It takes no publications now, for lack of memory or disk; acknowledgements pass.
    Blocked,
    /// It cannot be reached; the twin keeps trying.
    Down,
    /// It refuses these credentials or this virtual host. A person must act; the twin tries again
    /// at its longest pace.
    Refused,
}

/// What a twin, or the server behind it, can do beyond the common ground.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether priorities of consumers count: the highest is active, and one that joins later takes
    /// over as soon as the active one has settled all it holds. `RabbitMQ` does so from 4.0;
    /// before, the order of registration decides.
    pub priority_handoff: bool,
}

/// How to consume a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumeOptions {
    /// Most deliveries held unacknowledged. AMQP knows no more than 65 535.
    pub prefetch: NonZeroU32,
    /// The highest is active, where [`Capabilities::priority_handoff`] holds; the earliest
    /// registration among equals.
    pub priority: i32,
}

/// Queues with acknowledgement, and topics without.
///
/// Of all consumers of a queue one is active and gets every delivery. When it ends, what it held
/// returns to the head of the queue, in order, and another one becomes active. A broker may forget
/// everything at any time: the truth is elsewhere, and whoever uses a queue declares it again.
#[async_trait]
pub trait Broker: Send + Sync + Debug {
    /// Returns what this twin can do.
    fn capabilities(&self) -> Capabilities;

    /// Makes sure that the queue, and [`Queue::Dead`] for its failures, exist. Changes nothing
    /// about one that does.
    async fn declare(&self, queue: &Queue) -> Result<(), BrokerError>;

    /// Stores a message at the tail of a queue; returns when it is stored.
    ///
    /// # Errors
    /// All of [`BrokerError`]. A future dropped early leaves open whether the message was stored.
    async fn publish(&self, queue: &Queue, message: Message) -> Result<(), BrokerError>;

    /// Publishes messages in their order, as many at a time as the twin can keep in flight; returns
    /// what became of each, in the same order.
    async fn publish_many(
        &self,
        queue: &Queue,
        messages: Vec<Message>,
    ) -> Vec<Result<(), BrokerError>> {
        let mut results = Vec::with_capacity(messages.len());
        for message in messages {
            results.push(self.publish(queue, message).await);
        }
        results
    }

    /// Stores a message that comes to the tail of the queue of a domain only later: after the
    /// longest of [`RETRY_TIERS`] that is not longer than `delay`, or the shortest of them. It may
    /// so come too early, but never by more than the rest of `delay`; whoever takes it looks at
    /// what it says itself.
    ///
    /// # Errors
    /// As [`publish`](Self::publish). Whether the queue exists is not looked at: the message waits
    /// until it does.
    async fn publish_later(
        &self,
        domain: &DomainId,
        message: Message,
        delay: Duration,
    ) -> Result<(), BrokerError>;

    /// Returns how the way to the broker is doing, without asking it.
    fn health(&self) -> Health;

    /// Registers a consumer with a session of its own.
    async fn consume(
        &self,
        queue: &Queue,
        options: ConsumeOptions,
    ) -> Result<Box<dyn Consumer>, BrokerError>;

    /// Sends a copy to each present subscriber of the topic. Nobody has to be there.
    async fn announce(&self, topic: Topic, message: Message) -> Result<(), BrokerError>;

    /// Subscribes to what is announced from now on.
    async fn subscribe(&self, topic: Topic) -> Result<Box<dyn Subscription>, BrokerError>;

    /// Deletes the messages that wait in a queue and returns how many; what is held stays held.
    async fn purge(&self, queue: &Queue) -> Result<u64, BrokerError>;

    /// Returns how many messages wait in a queue, without those held; `None` when that cannot be
    /// known now.
    async fn depth(&self, queue: &Queue) -> Result<Option<u64>, BrokerError>;
}

/// One consumer of a queue. Dropping it ends its session as [`close`](Self::close) does.
#[async_trait]
pub trait Consumer: Send + Debug {
    /// Returns the next delivery, waiting for one; `None` once the session has ended, for whatever
    /// cause, and for ever after. A consumer that is not active waits.
    ///
    /// Cancel safe: a future dropped early takes no delivery with it.
    async fn next(&mut self) -> Option<Delivery>;

    /// Ends the session; what it holds returns to the queue. Returns when that is under way.
    async fn close(self: Box<Self>);

    /// Tells whether the session is believed to stand, so that new work may be begun on what it
    /// delivered. True for a consumer that waits to become active. False does not mean that it
    /// ended: it may become true again. See [`Fence`].
    fn is_live(&self) -> bool;

    /// Returns what answers [`is_live`](Self::is_live) from any task, for as long as it is kept.
    fn fence(&self) -> Fence;
}

/// What a twin knows about one session.
pub trait Live: Send + Sync + Debug {
    /// See [`Consumer::is_live`]. Answers for this very moment, without waiting.
    fn is_live(&self) -> bool;
}

/// Tells whether work that a consumer delivered may be begun now.
///
/// Ask it immediately before each start and after each await: while a process was stopped or its connection was silently lost,
/// the broker may have given the same work to another consumer.
#[derive(Debug, Clone)]
pub struct Fence(Arc<dyn Live>);

impl Fence {
    /// Wraps what a twin knows about one session.
    pub fn new(live: Arc<dyn Live>) -> Self {
        Self(live)
    }

    /// See [`Consumer::is_live`].
    pub fn is_live(&self) -> bool {
        self.0.is_live()
    }
}

/// Returns the tier of a delay.
pub(crate) fn retry_tier(delay: Duration) -> Duration {
    let [shortest, ..] = RETRY_TIERS;
    let fitting = RETRY_TIERS.into_iter().rev().find(|tier| *tier <= delay);
    fitting.unwrap_or(shortest)
}

/// One subscription to a topic. Dropping it ends it.
#[async_trait]
pub trait Subscription: Send + Debug {
    /// Returns the next announcement, waiting for one; `None` once the session has ended.
    ///
    /// Cancel safe: a future dropped early takes no announcement with it.
    async fn next(&mut self) -> Option<Message>;

    /// Returns how many announcements were dropped because this subscriber was too slow, since it
    /// was last asked. Complete up to the announcement that [`next`](Self::next) returned last.
    fn take_missed(&mut self) -> u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_takes_the_longest_tier_within_it() {
        for (delay_s, tier_s) in [
            (0, 10),
            (10, 10),
            (59, 10),
            (60, 60),
            (599, 60),
            (3_599, 600),
            (9_000, 3_600),
        ] {
            let tier = retry_tier(Duration::from_secs(delay_s));
            assert_eq!(tier, Duration::from_secs(tier_s), "of {delay_s} s");
        }
    }
}
