//! The envelope of messages that nobody could use.
//!
//! It travels as JSON: `{"queue": "probes.a", "reason": "…", "id": "…", "kind": "…", "body": "…"}`.
//! A body that is not UTF-8 stands as lowercase hex under `body_hex` in place of `body`.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::{Message, Queue};

/// Kind of the messages in [`Queue::Dead`].
pub const DEAD_KIND: &str = "retort.dead.v1";

/// Longest reason of a dead letter, in bytes; enough for an error with its causes.
pub const REASON_MAX_BYTES: usize = 1_024;

/// How much is kept of a message whose letter would be too large, in bytes: enough to see what it is.
const BEGINNING_BYTES: usize = 64 * 1024;

/// Room for the words that a message was cut, in bytes.
const CUT_REASON_BYTES: usize = 128;

/// A message, where it came from and why it died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The queue it was taken from; publish `message` there to give it another chance.
    pub queue: Queue,
    /// Why nobody could use it, at most [`REASON_MAX_BYTES`].
    pub reason: String,
    /// The message as it was published.
    pub message: Message,
}

/// A message is not a dead letter.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// Its kind says so.
    #[error("message `{id}` is a `{kind}`, not a `{DEAD_KIND}`")]
    Kind {
        /// Its id.
        id: String,
        /// Its kind.
        kind: String,
    },
    /// Its body does not hold the fields.
    #[error("dead letter `{id}` is unreadable")]
    Json {
        /// Its id.
        id: String,
        /// Where reading failed.
        source: serde_json::Error,
    },
    /// A field breaks its rule.
    #[error("dead letter `{id}` has a bad `{field}`")]
    Field {
        /// Its id.
        id: String,
        /// The field.
        field: &'static str,
    },
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    queue: String,
    reason: String,
    id: String,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_hex: Option<String>,
}

impl DeadLetter {
    /// Makes a dead letter, cutting the reason to [`REASON_MAX_BYTES`] between characters.
    pub fn new(queue: Queue, reason: &str, message: Message) -> Self {
        let mut reason = reason.to_owned();
        reason.truncate(reason.floor_char_boundary(REASON_MAX_BYTES));
        Self {
            queue,
            reason,
            message,
        }
    }

    /// Returns a letter of the beginning of its message, whose reason tells how long that was.
    #[must_use]
    pub(crate) fn cut(&self) -> Self {
        let body = self.message.body.bytes();
        let whole = body.len();
        let kept = whole.min(BEGINNING_BYTES);
        let most = REASON_MAX_BYTES - CUT_REASON_BYTES;
        let end = self.reason.floor_char_boundary(most);
        let reason = self.reason.get(..end).unwrap_or_default();
        let reason = format!("{reason}; of its {whole} bytes the first {kept} are kept");
        let message = Message {
            body: body.slice(..kept).into(),
            ..self.message.clone()
        };
        Self::new(self.queue.clone(), &reason, message)
    }

    /// Returns the letter as a message for [`Queue::Dead`], under the id of its message.
    pub fn to_message(&self) -> Message {
        let bytes = self.message.body.bytes();
        let text = std::str::from_utf8(&bytes).ok();
        let envelope = Envelope {
            queue: self.queue.to_string(),
            reason: self.reason.clone(),
            id: self.message.id.clone(),
            kind: self.message.kind.clone(),
            body: text.map(Into::into),
            body_hex: text.is_none().then(|| to_hex(&bytes)),
        };
        let body = serde_json::to_vec(&envelope).expect("strings become JSON without failure");
        Message {
            id: self.message.id.clone(),
            kind: DEAD_KIND.to_owned(),
            body: body.into(),
        }
    }

    /// Reads what [`to_message`](Self::to_message) wrote; unknown fields are ignored.
    ///
    /// # Errors
    /// When the message is something else or damaged.
    pub fn from_message(message: &Message) -> Result<Self, DeadLetterError> {
        let id = || message.id.clone();
        if message.kind != DEAD_KIND {
            let kind = message.kind.clone();
            return Err(DeadLetterError::Kind { id: id(), kind });
        }
        let bytes = message.body.bytes();
        let envelope: Envelope<'_> = serde_json::from_slice(&bytes)
            .map_err(|source| DeadLetterError::Json { id: id(), source })?;
        let bad = |field| DeadLetterError::Field { id: id(), field };
        let body = match (envelope.body, envelope.body_hex) {
            (Some(text), None) => text.into_owned().into_bytes(),
            (None, Some(hex)) => from_hex(&hex).ok_or_else(|| bad("body_hex"))?,
            (Some(_), Some(_)) | (None, None) => return Err(bad("body")),
        };
        let queue = envelope.queue.parse().map_err(|_| bad("queue"))?;
        let original = Message {
            id: envelope.id,
            kind: envelope.kind,
            body: body.into(),
        };
        Ok(Self::new(queue, &envelope.reason, original))
    }
}

fn to_hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
    }
    hex
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    if !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) || !hex.len().is_multiple_of(2) {
        return None;
    }
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(body: impl Into<Bytes>) -> Message {
        Message {
            id: "7".to_owned(),
            kind: "retort.sample.v1".to_owned(),
            body: body.into().into(),
        }
    }

    fn check_round_trip(body: impl Into<Bytes>) -> String {
        let letter = DeadLetter::new(Queue::Receipts, "not a receipt", message(body));
        let stored = letter.to_message();
        assert_eq!(DeadLetter::from_message(&stored).unwrap(), letter);
        String::from_utf8(stored.body.bytes().to_vec()).unwrap()
    }

    #[test]
    fn envelopes_are_read_back() {
        assert_eq!(
            check_round_trip(r#"{"a":"é"}"#),
            r#"{"queue":"receipts","reason":"not a receipt","id":"7","kind":"retort.sample.v1","body":"{\"a\":\"é\"}"}"#
        );
        assert_eq!(
            check_round_trip(vec![0xff, 0x00, 0x0a]),
            r#"{"queue":"receipts","reason":"not a receipt","id":"7","kind":"retort.sample.v1","body_hex":"ff000a"}"#
        );
        check_round_trip("");
    }

    #[test]
    fn long_reasons_are_cut_between_characters() {
        let letter = DeadLetter::new(Queue::Dead, &"é".repeat(1_000), message(""));
        assert_eq!(letter.reason.len(), REASON_MAX_BYTES);
        let letter = DeadLetter::new(Queue::Dead, &format!("x{}", "é".repeat(1_000)), message(""));
        assert_eq!(letter.reason.len(), REASON_MAX_BYTES - 1);
    }

    #[test]
    fn a_cut_letter_tells_so() {
        let long = "é".repeat(REASON_MAX_BYTES);
        for reason in ["not a sample", &long] {
            let body = vec![0xff; 8 * 1024 * 1024];
            let letter = DeadLetter::new(Queue::Receipts, reason, message(body)).cut();
            assert_eq!(letter.message.body.bytes().len(), BEGINNING_BYTES);
            assert_eq!(letter.message.id, "7");
            let told = "; of its 8388608 bytes the first 65536 are kept";
            assert!(letter.reason.ends_with(told), "{}", letter.reason);
        }
    }

    #[test]
    fn damaged_envelopes_are_errors() {
        assert!(matches!(
            DeadLetter::from_message(&message("{}")),
            Err(DeadLetterError::Kind { .. })
        ));
        for (body, error) in [
            ("", "dead letter `7` is unreadable"),
            (
                r#"{"queue":"x","reason":"","id":"","kind":"","body":""}"#,
                "dead letter `7` has a bad `queue`",
            ),
            (
                r#"{"queue":"dead","reason":"","id":"","kind":""}"#,
                "dead letter `7` has a bad `body`",
            ),
            (
                r#"{"queue":"dead","reason":"","id":"","kind":"","body_hex":"+1"}"#,
                "dead letter `7` has a bad `body_hex`",
            ),
            (
                r#"{"queue":"dead","reason":"","id":"","kind":"","body_hex":"abc"}"#,
                "dead letter `7` has a bad `body_hex`",
            ),
        ] {
            let mut dead = message(body);
            dead.kind = DEAD_KIND.to_owned();
            let found = DeadLetter::from_message(&dead).unwrap_err().to_string();
            assert_eq!(found, error, "{body}");
        }
    }
}
