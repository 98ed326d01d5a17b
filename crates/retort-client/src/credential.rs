//! What authorises a request: a header that holds a secret, or a key that signs.

use http::HeaderName;

use crate::sigv4::SigningKey;
use crate::{Secret, SecretHeader};

/// What authorises requests. Cannot be printed.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A header that holds a secret, the same for every request.
    Header(SecretHeader),
    /// A key that signs each request.
    Signing(SigningKey),
}

impl From<SecretHeader> for Credential {
    fn from(header: SecretHeader) -> Self {
        Self::Header(header)
    }
}

impl From<SigningKey> for Credential {
    fn from(key: SigningKey) -> Self {
        Self::Signing(key)
    }
}

impl Credential {
    /// Returns every secret in it, for [`crate::redact`]. The signature of a request is a further
    /// one: [`crate::Exchange::signature`].
    pub fn secrets(&self) -> Vec<&Secret> {
        match self {
            Self::Header(header) => vec![header.secret()],
            Self::Signing(key) => key.secrets(),
        }
    }

    /// Returns the value of the header `name` as it may be told, if it is one of its own.
    pub(crate) fn told(&self, name: &HeaderName) -> Option<String> {
        match self {
            Self::Header(header) => (header.name() == name).then(|| header.told()),
            Self::Signing(_) => SigningKey::told(name),
        }
    }
}
