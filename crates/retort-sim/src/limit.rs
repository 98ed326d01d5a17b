//! Limits as servers keep them: buckets or fixed windows, for requests, tokens and concurrency.
//!
//! Time is the time since the fleet started, passed in.

use std::time::Duration;

use crate::spec::{LimitKind, LimitSpec};

const MINUTE: Duration = Duration::from_mins(1);

/// Tolerance for sums of binary fractions, in requests or tokens.
const EPSILON: f64 = 1e-6;

/// Counts one kind of thing against a limit.
#[derive(Debug, Clone)]
struct Meter {
    /// Most at once (bucket) or per window.
    capacity: f64,
    /// Refill of a bucket; capacity over length for a window.
    per_second: f64,
    /// Length of a window; a bucket has none.
    window: Option<Duration>,
    /// What is left; below zero after a charge that was known too late.
    level: f64,
    /// Time of `level` (bucket) or begin of the window.
    at: Duration,
}

impl Meter {
    fn new(capacity: f64, per_second: f64, window: Option<Duration>) -> Self {
        Self {
            capacity,
            per_second,
            window,
            level: capacity,
            at: Duration::ZERO,
        }
    }

    fn advance(&mut self, now: Duration) {
        match self.window {
            None => {
                let passed = now.saturating_sub(self.at).as_secs_f64();
                self.level = (self.level + passed * self.per_second).min(self.capacity);
                self.at = self.at.max(now);
            }
            Some(length) => {
                let begin = window_begin(now, length);
                if begin > self.at {
                    // What was charged beyond the last window weighs on this one.
                    self.level = (self.capacity + self.level.min(0.0)).min(self.capacity);
                    self.at = begin;
                }
            }
        }
    }

    /// Returns the time until `amount` is there; zero when it is.
    fn wait_for(&mut self, amount: f64, now: Duration) -> Duration {
        self.advance(now);
        let missing = amount.min(self.capacity) - self.level;
        if missing <= EPSILON {
            return Duration::ZERO;
        }
        match self.window {
            None => seconds(missing / self.per_second),
            Some(length) => (self.at + length).saturating_sub(now),
        }
    }

    /// Returns the time until everything is there again.
    fn reset(&mut self, now: Duration) -> Duration {
        self.wait_for(self.capacity, now)
    }
}

/// Returns the begin of the window that `now` falls into.
fn window_begin(now: Duration, length: Duration) -> Duration {
    let nanos = length.as_nanos().max(1);
    let begin = now.as_nanos() / nanos * nanos;
    Duration::from_nanos(u64::try_from(begin).unwrap_or(u64::MAX))
}

/// Returns this many seconds, at most a day: no hint says more.
fn seconds(count: f64) -> Duration {
    Duration::from_secs_f64(count.clamp(0.0, 86_400.0))
}

/// What a refused request ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exhausted {
    Requests,
    Tokens,
    Concurrency,
}

/// A refusal: what was exhausted, and when one request would be admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) exhausted: Exhausted,
    pub(crate) wait: Duration,
}

/// How a limit stands, for headers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Standing {
    /// The limit per minute.
    pub(crate) per_minute: u64,
    /// What is left just now.
    pub(crate) remaining: u64,
    /// Time until everything is there again.
    pub(crate) reset: Duration,
}

/// The limits of a provider with their counts.
#[derive(Debug)]
pub(crate) struct Limiter {
    requests: Option<Meter>,
    tokens: Option<Meter>,
    concurrency: Option<u32>,
    running: u32,
    /// What a request refused for concurrency is told: about when another one ends.
    busy: Duration,
}

impl Limiter {
    /// Returns full limits. `busy` is the usual time of an answer.
    pub(crate) fn new(spec: &LimitSpec, busy: Duration) -> Self {
        let rate = spec
            .requests_per_second
            .map(|rate| (rate, Duration::from_secs(1)))
            .or_else(|| spec.requests_per_minute.map(|rate| (rate, MINUTE)));
        let requests = rate.map(|(count, length)| {
            let per_second = count / length.as_secs_f64();
            match spec.kind {
                LimitKind::Window => Meter::new(count.floor(), per_second, Some(length)),
                LimitKind::Bucket => {
                    let burst = spec.burst.map_or(per_second.max(1.0), f64::from);
                    Meter::new(burst, per_second, None)
                }
            }
        });
        let tokens = spec.tokens_per_minute.map(|count| {
            let window = (spec.kind == LimitKind::Window).then_some(MINUTE);
            Meter::new(count as f64, count as f64 / 60.0, window)
        });
        Self {
            requests,
            tokens,
            concurrency: spec.concurrency,
            running: 0,
            busy: busy.max(Duration::from_millis(1)),
        }
    }

    /// Admits one request with a prompt of this many tokens, or says why not. Nothing is charged
    /// for a refused one. An admitted one must be [released](Self::release).
    pub(crate) fn admit(&mut self, now: Duration, prompt_tokens: u64) -> Result<(), Refusal> {
        let refused = |exhausted, wait| Err(Refusal { exhausted, wait });
        if self.concurrency.is_some_and(|most| self.running >= most) {
            return refused(Exhausted::Concurrency, self.busy);
        }
        if let Some(meter) = &mut self.requests {
            let wait = meter.wait_for(1.0, now);
            if wait > Duration::ZERO {
                return refused(Exhausted::Requests, wait);
            }
        }
        if let Some(meter) = &mut self.tokens {
            let wait = meter.wait_for(prompt_tokens as f64, now);
            if wait > Duration::ZERO {
                return refused(Exhausted::Tokens, wait);
            }
            meter.level -= prompt_tokens as f64;
        }
        if let Some(meter) = &mut self.requests {
            meter.level -= 1.0;
        }
        self.running += 1;
        Ok(())
    }

    /// Charges the tokens of an answer, which were not known when it was admitted.
    pub(crate) fn charge(&mut self, now: Duration, tokens: u64) {
        if let Some(meter) = &mut self.tokens {
            meter.advance(now);
            meter.level -= tokens as f64;
        }
    }

    /// Ends an admitted request.
    pub(crate) fn release(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Returns how requests stand, when they are limited.
    pub(crate) fn requests(&mut self, now: Duration) -> Option<Standing> {
        self.requests.as_mut().map(|meter| standing(meter, now))
    }

    /// Returns how tokens stand, when they are limited.
    pub(crate) fn tokens(&mut self, now: Duration) -> Option<Standing> {
        self.tokens.as_mut().map(|meter| standing(meter, now))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts above zero, far below 2^53; `as` saturates"
)]
fn standing(meter: &mut Meter, now: Duration) -> Standing {
    let reset = meter.reset(now);
    Standing {
        per_minute: (meter.per_second * 60.0).round().max(1.0) as u64,
        remaining: (meter.level + EPSILON).floor().max(0.0) as u64,
        reset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(spec: &LimitSpec) -> Limiter {
        Limiter::new(spec, Duration::from_millis(50))
    }

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_bucket_admits_its_burst_and_then_its_rate() {
        let mut limiter = limiter(&LimitSpec {
            requests_per_second: Some(10.0),
            burst: Some(3),
            ..LimitSpec::default()
        });
        for _ in 0..3 {
            assert_eq!(limiter.admit(ms(1), 0), Ok(()));
        }
        let refusal = limiter.admit(ms(1), 0).unwrap_err();
        assert_eq!(refusal.exhausted, Exhausted::Requests);
        assert_eq!(refusal.wait, ms(100));
        assert!(limiter.admit(ms(100), 0).is_err());
        assert_eq!(limiter.admit(ms(101), 0), Ok(()));
        assert_eq!(limiter.requests(ms(101)).map(|s| s.remaining), Some(0));
        assert_eq!(limiter.requests(ms(9_000)).map(|s| s.remaining), Some(3));
        assert_eq!(limiter.requests(ms(9_000)).map(|s| s.per_minute), Some(600));
    }

    #[test]
    fn a_window_admits_its_count_and_tells_its_end() {
        let mut limiter = limiter(&LimitSpec {
            requests_per_second: Some(2.0),
            kind: LimitKind::Window,
            ..LimitSpec::default()
        });
        assert_eq!(limiter.admit(ms(900), 0), Ok(()));
        assert_eq!(limiter.admit(ms(950), 0), Ok(()));
        assert_eq!(limiter.admit(ms(960), 0).unwrap_err().wait, ms(40));
        assert_eq!(limiter.admit(ms(1_000), 0), Ok(()));
        assert_eq!(limiter.admit(ms(1_000), 0), Ok(()));
        assert_eq!(limiter.admit(ms(1_000), 0).unwrap_err().wait, ms(1_000));
    }

    #[test]
    fn tokens_are_charged_as_they_become_known() {
        let mut limiter = limiter(&LimitSpec {
            tokens_per_minute: Some(600),
            ..LimitSpec::default()
        });
        assert_eq!(limiter.admit(ms(0), 100), Ok(()));
        limiter.charge(ms(0), 550);
        let refusal = limiter.admit(ms(0), 10).unwrap_err();
        // 50 over and 10 to come, at 10 tokens per second.
        assert_eq!(refusal.exhausted, Exhausted::Tokens);
        assert_eq!(refusal.wait, ms(6_000));
        assert_eq!(limiter.admit(ms(6_000), 10), Ok(()));
        // A prompt larger than the limit waits for a full bucket, not for ever.
        assert_eq!(
            limiter.admit(ms(6_000), 5_000).unwrap_err().wait,
            ms(60_000)
        );
        assert_eq!(limiter.admit(ms(66_000), 5_000), Ok(()));
    }

    #[test]
    fn concurrency_counts_what_runs_and_refusals_cost_nothing() {
        let mut limiter = limiter(&LimitSpec {
            concurrency: Some(1),
            requests_per_minute: Some(1.0),
            burst: Some(2),
            ..LimitSpec::default()
        });
        assert_eq!(limiter.admit(ms(0), 0), Ok(()));
        for _ in 0..5 {
            let refusal = limiter.admit(ms(0), 0).unwrap_err();
            assert_eq!(refusal.exhausted, Exhausted::Concurrency);
            assert_eq!(refusal.wait, ms(50));
        }
        limiter.release();
        assert_eq!(limiter.admit(ms(0), 0), Ok(()));
        limiter.release();
        assert_eq!(
            limiter.admit(ms(0), 0).unwrap_err().exhausted,
            Exhausted::Requests
        );
    }

    proptest::proptest! {
        #[test]
        fn never_more_than_burst_and_rate(
            gaps in proptest::collection::vec(0_u64..400, 1..200),
            rate in 1_u32..20,
            burst in 1_u32..6,
        ) {
            let mut limiter = limiter(&LimitSpec {
                requests_per_second: Some(f64::from(rate)),
                burst: Some(burst),
                ..LimitSpec::default()
            });
            let mut now = Duration::ZERO;
            let mut admitted: Vec<Duration> = Vec::new();
            for gap in gaps {
                now += ms(gap);
                match limiter.admit(now, 0) {
                    Ok(()) => admitted.push(now),
                    // The hint is exact: after it, one request is admitted.
                    Err(refusal) => {
                        now += refusal.wait;
                        proptest::prop_assert_eq!(limiter.admit(now, 0), Ok(()));
                        admitted.push(now);
                    }
                }
            }
            for (i, from) in admitted.iter().enumerate() {
                for (j, to) in admitted.iter().enumerate().skip(i) {
                    let most = f64::from(burst) + f64::from(rate) * to.saturating_sub(*from).as_secs_f64();
                    proptest::prop_assert!(((j - i + 1) as f64) <= most + 1e-3);
                }
            }
        }
    }
}
