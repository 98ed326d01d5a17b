//! Secrets: text that cannot be printed, the header that carries it, and its removal from text.

use std::fmt;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use crate::ClientError;

/// What stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// Shortest secret that is looked for in answers, in bytes. Keys of providers have 32 and more;
/// stand-ins for servers without keys, as `EMPTY` or `dummy`, are ordinary words of an answer.
const ECHO_MIN_BYTES: usize = 16;

/// A secret. It has no way to be printed or serialized, and is wiped when dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes `text` as a secret.
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Returns whether `text` holds the secret. Secrets too short to be told from ordinary words are
    /// not looked for.
    pub fn is_in(&self, text: &str) -> bool {
        let secret = self.expose();
        secret.len() >= ECHO_MIN_BYTES && text.contains(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

/// A header whose value holds a secret.
#[derive(Clone)]
pub struct SecretHeader {
    name: HeaderName,
    prefix: String,
    secret: Secret,
    /// Marked as sensitive: HTTP libraries neither print nor index it.
    value: HeaderValue,
}

impl SecretHeader {
    /// Makes the header `name: <prefix><secret>`.
    ///
    /// # Errors
    /// [`ClientError::SecretHeader`] when a part holds what no header may hold.
    pub fn new(name: &str, prefix: &str, secret: Secret) -> Result<Self, ClientError> {
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| ClientError::SecretHeader)?;
        let text = SecretString::from(format!("{prefix}{}", secret.expose()));
        let mut value =
            HeaderValue::from_str(text.expose_secret()).map_err(|_| ClientError::SecretHeader)?;
        value.set_sensitive(true);
        Ok(Self {
            name,
            prefix: prefix.to_owned(),
            secret,
            value,
        })
    }

    /// Returns the secret, for [`redact`].
    pub const fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(crate) const fn name(&self) -> &HeaderName {
        &self.name
    }

    pub(crate) const fn value(&self) -> &HeaderValue {
        &self.value
    }

    /// Returns the value as it may be told: prefix, then [`REDACTED`].
    pub(crate) fn told(&self) -> String {
        format!("{}{REDACTED}", self.prefix)
    }
}

impl fmt::Debug for SecretHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretHeader({}: {})", self.name, self.told())
    }
}

/// Returns `text` with every occurrence of a secret replaced by [`REDACTED`].
pub fn redact(text: &str, secrets: &[&Secret]) -> String {
    redacted(text, secrets).unwrap_or_else(|| text.to_owned())
}

/// Returns the same, or nothing where no secret is in `text`.
pub(crate) fn redacted(text: &str, secrets: &[&Secret]) -> Option<String> {
    let mut needles: Vec<&str> = secrets.iter().map(|secret| secret.expose()).collect();
    needles.retain(|needle| !needle.is_empty());
    // A secret may be part of another one: the longer goes first.
    needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
    let mut redacted: Option<String> = None;
    for needle in needles {
        let text = redacted.as_deref().unwrap_or(text);
        if text.contains(needle) {
            redacted = Some(text.replace(needle, REDACTED));
        }
    }
    redacted
}

/// Looks for secrets in what a host answers.
#[derive(Clone)]
pub(crate) struct Echo<'a> {
    /// Never empty; the longest first, since one may be part of another.
    needles: Vec<&'a [u8]>,
}

impl<'a> Echo<'a> {
    /// Returns a search for `secrets`, unless all are too short to be one.
    pub(crate) fn of(secrets: impl IntoIterator<Item = &'a Secret>) -> Option<Self> {
        let needles = secrets.into_iter().map(|secret| secret.expose().as_bytes());
        let mut needles: Vec<&[u8]> = needles.filter(|n| n.len() >= ECHO_MIN_BYTES).collect();
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
        (!needles.is_empty()).then_some(Self { needles })
    }

    pub(crate) fn is_in(&self, hay: &[u8]) -> bool {
        self.needles
            .iter()
            .any(|needle| find(needle, hay).is_some())
    }

    /// Returns `bytes` with the secrets replaced.
    pub(crate) fn redact(&self, bytes: &[u8]) -> Bytes {
        let mut kept = bytes.to_vec();
        for needle in &self.needles {
            if find(needle, &kept).is_some() {
                kept = replaced(needle, &kept);
            }
        }
        kept.into()
    }

    /// Returns the length of the longest.
    fn longest(&self) -> usize {
        self.needles.first().map_or(0, |needle| needle.len())
    }
}

fn find(needle: &[u8], hay: &[u8]) -> Option<usize> {
    let first = needle.first()?;
    // Comparing one byte before the whole makes this several times faster on bodies.
    hay.windows(needle.len())
        .position(|window| window.first() == Some(first) && window == needle)
}

fn replaced(needle: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = find(needle, rest) {
        kept.extend_from_slice(&rest[..at]);
        kept.extend_from_slice(REDACTED.as_bytes());
        rest = &rest[at + needle.len()..];
    }
    kept.extend_from_slice(rest);
    kept
}

/// Looks for secrets in text that arrives in pieces.
pub(crate) struct EchoWatch<'a> {
    echo: Echo<'a>,
    /// The end of what was seen, shorter than the longest secret.
    tail: Vec<u8>,
    seen: bool,
}

impl<'a> EchoWatch<'a> {
    pub(crate) const fn new(echo: Echo<'a>) -> Self {
        Self {
            echo,
            tail: Vec::new(),
            seen: false,
        }
    }

    pub(crate) fn push(&mut self, piece: &[u8]) {
        if self.seen {
            return;
        }
        let keep = self.echo.longest() - 1;
        let border = &piece[..piece.len().min(keep)];
        self.tail.extend_from_slice(border);
        self.seen = self.echo.is_in(&self.tail) || self.echo.is_in(piece);
        if piece.len() >= keep {
            self.tail.clear();
            self.tail.extend_from_slice(&piece[piece.len() - keep..]);
        } else if self.tail.len() > keep {
            self.tail.drain(..self.tail.len() - keep);
        }
    }

    pub(crate) const fn seen(&self) -> bool {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "sk-canary-0123456789abcdef";

    fn key() -> Secret {
        Secret::new(KEY.to_owned())
    }

    #[test]
    fn nothing_prints_a_secret() {
        let header = SecretHeader::new("authorization", "Bearer ", key()).unwrap();
        for text in [
            format!("{:?}", key()),
            format!("{header:?}"),
            format!("{:?}", header.value()),
            header.told(),
        ] {
            assert!(!text.contains("canary"), "{text}");
        }
        assert_eq!(
            format!("{header:?}"),
            "SecretHeader(authorization: Bearer [redacted])"
        );
        assert!(header.value().is_sensitive());
    }

    #[test]
    fn what_no_header_holds_is_an_error_without_the_secret() {
        for (name, secret) in [
            ("authorization", "a\nb-canary"),
            ("bad name", "canary"),
            ("", "canary"),
        ] {
            let error = SecretHeader::new(name, "", Secret::new(secret.to_owned())).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[test]
    fn redaction_takes_the_longest_secret_first() {
        let (short, long) = (key(), Secret::new(format!("{KEY}-longer")));
        let text = format!("a {KEY}-longer b {KEY} c {KEY}{KEY}");
        assert_eq!(
            redact(&text, &[&short, &long]),
            "a [redacted] b [redacted] c [redacted][redacted]"
        );
        assert_eq!(
            redact("untouched", &[&Secret::new(String::new())]),
            "untouched"
        );
    }

    #[test]
    fn words_that_stand_in_for_keys_are_left_in_answers() {
        assert!(Echo::of([&Secret::new("EMPTY".to_owned())]).is_none());
        assert!(Echo::of([&key()]).is_some());
    }

    #[test]
    fn bytes_are_redacted_everywhere() {
        let secret = key();
        let echo = Echo::of([&secret]).unwrap();
        let text = format!("{KEY}x{KEY}{KEY}y");
        assert_eq!(
            echo.redact(text.as_bytes()),
            "[redacted]x[redacted][redacted]y"
        );
        assert_eq!(echo.redact(b"nothing here"), "nothing here");
    }

    #[test]
    fn several_secrets_are_looked_for() {
        let other = Secret::new(format!("{KEY}-and-a-longer-one"));
        let third = Secret::new("another-secret-of-the-request".to_owned());
        let secrets = [key(), other, third];
        let echo = Echo::of(&secrets).unwrap();
        let text = format!("{KEY} {KEY}-and-a-longer-one another-secret-of-the-request");
        assert_eq!(
            echo.redact(text.as_bytes()),
            "[redacted] [redacted] [redacted]"
        );
        for piece in [1, 5, 100] {
            for text in [KEY, "xanother-secret-of-the-requestx"] {
                let mut watch = EchoWatch::new(echo.clone());
                for piece in text.as_bytes().chunks(piece) {
                    watch.push(piece);
                }
                assert!(watch.seen(), "{text} {piece}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_watch_finds_what_a_search_finds(
            before in "[a-s-]{0,40}",
            inside in any::<bool>(),
            after in "[a-s-]{0,40}",
            cuts in prop::collection::vec(1_usize..30, 1..8),
        ) {
            let text = format!("{before}{}{after}", if inside { KEY } else { "" });
            let secret = key();
            let echo = Echo::of([&secret]).unwrap();
            let mut watch = EchoWatch::new(echo.clone());
            let mut rest = text.as_bytes();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, tail) = rest.split_at((*cut).min(rest.len()));
                watch.push(piece);
                rest = tail;
            }
            prop_assert_eq!(watch.seen(), echo.is_in(text.as_bytes()));
        }
    }
}
