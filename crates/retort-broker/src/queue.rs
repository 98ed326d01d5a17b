//! The queues and topics there are, and their names.

use std::fmt;
use std::str::FromStr;

use retort_types::DomainId;

/// Most messages a queue holds, waiting and unacknowledged together. A fuse, not back-pressure: the
/// windows of the coordinator end at 20 000 messages per domain.
pub const QUEUE_LENGTH_MAX: usize = 50_000;

/// How often a message may come back unacknowledged before it goes to [`Queue::Dead`]; it is
/// delivered at most once more than this. `RabbitMQ` 4 has the same default.
pub const DELIVERY_LIMIT: u32 = 20;

/// Most announcements kept for a slow subscriber; then the oldest is dropped. Commands come by
/// hand and news a few per campaign, so one who is this far behind has stopped listening.
pub const TOPIC_BACKLOG: usize = 1_024;

const PROBES_PREFIX: &str = "probes.";
const RECEIPTS: &str = "receipts";
const SUBMISSIONS: &str = "submissions";
const DEAD: &str = "dead";

/// A queue: each message goes to one consumer and stays until it is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Queue {
    /// Samples of one rate-limit domain, for its owner.
    Probes(DomainId),
    /// Words of workers that rows are durable, for the coordinator.
    Receipts,
    /// Campaigns, for the coordinator.
    Submissions,
    /// Messages nobody could use, as [`DeadLetter`](crate::DeadLetter)s. It has no delivery limit.
    Dead,
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probes(domain) => write!(f, "{PROBES_PREFIX}{domain}"),
            Self::Receipts => f.write_str(RECEIPTS),
            Self::Submissions => f.write_str(SUBMISSIONS),
            Self::Dead => f.write_str(DEAD),
        }
    }
}

/// A text that names no queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a queue: use `probes.<domain>`, `receipts`, `submissions` or `dead`")]
pub struct InvalidQueueName {
    text: String,
}

/// Reads what `Display` writes.
impl FromStr for Queue {
    type Err = InvalidQueueName;

    fn from_str(text: &str) -> Result<Self, InvalidQueueName> {
        match text {
            RECEIPTS => return Ok(Self::Receipts),
            SUBMISSIONS => return Ok(Self::Submissions),
            DEAD => return Ok(Self::Dead),
            _ => {}
        }
        text.strip_prefix(PROBES_PREFIX)
            .and_then(|domain| DomainId::new(domain).ok())
            .map(Self::Probes)
            .ok_or_else(|| InvalidQueueName {
                text: text.chars().take(80).collect(),
            })
    }
}

/// A topic: each subscriber gets its own copy; there is no acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Commands to every process: pause, resume, cancel.
    Control,
    /// News for whoever listens, such as a sealed snapshot.
    Events,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Control => "control",
            Self::Events => "events",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        // A domain may be called like another queue and may hold dots.
        for name in [
            "probes.a.b",
            "probes.dead",
            "receipts",
            "submissions",
            "dead",
        ] {
            assert_eq!(name.parse::<Queue>().unwrap().to_string(), name);
        }
        for name in ["", "probes", "probes.", "probes.A", "Dead", "dead "] {
            assert!(name.parse::<Queue>().is_err(), "{name}");
        }
    }
}
