//! The `deflate` encoding: by its standard a zlib stream, from some servers a raw one.

use super::inflate::Inflate;
use super::{Coding, Fault, Out};

pub(super) enum Deflate {
    /// Which of the two it is shows in the first two bytes; this may hold the first.
    Unknown(Option<u8>),
    Known(Box<Inflate>),
}

impl Deflate {
    pub(super) const fn new() -> Self {
        Self::Unknown(None)
    }
}

impl Coding for Deflate {
    fn push(&mut self, input: &[u8], out: &mut Out<'_>) -> Result<(), Fault> {
        if let Self::Unknown(held) = *self {
            let (start, rest) = match (held, input) {
                (_, []) => return Ok(()),
                (None, [first]) => {
                    *self = Self::Unknown(Some(*first));
                    return Ok(());
                }
                (None, [first, second, rest @ ..]) => ([*first, *second], rest),
                (Some(first), [second, rest @ ..]) => ([first, *second], rest),
            };
            *self = Self::Known(Box::new(Inflate::new(is_zlib(start))));
            self.push(&start, out)?;
            return self.push(rest, out);
        }
        let Self::Known(inflate) = self else {
            return Ok(());
        };
        if inflate.push(input, out)? < input.len() {
            return Err(Fault::Trailing);
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), Fault> {
        match self {
            Self::Known(inflate) if inflate.ended() => Ok(()),
            Self::Known(_) | Self::Unknown(_) => Err(Fault::Truncated),
        }
    }
}

/// RFC 1950 §2.2: method 8, a window of at most 32 KiB, and a check that makes both bytes, read as
/// one number, a multiple of 31. No encoder starts a raw stream like that.
fn is_zlib([method, flags]: [u8; 2]) -> bool {
    method & 0x0f == 8 && method >> 4 <= 7 && u16::from_be_bytes([method, flags]) % 31 == 0
}
