//! What there is on the broker: exchanges, queues and the arguments they are declared with.
//!
//! Everything is declared by whoever needs it, always with the same arguments: they never follow
//! from settings, so that processes of any configuration agree. See `docs/broker.md`.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

use crate::{DELIVERY_LIMIT, QUEUE_LENGTH_MAX, Queue, RETRY_TIERS, Topic};

/// How often a dead letter may come back: it is looked at again and again. A number, because what
/// stands for none differs: 3.10 drops at once what has a limit of -1, and from 4.0 what has no limit
/// has one of 20.
const UNLIMITED: u32 = 1_000_000_000;

/// An exchange. Each has a purpose of its own, so that rights can be given apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Exchange {
    Probes,
    Receipts,
    Submit,
    Dead,
    /// Of one of [`RETRY_TIERS`].
    Retry(Duration),
    Control,
    Events,
}

impl Exchange {
    /// Returns where messages for a queue are published.
    pub(super) fn of(queue: &Queue) -> Self {
        match queue {
            Queue::Probes(_) => Self::Probes,
            Queue::Receipts => Self::Receipts,
            Queue::Submissions => Self::Submit,
            Queue::Dead => Self::Dead,
        }
    }

    /// Returns where a topic is announced.
    pub(super) fn of_topic(topic: Topic) -> Self {
        match topic {
            Topic::Control => Self::Control,
            Topic::Events => Self::Events,
        }
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::Probes => "probes".to_owned(),
            Self::Receipts => "receipts".to_owned(),
            Self::Submit => "submit".to_owned(),
            Self::Dead => "dead".to_owned(),
            Self::Retry(tier) => format!("retry.{}s", tier.as_secs()),
            Self::Control => "control".to_owned(),
            Self::Events => "events".to_owned(),
        }
    }

    /// Returns the kind: direct where the domain chooses the queue, fanout where there is only one
    /// queue or everybody is meant, topic where listeners choose.
    fn kind(self) -> ExchangeKind {
        match self {
            Self::Probes => ExchangeKind::Direct,
            Self::Receipts | Self::Submit | Self::Dead | Self::Retry(_) | Self::Control => {
                ExchangeKind::Fanout
            }
            Self::Events => ExchangeKind::Topic,
        }
    }

    /// Declares the exchange, or only looks whether it is there.
    pub(super) async fn declare(self, channel: &Channel, passive: bool) -> lapin::Result<()> {
        let options = ExchangeDeclareOptions {
            passive,
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let name = self.name().into();
        channel
            .exchange_declare(name, self.kind(), options, FieldTable::default())
            .await
    }
}

/// Returns the routing key of messages for a queue: only domains need one.
pub(super) fn routing_key(queue: &Queue) -> String {
    match queue {
        Queue::Probes(domain) => domain.to_string(),
        Queue::Receipts | Queue::Submissions | Queue::Dead => String::new(),
    }
}

/// Returns the pattern by which a subscriber hears everything of a topic.
pub(super) fn binding_key(topic: Topic) -> &'static str {
    match topic {
        Topic::Control => "",
        Topic::Events => "#",
    }
}

/// Declares a queue, its exchange, and what takes its dead letters.
pub(super) async fn declare(channel: &Channel, queue: &Queue) -> lapin::Result<()> {
    // First, because other queues refer to it.
    declare_one(channel, &Queue::Dead).await?;
    if *queue != Queue::Dead {
        declare_one(channel, queue).await?;
    }
    Ok(())
}

async fn declare_one(channel: &Channel, queue: &Queue) -> lapin::Result<()> {
    let exchange = Exchange::of(queue);
    exchange.declare(channel, false).await?;
    let name = queue.to_string();
    declare_queue(channel, &name, arguments(queue)).await?;
    bind(channel, &name, exchange, &routing_key(queue)).await
}

/// Declares the exchange and the queue in which messages wait for one tier.
pub(super) async fn declare_tier(channel: &Channel, tier: Duration) -> lapin::Result<()> {
    debug_assert!(RETRY_TIERS.contains(&tier), "of the tiers there are");
    Exchange::Probes.declare(channel, false).await?;
    let exchange = Exchange::Retry(tier);
    exchange.declare(channel, false).await?;
    let name = exchange.name();
    declare_queue(channel, &name, tier_arguments(tier)).await?;
    bind(channel, &name, exchange, "").await
}

/// Looks whether a queue is there; returns how many messages and consumers it has.
pub(super) async fn look(channel: &Channel, name: &str) -> lapin::Result<(u32, u32)> {
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let found = channel
        .queue_declare(name.into(), options, FieldTable::default())
        .await?;
    Ok((found.message_count(), found.consumer_count()))
}

async fn declare_queue(channel: &Channel, name: &str, arguments: FieldTable) -> lapin::Result<()> {
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(name.into(), options, arguments)
        .await?;
    Ok(())
}

pub(super) async fn bind(
    channel: &Channel,
    queue: &str,
    exchange: Exchange,
    key: &str,
) -> lapin::Result<()> {
    channel
        .queue_bind(
            queue.into(),
            exchange.name().into(),
            key.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn number(value: impl TryInto<i64>) -> AMQPValue {
    AMQPValue::LongLongInt(value.try_into().unwrap_or(i64::MAX))
}

/// Returns the arguments of a queue: replicated, one active consumer, a fuse, and a way out for
/// what comes back too often.
fn arguments(queue: &Queue) -> FieldTable {
    let mut arguments = FieldTable::default();
    let mut put = |name: &'static str, value| {
        arguments.insert(name.into(), value);
    };
    put("x-queue-type", text("quorum"));
    put("x-single-active-consumer", AMQPValue::Boolean(true));
    put("x-max-length", number(QUEUE_LENGTH_MAX));
    match queue {
        // Of dead letters the newest matter most.
        Queue::Dead => {
            put("x-delivery-limit", number(UNLIMITED));
            put("x-overflow", text("drop-head"));
        }
        Queue::Probes(_) | Queue::Receipts | Queue::Submissions => {
            put("x-delivery-limit", number(DELIVERY_LIMIT));
            put_way_out(&mut put, Exchange::Dead);
        }
    }
    arguments
}

fn tier_arguments(tier: Duration) -> FieldTable {
    let mut arguments = FieldTable::default();
    let mut put = |name: &'static str, value| {
        arguments.insert(name.into(), value);
    };
    put("x-queue-type", text("quorum"));
    put("x-message-ttl", number(tier.as_millis()));
    put("x-max-length", number(QUEUE_LENGTH_MAX));
    put_way_out(&mut put, Exchange::Probes);
    arguments
}

/// Messages leave only when they are safe at their destination, which needs a queue that refuses
/// what it has no room for.
fn put_way_out(put: &mut impl FnMut(&'static str, AMQPValue), exchange: Exchange) {
    put("x-overflow", text("reject-publish"));
    put("x-dead-letter-exchange", text(&exchange.name()));
    put("x-dead-letter-strategy", text("at-least-once"));
}

#[cfg(test)]
mod tests {
    use retort_types::DomainId;

    use super::*;

    /// Whoever changes an argument makes every queue that exists refuse the next declaration.
    #[test]
    fn arguments_stay_what_they_are() {
        let shown = |arguments: &FieldTable| {
            let pairs = arguments.into_iter().map(|(name, value)| {
                let value = if let AMQPValue::LongString(text) = value {
                    text.to_string()
                } else {
                    format!("{value:?}")
                };
                format!("{name}={value}")
            });
            let mut pairs: Vec<_> = pairs.collect();
            pairs.sort();
            pairs.join(" ")
        };
        let probes = Queue::Probes(DomainId::new("a").unwrap());
        let expected = "x-dead-letter-exchange=dead x-dead-letter-strategy=at-least-once x-delivery-limit=LongLongInt(20) x-max-length=LongLongInt(50000) x-overflow=reject-publish x-queue-type=quorum x-single-active-consumer=Boolean(true)";
        for queue in [probes, Queue::Receipts, Queue::Submissions] {
            assert_eq!(shown(&arguments(&queue)), expected);
        }
        assert_eq!(
            shown(&arguments(&Queue::Dead)),
            "x-delivery-limit=LongLongInt(1000000000) x-max-length=LongLongInt(50000) x-overflow=drop-head x-queue-type=quorum x-single-active-consumer=Boolean(true)"
        );
        assert_eq!(
            shown(&tier_arguments(Duration::from_secs(10))),
            "x-dead-letter-exchange=probes x-dead-letter-strategy=at-least-once x-max-length=LongLongInt(50000) x-message-ttl=LongLongInt(10000) x-overflow=reject-publish x-queue-type=quorum"
        );
    }
}
