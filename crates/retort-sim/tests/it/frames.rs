//! A decoder of Amazon's binary event stream, written from its documentation alone: the checksums
//! are computed bit by bit.

use std::collections::BTreeMap;

use serde_json::Value;

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).expect("the payload is JSON")
    }
}

/// Returns the CRC-32 of ISO-HDLC.
fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            let low = sum & 1;
            sum = (sum >> 1) ^ (0xedb8_8320 * low);
        }
    }
    !sum
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let four = bytes[at..at + 4].try_into().expect("four bytes");
    u32::from_be_bytes(four)
}

/// Returns every message of a whole stream; panics at the first that is not as documented.
pub(crate) fn decode(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let total = number(bytes, 0) as usize;
        let head = number(bytes, 4) as usize;
        assert_eq!(
            number(bytes, 8),
            crc32(&bytes[..8]),
            "checksum of the lengths"
        );
        let sum = number(bytes, total - 4);
        assert_eq!(sum, crc32(&bytes[..total - 4]), "checksum of the message");
        frames.push(Frame {
            headers: headers(&bytes[12..12 + head]),
            payload: bytes[12 + head..total - 4].to_vec(),
        });
        bytes = &bytes[total..];
    }
    frames
}

fn headers(mut bytes: &[u8]) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    while let Some((length, rest)) = bytes.split_first() {
        let (name, rest) = rest.split_at(usize::from(*length));
        assert_eq!(rest[0], 7, "values are texts");
        let length = usize::from(u16::from_be_bytes([rest[1], rest[2]]));
        let (value, rest) = rest[3..].split_at(length);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("a text");
        headers.insert(text(name), text(value));
        bytes = rest;
    }
    headers
}

#[test]
fn the_checksum_is_the_documented_one() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}
