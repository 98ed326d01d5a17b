//! `limits: auto`: from one request a second up to what the provider serves.
//!
//! **Announced.** A provider that tells its limit with the first answer is asked at 5 % below it
//! from then on. Where it tells nothing, the rate doubles every second, by small steps and only
//! while it is used, until something is refused, the provider says that nothing is left, or the
//! cap is reached. What follows is the search of [`crate::learned`], which keeps 10 % below the
//! lowest rate that was refused, and 5 % below a limit that could be calculated.
//!
//! **What it costs.** Let the true limit be `R` requests a second, the start `S = 1` a second and
//! the doubling time `T = 1 s`. Reaching `R` takes `T · log2(R / S)`, in which `T · (R − S) / ln 2`
//! requests are served that would have taken `1 / R` each, so that the ramp loses
//! `T · (log2 R − 1.44)`: 1.9 s at 10 a second, 4.2 s at 50, 7.5 s at 500. The pause after the
//! first refusal and the search lose some 2 to 4 s more, and staying 5 to 10 % below the limit
//! 5 to 11 % of the rest. A quarter above the ideal time is therefore met from about a minute of
//! ideal time on (3,000 requests at 50 a second: 60 s + 4 s + 3 s + up to 6 s of 75 s), and cannot
//! be met by any start at one a second when the limit would serve everything within some seconds:
//! 3,000 requests at 500 a second are 6 s of work, of which a quarter is 1.5 s, less than the ramp.
//! Only an announced limit helps there, since it is used from the first answer on.
//!
//! **How far it overshoots.** The rate passes `R` by what the provider's bucket of `B` requests
//! lets through, `x − 1 − ln x = B · ln 2 / (T · R)` with `x` the factor above `R` (1.6 for a bucket
//! of a fifth of a second), and by `2^(d / T)` while the first refusal is on its way for `d`. Half
//! of the refused rate is therefore below twice the limit whenever that factor is below four;
//! larger buckets than that (minutes at once) are limits per minute, in which seconds do not count.

use std::time::Duration;

use tokio::time::Instant;

/// Part of an announced limit that is used: their clock is not ours.
pub(crate) const BELOW_ANNOUNCED: f64 = 0.95;

/// Parts that are used of a rate that is surely served, and of one that was refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Margins {
    /// Whether they are those of `limits: auto`.
    pub(crate) auto: bool,
    pub(crate) estimate: f64,
    pub(crate) refused: f64,
    /// A step of the search: its part of the way to what was refused, and the most it may be as a
    /// part of the rate.
    pub(crate) step: (f64, f64),
}

impl Margins {
    /// Returns those of `limits: auto`, or those of a configured limit that proved too high.
    pub(crate) const fn of(auto: bool) -> Self {
        if auto {
            // Much is left to be asked while the rate is found, so that the steps are large.
            return Self {
                auto,
                estimate: 0.95,
                refused: 0.9,
                step: (0.5, 0.5),
            };
        }
        Self {
            auto,
            estimate: 0.97,
            refused: 0.95,
            step: (0.25, 0.25),
        }
    }
}

/// Time in which the rate doubles.
const DOUBLING: Duration = Duration::from_millis(600);

/// The rate grows in steps of this length, or of one request.
const STEP: Duration = Duration::from_millis(100);

/// Part of the rate that must be used for it to grow.
const USED: f64 = 0.7;

/// The fastest rate that is tried where nothing is configured, in requests a second.
const FASTEST: f64 = 100_000.0;

/// A rate that grows while it is used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Ramp {
    since: Option<Instant>,
    used: u32,
}

impl Ramp {
    /// The rate it begins with, in requests a second: 60 a minute.
    pub(crate) const START: f64 = 1.0;

    /// Takes note that a request starts.
    pub(crate) fn started(&mut self, now: Instant) {
        self.used = self.used.saturating_add(1);
        self.since.get_or_insert(now);
    }

    /// Returns a higher rate than `rate` when it is time for one.
    pub(crate) fn grown(&mut self, rate: f64, now: Instant) -> Option<f64> {
        let passed = now.saturating_duration_since(self.since?);
        if passed < STEP {
            return None;
        }
        let due = USED * rate * passed.as_secs_f64();
        if f64::from(self.used) < due.floor() || self.used == 0 {
            // It was not used: what passed says nothing.
            if passed >= DOUBLING * 2 {
                *self = Self::default();
            }
            return None;
        }
        let part = passed.min(DOUBLING).as_secs_f64() / DOUBLING.as_secs_f64();
        *self = Self {
            since: Some(now),
            used: 0,
        };
        Some((rate * part.exp2()).min(FASTEST))
    }
}
