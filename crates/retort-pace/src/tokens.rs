//! A bucket of tokens: charged with an estimate before a request, corrected after it.

use std::num::NonZeroU64;
use std::time::Duration;

use retort_types::Limits;
use tokio::time::Instant;

use crate::backoff::later;

/// The longest that one charge may be waited for: an absurd estimate must not stop a domain.
const DEBT_MAX: Duration = Duration::from_mins(10);

/// Less than this is rounding, not tokens.
const ROUNDING: f64 = 1e-6;

/// Tokens at an even rate.
#[derive(Debug)]
struct TokenBucket {
    per_second: f64,
    capacity: f64,
    level: f64,
    at: Instant,
}

impl TokenBucket {
    /// Returns a bucket that holds what `per_minute` allows in `window`; full, or empty when an
    /// earlier owner may have used it up.
    fn new(per_minute: NonZeroU64, window: Duration, full: bool, now: Instant) -> Self {
        let per_second = per_minute.get() as f64 / 60.0;
        let window = window.clamp(Duration::from_secs(1), Duration::from_mins(1));
        let capacity = (per_second * window.as_secs_f64()).max(1.0);
        Self {
            per_second,
            capacity,
            level: if full { capacity } else { 0.0 },
            at: now,
        }
    }

    fn level_at(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.capacity.min(self.level + passed * self.per_second)
    }

    /// Returns when a request of `tokens` may start: when they are there, or the bucket is full.
    /// Not later than `now` when it may at once.
    fn ready_at(&self, now: Instant, tokens: u64) -> Instant {
        let needed = (tokens as f64).clamp(1.0, self.capacity);
        let missing = needed - self.level_at(now);
        let time_of = |tokens: f64| {
            Duration::try_from_secs_f64(tokens / self.per_second).unwrap_or(Duration::MAX)
        };
        if missing <= ROUNDING {
            let since = later(self.at, time_of((needed - self.level).max(0.0)));
            return since.min(now);
        }
        let wait = time_of(missing);
        // Rounded up, so that a poll at that instant finds the tokens there.
        later(now, wait.saturating_add(Duration::from_micros(1)))
    }

    /// Charges `tokens`.
    fn take(&mut self, now: Instant, tokens: u64) {
        self.change(now, -(tokens as f64));
    }

    /// Replaces an earlier charge of `estimated` by the `actual` tokens.
    fn correct(&mut self, now: Instant, estimated: u64, actual: u64) {
        self.change(now, estimated as f64 - actual as f64);
    }

    fn change(&mut self, now: Instant, by: f64) {
        let floor = -self.per_second * DEBT_MAX.as_secs_f64();
        self.level = (self.level_at(now) + by).clamp(floor, self.capacity);
        self.at = self.at.max(now);
    }
}

/// The buckets of all tokens, those of prompts and those of answers; each where it is limited.
#[derive(Debug)]
pub(crate) struct TokenBuckets([Option<TokenBucket>; 3]);

impl TokenBuckets {
    /// Returns the buckets that `limits` call for.
    pub(crate) fn new(limits: &Limits, window: Duration, full: bool, now: Instant) -> Self {
        let limits = [
            limits.tokens_per_minute,
            limits.input_tokens_per_minute,
            limits.output_tokens_per_minute,
        ];
        Self(limits.map(|limit| Some(TokenBucket::new(limit?, window, full, now))))
    }

    /// Returns when a request may start, if tokens are limited; not later than `now` when at once.
    pub(crate) fn ready_at(&self, now: Instant, input: u64, output: u64) -> Option<Instant> {
        let needed = self.0.iter().zip(counted(input, output));
        needed
            .filter_map(|(bucket, tokens)| Some(bucket.as_ref()?.ready_at(now, tokens)))
            .max()
    }

    /// Charges a request.
    pub(crate) fn take(&mut self, now: Instant, input: u64, output: u64) {
        for (bucket, tokens) in self.0.iter_mut().zip(counted(input, output)) {
            if let Some(bucket) = bucket {
                bucket.take(now, tokens);
            }
        }
    }

    /// Replaces the charge of a request, estimated by (prompt, answer), by the actual one.
    pub(crate) fn correct(&mut self, now: Instant, estimated: (u64, u64), actual: (u64, u64)) {
        let estimated = counted(estimated.0, estimated.1).into_iter();
        let charges = estimated.zip(counted(actual.0, actual.1));
        for (bucket, (estimated, actual)) in self.0.iter_mut().zip(charges) {
            if let Some(bucket) = bucket {
                bucket.correct(now, estimated, actual);
            }
        }
    }
}

/// Returns what a request counts: all its tokens, those of the prompt, those of the answer.
const fn counted(input: u64, output: u64) -> [u64; 3] {
    [input.saturating_add(output), input, output]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(now: Instant) -> TokenBucket {
        TokenBucket::new(
            NonZeroU64::new(6_000).unwrap(),
            Duration::from_secs(10),
            true,
            now,
        )
    }

    #[test]
    fn an_estimate_is_charged_and_corrected() {
        let now = Instant::now();
        let mut tokens = bucket(now);
        assert_eq!(tokens.ready_at(now, 1_000), now);
        tokens.take(now, 1_000);
        let ready = tokens.ready_at(now, 500);
        assert_eq!((ready - now).as_secs(), 5);
        let since = tokens.ready_at(ready, 500);
        assert!(since <= ready && (ready - since).as_millis() < 1);
        // The answer was twice as long: the debt is waited for.
        tokens.correct(now, 1_000, 2_000);
        assert_eq!((tokens.ready_at(now, 1) - now).as_secs(), 10);
        // It was shorter than it seemed.
        tokens.correct(now, 2_000, 0);
        assert_eq!(tokens.ready_at(now, 1_000), now);
    }

    #[test]
    fn more_than_fits_starts_when_full_and_absurd_numbers_pass() {
        let now = Instant::now();
        let mut tokens = bucket(now);
        assert_eq!(tokens.ready_at(now, u64::MAX), now);
        tokens.take(now, u64::MAX);
        assert_eq!(
            (tokens.ready_at(now, u64::MAX) - now).as_secs(),
            600 + 10,
            "debt is bounded"
        );
        tokens.correct(now, u64::MAX, u64::MAX);
        tokens.correct(now, 0, u64::MAX);
        tokens.correct(now, u64::MAX, 0);
        assert_eq!(tokens.ready_at(now, 1), now);
    }
}
