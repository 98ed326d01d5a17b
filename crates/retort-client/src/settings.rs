//! Settings of the client.

use std::path::PathBuf;
use std::time::Duration;

use retort_types::HumanDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ClientError;

/// How requests are sent and how much an answer may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientSettings {
    /// How the operators of asked hosts reach you: a URL or an e-mail address. It is sent in the
    /// `User-Agent` and required for every host that is not this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Longest wait for a connection: name, TCP and TLS together.
    pub connect_timeout: HumanDuration,
    /// Longest wait for the head of an answer, connecting included. Providers queue for up to a
    /// minute at peak, and models that reason answer late.
    pub first_byte_timeout: HumanDuration,
    /// Longest silence between two chunks of a body.
    pub idle_timeout: HumanDuration,
    /// Longest time for a whole exchange.
    pub total_timeout: HumanDuration,
    /// How long to wait for the end of the transport once an answer is complete. Waiting a little
    /// keeps connections usable; some servers never close.
    pub late_end_timeout: HumanDuration,
    /// Most bytes of a body as received. Answers of 100,000 tokens with log probabilities take ten
    /// million.
    pub max_body_bytes: usize,
    /// Most bytes of a body once its content encoding is undone.
    pub max_expanded_bytes: usize,
    /// Most bytes of an answer's head, names and values together. Real ones take two thousand.
    pub max_header_bytes: u32,
    /// How long an unused connection is kept. Load balancers close theirs after a minute.
    pub pool_idle_timeout: HumanDuration,
    /// Most unused connections kept per host.
    pub pool_max_idle_per_host: usize,
    /// Whether HTTP/2 is offered. Off, because all requests to a host then share one connection:
    /// most servers take only about a hundred at once on it, and one lost packet delays them all,
    /// so waiting on our side would be measured as the model's.
    pub http2: bool,
    /// File of further root certificates in PEM form, for private gateways.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl Default for ClientSettings {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            contact: None,
            connect_timeout: seconds(10),
            first_byte_timeout: seconds(120),
            idle_timeout: seconds(60),
            total_timeout: seconds(600),
            late_end_timeout: seconds(2),
            max_body_bytes: 16 * MIB,
            max_expanded_bytes: 64 * MIB,
            max_header_bytes: 64 * 1024,
            pool_idle_timeout: seconds(30),
            pool_max_idle_per_host: 1024,
            http2: false,
            ca_file: None,
        }
    }
}

const fn seconds(count: u64) -> HumanDuration {
    HumanDuration(Duration::from_secs(count))
}

/// Longest that any wait may be set to: a mistyped unit should not hold a slot for ever, and adding
/// it to a point in time cannot overflow.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

impl ClientSettings {
    /// Returns whether every value can work.
    ///
    /// # Errors
    /// [`ClientError::Setting`] names the first that cannot.
    pub fn check(&self) -> Result<(), ClientError> {
        let waits = [
            ("connect_timeout", self.connect_timeout),
            ("first_byte_timeout", self.first_byte_timeout),
            ("idle_timeout", self.idle_timeout),
            ("total_timeout", self.total_timeout),
            ("late_end_timeout", self.late_end_timeout),
            ("pool_idle_timeout", self.pool_idle_timeout),
        ];
        for (name, wait) in waits {
            if wait.0.is_zero() || wait.0 > LONGEST_WAIT {
                let reason = "must be longer than nothing and at most a day";
                return Err(ClientError::Setting { name, reason });
            }
        }
        let sizes = [
            ("max_body_bytes", self.max_body_bytes),
            ("max_expanded_bytes", self.max_expanded_bytes),
        ];
        for (name, size) in sizes {
            if size == 0 {
                let reason = "must be at least 1";
                return Err(ClientError::Setting { name, reason });
            }
        }
        if self.max_header_bytes < 1024 {
            let (name, reason) = ("max_header_bytes", "must be at least 1024");
            return Err(ClientError::Setting { name, reason });
        }
        match &self.contact {
            Some(contact) if !is_contact(contact) => Err(ClientError::Setting {
                name: "contact",
                reason: "must be a URL or an address in printable ASCII",
            }),
            Some(_) | None => Ok(()),
        }
    }
}

/// Parentheses would end the comment of the `User-Agent` that carries it.
fn is_contact(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '(' | ')' | '\\');
    !text.is_empty() && text.len() <= 200 && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_work_and_unknown_keys_do_not() {
        ClientSettings::default().check().unwrap();
        let read = serde_json::from_str::<ClientSettings>;
        assert_eq!(read("{}").unwrap(), ClientSettings::default());
        assert!(read(r#"{"conect_timeout":"1s"}"#).is_err());
        let text = serde_json::to_string(&ClientSettings::default()).unwrap();
        assert_eq!(read(&text).unwrap(), ClientSettings::default());
    }

    #[test]
    fn values_that_cannot_work_are_named() {
        let check = |json: &str| {
            let settings: ClientSettings = serde_json::from_str(json).unwrap();
            settings.check().unwrap_err().to_string()
        };
        for (json, name) in [
            (r#"{"idle_timeout":"0s"}"#, "idle_timeout"),
            (r#"{"total_timeout":"2d"}"#, "total_timeout"),
            (r#"{"max_body_bytes":0}"#, "max_body_bytes"),
            (r#"{"max_expanded_bytes":0}"#, "max_expanded_bytes"),
            (r#"{"max_header_bytes":10}"#, "max_header_bytes"),
            (r#"{"contact":""}"#, "contact"),
            (r#"{"contact":"a\r\nx: y"}"#, "contact"),
            (r#"{"contact":"a) evil"}"#, "contact"),
        ] {
            assert!(check(json).contains(&format!("`{name}`")), "{json}");
        }
    }
}
