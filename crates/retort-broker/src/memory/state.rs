//! All queues and topics of a broker in memory, without any waiting.

use std::collections::BTreeMap;
use std::sync::Arc;

use retort_types::DomainId;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::queue::{ConsumerId, Entry, Number, Taken, WorkQueue};
use super::topics::{MemorySubscription, Topics};
use crate::{
    AckError, BrokerError, ConsumeOptions, DELIVERY_LIMIT, DeadLetter, Health, Message,
    QUEUE_LENGTH_MAX, Queue, Topic,
};

/// What a broker in memory holds. `Dead` exists as soon as any queue does.
#[derive(Debug, Default)]
pub(super) struct State {
    queues: BTreeMap<Queue, WorkQueue>,
    topics: Topics,
    // Messages that come later, by the moment they are due.
    later: BTreeMap<(Instant, Number), (Queue, Message)>,
    interrupted: bool,
    // Numbers outlive a wipe, so that nothing from before it can be mistaken for something after.
    last_number: u64,
}

impl State {
    pub(super) fn declare(&mut self, queue: &Queue) -> Result<(), BrokerError> {
        self.reach("declare a queue")?;
        self.dead();
        self.queues
            .entry(queue.clone())
            .or_insert_with(|| WorkQueue::new(DELIVERY_LIMIT));
        Ok(())
    }

    pub(super) fn publish(&mut self, queue: &Queue, message: Message) -> Result<(), BrokerError> {
        self.reach("publish a message")?;
        let message = message.within_limit()?;
        let number = self.number();
        let found = self.queue(queue)?;
        if found.stored() >= QUEUE_LENGTH_MAX {
            return Err(BrokerError::Full(queue.clone()));
        }
        found.push(number, message);
        Ok(())
    }

    pub(super) fn publish_later(
        &mut self,
        domain: &DomainId,
        message: Message,
        due: Instant,
    ) -> Result<(), BrokerError> {
        self.reach("publish a message for later")?;
        let message = message.within_limit()?;
        let number = self.number();
        let queue = Queue::Probes(domain.clone());
        self.wake_all(&queue);
        self.later.insert((due, number), (queue, message));
        Ok(())
    }

    /// Moves what is due into its queue; what has no queue, or no room in it, waits on.
    pub(super) fn ripen(&mut self, now: Instant) {
        let due: Vec<(Instant, Number)> = self
            .later
            .keys()
            .copied()
            .take_while(|(due, _)| *due <= now)
            .collect();
        for key in due {
            let Some((queue, message)) = self.later.remove(&key) else {
                continue;
            };
            let number = self.number();
            match self.queues.get_mut(&queue) {
                Some(found) if found.stored() < QUEUE_LENGTH_MAX => found.push(number, message),
                Some(_) | None => {
                    self.later.insert(key, (queue, message));
                }
            }
        }
    }

    /// Returns when the next message of a queue is due after now.
    pub(super) fn next_due(&self, queue: &Queue, now: Instant) -> Option<Instant> {
        let mut later = self.later.iter();
        let next = later.find(|((due, _), (of, _))| of == queue && *due > now);
        next.map(|((due, _), _)| *due)
    }

    pub(super) fn health(&self) -> Health {
        if self.interrupted {
            Health::Down
        } else {
            Health::Up
        }
    }

    fn wake_all(&self, queue: &Queue) {
        if let Some(found) = self.queues.get(queue) {
            found.wake_all();
        }
    }

    pub(super) fn join(
        &mut self,
        queue: &Queue,
        options: ConsumeOptions,
    ) -> Result<(ConsumerId, Arc<Notify>), BrokerError> {
        self.reach("consume a queue")?;
        let id = ConsumerId(self.number());
        let changed = self.queue(queue)?.join(id, options);
        Ok((id, changed))
    }

    pub(super) fn purge(&mut self, queue: &Queue) -> Result<u64, BrokerError> {
        self.reach("purge a queue")?;
        Ok(self.queue(queue)?.purge() as u64)
    }

    pub(super) fn depth(&mut self, queue: &Queue) -> Result<u64, BrokerError> {
        self.reach("count a queue")?;
        Ok(self.queue(queue)?.waiting() as u64)
    }

    pub(super) fn announce(&mut self, topic: Topic, message: Message) -> Result<(), BrokerError> {
        self.reach("announce a message")?;
        self.topics.announce(topic, message.within_limit()?);
        Ok(())
    }

    pub(super) fn subscribe(&mut self, topic: Topic) -> Result<MemorySubscription, BrokerError> {
        self.reach("subscribe to a topic")?;
        Ok(self.topics.subscribe(topic))
    }

    pub(super) fn take(&mut self, queue: &Queue, id: ConsumerId) -> Taken {
        match self.queues.get_mut(queue) {
            Some(queue) => queue.take(id),
            None => Taken::Ended,
        }
    }

    pub(super) fn has(&self, queue: &Queue, id: ConsumerId) -> bool {
        self.queues.get(queue).is_some_and(|queue| queue.has(id))
    }

    pub(super) fn leave(&mut self, queue: &Queue, id: ConsumerId) {
        if let Some(found) = self.queues.get_mut(queue) {
            let exhausted = found.leave(id);
            self.bury_exhausted(queue, exhausted);
        }
    }

    pub(super) fn settle(
        &mut self,
        queue: &Queue,
        id: ConsumerId,
        number: Number,
    ) -> Result<Entry, AckError> {
        let found = self.queues.get_mut(queue).ok_or(AckError::Stale)?;
        found.settle(id, number)
    }

    pub(super) fn requeue(
        &mut self,
        queue: &Queue,
        id: ConsumerId,
        number: Number,
    ) -> Result<(), AckError> {
        let found = self.queues.get_mut(queue).ok_or(AckError::Stale)?;
        let entry = found.settle(id, number)?;
        let exhausted = found.put_back(number, entry);
        self.bury_exhausted(queue, exhausted);
        Ok(())
    }

    pub(super) fn bury(&mut self, queue: &Queue, reason: &str, message: Message) {
        let number = self.number();
        let dead = self.dead();
        if dead.stored() >= QUEUE_LENGTH_MAX && dead.drop_oldest() {
            tracing::warn!("too many dead letters: the oldest was dropped");
        }
        let letter = DeadLetter::new(queue.clone(), reason, message);
        dead.push(number, letter.to_message());
    }

    pub(super) fn cut(&mut self, queue: &Queue) {
        if let Some(found) = self.queues.get_mut(queue) {
            let exhausted = found.cut();
            self.bury_exhausted(queue, exhausted);
        }
    }

    pub(super) fn interrupt(&mut self) {
        self.interrupted = true;
        self.topics = Topics::default();
        let queues: Vec<Queue> = self.queues.keys().cloned().collect();
        for queue in &queues {
            self.cut(queue);
        }
    }

    pub(super) fn restore(&mut self) {
        self.interrupted = false;
    }

    pub(super) fn wipe(&mut self) {
        self.topics = Topics::default();
        self.later.clear();
        for queue in std::mem::take(&mut self.queues).values_mut() {
            // What comes back is gone with its queue.
            drop(queue.cut());
        }
    }

    fn bury_exhausted(&mut self, queue: &Queue, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            tracing::warn!(%queue, message.id = entry.message.id, "a message came back too often");
            let times = DELIVERY_LIMIT + 1;
            let reason = format!("delivered {times} times without an acknowledgement");
            self.bury(queue, &reason, entry.message);
        }
    }

    fn reach(&self, attempted: &str) -> Result<(), BrokerError> {
        if self.interrupted {
            return Err(BrokerError::Unavailable {
                attempted: attempted.to_owned(),
                source: None,
            });
        }
        Ok(())
    }

    /// Dead letters are looked at again and again, and there is nowhere further to go.
    fn dead(&mut self) -> &mut WorkQueue {
        self.queues
            .entry(Queue::Dead)
            .or_insert_with(|| WorkQueue::new(u32::MAX))
    }

    fn queue(&mut self, queue: &Queue) -> Result<&mut WorkQueue, BrokerError> {
        self.queues
            .get_mut(queue)
            .ok_or_else(|| BrokerError::UnknownQueue(queue.clone()))
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}
