//! AWS Signature Version 4: each request carries a keyed digest of itself instead of a secret.
//!
//! Follows the published description for services other than S3: the path is escaped once more,
//! and what is signed are type, host, time and session token, the query and the body.

use std::fmt;
use std::fmt::Write as _;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use retort_types::Timestamp;
use secrecy::zeroize::Zeroizing;
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::secret::REDACTED;
use crate::{ClientError, Secret};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Bytes that SHA-256 takes at once, which HMAC fills with the key.
const BLOCK_BYTES: usize = 64;

/// A key that signs requests to one service in one region.
#[derive(Clone)]
pub struct SigningKey {
    /// Names the key; no secret by itself, but it names an account.
    access_key: Secret,
    secret_key: Secret,
    /// Goes with keys that hold for a while only.
    session_token: Option<Secret>,
    region: String,
    service: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}/{})", self.region, self.service)
    }
}

/// What is signed, apart from the time.
struct Signed<'a> {
    method: &'a str,
    url: &'a Url,
    /// Names in lower case, sorted.
    headers: Vec<(&'a str, String)>,
    body: &'a [u8],
}

impl SigningKey {
    /// Takes a key for `service` in `region`.
    ///
    /// # Errors
    /// [`ClientError::SecretHeader`] when a part holds what no header may hold.
    pub fn new(
        access_key: Secret,
        secret_key: Secret,
        session_token: Option<Secret>,
        (region, service): (&str, &str),
    ) -> Result<Self, ClientError> {
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let mut texts = vec![access_key.expose(), region, service];
        texts.extend(session_token.as_ref().map(Secret::expose));
        if !texts.into_iter().all(is_plain) {
            return Err(ClientError::SecretHeader);
        }
        Ok(Self {
            access_key,
            secret_key,
            session_token,
            region: region.to_owned(),
            service: service.to_owned(),
        })
    }

    pub(crate) fn secrets(&self) -> Vec<&Secret> {
        let keys = [&self.secret_key, &self.access_key];
        keys.into_iter().chain(&self.session_token).collect()
    }

    /// Returns the value of the header `name` as it may be told, if it is one of a signature's.
    pub(crate) fn told(name: &HeaderName) -> Option<String> {
        if *name == header::AUTHORIZATION {
            Some(format!("{ALGORITHM} {REDACTED}"))
        } else {
            (*name == TOKEN).then(|| REDACTED.to_owned())
        }
    }

    /// Adds to `headers` what authorises the posting of `body` to `url` at the time `at`, and
    /// returns the signature.
    pub(crate) fn sign(
        &self,
        url: &Url,
        headers: &mut HeaderMap,
        body: &[u8],
        at: Timestamp,
    ) -> Result<Secret, ClientError> {
        let time = time(at);
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| ClientError::SecretHeader);
        headers.insert(DATE, value(&time)?);
        if let Some(token) = &self.session_token {
            let mut token = value(token.expose())?;
            token.set_sensitive(true);
            headers.insert(TOKEN, token);
        }
        let own = [header::CONTENT_TYPE, DATE, TOKEN];
        let mut signed: Vec<(&str, String)> = own
            .iter()
            .filter_map(|name| Some((name.as_str(), headers.get(name)?.to_str().ok()?.to_owned())))
            .collect();
        signed.push(("host", host(url)));
        signed.sort_unstable();
        let (authorization, signature) = self.authorization(
            &Signed {
                method: "POST",
                url,
                headers: signed,
                body,
            },
            &time,
        );
        let mut authorization = value(&authorization)?;
        authorization.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, authorization);
        Ok(signature)
    }

    /// Returns the value of the authorising header at `time`, and the signature in it.
    fn authorization(&self, signed: &Signed<'_>, time: &str) -> (String, Secret) {
        let date: String = time.chars().take(8).collect();
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let digest = hex(&Sha256::digest(canonical(signed).as_bytes()));
        let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{digest}");
        let signature = hex(&hmac(&*self.key_of(&date), to_sign.as_bytes()));
        let text = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={signature}",
            self.access_key.expose(),
            names(signed),
        );
        (text, Secret::new(signature))
    }

    /// Returns the key of one day.
    fn key_of(&self, date: &str) -> Zeroizing<[u8; 32]> {
        let start = Zeroizing::new(format!("AWS4{}", self.secret_key.expose()));
        let mut key = Zeroizing::new(hmac(start.as_bytes(), date.as_bytes()));
        for part in [&self.region, &self.service, "aws4_request"] {
            key = Zeroizing::new(hmac(&*key, part.as_bytes()));
        }
        key
    }
}

/// Returns the request in the form that is signed.
fn canonical(signed: &Signed<'_>) -> String {
    let headers = signed.headers.iter().map(|(name, value)| {
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        format!("{name}:{}\n", words.join(" "))
    });
    [
        signed.method,
        &path(signed.url),
        &query(signed.url),
        &headers.collect::<String>(),
        &names(signed),
        &hex(&Sha256::digest(signed.body)),
    ]
    .join("\n")
}

fn names(signed: &Signed<'_>) -> String {
    let names: Vec<&str> = signed.headers.iter().map(|(name, _)| *name).collect();
    names.join(";")
}

/// Returns host and port as the header `host` tells them: without a scheme's own port.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Returns the path, escaped once more, without empty steps.
fn path(url: &Url) -> String {
    let path = url.path();
    let steps: Vec<&str> = path.split('/').filter(|step| !step.is_empty()).collect();
    let end = if path.ends_with('/') && !steps.is_empty() {
        "/"
    } else {
        ""
    };
    escaped(&format!("/{}{end}", steps.join("/")), true)
}

/// Returns the query with its parts escaped and sorted.
fn query(url: &Url) -> String {
    let pairs = url.query_pairs();
    let mut pairs: Vec<(String, String)> = pairs
        .map(|(name, value)| (escaped(&name, false), escaped(&value, false)))
        .collect();
    pairs.sort_unstable();
    let parts: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    parts.join("&")
}

/// Returns `text` with all but unreserved characters escaped, and slashes if they are not kept.
fn escaped(text: &str, keeps_slashes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric()
            || b"-._~".contains(&byte)
            || (keeps_slashes && byte == b'/')
        {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _written = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Returns `at` as `20261124T093000Z`.
fn time(at: Timestamp) -> String {
    let text = at.to_string();
    let digits = text.chars().take("2026-11-24T09:30:00".len());
    let mut time: String = digits.filter(|c| !matches!(c, '-' | ':')).collect();
    time.push('Z');
    time
}

/// Returns the keyed digest of RFC 2104 with SHA-256.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = Zeroizing::new([0_u8; BLOCK_BYTES]);
    if key.len() > BLOCK_BYTES {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |pad: u8| Zeroizing::new(block.map(|byte| byte ^ pad));
    let inner = Sha256::new()
        .chain_update(*padded(0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(*padded(0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _written = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
