//! Consumers of a broker in memory and what settles their deliveries.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::coop::consume_budget;

use super::MemoryBroker;
use super::queue::{ConsumerId, Number, Taken};
use crate::{AckError, Acker, Consumer, Delivery, Queue, Settle};

#[derive(Debug)]
pub(super) struct MemoryConsumer {
    broker: MemoryBroker,
    queue: Queue,
    id: ConsumerId,
    // Told whenever a delivery may have become possible, or the session has ended.
    changed: Arc<Notify>,
}

impl MemoryConsumer {
    pub(super) fn new(
        broker: MemoryBroker,
        queue: Queue,
        id: ConsumerId,
        changed: Arc<Notify>,
    ) -> Self {
        Self {
            broker,
            queue,
            id,
            changed,
        }
    }
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        // A full queue never makes anyone wait; without this its consumer starves the others.
        consume_budget().await;
        loop {
            // Nothing is awaited between taking a delivery and returning it: that is cancel safe.
            let taken = self.broker.lock().take(&self.queue, self.id);
            match taken {
                Taken::Delivery {
                    number,
                    message,
                    returns,
                } => {
                    let ticket = Ticket {
                        broker: self.broker.clone(),
                        queue: self.queue.clone(),
                        consumer: self.id,
                        number,
                    };
                    let acker = Acker::new(Box::new(ticket));
                    return Some(Delivery::new(message, returns, acker));
                }
                Taken::Ended => return None,
                Taken::Nothing => self.changed.notified().await,
            }
        }
    }

    async fn close(self: Box<Self>) {
        drop(self);
    }

    fn is_live(&self) -> bool {
        self.broker.lock().has(&self.queue, self.id)
    }
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        self.broker.lock().leave(&self.queue, self.id);
    }
}

/// Settles one delivery.
#[derive(Debug)]
struct Ticket {
    broker: MemoryBroker,
    queue: Queue,
    consumer: ConsumerId,
    number: Number,
}

#[async_trait]
impl Settle for Ticket {
    async fn acknowledge(self: Box<Self>) -> Result<(), AckError> {
        let mut state = self.broker.lock();
        state.settle(&self.queue, self.consumer, self.number)?;
        Ok(())
    }

    async fn reject(self: Box<Self>, reason: &str) -> Result<(), AckError> {
        if self.queue == Queue::Dead {
            return self.requeue().await;
        }
        let mut state = self.broker.lock();
        let entry = state.settle(&self.queue, self.consumer, self.number)?;
        state.bury(&self.queue, reason, entry.message);
        Ok(())
    }

    async fn requeue(self: Box<Self>) -> Result<(), AckError> {
        let mut state = self.broker.lock();
        state.requeue(&self.queue, self.consumer, self.number)
    }
}
