//! What can go wrong, split by what the caller can do about it.

use crate::{MESSAGE_MAX_BYTES, NAME_MAX_BYTES, QUEUE_LENGTH_MAX, Queue};

/// The broker did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Declare the queue, then try again. Seen also after the broker lost everything.
    #[error("queue `{0}` does not exist")]
    UnknownQueue(Queue),
    /// Publish less: the queue's fuse has blown. The message was not stored.
    #[error("queue `{0}` holds {QUEUE_LENGTH_MAX} messages and takes no more")]
    Full(Queue),
    /// Send a reference in its place. The message was not stored.
    #[error("message `{id}` has {size_bytes} bytes; at most {MESSAGE_MAX_BYTES} are taken")]
    TooLarge {
        /// Id of the message.
        id: String,
        /// Size of its body.
        size_bytes: usize,
    },
    /// Give it a shorter name. The message was not stored.
    #[error("the {field} of a message has {size_bytes} bytes; at most {NAME_MAX_BYTES} are taken")]
    NameTooLong {
        /// `id` or `kind`.
        field: &'static str,
        /// Its size.
        size_bytes: usize,
    },
    /// Trying again does not help: a person must change credentials, rights, or what is declared.
    #[error("failed to {attempted}: the broker refuses it: {reason}")]
    Refused {
        /// What was attempted on which thing.
        attempted: String,
        /// What the broker said.
        reason: String,
    },
    /// Try again later: something is not there, and this user may not make it. Whoever may, as a rule
    /// a coordinator, has to come first.
    #[error("failed to {attempted}: it is not there, and this user may not make it")]
    Absent {
        /// What was attempted on which thing.
        attempted: String,
    },
    /// Try again later. A message whose publication ended so may have been stored or not.
    #[error("failed to {attempted}: the broker is unavailable")]
    Unavailable {
        /// What was attempted on which thing.
        attempted: String,
        /// The cause, where there is one.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

/// A delivery was not settled. Its message is or will be delivered again.
#[derive(Debug, thiserror::Error)]
pub enum AckError {
    /// The delivery is no longer this consumer's: its session ended, or its queue is gone.
    #[error("the delivery is stale: its consumer has ended")]
    Stale,
    /// The dead letter was not stored, so the message stays where it is.
    #[error("failed to store a dead letter")]
    DeadLetter(#[source] BrokerError),
}
