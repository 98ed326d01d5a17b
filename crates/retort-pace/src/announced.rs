//! What a provider announces about its limits, as far as a pace can use it.

use std::num::NonZeroU64;
use std::time::Duration;

use retort_types::{AnnouncedLimits, Counted, Limits};

use crate::ramp::BELOW_ANNOUNCED;

/// The longest window whose limit is a rate. Longer ones are budgets: spread evenly, a limit per
/// day would make a short campaign last all day.
const WINDOW_MAX: Duration = Duration::from_mins(1);

/// How much of an announced token rate may be used at once: the minute it is told for.
pub(crate) const TOKEN_WINDOW: Duration = Duration::from_mins(1);

/// Part of a limit that must be left for all of it to count as left: what is in the air is not
/// charged yet.
const UNUSED: f64 = 0.95;

/// Returns the announced requests a second, by the lowest limit whose window is known.
pub(crate) fn request_rate(limits: &AnnouncedLimits) -> Option<f64> {
    per_second(limits, Counted::Requests)
}

/// Returns limits on tokens a little below the announced ones; nothing when none are.
pub(crate) fn token_limits(limits: &AnnouncedLimits) -> Option<Limits> {
    let per_minute = |counted| {
        let rate = per_second(limits, counted)? * 60.0 * BELOW_ANNOUNCED;
        NonZeroU64::new(whole(rate).max(1))
    };
    let tokens = Limits {
        tokens_per_minute: per_minute(Counted::Tokens),
        input_tokens_per_minute: per_minute(Counted::InputTokens),
        output_tokens_per_minute: per_minute(Counted::OutputTokens),
        ..Limits::default()
    };
    (!tokens.is_empty()).then_some(tokens)
}

/// Returns whether the provider says that next to all tokens of the present minute are left.
pub(crate) fn are_tokens_unused(limits: &AnnouncedLimits) -> bool {
    let tokens = |counted| match counted {
        Counted::Requests => false,
        Counted::Tokens | Counted::InputTokens | Counted::OutputTokens => true,
    };
    let mut counts = limits.counts.iter().filter(|count| tokens(count.counted));
    counts.all(|count| match (count.limit, count.remaining) {
        (Some(limit), Some(remaining)) => remaining as f64 >= UNUSED * limit as f64,
        _ => false,
    })
}

/// Returns whether the provider says that nothing is left of a limit.
pub(crate) fn is_used_up(limits: &AnnouncedLimits) -> bool {
    limits.counts.iter().any(|count| count.remaining == Some(0))
}

fn per_second(limits: &AnnouncedLimits, counted: Counted) -> Option<f64> {
    let counts = limits
        .counts
        .iter()
        .filter(|count| count.counted == counted);
    let rates = counts.filter_map(|count| {
        let window = count.window.filter(|window| *window <= WINDOW_MAX)?;
        let rate = count.limit.filter(|limit| *limit > 0)? as f64 / window.as_secs_f64();
        rate.is_finite().then_some(rate)
    });
    rates.min_by(f64::total_cmp)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and a rate is not negative"
)]
const fn whole(rate: f64) -> u64 {
    rate as u64
}

#[cfg(test)]
mod tests {
    use retort_types::AnnouncedLimit;

    use super::*;

    fn told(counted: Counted, limit: u64, window_s: Option<u64>) -> AnnouncedLimit {
        AnnouncedLimit {
            counted,
            limit: Some(limit),
            remaining: Some(limit),
            reset: None,
            window: window_s.map(Duration::from_secs),
        }
    }

    #[test]
    fn the_lowest_rate_with_a_known_window_of_at_most_a_minute_counts() {
        let mut limits = AnnouncedLimits::default();
        assert_eq!((request_rate(&limits), token_limits(&limits)), (None, None));
        limits.counts = vec![
            told(Counted::Requests, 10, None),
            told(Counted::Requests, 14_400, Some(86_400)),
            told(Counted::Requests, 0, Some(60)),
        ];
        assert_eq!(request_rate(&limits), None);
        limits.counts.push(told(Counted::Requests, 3_000, Some(60)));
        limits.counts.push(told(Counted::Requests, 60, Some(1)));
        limits.counts.push(told(Counted::Requests, 1, Some(0)));
        limits.counts.push(told(Counted::Tokens, 1_000, Some(60)));
        limits
            .counts
            .push(told(Counted::OutputTokens, u64::MAX, Some(1)));
        assert_eq!(request_rate(&limits), Some(50.0));
        let tokens = token_limits(&limits).unwrap();
        assert_eq!(tokens.tokens_per_minute, NonZeroU64::new(950));
        assert_eq!(tokens.output_tokens_per_minute, NonZeroU64::new(u64::MAX));
        assert_eq!(tokens.input_tokens_per_minute, None);
        assert!(is_used_up(&limits), "nothing is left of nothing");
        limits.counts.remove(2);
        assert!(!is_used_up(&limits));
    }
}
