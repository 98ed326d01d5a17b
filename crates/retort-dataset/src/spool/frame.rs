//! Frames: how records follow each other in a spool file.
//!
//! Version 1 of a frame is `RSP1`, the payload's length (4 bytes, little-endian), the CRC-32 of
//! length and payload (4 bytes, little-endian), and the payload: one attempt record as JSON.
//! A reader that meets something else searches for the next frame that is whole.

use retort_types::AttemptRecord;

use crate::SpoolError;

/// Begins every frame; the digit is the version.
const MAGIC: [u8; 4] = *b"RSP1";

/// Bytes of a frame before its payload.
const HEAD: usize = 12;

/// Longest payload: far above any answer a client keeps, so that only damage exceeds it.
pub(super) const PAYLOAD_MAX_BYTES: usize = 256 << 20;

/// Appends the frame of `record` to `buffer`.
pub(super) fn encode(record: &AttemptRecord, buffer: &mut Vec<u8>) -> Result<(), SpoolError> {
    let start = buffer.len();
    buffer.extend_from_slice(&MAGIC);
    buffer.extend_from_slice(&[0; 8]);
    if let Err(error) = serde_json::to_writer(&mut *buffer, record) {
        buffer.truncate(start);
        return Err(error.into());
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
    let head = length.into_iter().chain(checksum);
    for (slot, byte) in buffer.iter_mut().skip(start + MAGIC.len()).zip(head) {
        *slot = byte;
    }
    Ok(())
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
        let Some(payload) = frame(rest) else {
            at += next_magic(rest);
            continue;
        };
        damaged += at - good;
        let length = HEAD + payload.len();
        match serde_json::from_slice(payload) {
            Ok(record) => scan.records.push(record),
            Err(_) => damaged += length,
        }
        at += length;
        good = at;
    }
    scan.good_bytes = as_u64(good);
    scan.damaged_bytes = as_u64(damaged);
    scan.torn_bytes = as_u64(bytes.len() - good);
    scan
}

/// Returns the payload of the whole frame that `bytes` begins with.
fn frame(bytes: &[u8]) -> Option<&[u8]> {
    let (magic, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    if *magic != MAGIC {
        return None;
    }
    let payload = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    (checksum(*length, payload) == u32::from_le_bytes(*sum)).then_some(payload)
}

/// Returns how far to go until the next place that may begin a frame, at least 1.
fn next_magic(bytes: &[u8]) -> usize {
    let later = bytes.get(1..).unwrap_or_default();
    later
        .windows(MAGIC.len())
        .position(|window| window == MAGIC)
        .map_or(bytes.len(), |position| position + 1)
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
