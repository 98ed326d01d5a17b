//! Exchanges as WARC records.

use std::fmt::Write as _;

use bytes::Bytes;
use retort_types::{Digest, Timestamp};
use uuid::Uuid;

use super::gzip::Compressor;
use super::{Answer, Exchange, ExchangeFile, fields};

/// Turns exchanges into WARC records; keeps its buffers, so one is used for many.
#[derive(Debug)]
pub struct Archiver {
    compressor: Compressor,
    plain: Vec<u8>,
    block: Vec<u8>,
    members: Vec<u8>,
}

impl Default for Archiver {
    fn default() -> Self {
        Self::new()
    }
}

/// Largest buffer that is kept for the next exchange, in bytes.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

impl Archiver {
    /// Returns an archiver; it takes some 100 KB.
    pub fn new() -> Self {
        Self {
            compressor: Compressor::new(),
            plain: Vec::new(),
            block: Vec::new(),
            members: Vec::new(),
        }
    }

    /// Returns the records of an exchange, one gzip member each.
    pub fn records(&mut self, exchange: &Exchange<'_>) -> Bytes {
        let mut out = std::mem::take(&mut self.members);
        if !exchange.request_headers.is_empty() {
            self.request(exchange, &mut out);
        }
        match &exchange.answer {
            Some(answer) => self.response(exchange, answer, &mut out),
            None => self.metadata(exchange, &mut out),
        }
        self.plain.clear();
        self.block.clear();
        self.plain.shrink_to(KEPT_BUFFER_BYTES);
        self.block.shrink_to(KEPT_BUFFER_BYTES);
        // As long as they are: records wait in memory until they are stored.
        let records = Bytes::copy_from_slice(&out);
        out.clear();
        out.shrink_to(KEPT_BUFFER_BYTES);
        self.members = out;
        records
    }

    fn request(&mut self, exchange: &Exchange<'_>, out: &mut Vec<u8>) {
        let (host, path) = host_and_path(exchange.target_uri);
        let length = exchange.request_body.len();
        self.block.clear();
        let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n");
        self.block.extend_from_slice(head.as_bytes());
        for (name, value) in exchange.request_headers {
            header(&mut self.block, name, value);
        }
        self.block.extend_from_slice(b"\r\n");
        self.block.extend_from_slice(exchange.request_body);
        let mut lines = lines(exchange, Kind::Request);
        field(
            &mut lines,
            fields::PAYLOAD_DIGEST,
            &sha256(exchange.request_body, exchange.request_digest),
        );
        self.finish(&lines, out);
    }

    fn response(&mut self, exchange: &Exchange<'_>, answer: &Answer<'_>, out: &mut Vec<u8>) {
        self.block.clear();
        let spoken = answer.version;
        // Readers know the text form of HTTP/1 only; the field beside it tells what was spoken.
        let written = if spoken == "HTTP/1.0" {
            spoken
        } else {
            "HTTP/1.1"
        };
        let head = format!("{written} {} \r\n", answer.status);
        self.block.extend_from_slice(head.as_bytes());
        for (name, value) in &answer.headers {
            let name = match *name {
                "transfer-encoding" => fields::ORIGINAL_TRANSFER_ENCODING,
                name => name,
            };
            header(&mut self.block, name, value);
        }
        self.block.extend_from_slice(b"\r\n");
        self.block.extend_from_slice(answer.body);
        let mut lines = lines(exchange, Kind::Response);
        field(&mut lines, fields::RECEIVED_AT, &date(answer.received_at));
        if spoken == "HTTP/2" {
            field(&mut lines, fields::PROTOCOL, "h2");
        }
        if let Some(why) = truncated(exchange.ending) {
            field(&mut lines, fields::TRUNCATED, why);
        }
        field(
            &mut lines,
            fields::PAYLOAD_DIGEST,
            &sha256(answer.body, answer.body_digest),
        );
        self.finish(&lines, out);
    }

    fn metadata(&mut self, exchange: &Exchange<'_>, out: &mut Vec<u8>) {
        self.block.clear();
        let text = format!("ending: {}\r\n", exchange.ending);
        self.block.extend_from_slice(text.as_bytes());
        let lines = lines(exchange, Kind::Metadata);
        self.finish(&lines, out);
    }

    /// Appends the record of `lines` and the block.
    fn finish(&mut self, lines: &str, out: &mut Vec<u8>) {
        member(
            &mut self.compressor,
            &mut self.plain,
            (lines, &self.block),
            out,
        );
    }
}

/// Returns the fields that every record of an exchange has.
fn lines(exchange: &Exchange<'_>, kind: Kind) -> String {
    let mut lines = format!("{}\r\n", fields::VERSION);
    let other = match (kind, &exchange.answer) {
        (Kind::Request, Some(_)) => Some(Kind::Response),
        (Kind::Request, None) => Some(Kind::Metadata),
        (Kind::Response | Kind::Metadata, _) => {
            (!exchange.request_headers.is_empty()).then_some(Kind::Request)
        }
    };
    field(&mut lines, fields::TYPE, kind.as_str());
    field(
        &mut lines,
        fields::RECORD_ID,
        &record_id(exchange.attempt_id, kind),
    );
    if let Some(other) = other {
        let id = record_id(exchange.attempt_id, other);
        field(&mut lines, fields::CONCURRENT_TO, &id);
    }
    field(&mut lines, fields::DATE, &date(exchange.sent_at));
    field(&mut lines, fields::TARGET_URI, exchange.target_uri);
    field(&mut lines, fields::CONTENT_TYPE, kind.content_type());
    field(&mut lines, fields::ATTEMPT_ID, exchange.attempt_id);
    let sample = exchange.sample_id.to_string();
    field(&mut lines, fields::SAMPLE_ID, &sample);
    if kind != Kind::Request {
        field(&mut lines, fields::ENDING, exchange.ending);
        field(&mut lines, fields::DECODER, exchange.decoder);
    }
    for place in exchange.redacted {
        field(&mut lines, fields::REDACTED, place);
    }
    lines
}

/// Returns the record that a file begins with.
pub(crate) fn file_head(file: &ExchangeFile, now: Timestamp) -> Bytes {
    let software = concat!("retort/", env!("CARGO_PKG_VERSION"));
    let block = format!("software: {software}\r\nformat: WARC file version 1.1\r\n");
    let mut lines = format!("{}\r\n", fields::VERSION);
    field(&mut lines, fields::TYPE, "warcinfo");
    let id = record_id(&file.id().to_string(), Kind::Metadata);
    field(&mut lines, fields::RECORD_ID, &id);
    field(&mut lines, fields::DATE, &date(now));
    let name = file.relative().rsplit('/').next().unwrap_or_default();
    field(&mut lines, fields::FILENAME, name);
    field(&mut lines, fields::CONTENT_TYPE, "application/warc-fields");
    let mut out = Vec::new();
    let parts = (lines.as_str(), block.as_bytes());
    member(&mut Compressor::new(), &mut Vec::new(), parts, &mut out);
    out.into()
}

fn member(
    compressor: &mut Compressor,
    plain: &mut Vec<u8>,
    (lines, block): (&str, &[u8]),
    out: &mut Vec<u8>,
) {
    let mut lines = lines.to_owned();
    field(&mut lines, fields::BLOCK_DIGEST, &sha256(block, None));
    field(&mut lines, fields::CONTENT_LENGTH, &block.len().to_string());
    plain.clear();
    plain.extend_from_slice(lines.as_bytes());
    plain.extend_from_slice(b"\r\n");
    plain.extend_from_slice(block);
    plain.extend_from_slice(b"\r\n\r\n");
    compressor.member(plain, out);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    Response,
    Metadata,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
            Self::Metadata => "metadata",
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Request => "application/http;msgtype=request",
            Self::Response => "application/http;msgtype=response",
            Self::Metadata => "application/warc-fields",
        }
    }
}

/// Returns the id of a record: the first 16 bytes of SHA-256("retort.exchange.v1" ‖ 0 ‖ attempt id ‖
/// 0 ‖ type) as a `UUIDv8`, so that the same attempt has the same records wherever it is stored.
fn record_id(attempt_id: &str, kind: Kind) -> String {
    let text = format!("retort.exchange.v1\0{attempt_id}\0{}", kind.as_str());
    let digest = Digest::of(text.as_bytes());
    let mut bytes = [0; 16];
    for (byte, from) in bytes.iter_mut().zip(digest.as_bytes()) {
        *byte = *from;
    }
    let id: Uuid = uuid::Builder::from_custom_bytes(bytes).into_uuid();
    format!("<urn:uuid:{}>", id.as_hyphenated())
}

fn date(at: Timestamp) -> String {
    at.to_string()
}

fn sha256(bytes: &[u8], known: Option<Digest>) -> String {
    let digest = known.unwrap_or_else(|| Digest::of(bytes));
    format!("{}{digest}", fields::SHA256)
}

/// Appends a field. What stands in it is ours, yet a line break would end the field.
fn field(lines: &mut String, name: &str, value: &str) {
    let written = if value.contains(['\r', '\n']) {
        write!(lines, "{name}: {}\r\n", value.replace(['\r', '\n'], " "))
    } else {
        write!(lines, "{name}: {value}\r\n")
    };
    written.expect("a string takes any text");
}

fn header(block: &mut Vec<u8>, name: &str, value: &[u8]) {
    block.extend_from_slice(name.as_bytes());
    block.extend_from_slice(b": ");
    block.extend_from_slice(value);
    block.extend_from_slice(b"\r\n");
}

/// Returns the WARC word for why a body is not whole.
fn truncated(ending: &str) -> Option<&'static str> {
    match ending.split_once(':')?.0 {
        "timed out" => Some("time"),
        "too large" => Some("length"),
        "broken" | "no connection" => Some("disconnect"),
        _ => Some("unspecified"),
    }
}

fn host_and_path(uri: &str) -> (&str, &str) {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    }
}
