//! Processes that are one version of the messages apart: what a later one says besides, and what an
//! earlier one does not say yet.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use retort_types::DomainId;
use serde_json::{Value, json};

use crate::{
    Broker, BrokerError, Capabilities, ConsumeOptions, Consumer, Health, Message, Queue,
    Subscription, Topic,
};

/// Which version of the messages a process speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Version {
    /// What this program speaks.
    #[default]
    Present,
    /// One that has fields, commands and kinds of messages nobody here knows.
    Later,
    /// One that lacks every field that may be absent.
    Earlier,
    /// One whose samples are asked with a parameter nobody here knows.
    Stranger,
}

/// Maps whose keys are names: a later version has no other names.
const MAPS: [&str; 3] = ["domains", "models", "outcomes"];

/// What is asked and kept. It is read strictly: whoever does not know a part of it must not ask.
const STRICT: [&str; 3] = ["input", "params", "store"];

/// Fields that came after the first version of their message, or might have.
const OPTIONAL: [&str; 11] = [
    "announced_tokens_per_minute",
    "concurrency",
    "cost_usd",
    "input_tokens",
    "last_fsync_ms",
    "learned_concurrency",
    "limit",
    "output_tokens",
    "retries",
    "waiting_for",
    "writer",
];

/// What the pace of a domain told from the first version on.
const FIRST: [&str; 2] = ["lanes", "today"];

impl Version {
    /// Returns what a process of this version says in the place of `message`; what is no JSON stays.
    pub fn dress(self, message: Message) -> Message {
        let bytes = message.body.bytes();
        if self == Self::Present || bytes.is_empty() {
            return message;
        }
        let Ok(mut value) = serde_json::from_slice::<Value>(&bytes) else {
            return message;
        };
        match self {
            Self::Present => {}
            Self::Later => add(&mut value),
            Self::Earlier => remove(&mut value),
            Self::Stranger => {
                if let Some(params) = value.get_mut("params") {
                    params["mirostat"] = json!(2);
                }
            }
        }
        let body = value.to_string().into();
        Message { body, ..message }
    }

    /// Returns what a process of this version says beside a message of this kind.
    pub fn besides(self, kind: &str) -> Option<Message> {
        let (kind, body) = match kind {
            "retort.receipt.v1" => ("retort.census.v1", json!({ "tokens": 1 })),
            "retort.control.v1" => (
                kind,
                json!({ "campaign": "c0", "command": { "do": "slow_down" } }),
            ),
            _ => return None,
        };
        (self == Self::Later).then(|| Message {
            id: "later".to_owned(),
            kind: kind.to_owned(),
            body: body.to_string().into(),
        })
    }
}

fn add(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let lenient = |key: &String| !STRICT.contains(&key.as_str());
            for (key, value) in fields.iter_mut().filter(|(key, _)| lenient(key)) {
                let entries = value
                    .as_object_mut()
                    .filter(|_| MAPS.contains(&key.as_str()));
                if let Some(entries) = entries {
                    entries.values_mut().for_each(add);
                } else {
                    add(value);
                }
            }
            let unknown = json!({ "deep": [1, null, { "do": "pause" }] });
            fields.insert("known_to_later_versions".to_owned(), unknown);
        }
        Value::Array(items) => items.iter_mut().for_each(add),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn remove(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !OPTIONAL.contains(&key.as_str()));
            let kept = fields.iter_mut().filter(|(key, _)| {
                !STRICT.contains(&key.as_str()) && !FIRST.contains(&key.as_str())
            });
            kept.for_each(|(_, value)| remove(value));
        }
        Value::Array(items) => items.iter_mut().for_each(remove),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The way to a broker of a process that speaks another version of the messages.
#[derive(Debug)]
pub struct Dressed {
    broker: Arc<dyn Broker>,
    version: Version,
}

impl Dressed {
    /// Returns a way to `broker` on which everything is said as `version` says it.
    pub fn new(broker: Arc<dyn Broker>, version: Version) -> Self {
        Self { broker, version }
    }
}

#[async_trait]
impl Broker for Dressed {
    fn capabilities(&self) -> Capabilities {
        self.broker.capabilities()
    }

    async fn declare(&self, queue: &Queue) -> Result<(), BrokerError> {
        self.broker.declare(queue).await
    }

    async fn publish(&self, queue: &Queue, message: Message) -> Result<(), BrokerError> {
        if let Some(besides) = self.version.besides(&message.kind) {
            self.broker.publish(queue, besides).await?;
        }
        let message = self.version.dress(message);
        self.broker.publish(queue, message).await
    }

    async fn publish_later(
        &self,
        domain: &DomainId,
        message: Message,
        delay: Duration,
    ) -> Result<(), BrokerError> {
        let message = self.version.dress(message);
        self.broker.publish_later(domain, message, delay).await
    }

    fn health(&self) -> Health {
        self.broker.health()
    }

    async fn consume(
        &self,
        queue: &Queue,
        options: ConsumeOptions,
    ) -> Result<Box<dyn Consumer>, BrokerError> {
        self.broker.consume(queue, options).await
    }

    async fn announce(&self, topic: Topic, message: Message) -> Result<(), BrokerError> {
        if let Some(besides) = self.version.besides(&message.kind) {
            self.broker.announce(topic, besides).await?;
        }
        let message = self.version.dress(message);
        self.broker.announce(topic, message).await
    }

    async fn subscribe(&self, topic: Topic) -> Result<Box<dyn Subscription>, BrokerError> {
        self.broker.subscribe(topic).await
    }

    async fn purge(&self, queue: &Queue) -> Result<u64, BrokerError> {
        self.broker.purge(queue).await
    }

    async fn depth(&self, queue: &Queue) -> Result<Option<u64>, BrokerError> {
        self.broker.depth(queue).await
    }
}
