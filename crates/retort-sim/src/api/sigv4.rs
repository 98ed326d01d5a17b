//! Amazon's signatures, version 4: checking that a request was signed with a known secret.
//!
//! Only headers can carry the signature here, as every Bedrock client sends it.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use retort_types::Timestamp;
use sha2::{Digest, Sha256};

use super::error::Cause;
use crate::http::Request;

/// What the header begins with.
pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The service that Converse belongs to.
const SERVICE: &str = "bedrock";

/// How far a signature's time may be from ours: Amazon's own bound.
const SKEW_MICROS: u64 = 5 * 60 * 1_000_000;

/// Length of the blocks that the hash works on.
const BLOCK_BYTES: usize = 64;

/// What is escaped: all but RFC 3986's unreserved characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The parts of the header.
#[derive(Debug, Default)]
struct Told<'a> {
    key_id: &'a str,
    /// Day, region, service and `aws4_request`.
    scope: Vec<&'a str>,
    signed: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Told<'a> {
    fn parse(header: &'a str) -> Option<Self> {
        let mut told = Self::default();
        for part in header.strip_prefix(ALGORITHM)?.split(',') {
            let (name, value) = part.trim().split_once('=')?;
            match name {
                "Credential" => {
                    let mut parts = value.split('/');
                    told.key_id = parts.next()?;
                    told.scope = parts.collect();
                }
                "SignedHeaders" => told.signed = value.split(';').collect(),
                "Signature" => told.signature = value,
                _ => return None,
            }
        }
        Some(told)
    }
}

/// Checks the signature of a request at `now`. `secrets` maps key ids to secrets.
pub(crate) fn check(
    request: &Request,
    secrets: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<(), Cause> {
    let header = request.header("authorization").ok_or(Cause::NoKey)?;
    let told = Told::parse(header).ok_or(Cause::Signature)?;
    let secret = secrets.get(told.key_id).ok_or(Cause::Key)?;
    let [day, region, service, end] = told.scope.as_slice() else {
        return Err(Cause::Signature);
    };
    let date = request.header("x-amz-date").ok_or(Cause::Signature)?;
    let scoped = *service == SERVICE && *end == "aws4_request" && date.starts_with(day);
    let hosted = told.signed.contains(&"host") && told.signed.contains(&"x-amz-date");
    if !scoped || !hosted || !is_near(date, now) {
        return Err(Cause::Signature);
    }
    let canonical = canonical(request, &told.signed).ok_or(Cause::Signature)?;
    let scope = told.scope.join("/");
    let hashed = hex(&Sha256::digest(canonical.as_bytes()));
    let text = format!("{ALGORITHM}\n{date}\n{scope}\n{hashed}");
    let mut key = hmac(format!("AWS4{secret}").as_bytes(), day.as_bytes());
    for part in [*region, SERVICE, *end] {
        key = hmac(&key, part.as_bytes());
    }
    if hex(&hmac(&key, text.as_bytes())) == told.signature {
        Ok(())
    } else {
        Err(Cause::Signature)
    }
}

/// Returns whether a date as `20260921T141320Z` is near `now`.
fn is_near(date: &str, now: Timestamp) -> bool {
    let parsed = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date);
    let instant = parsed.and_then(|at| jiff::tz::Offset::UTC.to_timestamp(at));
    instant.is_ok_and(|at| {
        let apart = at.as_microsecond() - now.as_micros();
        apart.unsigned_abs() <= SKEW_MICROS
    })
}

/// Returns the request in the form that is signed; nothing when a signed header is absent.
fn canonical(request: &Request, signed: &[&str]) -> Option<String> {
    // Paths are escaped once more than they are sent, as for every service but S3.
    let segments = request.path.split('/');
    let path = segments.map(|part| utf8_percent_encode(part, ESCAPED).to_string());
    let path = path.collect::<Vec<_>>().join("/");
    let mut lines = String::new();
    for name in signed {
        let value = request.header(name)?;
        let words: Vec<_> = value.split_whitespace().collect();
        for part in [*name, ":", &words.join(" "), "\n"] {
            lines.push_str(part);
        }
    }
    let body = request
        .header("x-amz-content-sha256")
        .map_or_else(|| hex(&Sha256::digest(&request.body)), str::to_owned);
    let (method, query) = (&request.method, canonical_query(&request.query));
    let names = signed.join(";");
    Some(format!(
        "{method}\n{path}\n{query}\n{lines}\n{names}\n{body}"
    ))
}

fn canonical_query(query: &str) -> String {
    let escape = |text: &str| {
        let plain = percent_decode_str(text).decode_utf8_lossy().into_owned();
        utf8_percent_encode(&plain, ESCAPED).to_string()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<_> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
        .collect();
    pairs.sort();
    pairs.join("&")
}

/// Returns the HMAC-SHA256 of RFC 2104.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; BLOCK_BYTES];
    let hashed;
    let key = if key.len() > BLOCK_BYTES {
        hashed = Sha256::digest(key);
        hashed.as_slice()
    } else {
        key
    };
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let inner = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x36))
        .chain_update(text)
        .finalize();
    let outer = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x5c))
        .chain_update(inner)
        .finalize();
    outer.to_vec()
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let sum = hmac(b"Jefe", b"what do ya want for nothing?");
        let told = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(&sum), told);
        let long = hmac(
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
        );
        let told = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";
        assert_eq!(hex(&long), told);
    }

    #[test]
    fn times_must_be_near() {
        // 2026-09-21T14:13:20Z.
        let now = Timestamp::from_micros(1_790_000_000_000_000);
        assert!(is_near("20260921T141320Z", now));
        assert!(is_near("20260921T141819Z", now));
        assert!(!is_near("20260921T142000Z", now));
        assert!(!is_near("yesterday", now));
    }

    #[test]
    fn queries_are_sorted_and_escaped() {
        assert_eq!(canonical_query("b=2&a=%2F&c"), "a=%2F&b=2&c=");
        assert_eq!(canonical_query(""), "");
    }
}
