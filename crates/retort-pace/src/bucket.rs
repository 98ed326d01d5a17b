//! A bucket of requests: even pacing by the generic cell rate algorithm of `governor`.
//!
//! `governor` tests and takes in one step. Several limits must be tested before any is taken, so
//! the state is kept here, and the key of a check says whether it may be changed.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use crate::backoff::{later, nanos};

/// Rates below this many requests a second get no burst: late timers cost them next to nothing.
const BURST_FROM_PER_SECOND: f64 = 1.0;

/// Longest distance of two requests: slower rates are not needed, and sums of it cannot overflow.
const PERIOD_MAX: Duration = Duration::from_hours(1);

/// What a check is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Purpose {
    Look,
    Take,
}

/// The theoretical arrival time, in nanoseconds since the bucket's origin.
#[derive(Debug, Clone, Default)]
struct Arrival(Arc<AtomicU64>);

impl StateStore for Arrival {
    type Key = Purpose;

    fn measure_and_replace<T, F, E>(&self, key: &Purpose, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // One owner calls, so that load and store need not be one step.
        let (result, next) = f(Some(Nanos::from(self.0.load(Ordering::Relaxed))))?;
        if *key == Purpose::Take {
            self.0.store(next.into(), Ordering::Relaxed);
        }
        Ok(result)
    }
}

/// The time that was passed in, in nanoseconds since the bucket's origin.
#[derive(Debug, Clone, Default)]
struct PassedTime(Arc<AtomicU64>);

impl Clock for PassedTime {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.load(Ordering::Relaxed))
    }
}

/// Requests at an even rate with a small burst.
#[derive(Debug)]
pub(crate) struct RequestBucket {
    limiter: RateLimiter<Purpose, Arrival, PassedTime, NoOpMiddleware<Nanos>>,
    arrival: Arrival,
    time: PassedTime,
    origin: Instant,
    period: Duration,
    tolerance: Duration,
    /// The arrival time before and after the last request taken.
    last: (u64, u64),
}

impl RequestBucket {
    /// Returns a full bucket for `rate` requests a second, which must be above zero.
    pub(crate) fn full(rate: f64, burst_window: Duration, now: Instant) -> Self {
        let period = period(rate);
        let burst = burst(rate, burst_window);
        let quota = Quota::with_period(period)
            .expect("a period is at least a nanosecond")
            .allow_burst(burst);
        let (arrival, time) = (Arrival::default(), PassedTime::default());
        Self {
            limiter: RateLimiter::new(quota, arrival.clone(), time.clone()),
            arrival,
            time,
            origin: now,
            period,
            tolerance: period.saturating_mul(burst.get() - 1),
            last: (0, 0),
        }
    }

    /// Returns an empty bucket: whatever an earlier owner started until now, the bound holds.
    pub(crate) fn empty(rate: f64, burst_window: Duration, now: Instant) -> Self {
        let bucket = Self::full(rate, burst_window, now);
        bucket.hold_until(later(now, bucket.period));
        bucket
    }

    /// Returns when the next request may start; not later than `now` when it may at once.
    pub(crate) fn ready_at(&self, now: Instant) -> Instant {
        self.set_time(now);
        match self.limiter.check_key(&Purpose::Look) {
            Ok(()) => {
                let arrival = Duration::from_nanos(self.arrival.0.load(Ordering::Relaxed));
                later(self.origin, arrival.saturating_sub(self.tolerance)).min(now)
            }
            Err(not_until) => later(
                self.origin,
                Duration::from_nanos(not_until.earliest_possible().into()),
            ),
        }
    }

    /// Takes one request, which [`RequestBucket::ready_at`] must have allowed at `now`.
    pub(crate) fn take(&mut self, now: Instant) {
        self.set_time(now);
        let before = self.arrival.0.load(Ordering::Relaxed);
        let taken = self.limiter.check_key(&Purpose::Take);
        debug_assert!(taken.is_ok(), "a request was taken that was not ready");
        self.last = (before, self.arrival.0.load(Ordering::Relaxed));
    }

    /// Gives back the last request that was taken, when nothing was held up since. An earlier one
    /// cannot be given back: what came after it may have used its place.
    pub(crate) fn give_back_last(&self) {
        let (before, after) = self.last;
        if self.arrival.0.load(Ordering::Relaxed) == after {
            self.arrival.0.store(before, Ordering::Relaxed);
        }
    }

    /// Lets nothing start before `at`, and then only evenly: nothing is saved up until then.
    pub(crate) fn hold_until(&self, at: Instant) {
        let at = at.saturating_duration_since(self.origin);
        let arrival = nanos(at).saturating_add(nanos(self.tolerance));
        self.arrival.0.fetch_max(arrival, Ordering::Relaxed);
    }

    fn set_time(&self, now: Instant) {
        let passed = now.saturating_duration_since(self.origin);
        self.time.0.store(nanos(passed), Ordering::Relaxed);
    }
}

/// Returns the distance of two requests, rounded up so that the rate is never exceeded.
fn period(rate: f64) -> Duration {
    let period_nanos = (1e9 / rate).ceil();
    Duration::try_from_secs_f64(period_nanos / 1e9)
        .unwrap_or(PERIOD_MAX)
        .clamp(Duration::from_nanos(1), PERIOD_MAX)
}

/// Returns how many requests may start at once.
pub(crate) fn burst(rate: f64, burst_window: Duration) -> NonZeroU32 {
    if rate < BURST_FROM_PER_SECOND {
        return NonZeroU32::MIN;
    }
    let window = burst_window.min(Duration::from_secs(10)).as_secs_f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float becomes the nearest number of the type"
    )]
    let caught_up = (rate * window).ceil() as u32;
    NonZeroU32::MIN.saturating_add(caught_up)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_millis(40);

    #[test]
    fn bursts_grow_with_the_rate() {
        let bursts =
            [0.1, 0.99, 1.0, 25.0, 25.1, 50.0, 250.0, 1e12].map(|rate| burst(rate, WINDOW).get());
        assert_eq!(bursts, [1, 1, 2, 2, 3, 3, 11, u32::MAX]);
        assert_eq!(burst(50.0, Duration::MAX).get(), 501, "ten seconds at most");
    }

    #[test]
    fn looking_takes_nothing_and_taking_is_even() {
        let now = Instant::now();
        let mut bucket = RequestBucket::full(50.0, WINDOW, now);
        for _ in 0..3 {
            assert!(bucket.ready_at(now) <= now);
            assert!(bucket.ready_at(now) <= now);
            bucket.take(now);
        }
        let next = now + Duration::from_millis(20);
        assert_eq!(bucket.ready_at(now), next);
        bucket.take(next);
        assert_eq!(bucket.ready_at(next), next + Duration::from_millis(20));
    }

    #[test]
    fn an_empty_bucket_and_a_held_one_begin_with_a_single_request() {
        let now = Instant::now();
        let mut empty = RequestBucket::empty(50.0, WINDOW, now);
        let first = now + Duration::from_millis(20);
        assert_eq!(empty.ready_at(now), first);
        empty.take(first);
        assert_eq!(empty.ready_at(first), first + Duration::from_millis(20));

        let mut held = RequestBucket::full(50.0, WINDOW, now);
        let end = now + Duration::from_secs(100);
        held.hold_until(end);
        assert_eq!(held.ready_at(now), end);
        held.take(end);
        assert_eq!(held.ready_at(end), end + Duration::from_millis(20));
    }

    #[test]
    fn only_the_last_request_is_given_back_and_never_a_hold() {
        let now = Instant::now();
        let mut bucket = RequestBucket::full(0.5, WINDOW, now);
        bucket.take(now);
        bucket.give_back_last();
        assert!(bucket.ready_at(now) <= now);
        bucket.take(now);
        let end = now + Duration::from_secs(9);
        bucket.hold_until(end);
        bucket.give_back_last();
        assert_eq!(bucket.ready_at(now), end);
    }

    #[test]
    fn absurd_rates_and_waits_do_no_harm() {
        let now = Instant::now();
        for rate in [1e-30, 1.0 / 3_600.0, 1e30, f64::MAX] {
            let mut bucket = RequestBucket::full(rate, Duration::MAX, now);
            assert!(bucket.ready_at(now) <= now);
            bucket.take(now);
            bucket.hold_until(later(now, Duration::MAX));
            assert!(bucket.ready_at(now) > now);
        }
    }
}
