//! What was asked in the present UTC day.

use retort_types::Timestamp;

use crate::state::SavedDay;

/// What was asked in the present UTC day.
#[derive(Debug, Clone)]
pub(crate) struct Day {
    pub(crate) counts: SavedDay,
    ends_at: Timestamp,
}

impl Day {
    /// Returns the day that `wall` is in, with what was counted in it so far.
    pub(crate) fn new(saved: Option<SavedDay>, wall: Timestamp) -> Self {
        // A saved day that lies ahead stays: a clock set back must not open a quota again.
        let date = wall.date();
        let counts = saved
            .filter(|saved| saved.date >= date)
            .unwrap_or_else(|| SavedDay::of(date));
        let ends_at = format!("{}T00:00:00Z", counts.date)
            .parse::<Timestamp>()
            .map_or_else(|_| wall.next_midnight(), Timestamp::next_midnight);
        Self { counts, ends_at }
    }

    /// Begins a new day when `wall` is past this one.
    pub(crate) fn roll(&mut self, wall: Timestamp) {
        if wall >= self.ends_at {
            *self = Self::new(None, wall);
        }
    }

    /// Returns the first point of the next day.
    pub(crate) const fn ends_at(&self) -> Timestamp {
        self.ends_at
    }

    /// Adds what one request used.
    pub(crate) fn add(&mut self, input_tokens: u64, output_tokens: u64, cost_usd: f64) {
        let counts = &mut self.counts;
        counts.input_tokens = counts.input_tokens.saturating_add(input_tokens);
        counts.output_tokens = counts.output_tokens.saturating_add(output_tokens);
        if cost_usd.is_finite() && cost_usd > 0.0 {
            counts.cost_usd += cost_usd;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_ends_at_midnight_and_never_before() {
        let mut day = Day::new(None, at("2026-11-24T23:59:59Z"));
        day.counts.requests = 7;
        assert_eq!(day.ends_at(), at("2026-11-25T00:00:00Z"));
        day.roll(at("2026-11-24T23:59:59.999999Z"));
        assert_eq!(day.counts.requests, 7);
        let saved = day.counts.clone();
        day.roll(at("2026-11-25T00:00:00Z"));
        assert_eq!((day.counts.requests, &*day.counts.date), (0, "2026-11-25"));

        let restored = Day::new(Some(saved.clone()), at("2026-11-24T12:00:00Z"));
        assert_eq!(restored.counts.requests, 7);
        let set_back = Day::new(Some(saved.clone()), at("2026-11-23T12:00:00Z"));
        assert_eq!(set_back.counts.requests, 7);
        assert_eq!(set_back.ends_at(), at("2026-11-25T00:00:00Z"));
        let next = Day::new(Some(saved), at("2026-11-25T00:00:00Z"));
        assert_eq!(next.counts.requests, 0);
    }

    #[test]
    fn absurd_amounts_do_no_harm() {
        let mut day = Day::new(None, at("2026-11-24T00:00:00Z"));
        day.add(u64::MAX, 1, f64::NAN);
        day.add(u64::MAX, 1, -1.0);
        day.add(0, 0, 0.5);
        assert_eq!(day.counts.input_tokens, u64::MAX);
        assert_eq!(day.counts.output_tokens, 2);
        assert!((day.counts.cost_usd - 0.5).abs() < 1e-12);
    }
}
