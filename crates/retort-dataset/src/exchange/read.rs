//! Stored exchanges back from their bytes. The bytes may have been changed by anybody: whatever
//! they hold is either an exchange or a reason why it is none.

use retort_types::{Digest, Timestamp};

use super::fields;
use super::gzip::take_member;

/// Longest record that is read, in bytes: above any body that a client keeps.
const RECORD_MAX_BYTES: u64 = 1 << 30;

/// A WARC record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its fields, in order.
    pub fields: Vec<(String, String)>,
    /// Its block.
    pub block: Vec<u8>,
}

impl Record {
    /// Returns the value of the first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// A stored exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The attempt.
    pub attempt_id: String,
    /// The sample.
    pub sample_id: String,
    /// Where the request went.
    pub target_uri: String,
    /// What was sent; absent when nothing was.
    pub request: Option<StoredRequest>,
    /// What came back, unless nothing did.
    pub answer: Option<StoredAnswer>,
    /// How it ended.
    pub ending: String,
    /// How the answer is read, as JSON.
    pub decoder: String,
    /// Where a secret was replaced.
    pub redacted: Vec<String>,
}

/// A request as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRequest {
    /// Everything before the body.
    pub head: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// Everything before the body.
    pub head: Vec<u8>,
    /// When the head arrived.
    pub received_at: Timestamp,
    /// Status code.
    pub status: u16,
    /// Headers in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body before its content encoding is undone.
    pub body: Vec<u8>,
}

/// Reads the records of one exchange.
///
/// # Errors
/// What is wrong with the bytes, in our words.
pub fn read(bytes: &[u8]) -> Result<Stored, String> {
    let mut rest = bytes;
    let (mut request, mut answer, mut last) = (None, None, None);
    while !rest.is_empty() {
        let (plain, behind) = take_member(rest, RECORD_MAX_BYTES)?;
        rest = behind;
        let record = record(&plain)?;
        match record.field(fields::TYPE) {
            Some("request") if request.is_none() => {
                let (head, body) = split(&record)?;
                request = Some(StoredRequest { head, body });
                last.get_or_insert(record);
            }
            Some("response") if answer.is_none() => {
                answer = Some(read_answer(&record)?);
                last = Some(record);
            }
            Some("metadata") => last = Some(record),
            _ => return Err("a record is not of this exchange".to_owned()),
        }
    }
    let last = last.ok_or("there is no record")?;
    let text = |name: &str| last.field(name).unwrap_or_default().to_owned();
    let redacted = last.fields.iter();
    let redacted = redacted.filter(|(name, _)| name == fields::REDACTED);
    Ok(Stored {
        attempt_id: text(fields::ATTEMPT_ID),
        sample_id: text(fields::SAMPLE_ID),
        target_uri: text(fields::TARGET_URI),
        request,
        answer,
        ending: text(fields::ENDING),
        decoder: text(fields::DECODER),
        redacted: redacted.map(|(_, place)| place.clone()).collect(),
    })
}

/// Reads one record and checks its digests.
fn record(plain: &[u8]) -> Result<Record, String> {
    let (head, rest) = cut(plain).ok_or("a record has no end of its fields")?;
    let head = std::str::from_utf8(head).map_err(|_| "the fields of a record are no text")?;
    let mut lines = head.split("\r\n");
    if lines.next() != Some(fields::VERSION) {
        return Err(format!("a record is not {}", fields::VERSION));
    }
    let mut record = Record {
        fields: Vec::new(),
        block: Vec::new(),
    };
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("a field has no name")?;
        let value = value.trim_start().to_owned();
        record.fields.push((name.to_owned(), value));
    }
    let length = record.field(fields::CONTENT_LENGTH);
    let length: usize = length
        .and_then(|length| length.parse().ok())
        .ok_or("a record has no length")?;
    let (block, end) = rest
        .split_at_checked(length)
        .ok_or("a record ends too early")?;
    if end != b"\r\n\r\n" {
        return Err("a record does not end where it says".to_owned());
    }
    block.clone_into(&mut record.block);
    check_digest(&record, fields::BLOCK_DIGEST, block)?;
    Ok(record)
}

fn check_digest(record: &Record, name: &str, bytes: &[u8]) -> Result<(), String> {
    let told = record
        .field(name)
        .and_then(|told| told.strip_prefix(fields::SHA256));
    if told == Some(Digest::of(bytes).to_string().as_str()) {
        Ok(())
    } else {
        Err(format!("`{name}` is not the SHA-256 of what it is told of"))
    }
}

/// Returns what stands before and behind the first empty line.
fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    const END: &[u8] = b"\r\n\r\n";
    let at = bytes.windows(END.len()).position(|window| window == END)?;
    Some((bytes.get(..at)?, bytes.get(at + END.len()..)?))
}

/// Returns head and body of an HTTP message whose digest is right.
fn split(record: &Record) -> Result<(Vec<u8>, Vec<u8>), String> {
    let (head, body) = cut(&record.block).ok_or("an HTTP message has no end of its head")?;
    check_digest(record, fields::PAYLOAD_DIGEST, body)?;
    Ok((head.to_owned(), body.to_owned()))
}

fn read_answer(record: &Record) -> Result<StoredAnswer, String> {
    let (head, body) = split(record)?;
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    let mut headers = Vec::new();
    for line in lines {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line
            .split_at_checked(colon.ok_or("a header has no name")?)
            .ok_or("a header has no name")?;
        let value = value.get(1..).unwrap_or_default().trim_ascii_start();
        let name = String::from_utf8_lossy(name).into_owned();
        headers.push((name, value.to_owned()));
    }
    let received_at = record.field(fields::RECEIVED_AT);
    Ok(StoredAnswer {
        received_at: received_at
            .and_then(|at| at.parse().ok())
            .ok_or("an answer does not say when it arrived")?,
        status: status.ok_or("an answer has no status")?,
        head,
        headers,
        body,
    })
}
