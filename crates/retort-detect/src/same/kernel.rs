//! Kernels on texts: the Gram matrix of the replies to one prompt, computed once.

use rayon::prelude::*;

use super::Kernel;

/// Buckets that runs of characters are hashed into. The hashed cosine stays a kernel; with 1,000
/// characters of a reply, few runs meet by chance.
const BUCKETS: usize = 1_024;

/// Stands behind the end of a shorter reply, beyond every character.
const PADDING: u32 = u32::MAX;

/// Similarities of the replies to one prompt.
#[derive(Debug)]
pub(crate) struct Gram {
    pub(crate) count: usize,
    /// Square, row by row.
    pub(crate) values: Vec<f32>,
}

impl Gram {
    /// Compares the first `chars` characters of every two of `texts`.
    pub(crate) fn of(texts: &[&str], kernel: Kernel, chars: usize) -> Self {
        match kernel {
            Kernel::Hamming => {
                let rows = padded(texts, chars);
                Self::fill(texts.len(), |one, other| {
                    agreement(&rows[one], &rows[other])
                })
            }
            Kernel::Grams(length) => {
                let rows: Vec<Vec<f32>> = texts
                    .par_iter()
                    .map(|text| hashed(text, length.max(1), chars))
                    .collect();
                Self::fill(texts.len(), |one, other| dot(&rows[one], &rows[other]))
            }
        }
    }

    fn fill(count: usize, similarity: impl Fn(usize, usize) -> f32 + Sync) -> Self {
        let halves: Vec<Vec<f32>> = (0..count)
            .into_par_iter()
            .map(|one| (one..count).map(|other| similarity(one, other)).collect())
            .collect();
        let mut values = vec![0.0; count * count];
        for (one, half) in halves.iter().enumerate() {
            for (offset, value) in half.iter().enumerate() {
                values[one * count + one + offset] = *value;
                values[(one + offset) * count + one] = *value;
            }
        }
        Self { count, values }
    }
}

/// Returns the characters of each text, as long as the longest.
fn padded(texts: &[&str], chars: usize) -> Vec<Vec<u32>> {
    let mut rows: Vec<Vec<u32>> = texts
        .iter()
        .map(|text| text.chars().take(chars).map(u32::from).collect())
        .collect();
    let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
    for row in &mut rows {
        row.resize(longest, PADDING);
    }
    rows
}

/// Returns the share of positions that agree; 1 for two empty texts.
fn agreement(one: &[u32], other: &[u32]) -> f32 {
    if one.is_empty() {
        return 1.0;
    }
    let equal: u32 = one.iter().zip(other).map(|(a, b)| u32::from(a == b)).sum();
    equal as f32 / one.len() as f32
}

/// Returns the counts of runs of `length` characters by bucket, at unit length. A text shorter than
/// a run is one run; so is an empty one.
fn hashed(text: &str, length: usize, chars: usize) -> Vec<f32> {
    let chars: Vec<u32> = text.chars().take(chars).map(u32::from).collect();
    let mut counts = vec![0.0_f32; BUCKETS];
    let mut add = |run: &[u32]| counts[bucket(run)] += 1.0;
    if chars.len() < length {
        add(&chars);
    } else {
        chars.windows(length).for_each(add);
    }
    let norm = counts.iter().map(|count| count * count).sum::<f32>().sqrt();
    for count in &mut counts {
        *count /= norm;
    }
    counts
}

/// Returns the bucket of a run: FNV-1a over its characters, folded.
fn bucket(run: &[u32]) -> usize {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for c in run {
        hash = (hash ^ u64::from(*c)).wrapping_mul(0x0100_0000_01b3);
    }
    let folded = (hash ^ (hash >> 32)) % BUCKETS as u64;
    usize::try_from(folded).unwrap_or(0)
}

/// Returns the inner product, in eight sums so that it is vectorised without changing with the
/// machine.
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    for (a, b) in one.chunks_exact(8).zip(other.chunks_exact(8)) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gram(texts: &[&str], kernel: Kernel) -> Vec<f32> {
        Gram::of(texts, kernel, 1_000).values
    }

    #[test]
    fn hamming_counts_positions() {
        let values = gram(&["abcd", "abxd", "ab", ""], Kernel::Hamming);
        assert_eq!(values[..4], [1.0, 0.75, 0.5, 0.0]);
        // The ends of both shorter ones agree where both have ended.
        assert!((values[2 * 4 + 3] - 0.5).abs() < 1e-6);
        assert_eq!(gram(&["", ""], Kernel::Hamming), [1.0; 4]);
    }

    #[test]
    fn grams_see_words_that_moved() {
        let texts = [
            "one two three four",
            "three four one two",
            "völlig anders, 完全不同",
        ];
        let [hamming, grams] =
            [Kernel::Hamming, Kernel::Grams(3)].map(|kernel| gram(&texts, kernel));
        assert!(grams[1] > 0.7 && hamming[1] < 0.4, "{grams:?} {hamming:?}");
        assert!(grams[2] < 0.3, "{grams:?}");
        for one in 0..3 {
            assert!((grams[one * 4] - 1.0).abs() < 1e-5);
            for other in 0..3 {
                assert!((grams[one * 3 + other] - grams[other * 3 + one]).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn only_the_start_of_a_reply_counts() {
        let long = "x".repeat(1 << 20);
        let other = format!("{}y", "x".repeat(1_000));
        for kernel in [Kernel::Hamming, Kernel::Grams(3), Kernel::Grams(0)] {
            let values = gram(&[&long, &other], kernel);
            assert!((values[1] - 1.0).abs() < 1e-5);
        }
    }
}
