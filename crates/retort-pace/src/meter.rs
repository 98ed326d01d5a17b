//! Counts of the last minute, by the second.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::later;

/// Counts of the last minute, by the second.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    seconds: VecDeque<(Instant, u64, u64)>,
}

impl Meter {
    fn slot(&mut self, now: Instant) -> &mut (Instant, u64, u64) {
        let second = Duration::from_secs(1);
        let minute = |at: &Instant| now.saturating_duration_since(*at) >= second * 60;
        while self.seconds.front().is_some_and(|(at, ..)| minute(at)) {
            self.seconds.pop_front();
        }
        if self
            .seconds
            .back()
            .is_none_or(|(at, ..)| later(*at, second) <= now)
        {
            self.seconds.push_back((now, 0, 0));
        }
        let last = self.seconds.len() - 1;
        &mut self.seconds[last]
    }

    /// Counts a request.
    pub(crate) fn request(&mut self, now: Instant) {
        let (_, requests, _) = self.slot(now);
        *requests += 1;
    }

    /// Counts tokens.
    pub(crate) fn tokens(&mut self, now: Instant, more: u64) {
        let (_, _, tokens) = self.slot(now);
        *tokens = tokens.saturating_add(more);
    }

    /// Returns requests and tokens of the last 60 s.
    pub(crate) fn last_minute(&self, now: Instant) -> (u64, u64) {
        let minute = Duration::from_mins(1);
        let fresh = self.seconds.iter();
        let fresh = fresh.filter(|(at, ..)| now.saturating_duration_since(*at) < minute);
        fresh.fold((0, 0), |(requests, tokens), (_, r, t)| {
            (requests + r, u64::saturating_add(tokens, *t))
        })
    }
}
