//! How requests are authorised.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How requests are authorised. The secret itself is named, never written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Header that carries the secret; `authorization` unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Text before the secret; `Bearer ` unless set, nothing when the header is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Environment variable that holds the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// File that holds the secret; white space around it is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// A key that signs each request, instead of a secret in a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigv4: Option<SigV4>,
}

/// The service that keys sign for.
pub const SIGV4_SERVICE: &str = "bedrock";

/// An AWS key that signs requests to Bedrock. Its parts are named, never written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SigV4 {
    /// Region that is asked, as `us-east-1`.
    pub region: String,
    /// Environment variable that holds the id of the access key.
    pub access_key_env: String,
    /// Environment variable that holds the secret key.
    pub secret_key_env: String,
    /// Environment variable that holds the session token, for keys that hold for a while only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token_env: Option<String>,
}

impl SigV4 {
    /// Returns the names of the environment variables that hold its parts.
    pub fn env_names(&self) -> impl Iterator<Item = &str> {
        let token = self.session_token_env.as_deref();
        [self.access_key_env.as_str(), self.secret_key_env.as_str()]
            .into_iter()
            .chain(token)
    }
}

impl Auth {
    /// Returns whether it says where a secret is.
    pub const fn names_secret(&self) -> bool {
        self.env.is_some() || self.file.is_some() || self.sigv4.is_some()
    }

    /// Returns how requests are authorised when `over` stands over `below`. Who names a secret of
    /// its own does not also get the one below, and signing has nothing in common with a secret in
    /// a header.
    pub fn joined(below: Option<&Self>, over: Option<&Self>) -> Option<Self> {
        let (below, over) = match (below, over) {
            (None, None) => return None,
            (Some(auth), None) | (None, Some(auth)) => return Some(auth.clone()),
            (Some(below), Some(over)) => (below, over),
        };
        if over.sigv4.is_some() || (below.sigv4.is_some() && over.names_secret()) {
            return Some(over.clone());
        }
        let secret = if over.names_secret() { over } else { below };
        Some(Self {
            header: over.header.clone().or_else(|| below.header.clone()),
            prefix: over.prefix.clone().or_else(|| below.prefix.clone()),
            env: secret.env.clone(),
            file: secret.file.clone(),
            sigv4: secret.sigv4.clone(),
        })
    }

    /// Returns the header's name.
    pub fn header_name(&self) -> &str {
        self.header.as_deref().unwrap_or("authorization")
    }

    /// Returns the text before the secret.
    pub fn prefix_text(&self) -> &str {
        match (&self.prefix, &self.header) {
            (Some(prefix), _) => prefix,
            (None, Some(_)) => "",
            (None, None) => "Bearer ",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_its_own_has_no_prefix() {
        assert_eq!(Auth::default().prefix_text(), "Bearer ");
        let auth = Auth {
            header: Some("x-api-key".to_owned()),
            ..Auth::default()
        };
        assert_eq!((auth.header_name(), auth.prefix_text()), ("x-api-key", ""));
    }
}
