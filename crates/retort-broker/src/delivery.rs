//! A message in the hands of a consumer, and what settles it.

use std::fmt::Debug;

use async_trait::async_trait;
use futures_util::future::join_all;

use crate::{AckError, Message};

/// How a twin settles one delivery. Consumers use it through [`Acker`] and [`Delivery`].
#[async_trait]
pub trait Settle: Send + Sync + Debug {
    /// Removes the message from the queue.
    async fn acknowledge(self: Box<Self>) -> Result<(), AckError>;

    /// Moves the message to [`Queue::Dead`](crate::Queue::Dead).
    async fn reject(self: Box<Self>, reason: &str) -> Result<(), AckError>;

    /// Returns the message to the head of its queue.
    async fn requeue(self: Box<Self>) -> Result<(), AckError>;
}

/// Settles one delivery, from any task, in any order, without its message.
///
/// Dropping it settles nothing: the message stays held, and counts against the prefetch, until its
/// consumer ends.
#[derive(Debug)]
#[must_use = "a delivery that is never settled stays held until its consumer ends"]
pub struct Acker(Box<dyn Settle>);

impl Acker {
    /// Wraps what a twin made for one delivery.
    pub fn new(settle: Box<dyn Settle>) -> Self {
        Self(settle)
    }

    /// Removes the message from its queue for good.
    ///
    /// # Errors
    /// [`AckError::Stale`] when the session of its consumer has ended: it will be delivered again.
    pub async fn acknowledge(self) -> Result<(), AckError> {
        self.0.acknowledge().await
    }

    /// Acknowledges several at a time, which spares a round trip between tasks for each; returns
    /// what became of each, in the same order.
    pub async fn acknowledge_all(ackers: Vec<Self>) -> Vec<Result<(), AckError>> {
        join_all(ackers.into_iter().map(Self::acknowledge)).await
    }

    /// Moves the message to [`Queue::Dead`](crate::Queue::Dead), cutting the reason to
    /// [`REASON_MAX_BYTES`](crate::REASON_MAX_BYTES). A dead letter is requeued instead.
    ///
    /// # Errors
    /// All of [`AckError`]; it will be delivered again.
    pub async fn reject(self, reason: &str) -> Result<(), AckError> {
        self.0.reject(reason).await
    }

    /// Returns the message to the head of its queue, to be delivered again at once.
    ///
    /// # Errors
    /// [`AckError::Stale`] when the end of its consumer has done so already.
    pub async fn requeue(self) -> Result<(), AckError> {
        self.0.requeue().await
    }
}

/// A message given to one consumer.
#[derive(Debug)]
#[must_use = "a delivery that is never settled stays held until its consumer ends"]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// How often it came back unacknowledged: 0 at first, at most
    /// [`DELIVERY_LIMIT`](crate::DELIVERY_LIMIT). `RabbitMQ` 4.3 counts no [`Delivery::requeue`].
    pub delivery_count: u32,
    acker: Acker,
}

impl Delivery {
    /// Makes a delivery of a message that came back this often; for twins.
    pub fn new(message: Message, delivery_count: u32, acker: Acker) -> Self {
        Self {
            message,
            redelivered: delivery_count > 0,
            delivery_count,
            acker,
        }
    }

    /// Marks the delivery as one that may have been delivered before, where the count does not
    /// tell; for twins.
    #[must_use = "the delivery is returned"]
    pub fn again(mut self, redelivered: bool) -> Self {
        self.redelivered |= redelivered;
        self
    }

    /// Returns the message and what settles it.
    pub fn split(self) -> (Message, Acker) {
        (self.message, self.acker)
    }

    /// See [`Acker::acknowledge`].
    pub async fn acknowledge(self) -> Result<(), AckError> {
        self.acker.acknowledge().await
    }

    /// See [`Acker::reject`].
    pub async fn reject(self, reason: &str) -> Result<(), AckError> {
        self.acker.reject(reason).await
    }

    /// See [`Acker::requeue`].
    pub async fn requeue(self) -> Result<(), AckError> {
        self.acker.requeue().await
    }
}
