//! A learned limit on requests at the same time, for providers that refuse by concurrency.
//!
//! A provider that limits a rate lets something pass after a pause. When everything sent after a
//! pause is refused while older requests are still being answered, it is their number that counts.

/// Requests that must be served at the limit before a higher one is tried.
const SERVED_BEFORE_RAISE: u32 = 20;

/// The most that must be: a try costs a pause, so that failing ones grow rare.
const SERVED_BEFORE_RAISE_MAX: u32 = 2_000;

/// A learned limit on requests at the same time.
#[derive(Debug)]
pub(crate) struct Ceiling {
    limit: Option<u32>,
    /// What was served before the limit was last raised; it is returned to when that is refused.
    raised_from: Option<u32>,
    served: u32,
    needed: u32,
}

impl Ceiling {
    /// Begins with what was learned before; zero is nothing.
    pub(crate) fn new(limit: Option<u32>) -> Self {
        Self {
            limit: limit.filter(|limit| *limit > 0),
            raised_from: None,
            served: 0,
            needed: SERVED_BEFORE_RAISE,
        }
    }

    /// Returns the limit, if one was learned.
    pub(crate) const fn limit(&self) -> Option<u32> {
        self.limit
    }

    /// Takes note that a request was served that started with `before` others in flight.
    pub(crate) fn served(&mut self, before: u32) {
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
        self.needed = self.needed.saturating_mul(2).min(SERVED_BEFORE_RAISE_MAX);
        true
    }

    /// Takes note that nothing at all was served beside `others` older requests.
    pub(crate) fn full_at(&mut self, others: u32) {
        if others > 0 && self.limit.is_none_or(|limit| others < limit) {
            *self = Self::new(Some(others));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_raised_when_used_and_returned_to_when_refused() {
        let mut ceiling = Ceiling::new(None);
        assert_eq!(Ceiling::new(Some(0)).limit(), None);
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
