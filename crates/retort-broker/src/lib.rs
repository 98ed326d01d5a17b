//! Work queues and topics between coordinator and workers.
//!
//! [`Broker`] is what every twin offers; [`MemoryBroker`] is the twin within one process,
//! [`AmqpBroker`] the one over `RabbitMQ`. A queue
//! gives each message to one consumer until it is acknowledged; a [`Topic`] gives each subscriber
//! its own copy and may lose it. Delivery is at least once: whoever consumes must recognise a
//! message it has seen. No twin looks inside a message.
//!
//! The feature `testkit` opens `conformance`, the properties every twin must have, and `testkit`, a
//! private `RabbitMQ` and a proxy that breaks connections.

mod amqp;
mod broker;
#[cfg(any(test, feature = "testkit"))]
pub mod conformance;
mod dead;
mod delivery;
mod error;
mod memory;
mod message;
mod queue;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;

pub use amqp::{AmqpBroker, AmqpSettings, AmqpSettingsError, BrokerUrl, InvalidBrokerUrl};
pub use broker::{
    Broker, Capabilities, ConsumeOptions, Consumer, Fence, Health, Live, RETRY_TIERS, Subscription,
};
pub use dead::{DEAD_KIND, DeadLetter, DeadLetterError, REASON_MAX_BYTES};
pub use delivery::{Acker, Delivery, Settle};
pub use error::{AckError, BrokerError};
pub use memory::MemoryBroker;
pub use message::{Body, MESSAGE_MAX_BYTES, Message, NAME_MAX_BYTES};
pub use queue::{DELIVERY_LIMIT, InvalidQueueName, QUEUE_LENGTH_MAX, Queue, TOPIC_BACKLOG, Topic};
