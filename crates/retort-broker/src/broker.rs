//! The trait every twin implements.

use std::fmt::Debug;
use std::num::NonZeroU32;

use async_trait::async_trait;

use crate::{BrokerError, Delivery, Message, Queue, Topic};

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
    /// delivered. True for a consumer that waits to become active.
    fn is_live(&self) -> bool;
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
