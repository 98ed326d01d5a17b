//! Frames: how records follow each other in a spool file.
//!
//! Version 1 of a frame is `RSP1`, the payload's length (4 bytes, little-endian), the CRC-32 of
//! length and payload (4 bytes, little-endian), and the payload: one attempt record as JSON.
//! Version 2 is `RSP2` and the same, but its payload is the length of the JSON (4 bytes,
//! little-endian), the JSON, and the records of the exchange as they are. A record without an
//! exchange makes a frame of version 1. A reader that meets something else searches for the next
//! frame that is whole.

use bytes::Bytes;
use retort_types::AttemptRecord;
use retort_types::record::KeptExchange;

use crate::SpoolError;

/// What a frame begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// A record alone.
    One,
    /// A record and its exchange.
    Two,
}

impl Version {
    const fn magic(self) -> [u8; 4] {
        match self {
            Self::One => *b"RSP1",
            Self::Two => *b"RSP2",
        }
    }

    fn of(magic: &[u8]) -> Option<Self> {
        let known = [Self::One, Self::Two];
        known.into_iter().find(|version| version.magic() == magic)
    }
}

/// Length of what a frame begins with.
const MAGIC_BYTES: usize = 4;

/// Length of the length of the JSON in a frame of version 2.
const JSON_LENGTH_BYTES: usize = 4;

/// Bytes of a frame before its payload.
const HEAD: usize = 12;

/// Longest payload: far above any answer a client keeps, so that only damage exceeds it.
pub(super) const PAYLOAD_MAX_BYTES: usize = 256 << 20;

/// Appends the frame of `record` to `buffer`.
pub(super) fn encode(record: &AttemptRecord, buffer: &mut Vec<u8>) -> Result<(), SpoolError> {
    let start = buffer.len();
    let exchange = record.exchange.as_ref().and_then(KeptExchange::records);
    let version = if exchange.is_some() {
        Version::Two
    } else {
        Version::One
    };
    buffer.extend_from_slice(&version.magic());
    buffer.extend_from_slice(&[0; HEAD - MAGIC_BYTES]);
    if exchange.is_some() {
        buffer.extend_from_slice(&[0; JSON_LENGTH_BYTES]);
    }
    if let Err(error) = serde_json::to_writer(&mut *buffer, record) {
        buffer.truncate(start);
        return Err(error.into());
    }
    if let Some(exchange) = exchange {
        // A length that does not fit makes a payload that is too large as well.
        let json = buffer.len() - start - HEAD - JSON_LENGTH_BYTES;
        let json = u32::try_from(json).unwrap_or(u32::MAX).to_le_bytes();
        set(buffer, start + HEAD, &json);
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
            let (length, rest) = payload.split_first_chunk::<JSON_LENGTH_BYTES>()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (json, exchange) = rest.split_at_checked(length)?;
            let mut record: AttemptRecord = serde_json::from_slice(json).ok()?;
            let exchange = Bytes::copy_from_slice(exchange);
            record.exchange = Some(KeptExchange::Records(exchange));
            Some(record)
        }
    }
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
