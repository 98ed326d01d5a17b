//! Amazon's binary event stream (`application/vnd.amazon.eventstream`): messages with two checksums.
//!
//! A message is its total length, the length of its headers and the CRC-32 of these two; then the
//! headers, the payload, and the CRC-32 of everything before it. All numbers are big-endian.

/// Type byte of a header whose value is a text.
const TEXT: u8 = 7;

/// Bytes around headers and payload: two lengths and two checksums.
const FRAME_BYTES: usize = 16;

/// Length that an endless message claims; far beyond the 24 MiB that the format allows.
const ENDLESS_BYTES: u32 = u32::MAX;

/// Returns the message of an event; a name that ends in `Exception` makes it an exception.
pub(super) fn message(name: &str, payload: &[u8]) -> Vec<u8> {
    let headers = headers(name);
    let length = headers.len() + payload.len() + FRAME_BYTES;
    let mut out = prelude(u32::try_from(length).unwrap_or(u32::MAX), &headers);
    out.extend_from_slice(&headers);
    out.extend_from_slice(payload);
    let sum = crc32fast::hash(&out);
    out.extend_from_slice(&sum.to_be_bytes());
    out
}

/// Returns the begin of a message that claims to be as long as can be said.
pub(super) fn endless() -> Vec<u8> {
    let headers = headers("contentBlockDelta");
    let mut out = prelude(ENDLESS_BYTES, &headers);
    out.extend_from_slice(&headers);
    out.extend_from_slice(b"{\"delta\":{\"text\":\"");
    out
}

fn prelude(length: u32, headers: &[u8]) -> Vec<u8> {
    let mut out = length.to_be_bytes().to_vec();
    let headers = u32::try_from(headers.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&headers.to_be_bytes());
    let sum = crc32fast::hash(&out);
    out.extend_from_slice(&sum.to_be_bytes());
    out
}

fn headers(name: &str) -> Vec<u8> {
    let (kind, named) = if name.ends_with("Exception") {
        ("exception", ":exception-type")
    } else {
        ("event", ":event-type")
    };
    let mut out = Vec::new();
    for (key, value) in [
        (named, name),
        (":content-type", "application/json"),
        (":message-type", kind),
    ] {
        out.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(key.as_bytes());
        out.push(TEXT);
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_documented() {
        let bytes = message("messageStop", b"{}");
        let total = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
        let headers = u32::from_be_bytes(bytes[4..8].try_into().unwrap()) as usize;
        assert_eq!(
            (total, &bytes[12 + headers..total - 4]),
            (bytes.len(), b"{}".as_slice())
        );
        // CRC-32 of ISO-HDLC, as its catalogue's check value has it.
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
        let begin = b"\x0b:event-type\x07\x00\x0bmessageStop\x0d:content-type\x07";
        assert!(bytes[12..].starts_with(begin));
    }
}
