//! Compression: honest, and a small body that unpacks to a gigabyte.

use std::io::Write;
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::write::GzEncoder;
use flate2::{Compress, Compression, Crc, FlushCompress};

/// Size of the piece of white space that is compressed once and repeated.
const PIECE_BYTES: usize = 1024 * 1024;

/// How often it is repeated: 1 GiB in all.
const PIECES: usize = 1024;

/// Returns `plain` as gzip.
pub(super) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    let packed = encoder.write_all(plain).and_then(|()| encoder.finish());
    packed.unwrap_or_default()
}

/// Returns gzip that is valid and unpacks to 1 GiB of spaces, which JSON allows anywhere.
pub(super) fn bomb() -> Bytes {
    static BOMB: OnceLock<Bytes> = OnceLock::new();
    BOMB.get_or_init(make_bomb).clone()
}

fn make_bomb() -> Bytes {
    let piece = vec![b' '; PIECE_BYTES];
    let mut packed = Vec::with_capacity(PIECE_BYTES / 64);
    let mut deflate = Compress::new(Compression::best(), false);
    // A full flush ends on a byte and forgets what came before, so the piece can be repeated.
    if deflate
        .compress_vec(&piece, &mut packed, FlushCompress::Full)
        .is_err()
    {
        return Bytes::new();
    }
    let mut one = Crc::new();
    one.update(&piece);
    let mut sum = Crc::new();
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
    for _ in 0..PIECES {
        bomb.extend_from_slice(&packed);
        sum.combine(&one);
    }
    // An empty last block, then checksum and size.
    bomb.extend_from_slice(&[3, 0]);
    bomb.extend_from_slice(&sum.sum().to_le_bytes());
    bomb.extend_from_slice(&sum.amount().to_le_bytes());
    bomb.into()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_bomb_is_small_and_unpacks_far() {
        let packed = bomb();
        assert!(packed.len() < 2 * 1024 * 1024, "{}", packed.len());
        let mut decoder = flate2::read::GzDecoder::new(packed.as_ref());
        let mut plain = vec![0; 3 * PIECE_BYTES + 17];
        decoder.read_exact(&mut plain).unwrap();
        assert!(plain.iter().all(|byte| *byte == b' '));
        let size = packed.last_chunk::<4>().unwrap();
        assert_eq!(u32::from_le_bytes(*size) as usize, PIECES * PIECE_BYTES);
    }

    #[test]
    fn gzip_unpacks_to_the_same() {
        let mut plain = Vec::new();
        let packed = gzip(b"hello");
        let mut decoder = flate2::read::GzDecoder::new(packed.as_slice());
        decoder.read_to_end(&mut plain).unwrap();
        assert_eq!(plain, b"hello");
    }
}
