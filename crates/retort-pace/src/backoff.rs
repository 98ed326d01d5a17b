//! Arithmetic of waits: growing ones, and sums that cannot overflow.

use std::time::Duration;

use tokio::time::Instant;

use crate::settings::WAIT_MAX;

/// Returns the instant `wait` after `at`; waits are cut to a hundred years.
pub(crate) fn later(at: Instant, wait: Duration) -> Instant {
    at.checked_add(wait.min(WAIT_MAX * 100)).unwrap_or(at)
}

/// Returns nanoseconds, cut to what 64 bits hold.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns `first` doubled `times` times, at most `max`.
pub(crate) fn doubled(first: Duration, times: u32, max: Duration) -> Duration {
    let factor = 1_u32.checked_shl(times).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(max).min(WAIT_MAX)
}

/// Returns `wait` lengthened by up to a tenth, always the same for the same `seed` and `count`,
/// so that domains that were refused together do not come back together.
pub(crate) fn jittered(wait: Duration, seed: &str, count: u32) -> Duration {
    // FNV-1a, whose values are fixed for all times, unlike those of the standard hasher.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in seed.bytes().chain(count.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let part = u32::try_from((hash >> 16) % 1_000).unwrap_or(0);
    wait.saturating_add((wait / 10_000).saturating_mul(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_maximum() {
        let max = Duration::from_mins(1);
        let waits: Vec<u64> = (0..8)
            .map(|n| doubled(Duration::from_secs(1), n, max).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(doubled(Duration::MAX, u32::MAX, Duration::MAX), WAIT_MAX);
    }

    #[test]
    fn jitter_is_small_and_repeatable() {
        let wait = Duration::from_secs(10);
        let jitters: Vec<Duration> = (0..50).map(|n| jittered(wait, "a", n)).collect();
        assert!(jitters.iter().all(|j| *j >= wait && *j < wait * 11 / 10));
        assert_eq!(jitters[7], jittered(wait, "a", 7));
        assert_ne!(jitters[7], jitters[8]);
        assert_ne!(jitters[7], jittered(wait, "b", 7));
    }

    #[test]
    fn instants_do_not_overflow() {
        let now = Instant::now();
        assert!(later(now, Duration::MAX) > now);
    }
}
