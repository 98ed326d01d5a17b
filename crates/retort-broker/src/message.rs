//! What travels: an id, a kind and bytes nobody here reads.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

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
    pub body: Body,
}

/// The content of a message: bytes, or a value that becomes bytes once a twin needs them. A twin
/// within one process hands the value itself on, which spares writing, keeping and reading the bytes.
#[derive(Clone)]
pub struct Body(Inner);

#[derive(Clone)]
enum Inner {
    Bytes(Bytes),
    Value {
        value: Arc<dyn Any + Send + Sync>,
        /// Writes the value, of which it knows the type.
        write: fn(&(dyn Any + Send + Sync)) -> Bytes,
        most: usize,
    },
}

impl Body {
    /// Returns a body that is `value` as JSON, at most `bytes_at_most` bytes.
    pub fn of<T: Serialize + Any + Send + Sync>(value: Arc<T>, bytes_at_most: usize) -> Self {
        Self(Inner::Value {
            value,
            write: json::<T>,
            most: bytes_at_most,
        })
    }

    /// Returns the bytes; the same each time. A value that cannot be JSON has none.
    pub fn bytes(&self) -> Bytes {
        match &self.0 {
            Inner::Bytes(bytes) => bytes.clone(),
            Inner::Value { value, write, .. } => write(&**value),
        }
    }

    /// Returns the value that the body was made of, unless it came as bytes or is another one.
    pub fn value<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        match &self.0 {
            Inner::Bytes(_) => None,
            Inner::Value { value, .. } => Arc::clone(value).downcast().ok(),
        }
    }

    /// Returns how many bytes there are at most: exactly as many, unless it was made of a value.
    pub fn bytes_at_most(&self) -> usize {
        match &self.0 {
            Inner::Bytes(bytes) => bytes.len(),
            Inner::Value { most, .. } => *most,
        }
    }
}

fn json<T: Serialize + Any>(value: &(dyn Any + Send + Sync)) -> Bytes {
    let value = value.downcast_ref::<T>();
    let bytes = value.and_then(|value| serde_json::to_vec(value).ok());
    bytes.unwrap_or_default().into()
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self(Inner::Bytes(bytes.into()))
    }
}

/// Two are equal when their bytes are.
impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Body {}

/// Shows the size, never the content: prompts must not reach logs.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} bytes", self.bytes_at_most())
    }
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
        if self.body.bytes_at_most() > MESSAGE_MAX_BYTES {
            let size_bytes = self.body.bytes().len();
            if size_bytes > MESSAGE_MAX_BYTES {
                let id = self.id;
                return Err(BrokerError::TooLarge { size_bytes, id });
            }
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
            .field("body", &self.body)
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
                body: "".into(),
            };
            assert_eq!(message.within_limit().is_ok(), fits, "{length}");
        }
    }

    #[test]
    fn a_value_is_its_json_and_comes_back_as_itself() {
        let value = Arc::new(vec!["a prompt".to_owned()]);
        let body = Body::of(Arc::clone(&value), 64);
        assert_eq!(body, r#"["a prompt"]"#.into());
        let back = body.value::<Vec<String>>();
        assert!(back.is_some_and(|back| Arc::ptr_eq(&back, &value)));
        assert!(body.value::<String>().is_none(), "it is no text");
        assert!(Body::from("[]").value::<Vec<String>>().is_none());
    }

    #[test]
    fn a_value_counts_by_its_bytes_and_not_by_what_it_may_take() {
        for (length, fits) in [(10, true), (MESSAGE_MAX_BYTES, false)] {
            let message = Message {
                id: String::new(),
                kind: String::new(),
                body: Body::of(Arc::new("x".repeat(length)), usize::MAX),
            };
            assert_eq!(message.within_limit().is_ok(), fits, "{length}");
        }
    }

    #[test]
    fn debug_hides_the_body() {
        let message = Message {
            id: "1".to_owned(),
            kind: "k".to_owned(),
            body: "a prompt".into(),
        };
        assert_eq!(
            format!("{message:?}"),
            r#"Message { id: "1", kind: "k", body: at most 8 bytes }"#
        );
    }
}
