//! The topics of a broker in memory.

use async_trait::async_trait;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::{Message, Subscription, TOPIC_BACKLOG, Topic};

/// One channel per topic. Dropping them ends every subscription.
#[derive(Debug)]
pub(super) struct Topics {
    control: broadcast::Sender<Message>,
    events: broadcast::Sender<Message>,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            control: broadcast::Sender::new(TOPIC_BACKLOG),
            events: broadcast::Sender::new(TOPIC_BACKLOG),
        }
    }
}

impl Topics {
    pub(super) fn announce(&self, topic: Topic, message: Message) {
        // The only failure is that nobody listens.
        drop(self.channel(topic).send(message));
    }

    pub(super) fn subscribe(&self, topic: Topic) -> MemorySubscription {
        MemorySubscription {
            receiver: self.channel(topic).subscribe(),
            missed: 0,
        }
    }

    fn channel(&self, topic: Topic) -> &broadcast::Sender<Message> {
        match topic {
            Topic::Control => &self.control,
            Topic::Events => &self.events,
        }
    }
}

#[derive(Debug)]
pub(super) struct MemorySubscription {
    receiver: broadcast::Receiver<Message>,
    missed: u64,
}

#[async_trait]
impl Subscription for MemorySubscription {
    async fn next(&mut self) -> Option<Message> {
        loop {
            match self.receiver.recv().await {
                Ok(message) => return Some(message),
                Err(RecvError::Lagged(missed)) => self.missed += missed,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn take_missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }
}
