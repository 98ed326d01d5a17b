//! The `gzip` encoding (RFC 1952), of one or more members.

use flate2::Crc;

use super::inflate::Inflate;
use super::{Coding, Fault, Out};

/// Longest header of a member. Names and comments are not used in HTTP; without them it has 10 bytes.
const MAX_HEADER_BYTES: usize = 1024;

/// Checksum and length at the end of a member.
const TRAILER_BYTES: usize = 8;

pub(super) struct Gzip {
    inflate: Inflate,
    crc: Crc,
    part: Part,
    /// The header or trailer so far.
    held: Vec<u8>,
    members: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Header,
    Body,
    Trailer,
}

impl Gzip {
    pub(super) fn new() -> Self {
        Self {
            inflate: Inflate::new(false),
            crc: Crc::new(),
            part: Part::Header,
            held: Vec::new(),
            members: 0,
        }
    }

    /// Each of these takes from the start of `input` and returns how much.
    fn header(&mut self, input: &[u8]) -> Result<usize, Fault> {
        let known = self.held.len();
        let room = MAX_HEADER_BYTES - known;
        self.held.extend_from_slice(&input[..input.len().min(room)]);
        let Some(length) = header_length(&self.held)? else {
            if self.held.len() == MAX_HEADER_BYTES {
                return Err(Fault::Corrupt);
            }
            return Ok(input.len());
        };
        self.held.clear();
        self.part = Part::Body;
        Ok(length - known)
    }

    fn body(&mut self, input: &[u8], out: &mut Out<'_>) -> Result<usize, Fault> {
        let crc = &mut self.crc;
        let used = self.inflate.push(input, &mut |piece| {
            crc.update(piece);
            out(piece)
        })?;
        if self.inflate.ended() {
            self.part = Part::Trailer;
        }
        Ok(used)
    }

    fn trailer(&mut self, input: &[u8]) -> Result<usize, Fault> {
        let used = input.len().min(TRAILER_BYTES - self.held.len());
        self.held.extend_from_slice(&input[..used]);
        if self.held.len() == TRAILER_BYTES {
            let expected = [
                self.crc.sum().to_le_bytes(),
                self.crc.amount().to_le_bytes(),
            ];
            if self.held != expected.concat() {
                return Err(Fault::Corrupt);
            }
            self.held.clear();
            self.crc.reset();
            self.inflate.restart();
            self.part = Part::Header;
            self.members += 1;
        }
        Ok(used)
    }
}

impl Coding for Gzip {
    fn push(&mut self, mut input: &[u8], out: &mut Out<'_>) -> Result<(), Fault> {
        while !input.is_empty() {
            let used = match self.part {
                Part::Header => self.header(input),
                Part::Body => self.body(input, out),
                Part::Trailer => self.trailer(input),
            }?;
            input = &input[used..];
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), Fault> {
        if self.members > 0 && self.part == Part::Header && self.held.is_empty() {
            return Ok(());
        }
        Err(Fault::Truncated)
    }
}

/// Returns the length of the header that `bytes` start with, or nothing when more are needed.
/// Its own checksum is not compared: nothing in a header reaches the body.
fn header_length(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
    const HAS_CRC: u8 = 2;
    const HAS_EXTRA: u8 = 4;
    const HAS_NAME: u8 = 8;
    const HAS_COMMENT: u8 = 16;
    const RESERVED: u8 = 0xe0;
    if bytes.iter().zip(MAGIC).any(|(byte, magic)| *byte != magic) {
        return Err(Fault::Corrupt);
    }
    let Some(flags) = bytes.get(3) else {
        return Ok(None);
    };
    if flags & RESERVED != 0 {
        return Err(Fault::Corrupt);
    }
    let mut length = 10;
    if flags & HAS_EXTRA != 0 {
        let Some(extra) = bytes.get(length..length + 2) else {
            return Ok(None);
        };
        length += 2 + extra
            .iter()
            .rev()
            .fold(0, |sum, b| sum << 8 | usize::from(*b));
    }
    for flag in [HAS_NAME, HAS_COMMENT] {
        if flags & flag != 0 {
            let rest = bytes.get(length..).unwrap_or_default();
            let Some(end) = rest.iter().position(|byte| *byte == 0) else {
                return Ok(None);
            };
            length += end + 1;
        }
    }
    if flags & HAS_CRC != 0 {
        length += 2;
    }
    Ok((bytes.len() >= length).then_some(length))
}
