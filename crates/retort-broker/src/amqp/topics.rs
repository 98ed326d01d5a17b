//! Subscriptions: an exclusive queue each, emptied at once into a bounded backlog.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::sync::{Notify, mpsc};

use super::failure::Failure;
use super::incoming;
use super::session::Session;
use super::topology::{self, Exchange};
use crate::{Message, Queue, Subscription, TOPIC_BACKLOG, Topic};

/// Announcements that came and were not heard yet.
#[derive(Debug, Default)]
struct Backlog {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Message>,
    missed: u64,
    ended: bool,
}

impl Backlog {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, message: Message) {
        let mut state = self.lock();
        if state.messages.len() >= TOPIC_BACKLOG {
            state.messages.pop_front();
            state.missed += 1;
        }
        state.messages.push_back(message);
        drop(state);
        self.changed.notify_one();
    }

    fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_one();
    }
}

#[derive(Debug)]
pub(super) struct AmqpSubscription {
    backlog: Arc<Backlog>,
    /// Dropping it ends the task.
    _stop: mpsc::Sender<()>,
}

impl AmqpSubscription {
    /// Subscribes with a queue of its own, which ends with the subscription.
    pub(super) async fn start(session: Arc<Session>, topic: Topic) -> Result<Self, Failure> {
        let exchange = Exchange::of_topic(topic);
        let name = format!("{}.{:016x}", exchange.name(), unique());
        let registered = session.kept(async |channel| {
            let options = QueueDeclareOptions {
                exclusive: true,
                auto_delete: true,
                ..QueueDeclareOptions::default()
            };
            channel
                .queue_declare(name.as_str().into(), options, FieldTable::default())
                .await?;
            topology::bind(channel, &name, exchange, topology::binding_key(topic)).await?;
            let options = BasicConsumeOptions {
                no_ack: true,
                exclusive: true,
                ..BasicConsumeOptions::default()
            };
            let (name, tag) = (name.as_str().into(), "".into());
            channel
                .basic_consume(name, tag, options, FieldTable::default())
                .await
        });
        let (channel, consumer) = registered.await?;
        let backlog = Arc::new(Backlog::default());
        let (stop, stopped) = mpsc::channel(1);
        tokio::spawn(pump(
            session,
            channel,
            consumer,
            Arc::clone(&backlog),
            stopped,
        ));
        Ok(Self {
            backlog,
            _stop: stop,
        })
    }
}

async fn pump(
    session: Arc<Session>,
    channel: Channel,
    mut consumer: Consumer,
    backlog: Arc<Backlog>,
    mut stopped: mpsc::Receiver<()>,
) {
    loop {
        tokio::select! {
            biased;
            _ = stopped.recv() => break,
            () = session.wait_lost() => break,
            received = consumer.next() => {
                let Some(Ok(received)) = received else { break };
                // Any queue but that of dead letters: nothing is wrapped.
                backlog.push(incoming::read(&received, &Queue::Receipts).message);
            }
        }
    }
    backlog.end();
    // The queue is exclusive: it goes with its consumer, which goes with the channel.
    drop(channel);
}

#[async_trait]
impl Subscription for AmqpSubscription {
    async fn next(&mut self) -> Option<Message> {
        loop {
            {
                let mut state = self.backlog.lock();
                if let Some(message) = state.messages.pop_front() {
                    return Some(message);
                }
                if state.ended {
                    return None;
                }
            }
            self.backlog.changed.notified().await;
        }
    }

    fn take_missed(&mut self) -> u64 {
        std::mem::take(&mut self.backlog.lock().missed)
    }
}

/// Returns a number that no other process draws: the standard library seeds its hashers from the
/// system's randomness.
pub(super) fn unique() -> u64 {
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_full_backlog_drops_its_oldest_and_counts() {
        let backlog = Backlog::default();
        for id in 0..TOPIC_BACKLOG + 3 {
            backlog.push(Message {
                id: id.to_string(),
                kind: String::new(),
                body: "".into(),
            });
        }
        let state = backlog.lock();
        assert_eq!((state.messages.len(), state.missed), (TOPIC_BACKLOG, 3));
        assert_eq!(state.messages.front().unwrap().id, "3");
    }
}
