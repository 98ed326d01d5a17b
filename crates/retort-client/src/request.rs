//! A request as a caller hands it over.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::Credential;

/// One request. The method is always `POST`.
#[derive(Clone)]
pub struct HttpRequest {
    /// Where to: `http` or `https`, without user info.
    pub url: String,
    /// Headers besides those of the client; of two with one name the later is sent. No secrets.
    /// `user-agent` is always the client's own.
    pub headers: Vec<(String, String)>,
    /// What authorises it, if anything. Its headers win over `headers`.
    pub secret: Option<Arc<Credential>>,
    /// The body, sent as it is.
    pub body: Bytes,
}

impl fmt::Debug for HttpRequest {
    /// Tells neither the body nor values of headers nor the query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("HttpRequest")
            .field("host", &retort_types::catalog::host_and_port(&self.url))
            .field("headers", &names)
            .field("secret", &self.secret)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
