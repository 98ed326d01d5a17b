//! What is kept of one attempt: the unit that is fsynced to the spool and becomes dataset rows.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::reply::{ProviderError, StreamEnd};
use crate::{AccountName, Digest, Outcome, ProviderName, Reply, Sample, Timestamp, WireProtocol};

/// One attempt with everything a dataset row says about it.
///
/// Every attempt makes a row in `attempts`; the one that ends its sample makes one in `responses`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// The sample that was asked; shared with whoever asks it, since it is the larger part.
    pub sample: Arc<Sample>,
    /// UUIDv7 of this attempt.
    pub attempt_id: String,
    /// From 1; 0 for a sample that was never asked. Attempts that the provider turned away with
    /// 429 count here, though not against the sample's allowance.
    pub attempt_no: u32,
    /// How this attempt ended.
    pub outcome: Outcome,
    /// How the sample ended, when this attempt ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_outcome: Option<Outcome>,
    /// Why, in our words: which budget, deadline or cause; never a provider's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who was asked; the same for many attempts.
    pub asked: Arc<Asked>,
    /// When.
    pub timing: Timing,
    /// What HTTP said.
    #[serde(default)]
    pub http: HttpFacts,
    /// What was decoded.
    #[serde(default)]
    pub reply: Reply,
    /// How the body ended; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_end: Option<StreamEnd>,
    /// A transport fault after the protocol's end, which did not hurt the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_fault: Option<String>,
    /// The provider's error, if it told one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ProviderError>,
    /// How long the provider asked us to wait, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// What this attempt cost by the catalog's price, in US dollars; absent without a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Date of that price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_as_of: Option<String>,
    /// The worker.
    pub worker_id: Arc<str>,
    /// How often the broker had delivered the sample before, 0 for the first time.
    #[serde(default)]
    pub delivery_count: u32,
    /// The software that made this record, as `retort/0.1.0`.
    pub software_version: Cow<'static, str>,
    /// What was sent and received, when the campaign stores exchanges. Not part of the JSON form: a
    /// spool frame carries it beside that.
    #[serde(skip)]
    pub exchange: Option<KeptExchange>,
}

/// The exchange of an attempt on its way into the dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptExchange {
    /// Its WARC records, one gzip member each.
    Records(Bytes),
    /// Where they are stored.
    Stored(ExchangePlace),
}

impl KeptExchange {
    /// Returns the records, unless they are stored already.
    pub const fn records(&self) -> Option<&Bytes> {
        match self {
            Self::Records(records) => Some(records),
            Self::Stored(_) => None,
        }
    }

    /// Returns where it is stored, if it is.
    pub const fn place(&self) -> Option<&ExchangePlace> {
        match self {
            Self::Records(_) => None,
            Self::Stored(place) => Some(place),
        }
    }
}

/// Where the records of an exchange are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangePlace {
    /// The file, relative to the campaign's folder.
    pub file: String,
    /// Where its records begin in that file.
    pub offset: u64,
    /// Their length in bytes.
    pub length: u64,
    /// SHA-256 of these bytes.
    pub sha256: Digest,
}

/// Who was asked, resolved from the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The provider.
    pub provider: ProviderName,
    /// The account whose quota pays.
    pub account: AccountName,
    /// The model as sent.
    pub request_model: String,
    /// Host and port, without user info or query.
    pub endpoint_host: String,
    /// The wire protocol that was spoken.
    pub wire_protocol: WireProtocol,
    /// Whether a streamed answer was asked for.
    pub streamed: bool,
    /// Everything sent besides the prompt, as canonical JSON text.
    pub request_params: String,
}

/// Points in time by the wall clock, and lengths by a monotonic one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timing {
    /// When the pace allowed it to start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// When the request was handed to the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// When the first byte of the answer's head arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_at: Option<Timestamp>,
    /// When the attempt ended.
    pub finished_at: Timestamp,
    /// Milliseconds from due to sent: our own delay, kept apart from the provider's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_queue_ms: Option<f64>,
    /// Milliseconds from sent to the first byte of the head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttfb_ms: Option<f64>,
    /// Milliseconds from sent to the first chunk with text; streams only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<f64>,
    /// Milliseconds from sent to the last byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Milliseconds by which the last bytes were read late after they had arrived, as far as it could
    /// be measured: our own delay within the latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_lag_ms: Option<f64>,
    /// Chunks of the body as they arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_count: Option<u32>,
    /// Milliseconds between chunks, when the campaign stores stream timings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub itl_ms: Vec<f32>,
}

/// What HTTP said, with secrets already redacted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpFacts {
    /// Status code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `HTTP/1.1` or `HTTP/2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Cow<'static, str>>,
    /// Headers of the answer on the allow-list, in order: (lowercase name, value).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// Id of the request, from the answer's headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_request_id: Option<String>,
    /// SHA-256 of the request body as sent, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_sha256: Option<String>,
    /// SHA-256 of the answer's body as received, before content decoding, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_sha256: Option<String>,
    /// Bytes of the answer's body as received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_bytes: Option<u64>,
}
