//! What travels: an id, a kind and bytes nobody here reads.

use std::fmt;

use bytes::Bytes;

use crate::BrokerError;

/// Largest body of a message, in bytes. `RabbitMQ` 4 refuses messages over 16 MiB; half of it
/// leaves room for properties and for the growth of a body inside a dead letter.
pub const MESSAGE_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Longest id or kind of a message, in bytes: what AMQP has room for.
pub const NAME_MAX_BYTES: usize = 255;

/// One message.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Identity for whoever deduplicates, at most [`NAME_MAX_BYTES`]; the broker lets duplicates
    /// pass.
    pub id: String,
    /// What the body is, such as `retort.sample.v1`; at most [`NAME_MAX_BYTES`].
    pub kind: String,
    /// The content, at most [`MESSAGE_MAX_BYTES`].
    pub body: Bytes,
}

impl Message {
    /// Returns the message when its body is within [`MESSAGE_MAX_BYTES`], its id and kind within
    /// [`NAME_MAX_BYTES`]; twins call it before they store anything.
    ///
    /// # Errors
    /// [`BrokerError::TooLarge`] or [`BrokerError::NameTooLong`] otherwise.
    pub fn within_limit(self) -> Result<Self, BrokerError> {
        for (field, name) in [("id", &self.id), ("kind", &self.kind)] {
            if name.len() > NAME_MAX_BYTES {
                let size_bytes = name.len();
                return Err(BrokerError::NameTooLong { field, size_bytes });
            }
        }
        if self.body.len() > MESSAGE_MAX_BYTES {
            return Err(BrokerError::TooLarge {
                size_bytes: self.body.len(),
                id: self.id,
            });
        }
        Ok(self)
    }
}

/// Shows the size of the body, never the body: prompts must not reach logs.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_a_byte_of_length() {
        for (length, fits) in [(255, true), (256, false)] {
            let message = Message {
                id: String::new(),
                kind: "k".repeat(length),
                body: Bytes::new(),
            };
            assert_eq!(message.within_limit().is_ok(), fits, "{length}");
        }
    }

    #[test]
    fn debug_hides_the_body() {
        let message = Message {
            id: "1".to_owned(),
            kind: "k".to_owned(),
            body: Bytes::from_static(b"a prompt"),
        };
        assert_eq!(
            format!("{message:?}"),
            r#"Message { id: "1", kind: "k", body_bytes: 8 }"#
        );
    }
}
