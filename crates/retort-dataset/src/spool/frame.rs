//! Frames: how records follow each other in a spool file.
//!
//! A frame is `RSP3`, the payload's length (4 bytes, little-endian), the CRC-32 of length and payload
//! (4 bytes, little-endian), and the payload: the length of the record (4 bytes, little-endian), one
//! attempt record in the form of [`super::binary`], and the records of its exchange as they are, if
//! it has one. A reader that meets something else searches for the next frame that is whole.
//!
//! Earlier versions are read as well: the payload of `RSP1` is a record as JSON without an exchange,
//! that of `RSP2` the length of the JSON (4 bytes, little-endian), the JSON, and the exchange.

use bytes::Bytes;
use retort_types::AttemptRecord;
use retort_types::record::KeptExchange;

use super::binary;
use crate::SpoolError;

/// What a frame begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// A record alone, as JSON.
    One,
    /// A record as JSON, and its exchange.
    Two,
    /// What is written.
    Three,
}

impl Version {
    const fn magic(self) -> [u8; 4] {
        match self {
            Self::One => *b"RSP1",
            Self::Two => *b"RSP2",
            Self::Three => *b"RSP3",
        }
    }

    fn of(magic: &[u8]) -> Option<Self> {
        let known = [Self::One, Self::Two, Self::Three];
        known.into_iter().find(|version| version.magic() == magic)
    }
}

/// Length of what a frame begins with.
const MAGIC_BYTES: usize = 4;

/// Length of the record's length in a payload.
const RECORD_LENGTH_BYTES: usize = 4;

/// Bytes of a frame before its payload.
const HEAD: usize = 12;

/// Longest payload: far above any answer a client keeps, so that only damage exceeds it.
pub(super) const PAYLOAD_MAX_BYTES: usize = 256 << 20;

/// Appends the frame of `record` to `buffer`.
pub(super) fn encode(record: &AttemptRecord, buffer: &mut Vec<u8>) -> Result<(), SpoolError> {
    let start = buffer.len();
    buffer.extend_from_slice(&Version::Three.magic());
    buffer.extend_from_slice(&[0; HEAD - MAGIC_BYTES + RECORD_LENGTH_BYTES]);
    if let Err(error) = binary::write(record, buffer) {
        buffer.truncate(start);
        return Err(error.into());
    }
    // A length that does not fit makes a payload that is too large as well.
    let length = buffer.len() - start - HEAD - RECORD_LENGTH_BYTES;
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    set(buffer, start + HEAD, &length);
    if let Some(exchange) = record.exchange.as_ref().and_then(KeptExchange::records) {
        buffer.extend_from_slice(exchange);
    }
    let length = buffer.len() - start - HEAD;
    let Some(length) = u32::try_from(length)
        .ok()
        .filter(|_| length <= PAYLOAD_MAX_BYTES)
    else {
        buffer.truncate(start);
        return Err(SpoolError::TooLarge {
            bytes: length,
            limit: PAYLOAD_MAX_BYTES,
        });
    };
    let length = length.to_le_bytes();
    let payload = buffer.get(start + HEAD..).unwrap_or_default();
    let checksum = checksum(length, payload).to_le_bytes();
    set(buffer, start + MAGIC_BYTES, &length);
    set(buffer, start + MAGIC_BYTES + length.len(), &checksum);
    Ok(())
}

fn set(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    for (slot, byte) in buffer.iter_mut().skip(at).zip(bytes) {
        *slot = *byte;
    }
}

fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(payload);
    hasher.finalize()
}

/// What a file holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Scan {
    /// Its records, in order.
    pub(super) records: Vec<AttemptRecord>,
    /// Length up to the end of its last whole frame.
    pub(super) good_bytes: u64,
    /// Bytes behind that: a write that did not finish.
    pub(super) torn_bytes: u64,
    /// Bytes in between that are no frame, or a frame that no record can be read from.
    pub(super) damaged_bytes: u64,
}

/// Reads every whole frame of `bytes`.
pub(super) fn scan(bytes: &[u8]) -> Scan {
    let mut scan = Scan::default();
    let mut at = 0;
    let mut good = 0;
    let mut damaged = 0;
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some((version, payload)) = frame(rest) else {
            at += next_magic(rest);
            continue;
        };
        damaged += at - good;
        let length = HEAD + payload.len();
        match record(version, payload) {
            Some(record) => scan.records.push(record),
            None => damaged += length,
        }
        at += length;
        good = at;
    }
    scan.good_bytes = as_u64(good);
    scan.damaged_bytes = as_u64(damaged);
    scan.torn_bytes = as_u64(bytes.len() - good);
    scan
}

/// Returns the record of a frame whose checksum is right.
fn record(version: Version, payload: &[u8]) -> Option<AttemptRecord> {
    match version {
        Version::One => serde_json::from_slice(payload).ok(),
        Version::Two => {
            let (json, exchange) = parts(payload)?;
            Some(with(serde_json::from_slice(json).ok()?, exchange))
        }
        Version::Three => {
            let (record, exchange) = parts(payload)?;
            Some(with(binary::read(record).ok()?, exchange))
        }
    }
}

/// Returns the record and the exchange of a payload.
fn parts(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = payload.split_first_chunk::<RECORD_LENGTH_BYTES>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

fn with(mut record: AttemptRecord, exchange: &[u8]) -> AttemptRecord {
    let exchange = Some(exchange).filter(|exchange| !exchange.is_empty());
    record.exchange =
        exchange.map(|exchange| KeptExchange::Records(Bytes::copy_from_slice(exchange)));
    record
}

/// Returns the version and payload of the whole frame that `bytes` begins with.
fn frame(bytes: &[u8]) -> Option<(Version, &[u8])> {
    let (magic, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let version = Version::of(magic)?;
    let payload = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    (checksum(*length, payload) == u32::from_le_bytes(*sum)).then_some((version, payload))
}

/// Returns how far to go until the next place that may begin a frame, at least 1.
fn next_magic(bytes: &[u8]) -> usize {
    let later = bytes.get(1..).unwrap_or_default();
    later
        .windows(MAGIC_BYTES)
        .position(|window| Version::of(window).is_some())
        .map_or(bytes.len(), |position| position + 1)
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
