//! Gzip members: one compressor that is used again and again, and reading members one by one.

use std::io::Read as _;

use libdeflater::CompressionLvl;

/// Head of a member: deflate, no name, no time, fastest, system unknown. The same bytes always.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];

/// Makes members. Level 1: on recorded exchanges level 6 is 3 % smaller and takes 40 % more time,
/// and compression is the largest part of what storing exchanges costs. A compressor is made once:
/// making one per record would cost more than compressing it.
pub(super) struct Compressor(libdeflater::Compressor);

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}

impl Compressor {
    pub(super) fn new() -> Self {
        Self(libdeflater::Compressor::new(CompressionLvl::fastest()))
    }

    /// Appends `plain` to `out` as a member.
    pub(super) fn member(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&HEAD);
        let begin = out.len();
        out.resize(begin + self.0.deflate_compress_bound(plain.len()), 0);
        let room = out.get_mut(begin..).unwrap_or_default();
        let length = self
            .0
            .deflate_compress(plain, room)
            .expect("there is as much room as the library asks for");
        out.truncate(begin + length);
        out.extend_from_slice(&crc32fast::hash(plain).to_le_bytes());
        // The length is stored modulo 2^32.
        let length = u32::try_from(plain.len() as u64 & u64::from(u32::MAX)).unwrap_or(0);
        out.extend_from_slice(&length.to_le_bytes());
    }
}

/// Returns the content of the member that `bytes` begins with, and what follows it.
pub(super) fn take_member(bytes: &[u8], max_bytes: u64) -> Result<(Vec<u8>, &[u8]), String> {
    let mut rest = bytes;
    let mut plain = Vec::new();
    let mut decoder = flate2::bufread::GzDecoder::new(&mut rest);
    (&mut decoder)
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut plain)
        .map_err(|error| format!("a gzip member is damaged: {error}"))?;
    if u64::try_from(plain.len()).unwrap_or(u64::MAX) > max_bytes {
        return Err(format!("a record is longer than {max_bytes} bytes"));
    }
    Ok((plain, rest))
}
