//! Texts and bytes of tokens: thousands in an answer with log probabilities, nearly all of them so
//! short that they need no memory of their own.

use std::fmt;
use std::ops::Deref;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text of a token; up to 24 bytes are kept in place.
pub use compact_str::CompactString as TokenText;

/// Bytes of a token that are kept in place: as many as make both kinds take the room of a text.
const IN_PLACE: usize = 22;

/// Bytes of a token.
#[derive(Clone)]
pub struct TokenBytes(Kept);

#[derive(Clone)]
enum Kept {
    InPlace { length: u8, bytes: [u8; IN_PLACE] },
    Apart(Box<[u8]>),
}

/// Bytes of a token while they come one by one.
#[derive(Debug, Default)]
pub struct TokenBytesBuilder {
    length: u8,
    bytes: [u8; IN_PLACE],
    /// All of them, once they are too many.
    apart: Vec<u8>,
}

impl TokenBytesBuilder {
    /// Adds a byte at the end.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        let place = self.bytes.get_mut(usize::from(self.length));
        if let Some(place) = place.filter(|_| self.apart.is_empty()) {
            *place = byte;
            self.length += 1;
        } else {
            if self.apart.is_empty() {
                self.apart.extend_from_slice(&self.bytes);
            }
            self.apart.push(byte);
        }
    }

    /// Returns the bytes.
    #[inline]
    pub fn finish(self) -> TokenBytes {
        TokenBytes(if self.apart.is_empty() {
            Kept::InPlace {
                length: self.length,
                bytes: self.bytes,
            }
        } else {
            Kept::Apart(self.apart.into())
        })
    }
}

impl Default for TokenBytes {
    #[inline]
    fn default() -> Self {
        Self(Kept::InPlace {
            length: 0,
            bytes: [0; IN_PLACE],
        })
    }
}

impl Deref for TokenBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kept::InPlace { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or(bytes),
            Kept::Apart(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for TokenBytes {
    #[inline]
    fn from(given: &[u8]) -> Self {
        let mut bytes = [0; IN_PLACE];
        match (bytes.get_mut(..given.len()), u8::try_from(given.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(given);
                Self(Kept::InPlace { length, bytes })
            }
            _ => Self(Kept::Apart(given.into())),
        }
    }
}

impl FromIterator<u8> for TokenBytes {
    fn from_iter<I: IntoIterator<Item = u8>>(given: I) -> Self {
        let mut bytes = TokenBytesBuilder::default();
        given.into_iter().for_each(|byte| bytes.push(byte));
        bytes.finish()
    }
}

impl PartialEq for TokenBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for TokenBytes {}

impl fmt::Debug for TokenBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// As a list of numbers where people read it, else as bytes; either is read.
impl Serialize for TokenBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_seq(&**self)
        } else {
            serializer.serialize_bytes(self)
        }
    }
}

impl<'de> Deserialize<'de> for TokenBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BytesVisitor)
    }
}

struct BytesVisitor;

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = TokenBytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<TokenBytes, E> {
        Ok(bytes.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<TokenBytes, A::Error> {
        let mut bytes = TokenBytesBuilder::default();
        while let Some(byte) = list.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_bytes_of_any_length_are_kept_as_they_are() {
        assert_eq!(std::mem::size_of::<TokenText>(), 24);
        assert_eq!(std::mem::size_of::<TokenBytes>(), 24);
        for length in 0..60 {
            let text: String = "aé\u{1f600}".chars().cycle().take(length).collect();
            let kept = TokenText::from(text.as_str());
            assert_eq!(kept.as_str(), text);
            let json = serde_json::to_string(&kept).unwrap();
            assert_eq!(json, serde_json::to_string(&text).unwrap());
            assert_eq!(serde_json::from_str::<TokenText>(&json).unwrap(), kept);
            let bytes = text.as_bytes();
            let kept = TokenBytes::from(bytes);
            assert_eq!(&*kept, bytes);
            assert_eq!(bytes.iter().copied().collect::<TokenBytes>(), kept);
            let json = serde_json::to_string(&kept).unwrap();
            assert_eq!(json, serde_json::to_string(bytes).unwrap());
            assert_eq!(serde_json::from_str::<TokenBytes>(&json).unwrap(), kept);
        }
        assert!(serde_json::from_str::<TokenBytes>("[256]").is_err());
        assert_ne!(TokenBytes::from([0].as_slice()), TokenBytes::default());
    }
}
