//! Limits that an answer's headers announce, beside those that are configured.

use std::time::Duration;

use retort_types::{AnnouncedLimit, AnnouncedLimits, Counted, DomainSpec, LaneSpec, Limits};
use serde::Serialize;

use crate::output::count;

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// One announced limit and what is configured for the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Compared {
    /// What is counted.
    counted: Counted,
    /// How many the provider allows per window.
    announced: u64,
    /// The window in seconds, if it is known.
    window_seconds: Option<f64>,
    #[serde(skip)]
    window: Option<Duration>,
    /// The name of the configured limit for the same, if there is one of that name.
    limit: Option<&'static str>,
    /// What is configured under that name; nothing is configured where it is absent.
    configured: Option<u64>,
    /// Whether more is configured than announced.
    is_above: bool,
}

/// Returns the announced limits, compared with those of a model's domain and lane.
pub(super) fn compare(
    announced: &AnnouncedLimits,
    domain: &DomainSpec,
    lane: &LaneSpec,
) -> Vec<Compared> {
    let counts = announced.counts.iter();
    counts
        .filter_map(|limit| compared(limit, &domain.limits, &lane.limits))
        .collect()
}

fn compared(limit: &AnnouncedLimit, domain: &Limits, lane: &Limits) -> Option<Compared> {
    let announced = limit.limit?;
    let window = limit.window.filter(|window| !window.is_zero());
    let name = window.and_then(|window| name_of(limit.counted, window));
    let configured = name.and_then(|name| least(of(domain, name), of(lane, name)));
    // A window of a second or ten allows that share of what is allowed in a minute.
    let share = window.map_or(1.0, |window| {
        if window < MINUTE {
            window.as_secs_f64() / MINUTE.as_secs_f64()
        } else {
            1.0
        }
    });
    Some(Compared {
        counted: limit.counted,
        announced,
        window_seconds: window.map(|window| window.as_secs_f64()),
        window,
        limit: name,
        configured,
        is_above: configured.is_some_and(|configured| configured as f64 * share > announced as f64),
    })
}

/// Returns the configured limit that counts the same over the same time. Windows of an hour or a
/// month have none.
fn name_of(counted: Counted, window: Duration) -> Option<&'static str> {
    let per_minute = window <= MINUTE;
    match counted {
        Counted::Requests if window == DAY => Some("requests_per_day"),
        Counted::Requests if per_minute => Some("requests_per_minute"),
        Counted::Tokens if per_minute => Some("tokens_per_minute"),
        Counted::InputTokens if per_minute => Some("input_tokens_per_minute"),
        Counted::OutputTokens if per_minute => Some("output_tokens_per_minute"),
        Counted::Requests | Counted::Tokens | Counted::InputTokens | Counted::OutputTokens => None,
    }
}

fn of(limits: &Limits, name: &str) -> Option<u64> {
    let wide = |value: Option<std::num::NonZeroU32>| value.map(|value| u64::from(value.get()));
    let long = |value: Option<std::num::NonZeroU64>| value.map(std::num::NonZeroU64::get);
    match name {
        "requests_per_day" => wide(limits.requests_per_day),
        "requests_per_minute" => wide(limits.requests_per_minute),
        "tokens_per_minute" => long(limits.tokens_per_minute),
        "input_tokens_per_minute" => long(limits.input_tokens_per_minute),
        "output_tokens_per_minute" => long(limits.output_tokens_per_minute),
        _ => None,
    }
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Compared {
    /// Returns what is announced and what is configured, in a sentence.
    pub(super) fn sentence(&self) -> String {
        let counted = match self.counted {
            Counted::Requests => "requests",
            Counted::Tokens => "tokens",
            Counted::InputTokens => "input tokens",
            Counted::OutputTokens => "output tokens",
        };
        let window = match self.window {
            Some(MINUTE) => "per minute".to_owned(),
            Some(DAY) => "per day".to_owned(),
            Some(window) => format!("per {} s", window.as_secs_f64()),
            None => "per a time it does not tell".to_owned(),
        };
        let told = format!("announced: {} {counted} {window}", count(self.announced));
        match (self.limit, self.configured) {
            (Some(name), Some(configured)) => {
                format!("{told}; configured: {name}: {configured}")
            }
            (Some(name), None) => format!("{told}; configured: no {name}"),
            (None, _) => told,
        }
    }

    /// Returns a warning when more is configured than the provider announces.
    pub(super) fn warning(&self) -> Option<String> {
        let (name, configured) = (self.limit?, self.configured?);
        self.is_above.then(|| {
            format!("{name} is {configured}, and the provider announces less: lower it to what is announced")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn announced(counted: Counted, limit: u64, window: Option<Duration>) -> AnnouncedLimit {
        AnnouncedLimit {
            counted,
            limit: Some(limit),
            remaining: None,
            reset: None,
            window,
        }
    }

    fn check(limit: &AnnouncedLimit, requests_per_minute: u32) -> Compared {
        let limits = Limits {
            requests_per_minute: NonZeroU32::new(requests_per_minute),
            ..Limits::default()
        };
        compared(limit, &limits, &Limits::default()).expect("a limit is announced")
    }

    #[test]
    fn windows_are_compared_with_their_own_limits() {
        let minute = announced(Counted::Requests, 500, Some(MINUTE));
        assert!(check(&minute, 501).is_above);
        assert!(!check(&minute, 500).is_above);
        let second = announced(Counted::Requests, 10, Some(Duration::from_secs(1)));
        assert!(check(&second, 601).is_above);
        assert!(!check(&second, 600).is_above);
        let day = announced(Counted::Requests, 100, Some(DAY));
        assert_eq!(check(&day, 500).limit, Some("requests_per_day"));
        assert!(!check(&day, 500).is_above);
        for window in [None, Some(DAY * 30), Some(Duration::ZERO)] {
            let unknown = announced(Counted::Requests, 1, window);
            assert_eq!(check(&unknown, 500).limit, None, "{window:?}");
            assert_eq!(check(&unknown, 500).warning(), None, "{window:?}");
        }
    }

    #[test]
    fn the_tighter_of_domain_and_lane_counts() {
        let limits = |n| Limits {
            requests_per_minute: NonZeroU32::new(n),
            ..Limits::default()
        };
        let limit = announced(Counted::Requests, 100, Some(MINUTE));
        let both = compared(&limit, &limits(1_000), &limits(50)).expect("announced");
        assert_eq!((both.configured, both.is_above), (Some(50), false));
    }

    #[test]
    fn sentences_say_both_sides() {
        let limit = announced(Counted::Requests, 1_500, Some(MINUTE));
        let above = check(&limit, 2_000);
        assert_eq!(
            above.sentence(),
            "announced: 1,500 requests per minute; configured: requests_per_minute: 2000"
        );
        assert!(
            above
                .warning()
                .expect("above")
                .contains("requests_per_minute is 2000")
        );
    }
}
