//! What a campaign has used and promised, against what it may use.

use retort_types::campaign::Budget;

/// An amount of everything that is budgeted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Amount {
    /// US dollars.
    pub(super) usd: f64,
    /// Requests.
    pub(super) requests: u64,
    /// Tokens of prompts and answers.
    pub(super) tokens: u64,
}

impl Amount {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            usd: self.usd + other.usd,
            requests: self.requests.saturating_add(other.requests),
            tokens: self.tokens.saturating_add(other.tokens),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            usd: (self.usd - other.usd).max(0.0),
            requests: self.requests.saturating_sub(other.requests),
            tokens: self.tokens.saturating_sub(other.tokens),
        }
    }
}

/// A campaign's account book.
#[derive(Debug)]
pub(super) struct Book {
    limit: Budget,
    spent: Amount,
    reserved: Amount,
}

impl Book {
    pub(super) const fn new(limit: Budget) -> Self {
        Self {
            limit,
            spent: Amount {
                usd: 0.0,
                requests: 0,
                tokens: 0,
            },
            reserved: Amount {
                usd: 0.0,
                requests: 0,
                tokens: 0,
            },
        }
    }

    pub(super) fn spend(&mut self, amount: Amount) {
        self.spent = self.spent.plus(amount);
    }

    pub(super) fn reserve(&mut self, amount: Amount) {
        self.reserved = self.reserved.plus(amount);
    }

    pub(super) fn free(&mut self, amount: Amount) {
        self.reserved = self.reserved.minus(amount);
    }

    pub(super) const fn spent(&self) -> Amount {
        self.spent
    }

    /// Returns which budget `amount` would exceed on top of what is spent and promised.
    pub(super) fn exceeded_by(&self, amount: Amount) -> Option<String> {
        let then = self.spent.plus(self.reserved).plus(amount);
        let beyond = |limit: Option<u64>, used: u64| limit.filter(|limit| used > *limit);
        Self::told(
            self.limit.usd.filter(|limit| then.usd > *limit),
            beyond(self.limit.requests, then.requests),
            beyond(self.limit.tokens, then.tokens),
        )
    }

    /// Returns which budget `used` leaves nothing of.
    pub(super) fn used_up_by(&self, used: Amount) -> Option<String> {
        let gone = |limit: Option<u64>, used: u64| limit.filter(|limit| used >= *limit);
        Self::told(
            self.limit.usd.filter(|limit| used.usd >= *limit),
            gone(self.limit.requests, used.requests),
            gone(self.limit.tokens, used.tokens),
        )
    }

    fn told(usd: Option<f64>, requests: Option<u64>, tokens: Option<u64>) -> Option<String> {
        let usd = usd.map(|limit| format!("the budget of {limit} USD is used up"));
        let requests = requests.map(|limit| format!("the budget of {limit} requests is used up"));
        let tokens = tokens.map(|limit| format!("the budget of {limit} tokens is used up"));
        usd.or(requests).or(tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_count_until_they_are_freed() {
        let mut book = Book::new(Budget {
            usd: Some(1.0),
            requests: Some(3),
            ..Budget::default()
        });
        let one = Amount {
            usd: 0.25,
            requests: 1,
            tokens: 10,
        };
        book.reserve(one);
        book.reserve(one);
        assert_eq!(book.exceeded_by(one), None);
        book.spend(Amount { usd: 0.3, ..one });
        book.free(one);
        assert_eq!(book.exceeded_by(one), None);
        book.reserve(one);
        assert_eq!(
            book.exceeded_by(one).as_deref(),
            Some("the budget of 1 USD is used up")
        );
        book.free(one);
        book.free(one);
        book.spend(Amount {
            usd: 0.0,
            requests: 2,
            tokens: 0,
        });
        assert_eq!(
            book.exceeded_by(one).as_deref(),
            Some("the budget of 3 requests is used up")
        );
    }
}
