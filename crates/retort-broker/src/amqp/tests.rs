//! Tests against a real `RabbitMQ`: `deploy/test.sh` sees to it that there is one.

mod access;
mod broker;
mod conformance;
mod connection;
mod publishing;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use retort_types::{DomainId, HumanDuration};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::time::timeout;

use super::{AmqpBroker, AmqpSettings};
use crate::testkit::Rabbit;
use crate::{
    AckError, Broker, BrokerError, BrokerUrl, ConsumeOptions, Consumer, Delivery, Health, Message,
    Queue, Topic,
};

/// Who disturbs the whole broker does it alone.
static PEACE: RwLock<()> = RwLock::const_new(());

async fn peace() -> RwLockReadGuard<'static, ()> {
    PEACE.read().await
}

async fn alone() -> RwLockWriteGuard<'static, ()> {
    PEACE.write().await
}

/// The broker for tests that ask for nothing but AMQP: the one `AMQP_URL` names.
#[expect(
    clippy::disallowed_methods,
    reason = "the script that runs the tests says where the broker is"
)]
fn plain() -> AmqpSettings {
    let url = std::env::var("AMQP_URL")
        .expect("AMQP_URL names no RabbitMQ: run the tests by deploy/test.sh");
    let url: BrokerUrl = url.parse().expect("AMQP_URL is the URL of a broker");
    AmqpSettings {
        url,
        name: "retort tests".to_owned(),
        ..AmqpSettings::default()
    }
}

async fn connect(settings: AmqpSettings) -> AmqpBroker {
    let broker = AmqpBroker::start(settings).expect("the settings add up");
    broker.connected().await.expect("connects");
    broker
}

/// Returns what must come; a minute is far beyond the slowest on a busy machine.
async fn in_time<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_mins(1), what)
        .await
        .expect("it comes in time")
}

/// Waits until something holds.
async fn until(longest: Duration, holds: impl Fn() -> bool) {
    let end = Instant::now() + longest;
    while !holds() {
        assert!(Instant::now() < end, "it does not come to hold");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn probes(domain: &str) -> Queue {
    Queue::Probes(DomainId::new(domain).expect("the domain is valid"))
}

fn message(id: u32) -> Message {
    Message {
        id: id.to_string(),
        kind: "retort.test.v1".to_owned(),
        body: format!("body of {id}").into(),
    }
}

async fn publish(broker: &AmqpBroker, queue: &Queue, ids: std::ops::Range<u32>) {
    for id in ids {
        broker.publish(queue, message(id)).await.expect("publishes");
    }
}

async fn consume(broker: &AmqpBroker, queue: &Queue, prefetch: u32) -> Box<dyn Consumer> {
    let options = ConsumeOptions {
        prefetch: NonZeroU32::new(prefetch).expect("is not zero"),
        priority: 0,
    };
    broker.consume(queue, options).await.expect("consumes")
}

async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    let delivery = in_time(consumer.next()).await;
    delivery.expect("the session stands")
}
