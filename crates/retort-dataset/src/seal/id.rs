//! Ids of rows in memory: a million of them must not be a million texts.

use std::cmp::Ordering;
use std::fmt;

/// An id, in the order and with the equality of its text.
///
/// Ids that we made are 32 lowercase hexadecimal digits or a UUID; those take 16 bytes. An import
/// may bring others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Id {
    /// 32 lowercase hexadecimal digits.
    Hex([u8; 16]),
    /// A UUID in lowercase with its hyphens.
    Uuid([u8; 16]),
    /// Any other text.
    Other(Box<str>),
}

/// Where a UUID has its hyphens.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl Id {
    /// Returns the id that reads `text`.
    pub(super) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let id = match bytes.len() {
            32 => digits(bytes.iter()).map(Self::Hex),
            36 if HYPHENS.iter().all(|at| bytes.get(*at) == Some(&b'-')) => {
                let others = bytes.iter().enumerate();
                let others = others.filter(|(at, _)| !HYPHENS.contains(at));
                digits(others.map(|(_, byte)| byte)).map(Self::Uuid)
            }
            _ => None,
        };
        id.unwrap_or_else(|| Self::Other(text.into()))
    }
}

/// Reads 32 lowercase hexadecimal digits.
fn digits<'a>(mut text: impl Iterator<Item = &'a u8>) -> Option<[u8; 16]> {
    let mut digit = || match *text.next()? {
        byte @ b'0'..=b'9' => Some(byte - b'0'),
        byte @ b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 16];
    for byte in &mut bytes {
        *byte = digit()? << 4 | digit()?;
    }
    Some(bytes)
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, hyphens) = match self {
            Self::Other(text) => return f.write_str(text),
            Self::Hex(bytes) => (bytes, &[][..]),
            Self::Uuid(bytes) => (bytes, &HYPHENS[..]),
        };
        let mut at = 0;
        for byte in bytes {
            if hyphens.contains(&at) {
                f.write_str("-")?;
                at += 1;
            }
            write!(f, "{byte:02x}")?;
            at += 2;
        }
        Ok(())
    }
}

impl Ord for Id {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            // Digits order as the numbers they write, and hyphens stand at the same places.
            (Self::Hex(a), Self::Hex(b)) | (Self::Uuid(a), Self::Uuid(b)) => a.cmp(b),
            _ => self.to_string().cmp(&other.to_string()),
        }
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn our_ids_take_sixteen_bytes() {
        let uuid = "019ab5f0-7c1e-7d2a-9f00-0123456789ab";
        assert!(matches!(Id::of(uuid), Id::Uuid(_)));
        assert!(matches!(Id::of(&uuid.replace('-', "")), Id::Hex(_)));
        assert!(matches!(Id::of(&uuid.to_uppercase()), Id::Other(_)));
        assert!(matches!(
            Id::of("019ab5f0-7c1e-7d2a-9f00-0123456789é"),
            Id::Other(_)
        ));
        assert!(size_of::<Id>() <= 24);
    }

    proptest! {
        #[test]
        fn ids_read_and_order_as_their_texts(
            a in "[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9A-Fg-]{0,40}|\\PC{0,40}",
            b in "[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9A-Fg-]{0,40}|\\PC{0,40}",
        ) {
            prop_assert_eq!(Id::of(&a).to_string(), a.clone());
            prop_assert_eq!(Id::of(&a).cmp(&Id::of(&b)), a.cmp(&b));
            prop_assert_eq!(Id::of(&a) == Id::of(&b), a == b);
        }
    }
}
