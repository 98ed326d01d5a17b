//! One broker, a fresh domain, and what the properties say often.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use retort_types::DomainId;
use tokio::time::timeout;

use crate::{
    Broker, ConsumeOptions, Consumer, DeadLetter, Delivery, Message, Queue, Subscription, Topic,
};

/// Longest wait for what must happen.
const WAIT: Duration = Duration::from_secs(10);

/// How long nothing must happen. A server on the same machine delivers within some milliseconds.
const QUIET: Duration = Duration::from_millis(300);

/// Kind of the messages of the suite.
const KIND: &str = "retort.conformance.v1";

/// A broker and a domain no other trial uses.
#[derive(Debug)]
pub struct Trial {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    domain: DomainId,
}

impl Trial {
    /// Makes a trial in the domain of this name, which must be new to the broker.
    ///
    /// # Panics
    /// When the name is no [`DomainId`].
    pub fn new(broker: Arc<dyn Broker>, domain: &str) -> Self {
        let domain = DomainId::new(domain).expect("the caller gives a valid domain");
        Self { broker, domain }
    }

    /// Returns the queue of the trial, which may not be declared yet.
    pub(super) fn undeclared(&self) -> Queue {
        Queue::Probes(self.domain.clone())
    }

    /// Returns the domain of the trial.
    pub(super) fn domain(&self) -> &DomainId {
        &self.domain
    }

    /// Returns another queue of probes, which may not be declared yet.
    pub(super) fn undeclared_other(&self) -> Queue {
        let domain = DomainId::new(&format!("{}-b", self.domain)).expect("the suffix is allowed");
        Queue::Probes(domain)
    }

    /// Returns another queue of probes, declared.
    pub(super) async fn other_queue(&self) -> Queue {
        self.empty(self.undeclared_other()).await
    }

    /// Returns the queue of the trial, declared.
    pub(super) async fn queue(&self) -> Queue {
        self.empty(self.undeclared()).await
    }

    /// Returns the queue of the trial with the messages `0..count`.
    pub(super) async fn filled(&self, count: u32) -> Queue {
        let queue = self.queue().await;
        self.publish(&queue, 0..count).await;
        queue
    }

    /// Declares and empties a queue.
    pub(super) async fn empty(&self, queue: Queue) -> Queue {
        self.broker.declare(&queue).await.expect("declares");
        self.broker.purge(&queue).await.expect("purges");
        queue
    }

    pub(super) async fn publish(&self, queue: &Queue, ids: impl IntoIterator<Item = u32>) {
        for id in ids {
            let published = self.broker.publish(queue, message(id)).await;
            published.expect("publishes");
        }
    }

    pub(super) async fn announce(&self, topic: Topic, ids: impl IntoIterator<Item = u32>) {
        for id in ids {
            let announced = self.broker.announce(topic, message(id)).await;
            announced.expect("announces");
        }
    }

    pub(super) async fn subscribe(&self, topic: Topic) -> Box<dyn Subscription> {
        self.broker.subscribe(topic).await.expect("subscribes")
    }

    /// Consumes with priority 0.
    pub(super) async fn consume(&self, queue: &Queue, prefetch: u32) -> Box<dyn Consumer> {
        self.consume_at(queue, prefetch, 0).await
    }

    pub(super) async fn consume_at(
        &self,
        queue: &Queue,
        prefetch: u32,
        priority: i32,
    ) -> Box<dyn Consumer> {
        let prefetch = NonZeroU32::new(prefetch).expect("a prefetch is not zero");
        let options = ConsumeOptions { prefetch, priority };
        let consumer = self.broker.consume(queue, options).await;
        consumer.expect("consumes")
    }

    /// Checks that nothing is left in a queue: neither waiting nor returned.
    pub(super) async fn check_empty(&self, queue: &Queue) {
        let mut consumer = self.consume(queue, 1).await;
        check_quiet(&mut consumer).await;
        consumer.close().await;
    }
}

/// Returns the message of this id.
pub(super) fn message(id: u32) -> Message {
    Message {
        id: id.to_string(),
        kind: KIND.to_owned(),
        body: format!("body of {id}").into(),
    }
}

/// Returns the next delivery, which must come.
pub(super) async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    let delivery = timeout(WAIT, consumer.next()).await;
    let delivery = delivery.expect("a delivery comes in time");
    delivery.expect("the session of the consumer stands")
}

/// Returns the next deliveries, which must be whole, in order and have these ids.
pub(super) async fn take(
    consumer: &mut Box<dyn Consumer>,
    ids: impl IntoIterator<Item = u32>,
) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for id in ids {
        let delivery = next(consumer).await;
        assert_eq!(delivery.message, message(id));
        deliveries.push(delivery);
    }
    deliveries
}

/// Checks that the next deliveries are these, and acknowledges each.
pub(super) async fn finish(consumer: &mut Box<dyn Consumer>, ids: impl IntoIterator<Item = u32>) {
    for id in ids {
        let deliveries = take(consumer, [id]).await;
        acknowledge(deliveries).await;
    }
}

pub(super) async fn acknowledge(deliveries: impl IntoIterator<Item = Delivery>) {
    for delivery in deliveries {
        delivery.acknowledge().await.expect("acknowledges");
    }
}

/// Returns the next dead letter and acknowledges it.
pub(super) async fn next_dead(consumer: &mut Box<dyn Consumer>) -> DeadLetter {
    let delivery = next(consumer).await;
    let letter = DeadLetter::from_message(&delivery.message).expect("a dead letter is readable");
    delivery.acknowledge().await.expect("acknowledges");
    letter
}

/// Checks that the consumer gets nothing, and lives.
pub(super) async fn check_quiet(consumer: &mut Box<dyn Consumer>) {
    let delivery = timeout(QUIET, consumer.next()).await;
    assert!(delivery.is_err(), "nothing was due, but came {delivery:?}");
    assert!(consumer.is_live(), "the session of the consumer ended");
}

/// Checks that the next announcements are these.
pub(super) async fn hear(
    subscription: &mut Box<dyn Subscription>,
    ids: impl IntoIterator<Item = u32>,
) {
    for id in ids {
        let heard = hear_next(subscription).await;
        assert_eq!(heard, message(id));
    }
}

/// Returns the next announcement, which must come.
pub(super) async fn hear_next(subscription: &mut Box<dyn Subscription>) -> Message {
    let heard = timeout(WAIT, subscription.next()).await;
    let heard = heard.expect("an announcement comes in time");
    heard.expect("the session of the subscription stands")
}

/// Checks that nothing is announced.
pub(super) async fn check_silent(subscription: &mut Box<dyn Subscription>) {
    let heard = timeout(QUIET, subscription.next()).await;
    assert!(heard.is_err(), "nothing was due, but came {heard:?}");
}
