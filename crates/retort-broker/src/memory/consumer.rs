//! Consumers of a broker in memory and what settles their deliveries.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until};

use super::MemoryBroker;
use super::queue::{ConsumerId, Number, Taken};
use crate::{AckError, Acker, Consumer, Delivery, Fence, Live, Queue, Settle};

#[derive(Debug)]
pub(super) struct MemoryConsumer {
    broker: MemoryBroker,
    queue: Queue,
    id: ConsumerId,
    // Told whenever a delivery may have become possible, or the session has ended.
    changed: Arc<Notify>,
    // The same for every fence: one is asked for at each start.
    membership: Arc<Membership>,
}

impl MemoryConsumer {
    pub(super) fn new(
        broker: MemoryBroker,
        queue: Queue,
        id: ConsumerId,
        changed: Arc<Notify>,
    ) -> Self {
        let membership = Arc::new(Membership {
            broker: broker.clone(),
            queue: queue.clone(),
            consumer: id,
        });
        Self {
            broker,
            queue,
            id,
            changed,
            membership,
        }
    }

    /// Takes what there is; tells when something will be due where there is nothing.
    fn take(&self) -> (Taken, Option<Instant>) {
        let mut state = self.broker.lock();
        let taken = state.take(&self.queue, self.id);
        let due = match taken {
            Taken::Nothing => state.next_due(&self.queue, Instant::now()),
            Taken::Delivery { .. } | Taken::Ended => None,
        };
        (taken, due)
    }
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        // A full queue never makes anyone wait; without this its consumer starves the others.
        consume_budget().await;
        loop {
            // Nothing is awaited between taking a delivery and returning it: that is cancel safe.
            let (taken, due) = self.take();
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
                Taken::Nothing => {
                    let Some(due) = due else {
                        self.changed.notified().await;
                        continue;
                    };
                    tokio::select! {
                        () = self.changed.notified() => {}
                        () = sleep_until(due) => {}
                    }
                }
            }
        }
    }

    async fn close(self: Box<Self>) {
        drop(self);
    }

    fn is_live(&self) -> bool {
        self.broker.lock().has(&self.queue, self.id)
    }

    fn fence(&self) -> Fence {
        Fence::new(Arc::<Membership>::clone(&self.membership))
    }
}

/// A consumer lives as long as its queue counts it.
#[derive(Debug)]
struct Membership {
    broker: MemoryBroker,
    queue: Queue,
    consumer: ConsumerId,
}

impl Live for Membership {
    fn is_live(&self) -> bool {
        self.broker.lock().has(&self.queue, self.consumer)
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
