//! How to reach the broker.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use retort_types::HumanDuration;
use serde::{Deserialize, Serialize, Serializer};

use super::fence::LEASE;

/// Largest file with credentials or certificates that is read, in bytes.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// Where the broker is: `amqp://user:password@host:port/vhost`, or `amqps://…`.
///
/// Without a path the virtual host is `/`; one that begins with a slash is written `%2Fname`. What
/// it shows, logs or serialises has no password.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl(AMQPUri);

/// A text is not the URL of a broker. The text itself may hold a password, so it is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the broker's URL is unusable: {0}\nhint: write it as amqp://user:password@host:5672/vhost, or amqps://…"
)]
pub struct InvalidBrokerUrl(&'static str);

impl FromStr for BrokerUrl {
    type Err = InvalidBrokerUrl;

    fn from_str(text: &str) -> Result<Self, InvalidBrokerUrl> {
        if !text.starts_with("amqp://") && !text.starts_with("amqps://") {
            return Err(InvalidBrokerUrl(
                "it begins with neither amqp:// nor amqps://",
            ));
        }
        let uri: AMQPUri = text
            .parse()
            .map_err(|_: String| InvalidBrokerUrl("it cannot be read"))?;
        if uri.authority.host.is_empty() {
            return Err(InvalidBrokerUrl("it names no host"));
        }
        Ok(Self(uri))
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = &self.0.authority;
        let (user, host, port) = (
            &authority.userinfo.username,
            &authority.host,
            authority.port,
        );
        let vhost = match self.0.vhost.as_str() {
            "/" => String::new(),
            vhost => format!("/{}", vhost.replace('/', "%2F")),
        };
        write!(f, "{}://{user}@{host}:{port}{vhost}", self.0.scheme)
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for BrokerUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BrokerUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// How a process reaches its broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AmqpSettings {
    /// Where the broker is. User and password may stand here or in files.
    pub url: BrokerUrl,
    /// File with the user name; wins over the URL. Read again for each connection, so that a name
    /// can be changed while the process runs. Blanks around it do not count.
    pub username_file: Option<PathBuf>,
    /// File with the password; as `username_file`.
    pub password_file: Option<PathBuf>,
    /// File with certificates of authorities, in PEM, to believe beside those of the system; for
    /// `amqps`.
    pub ca_file: Option<PathBuf>,
    /// How often each side shows that it lives. The broker gives up a silent consumer after one to
    /// three of these, which must be longer than the 5 s after which a worker starts nothing more.
    pub heartbeat: HumanDuration,
    /// How long a call waits for a lost connection to come back before it fails.
    pub patience: HumanDuration,
    /// What the connections are called in the broker's lists.
    pub name: String,
    #[serde(skip)]
    pub(crate) unfenced: bool,
}

impl Default for AmqpSettings {
    fn default() -> Self {
        Self {
            url: BrokerUrl(AMQPUri::default_local()),
            username_file: None,
            password_file: None,
            ca_file: None,
            heartbeat: HumanDuration(Duration::from_secs(10)),
            patience: HumanDuration(Duration::from_secs(15)),
            name: "retort".to_owned(),
            unfenced: false,
        }
    }
}

trait DefaultLocal {
    fn default_local() -> Self;
}

impl DefaultLocal for AMQPUri {
    /// A broker on this machine with its factory settings.
    fn default_local() -> Self {
        let mut uri = Self::default();
        "127.0.0.1".clone_into(&mut uri.authority.host);
        uri
    }
}

/// The settings do not add up, or a file they name cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AmqpSettingsError {
    /// The broker would give work away before this side stops starting it.
    #[error(
        "a heartbeat of {heartbeat_ms} ms is not longer than the lease of 5 s\nhint: set it to 6s or more, at most 1h"
    )]
    Heartbeat {
        /// The setting.
        heartbeat_ms: u128,
    },
    /// A file is missing, unreadable, or too large.
    #[error("failed to read `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What one connection is made with.
pub(super) struct Login {
    pub(super) uri: AMQPUri,
    pub(super) tls: OwnedTLSConfig,
}

impl AmqpSettings {
    /// Switches the fence off, so that tests can show what it protects from.
    #[cfg(any(test, feature = "testkit"))]
    #[must_use]
    pub fn without_fence(mut self) -> Self {
        self.unfenced = true;
        self
    }

    /// Returns the whole seconds of the heartbeat when they fit the fence.
    pub(super) fn heartbeat_s(&self) -> Result<u16, AmqpSettingsError> {
        let heartbeat = self.heartbeat.0;
        let fits = heartbeat > LEASE && heartbeat <= Duration::from_hours(1);
        let seconds = u16::try_from(heartbeat.as_secs()).ok().filter(|_| fits);
        seconds.ok_or(AmqpSettingsError::Heartbeat {
            heartbeat_ms: heartbeat.as_millis(),
        })
    }

    /// Reads what a connection is made with.
    pub(super) async fn login(&self) -> Result<Login, AmqpSettingsError> {
        let mut uri = self.url.0.clone();
        uri.query.heartbeat = Some(self.heartbeat_s()?);
        if let Some(path) = &self.username_file {
            let name = read(path).await?;
            name.trim().clone_into(&mut uri.authority.userinfo.username);
        }
        if let Some(path) = &self.password_file {
            let password = read(path).await?;
            let known = &mut uri.authority.userinfo.password;
            password.trim().clone_into(known);
        }
        let cert_chain = match &self.ca_file {
            Some(path) => Some(read(path).await?),
            None => None,
        };
        let tls = OwnedTLSConfig {
            identity: None,
            cert_chain,
        };
        Ok(Login { uri, tls })
    }
}

async fn read(path: &Path) -> Result<String, AmqpSettingsError> {
    let failed = |source| AmqpSettingsError::File {
        path: path.to_owned(),
        source,
    };
    let size = tokio::fs::metadata(path).await.map_err(failed)?.len();
    if size > FILE_MAX_BYTES {
        let problem = format!("{size} bytes are more than {FILE_MAX_BYTES}");
        return Err(failed(std::io::Error::other(problem)));
    }
    tokio::fs::read_to_string(path).await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> AmqpSettings {
        AmqpSettings {
            url: url.parse().unwrap(),
            ..AmqpSettings::default()
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let settings = settings("amqps://me:hunter2@host:99/%2Fretort");
        assert_eq!(settings.url.to_string(), "amqps://me@host:99/%2Fretort");
        let shown = format!("{settings:?} {}", serde_json::to_string(&settings).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
        for text in ["hunter2", "amqp://me:hunter2@", "amqp://me:hunter2@host:x/"] {
            let error = text.parse::<BrokerUrl>().unwrap_err();
            assert!(!format!("{error:?} {error}").contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_heartbeat_within_the_lease_is_refused() {
        for (heartbeat_ms, fits) in [
            (0, false),
            (5_000, false),
            (6_000, true),
            (3_600_001, false),
        ] {
            let settings = AmqpSettings {
                heartbeat: HumanDuration(Duration::from_millis(heartbeat_ms)),
                ..AmqpSettings::default()
            };
            assert_eq!(settings.heartbeat_s().is_ok(), fits, "{heartbeat_ms}");
        }
    }

    #[tokio::test]
    async fn files_win_over_the_url() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "s3cret\n").unwrap();
        let mut settings = settings("amqp://me:old@host/v");
        settings.password_file = Some(path);
        let login = settings.login().await.unwrap();
        let user = login.uri.authority.userinfo;
        assert_eq!(
            (user.username.as_str(), user.password.as_str()),
            ("me", "s3cret")
        );
        assert_eq!(login.uri.vhost, "v");
        settings.password_file = Some(folder.path().join("missing"));
        let error = settings.login().await.map(drop).unwrap_err();
        assert!(error.to_string().starts_with("failed to read"), "{error}");
    }
}
