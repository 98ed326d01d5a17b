//! Exchanges: what was sent and received in each attempt, byte for byte, as WARC/1.1 records.
//!
//! A file holds a `warcinfo` record and then, per attempt, a `request` and a `response` record, or a
//! `metadata` record where no answer began. Each record is a gzip member of its own, so any WARC
//! reader can go straight to it. Rows point to the members of their attempt by file, offset, length
//! and SHA-256. Secrets are replaced before anything is hashed, and the records say where.

mod fields;
mod gzip;
mod name;
mod read;
#[cfg(test)]
mod tests;
mod write;

use retort_types::{Digest, SampleId, Timestamp};

pub use name::{ExchangeFile, is_exchange_file};
pub use read::{Record, Stored, StoredAnswer, StoredRequest, read};
pub use write::Archiver;
pub(crate) use write::file_head;

/// What was said in one attempt, free of secrets.
#[derive(Debug, Clone)]
pub struct Exchange<'a> {
    /// `UUIDv7` of the attempt.
    pub attempt_id: &'a str,
    /// The sample that was asked.
    pub sample_id: SampleId,
    /// When the request was handed to the network.
    pub sent_at: Timestamp,
    /// Where to.
    pub target_uri: &'a str,
    /// Headers as sent, in order; none when nothing was sent.
    pub request_headers: &'a [(&'a str, &'a [u8])],
    /// The body as sent.
    pub request_body: &'a [u8],
    /// SHA-256 of that, where it is known already.
    pub request_digest: Option<Digest>,
    /// What came back, unless nothing did.
    pub answer: Option<Answer<'a>>,
    /// How it ended, in our words.
    pub ending: &'a str,
    /// Where a secret was replaced, as `request header authorization`.
    pub redacted: &'a [String],
    /// How the answer is read: protocol and options, as JSON of one line.
    pub decoder: &'a str,
}

/// An answer as received.
#[derive(Debug, Clone)]
pub struct Answer<'a> {
    /// When its head arrived.
    pub received_at: Timestamp,
    /// Status code.
    pub status: u16,
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
    pub version: &'a str,
    /// Headers in order.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// The body before its content encoding is undone.
    pub body: &'a [u8],
    /// SHA-256 of that, where it is known already.
    pub body_digest: Option<Digest>,
}
