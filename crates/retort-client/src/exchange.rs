//! What comes of a request: head, body, timings, and how it ended.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use retort_types::Timestamp;

use crate::Secret;

/// Most chunk marks kept of one exchange: one per token of a very long answer, in 400 KB.
pub const MAX_CHUNK_MARKS: usize = 16_384;

/// Takes an answer as it arrives.
pub trait BodySink: Send {
    /// Takes the head; called once, before any chunk.
    fn head(&mut self, head: &Head);

    /// Takes a piece of the body with its content encoding undone, and when it arrived. A received
    /// chunk makes one piece, or several with one time. Not called again after [`Flow::Done`].
    fn chunk(&mut self, expanded: &[u8], since_sent: Duration) -> Flow;
}

/// Whether a sink needs more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// There is more to come.
    Continue,
    /// The answer is complete; what follows is not part of it.
    Done,
}

/// The head of an answer.
#[derive(Clone)]
pub struct Head {
    /// Status code, from 200; redirects are answers like others.
    pub status: u16,
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
    pub version: &'static str,
    /// Headers as received. The request's secret is replaced where a host sent it back.
    pub headers: HeaderMap,
    /// When it arrived: the time of sending plus `since_sent`.
    pub received_at: Timestamp,
    /// Time from sending.
    pub since_sent: Duration,
}

impl fmt::Debug for Head {
    /// Tells no values of headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("status", &self.status)
            .field("version", &self.version)
            .field("headers", &self.headers.len())
            .field("received_at", &self.received_at)
            .field("since_sent", &self.since_sent)
            .finish()
    }
}

/// One chunk of a body as it arrived from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkMark {
    /// Time from sending.
    pub since_sent: Duration,
    /// Its length as received, in bytes.
    pub bytes: u32,
}

/// One exchange, whatever became of it.
#[derive(Clone)]
pub struct Exchange {
    /// When the request was written to the network, by the wall clock; where a connection had to be
    /// made for it, as much earlier as that took.
    pub sent_at: Timestamp,
    /// When the exchange ended: `sent_at` plus monotonic time.
    pub finished_at: Timestamp,
    /// Time from sending to the end; to the last byte for an answer that is complete, so that our
    /// own waiting is not measured.
    pub elapsed: Duration,
    /// How late bytes that had arrived were read when the last ones were, as far as
    /// [`crate::HttpClient::measure_lag`] tells: the part of `elapsed` that is not the host's.
    pub lag: Duration,
    /// The answer's head, if one arrived.
    pub head: Option<Head>,
    /// The first [`MAX_CHUNK_MARKS`] chunks.
    pub chunks: Vec<ChunkMark>,
    /// Number of chunks in all.
    pub chunk_count: u32,
    /// The body as received, before its content encoding is undone, up to the cap. Received bytes
    /// are kept even when they cannot be decoded. See [`Self::secret_echoed`] for the exception.
    pub body: Bytes,
    /// Whether the host sent the request's secret back. `body` then has it replaced by
    /// [`crate::REDACTED`], or is empty when only its decoded form holds it. What a sink was given
    /// is not redacted: pass it through [`crate::redact`].
    pub secret_echoed: bool,
    /// The signature that was sent, where requests are signed: a secret of this exchange alone.
    pub signature: Option<Secret>,
    /// How it ended.
    pub end: Ending,
    /// Headers as sent, the secret replaced; without those that only frame the message (`host`,
    /// `content-length`). Empty when nothing was sent.
    pub request_headers: HeaderMap,
}

impl Exchange {
    /// Returns the headers as sent, in order, as text: (lowercase name, value).
    pub fn told_headers(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let headers = self.request_headers.iter();
        headers.map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
    }
}

impl fmt::Debug for Exchange {
    /// Tells neither the body nor values of headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("sent_at", &self.sent_at)
            .field("finished_at", &self.finished_at)
            .field("elapsed", &self.elapsed)
            .field("head", &self.head)
            .field("chunk_count", &self.chunk_count)
            .field("body_bytes", &self.body.len())
            .field("secret_echoed", &self.secret_echoed)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

/// How an exchange ended. Causes are constant words of ours, never a host's text or a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The transport said that the body is complete.
    Complete,
    /// The sink had all it needs, and the transport did not end soon after.
    StoppedAfterEnd,
    /// Nothing was sent: our settings or the request itself forbid it.
    Refused(&'static str),
    /// No connection; the request did not reach the host.
    ConnectFailed(&'static str),
    /// A deadline of ours passed.
    TimedOut(Phase),
    /// The connection failed or the host broke the rules of HTTP, before or within the body.
    Broken(&'static str),
    /// The answer exceeds a cap.
    TooLarge(Which),
    /// The body's content encoding is unknown, corrupt or cut off.
    BadEncoding(&'static str),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::StoppedAfterEnd => f.write_str("complete, connection left open"),
            Self::Refused(cause) => write!(f, "not sent: {cause}"),
            Self::ConnectFailed(cause) => write!(f, "no connection: {cause}"),
            Self::TimedOut(phase) => write!(f, "timed out: {phase}"),
            Self::Broken(cause) => write!(f, "broken: {cause}"),
            Self::TooLarge(which) => write!(f, "too large: {which}"),
            Self::BadEncoding(cause) => write!(f, "bad content encoding: {cause}"),
        }
    }
}

/// Which wait was too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// For a connection.
    Connect,
    /// For the head of the answer.
    FirstByte,
    /// For the next chunk of the body.
    Idle,
    /// For the whole exchange.
    Total,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::FirstByte => "first byte",
            Self::Idle => "next chunk",
            Self::Total => "whole exchange",
        })
    }
}

/// Which part of an answer is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The head.
    Head,
    /// The body as received.
    Body,
    /// The body with its content encoding undone.
    Expanded,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "head",
            Self::Body => "body",
            Self::Expanded => "expanded body",
        })
    }
}
