//! Deterministic numbers from keys: the same key gives the same number on every machine.

/// Returns a well mixed number of two keys (the finaliser of `SplitMix64`, Steele et al. 2014).
pub(crate) const fn mix(a: u64, b: u64) -> u64 {
    let mut z = a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Returns a number from 0 up to 1, without 1, of a mixed key.
pub(crate) fn unit(mixed: u64) -> f64 {
    // The upper 53 bits are what a double holds exactly.
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

/// Returns a number from 0 up to `len`, without it, of a mixed key; 0 when `len` is 0.
pub(crate) fn below(mixed: u64, len: usize) -> usize {
    usize::try_from(mixed % (len.max(1) as u64)).unwrap_or(0)
}

/// Returns the key of a text.
pub(crate) fn key(text: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_fixed_and_in_range() {
        assert_eq!(mix(1, 2), mix(1, 2));
        assert_ne!(mix(1, 2), mix(2, 1));
        let mean = (0..10_000).map(|i| unit(mix(7, i))).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        assert_eq!(below(5, 0), 0);
        assert!(below(u64::MAX, 3) < 3);
    }
}
