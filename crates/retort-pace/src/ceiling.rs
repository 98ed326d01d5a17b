//! A learned limit on requests at the same time, for providers that refuse by concurrency.
//!
//! A provider that limits a rate lets something pass after a pause. When everything sent after a
//! pause is refused while older requests are still being answered, it is their number that counts.
//!
//! Where answers are quicker than pauses there is never anything left to see. With `limits: auto`
//! another sign counts too: refusals beside the same number of others at three different rates.
//! Two are not enough: while a rate grows, fewer are in flight than the rate would have for good.
//! Until then the rate is blamed, and little is lost: at a steady rate and a steady latency, so
//! many a second and so many at the same time are the same limit.

use std::collections::VecDeque;

/// Requests that must be served at the limit before a higher one is tried.
const SERVED_BEFORE_RAISE: u32 = 20;

/// The most that must be: a try costs a pause, so that failing ones grow rare.
const SERVED_BEFORE_RAISE_MAX: u32 = 2_000;

/// The same with `limits: auto`: what was found is a tenth below what was refused, and may be no
/// limit at all, so that the first tries come soon.
const AUTO_SERVED_BEFORE_RAISE: u32 = 30;

/// By how much rarer a try is after one that was refused.
const RARER: u32 = 2;
const AUTO_RARER: u32 = 4;

/// Part of a number that was refused that is kept with `limits: auto`.
const AUTO_BELOW_REFUSED: f64 = 0.9;

/// Two rates that differ by this factor are different rates.
const OTHER_RATE: f64 = 1.1;

/// Two numbers of others that differ by at most this part are the same.
const SAME_NUMBER: f64 = 0.05;

/// Fewer others than this are the same number by chance.
const TELLING_NUMBER: u32 = 8;

/// Refusals beside this part of the limit or fewer are about something else: a limit that was halved
/// is still above.
const FAR_BELOW: u32 = 3;

/// A limit that was lowered and then served so many requests held.
const HELD_REQUESTS: u32 = 1_000;

/// Refusals that are remembered.
const REFUSALS_KEPT: usize = 6;

/// How often a limit is lowered, without holding in between, before the rate is blamed.
const LOWERED_MAX: u32 = 3;

/// A learned limit on requests at the same time.
#[derive(Debug)]
pub(crate) struct Ceiling {
    auto: bool,
    /// Fewest others beside a refused request, and the rate, each time that some were refused.
    refusals: VecDeque<(u32, f64)>,
    /// How often it was lowered without holding.
    lowered: u32,
    /// Requests served since it was lowered.
    served_since: u32,
    /// What recurred turned out not to be a limit.
    is_chance: bool,
    limit: Option<u32>,
    /// What was served before the limit was last raised; it is returned to when that is refused.
    raised_from: Option<u32>,
    served: u32,
    needed: u32,
}

impl Ceiling {
    /// Begins with what was learned before; zero is nothing.
    pub(crate) fn new(limit: Option<u32>, auto: bool) -> Self {
        Self {
            auto,
            refusals: VecDeque::new(),
            lowered: 0,
            served_since: 0,
            is_chance: false,
            limit: limit.filter(|limit| *limit > 0),
            raised_from: None,
            served: 0,
            needed: if auto {
                AUTO_SERVED_BEFORE_RAISE
            } else {
                SERVED_BEFORE_RAISE
            },
        }
    }

    /// Takes note that requests were refused at `rate` with at least `beside` others in flight.
    /// Returns whether their number explains it, so that the rate need not; it is lowered then.
    pub(crate) fn lowered(&mut self, beside: u32, rate: f64) -> bool {
        if !self.auto || beside == 0 {
            return false;
        }
        if self.served_since >= HELD_REQUESTS {
            self.lowered = 0;
        }
        self.served_since = 0;
        let recurs = self.recurs(beside, rate);
        if self.refusals.len() == REFUSALS_KEPT {
            self.refusals.pop_front();
        }
        self.refusals.push_back((beside, rate));
        if self.limit.is_some_and(|limit| beside < limit / FAR_BELOW) {
            // More were served beside one another before: something else is short.
            self.limit = None;
            return false;
        }
        if self.limit.is_some() && self.lowered >= LOWERED_MAX {
            // Lowering it did not help: it was chance.
            self.limit = None;
            self.is_chance = true;
            return false;
        }
        if self.limit.is_none() && (!recurs || self.is_chance) {
            return false;
        }
        self.lowered += 1;
        self.full_at(beside);
        true
    }

    /// Returns whether requests were refused before beside as many others, at other rates: at two
    /// of them at least, the nearer of which is [`OTHER_RATE`] away.
    fn recurs(&self, beside: u32, rate: f64) -> bool {
        if beside < TELLING_NUMBER {
            return false;
        }
        let same = self.refusals.iter().filter(|(others, _)| {
            let most_apart = (SAME_NUMBER * f64::from(beside)).floor();
            f64::from(others.abs_diff(beside)) <= most_apart
        });
        let mut ratios: Vec<f64> = same
            .map(|(_, other)| (rate / other).max(other / rate))
            .filter(|ratio| *ratio >= OTHER_RATE)
            .collect();
        ratios.sort_by(f64::total_cmp);
        matches!(ratios.as_slice(), [nearer, .., farther] if farther / nearer >= OTHER_RATE)
    }

    /// Returns the limit, if one was learned.
    pub(crate) const fn limit(&self) -> Option<u32> {
        self.limit
    }

    /// Takes note that a request was served that started with `before` others in flight.
    pub(crate) fn served(&mut self, before: u32) {
        self.served_since = self.served_since.saturating_add(1);
        let Some(limit) = self
            .limit
            .filter(|limit| before.saturating_add(1) >= *limit)
        else {
            return;
        };
        self.served += 1;
        if self.served >= self.needed {
            self.raised_from = Some(limit);
            self.limit = Some(limit.saturating_add((limit / 10).max(1)));
            self.served = 0;
        }
    }

    /// Takes note of a refusal with `before` others in flight; returns whether a raised limit
    /// explains it, so that the rate need not.
    pub(crate) fn explains(&mut self, before: u32) -> bool {
        let Some(limit) = self.raised_from.take_if(|limit| before >= *limit) else {
            return false;
        };
        self.limit = Some(limit);
        self.served = 0;
        let rarer = if self.auto { AUTO_RARER } else { RARER };
        let needed = self.needed.saturating_mul(rarer);
        self.needed = needed.min(SERVED_BEFORE_RAISE_MAX);
        true
    }

    /// Takes note that nothing at all was served beside `others` older requests.
    pub(crate) fn full_at(&mut self, others: u32) {
        let most = if self.auto {
            below_refused(others)
        } else {
            others
        };
        if others > 0 && self.limit.is_none_or(|limit| most < limit) {
            *self = Self {
                refusals: std::mem::take(&mut self.refusals),
                lowered: self.lowered,
                is_chance: self.is_chance,
                ..Self::new(Some(most), self.auto)
            };
        }
    }
}

/// Returns a tenth less than what was refused, at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part of a number fits where it did"
)]
fn below_refused(others: u32) -> u32 {
    ((f64::from(others) * AUTO_BELOW_REFUSED) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_raised_when_used_and_returned_to_when_refused() {
        let mut ceiling = Ceiling::new(None, false);
        assert_eq!(Ceiling::new(Some(0), false).limit(), None);
        assert!(!ceiling.explains(9));
        ceiling.full_at(0);
        assert_eq!(ceiling.limit(), None);
        ceiling.full_at(8);
        for _ in 0..100 {
            ceiling.served(3);
        }
        assert_eq!(ceiling.limit(), Some(8), "unused, it is not raised");
        for _ in 0..20 {
            ceiling.served(7);
        }
        assert_eq!(ceiling.limit(), Some(9));
        assert!(!ceiling.explains(7));
        assert!(ceiling.explains(8));
        assert_eq!(ceiling.limit(), Some(8));
        for _ in 0..39 {
            ceiling.served(7);
        }
        assert_eq!(ceiling.limit(), Some(8), "the next try is rarer");
        ceiling.served(7);
        assert_eq!(ceiling.limit(), Some(9));
    }
}
