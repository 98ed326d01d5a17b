//! One HTTP exchange: TLS, deadlines, secrets, byte caps, timings and exact bytes.
//!
//! [`HttpClient::exchange`] posts one request and receives its answer. It never fails: whatever
//! happens on the way is an [`Ending`], a value to be stored like any other. It does not repeat
//! requests, follow redirects, use proxies from the environment or know what bodies mean.

mod client;
mod coding;
mod connect;
mod credential;
mod error;
mod exchange;
mod exchanger;
mod fault;
mod receive;
mod request;
mod secret;
mod settings;
mod sigv4;
#[cfg(test)]
mod tests;
mod times;
mod trust;

pub use client::HttpClient;
pub use coding::expand;
pub use credential::Credential;
pub use error::ClientError;
pub use exchange::{
    BodySink, ChunkMark, Ending, Exchange, Flow, Head, MAX_CHUNK_MARKS, Phase, Which,
};
pub use exchanger::Exchanger;
pub use request::HttpRequest;
pub use secret::{REDACTED, Secret, SecretHeader, redact};
pub use settings::ClientSettings;
pub use sigv4::SigningKey;
