//! The twin within one process: nothing survives it, and nothing has to.
//!
//! One lock guards all queues and is never held over an await. Beside the trait there are three
//! faults a test can inject: [`MemoryBroker::cut`], [`MemoryBroker::interrupt`] and
//! [`MemoryBroker::wipe`].

mod consumer;
mod queue;
mod state;
#[cfg(test)]
mod tests;
mod topics;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use retort_types::DomainId;
use tokio::task::coop::consume_budget;
use tokio::time::Instant;

use self::consumer::MemoryConsumer;
use self::state::State;
use crate::{
    Broker, BrokerError, Capabilities, ConsumeOptions, Consumer, Health, Message, Queue,
    Subscription, Topic,
};

/// A broker in memory. Clones share the same queues.
#[derive(Clone, Default)]
pub struct MemoryBroker {
    state: Arc<Mutex<State>>,
}

impl MemoryBroker {
    /// Returns a broker without queues.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the session of every consumer of a queue, as a broken connection does: their streams
    /// end, their acknowledgements become stale, what they held returns. Messages stay.
    pub fn cut(&self, queue: &Queue) {
        self.lock().cut(queue);
    }

    /// Makes the broker unreachable, as a restart does: every session ends, and every call fails
    /// with [`BrokerError::Unavailable`] until [`restore`](Self::restore). Messages stay.
    pub fn interrupt(&self) {
        self.lock().interrupt();
    }

    /// Makes an interrupted broker reachable again.
    pub fn restore(&self) {
        self.lock().restore();
    }

    /// Deletes every queue with its messages, as a lost broker does: every session ends, and
    /// publishing fails until the queue is declared again.
    pub fn wipe(&self) {
        self.lock().wipe();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics half way through a change, so the state of a poisoned lock is whole.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ripen(Instant::now());
        state
    }
}

/// Shows names and counts.
impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().fmt(f)
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            priority_handoff: true,
        }
    }

    async fn declare(&self, queue: &Queue) -> Result<(), BrokerError> {
        self.lock().declare(queue)
    }

    async fn publish(&self, queue: &Queue, message: Message) -> Result<(), BrokerError> {
        // Storing never waits; without this a loop of publications starves a one-thread runtime.
        consume_budget().await;
        self.lock().publish(queue, message)
    }

    async fn publish_later(
        &self,
        domain: &DomainId,
        message: Message,
        delay: Duration,
    ) -> Result<(), BrokerError> {
        consume_budget().await;
        let due = Instant::now() + crate::broker::retry_tier(delay);
        self.lock().publish_later(domain, message, due)
    }

    fn health(&self) -> Health {
        self.lock().health()
    }

    async fn consume(
        &self,
        queue: &Queue,
        options: ConsumeOptions,
    ) -> Result<Box<dyn Consumer>, BrokerError> {
        let (id, changed) = self.lock().join(queue, options)?;
        let consumer = MemoryConsumer::new(self.clone(), queue.clone(), id, changed);
        Ok(Box::new(consumer))
    }

    async fn announce(&self, topic: Topic, message: Message) -> Result<(), BrokerError> {
        consume_budget().await;
        self.lock().announce(topic, message)
    }

    async fn subscribe(&self, topic: Topic) -> Result<Box<dyn Subscription>, BrokerError> {
        Ok(Box::new(self.lock().subscribe(topic)?))
    }

    async fn purge(&self, queue: &Queue) -> Result<u64, BrokerError> {
        self.lock().purge(queue)
    }

    async fn depth(&self, queue: &Queue) -> Result<Option<u64>, BrokerError> {
        self.lock().depth(queue).map(Some)
    }
}
