//! What the client library's errors come to.

use lapin::ErrorKind;

use crate::BrokerError;

/// Reply codes of AMQP 0-9-1 that call for different things to do.
const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const RESOURCE_LOCKED: u16 = 405;
const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;

/// What an error comes to.
#[derive(Debug)]
pub(super) enum Failure {
    /// Rights, credentials or arguments: trying again does not help.
    Refused(String),
    /// The thing is not there.
    NotFound(String),
    /// The session or the channel was lost, or anything else went wrong.
    Lost(lapin::Error),
    /// The session ended meanwhile.
    Ended,
}

impl From<lapin::Error> for Failure {
    fn from(error: lapin::Error) -> Self {
        let ErrorKind::ProtocolError(said) = error.kind() else {
            return Self::Lost(error);
        };
        let reason = said.get_message().to_string();
        match said.get_id() {
            ACCESS_REFUSED | RESOURCE_LOCKED | PRECONDITION_FAILED | NOT_ALLOWED => {
                Self::Refused(reason)
            }
            NOT_FOUND => Self::NotFound(reason),
            _ => Self::Lost(error),
        }
    }
}

impl Failure {
    pub(super) fn while_trying_to(self, attempted: &str) -> BrokerError {
        let attempted = attempted.to_owned();
        match self {
            Self::Refused(reason) => BrokerError::Refused { attempted, reason },
            Self::NotFound(reason) => BrokerError::Unavailable {
                attempted,
                source: Some(reason.into()),
            },
            Self::Lost(error) => BrokerError::Unavailable {
                attempted,
                source: Some(Box::new(error)),
            },
            Self::Ended => BrokerError::Unavailable {
                attempted,
                source: None,
            },
        }
    }
}
