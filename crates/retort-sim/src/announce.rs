//! How limits are told: retry hints of refused requests and headers on every answer.

use std::time::Duration;

use retort_types::Timestamp;

use crate::limit::{Exhausted, Limiter, Refusal, Standing};
use crate::spec::{HeaderFamily, RetryHint};

/// Header lines in order.
pub(crate) type Headers = Vec<(&'static str, String)>;

/// What a refused request is told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) headers: Headers,
    /// Words at the end of the error message.
    pub(crate) words: String,
    /// `retryDelay` of a `RetryInfo`.
    pub(crate) retry_delay: Option<String>,
    /// The wait as told, rounding included; none when nothing was told.
    pub(crate) wait: Option<Duration>,
}

/// Returns the hint for `refusal` at `wall`. What is told is never shorter than the real wait.
pub(crate) fn tell(hint: RetryHint, refusal: &Refusal, wall: Timestamp) -> Told {
    let exact = ceil_to(refusal.wait, Duration::from_millis(1)).max(Duration::from_millis(1));
    let whole = ceil_to(refusal.wait, Duration::from_secs(1)).max(Duration::from_secs(1));
    let tokens = refusal.exhausted == Exhausted::Tokens;
    let one = |name, value, wait| Told {
        headers: vec![(name, value)],
        wait: Some(wait),
        ..Told::default()
    };
    match hint {
        RetryHint::Seconds => one("retry-after", whole.as_secs().to_string(), whole),
        RetryHint::Float => one("retry-after", format!("{:.3}", exact.as_secs_f64()), exact),
        RetryHint::Ms => one("retry-after-ms", exact.as_millis().to_string(), exact),
        RetryHint::HttpDate => {
            let at = ceil_second(wall.after(exact));
            one("retry-after", http_date(at), at.since(wall))
        }
        RetryHint::GoDurationHeaders => {
            let name = if tokens {
                "x-ratelimit-reset-tokens"
            } else {
                "x-ratelimit-reset-requests"
            };
            one(name, go_duration(exact), exact)
        }
        RetryHint::Rfc3339Headers => {
            let name = if tokens {
                "anthropic-ratelimit-tokens-reset"
            } else {
                "anthropic-ratelimit-requests-reset"
            };
            let at = ceil_second(wall.after(exact));
            one(name, rfc3339(at), at.since(wall))
        }
        RetryHint::BodyHint => Told {
            words: format!(" Please try again in {}.", go_duration(exact)),
            wait: Some(exact),
            ..Told::default()
        },
        RetryHint::RetryInfo => Told {
            retry_delay: Some(format!("{:.3}s", exact.as_secs_f64())),
            wait: Some(exact),
            ..Told::default()
        },
        RetryHint::None => Told::default(),
    }
}

/// Returns the headers of `family` for how `limiter` stands at `now`, which is `wall` by the wall
/// clock.
pub(crate) fn announce(
    family: HeaderFamily,
    limiter: &mut Limiter,
    now: Duration,
    wall: Timestamp,
) -> Headers {
    if family == HeaderFamily::None {
        return Vec::new();
    }
    let (requests, tokens) = (limiter.requests(now), limiter.tokens(now));
    let mut headers = Vec::new();
    match family {
        HeaderFamily::None => {}
        HeaderFamily::Openai | HeaderFamily::Azure | HeaderFamily::Xai => {
            push(&mut headers, &OPENAI_REQUESTS, requests, |d| {
                reset_of(family, d)
            });
            push(&mut headers, &OPENAI_TOKENS, tokens, |d| {
                reset_of(family, d)
            });
            if family == HeaderFamily::Azure && requests.is_some() {
                headers.push(("x-ratelimit-renewalperiod-requests", "60".to_owned()));
            }
            if family == HeaderFamily::Azure && tokens.is_some() {
                headers.push(("x-ratelimit-renewalperiod-tokens", "60".to_owned()));
            }
        }
        HeaderFamily::Anthropic => {
            let reset = |d| Some(rfc3339(ceil_second(wall.after(d))));
            push(&mut headers, &ANTHROPIC_REQUESTS, requests, reset);
            push(&mut headers, &ANTHROPIC_TOKENS, tokens, reset);
        }
        HeaderFamily::Mistral => {
            push(&mut headers, &MISTRAL_REQUESTS, requests, |_| None);
            push(&mut headers, &MISTRAL_TOKENS, tokens, |_| None);
        }
        HeaderFamily::Together => {
            let per_second = requests.map(|standing| Standing {
                per_minute: (standing.per_minute / 60).max(1),
                ..standing
            });
            push(&mut headers, &TOGETHER, per_second, |d| {
                Some(ceil_to(d, Duration::from_secs(1)).as_secs().to_string())
            });
        }
    }
    headers
}

/// Names of limit, remaining and reset.
type Names = [&'static str; 3];

const OPENAI_REQUESTS: Names = [
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
];
const OPENAI_TOKENS: Names = [
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
];
const ANTHROPIC_REQUESTS: Names = [
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
];
const ANTHROPIC_TOKENS: Names = [
    "anthropic-ratelimit-tokens-limit",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
];
const MISTRAL_REQUESTS: Names = [
    "x-ratelimit-limit-req-minute",
    "x-ratelimit-remaining-req-minute",
    "",
];
const MISTRAL_TOKENS: Names = [
    "x-ratelimit-limit-tokens-minute",
    "x-ratelimit-remaining-tokens-minute",
    "",
];
const TOGETHER: Names = [
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

fn push(
    headers: &mut Headers,
    names: &Names,
    standing: Option<Standing>,
    reset: impl Fn(Duration) -> Option<String>,
) {
    let Some(standing) = standing else { return };
    headers.push((names[0], standing.per_minute.to_string()));
    headers.push((names[1], standing.remaining.to_string()));
    if let Some(reset) = reset(standing.reset) {
        headers.push((names[2], reset));
    }
}

fn reset_of(family: HeaderFamily, reset: Duration) -> Option<String> {
    match family {
        HeaderFamily::Openai => Some(go_duration(ceil_to(reset, Duration::from_millis(1)))),
        HeaderFamily::Azure => Some(ceil_to(reset, Duration::from_secs(1)).as_secs().to_string()),
        HeaderFamily::None
        | HeaderFamily::Anthropic
        | HeaderFamily::Mistral
        | HeaderFamily::Together
        | HeaderFamily::Xai => None,
    }
}

/// Returns `wall` as an HTTP date.
pub(crate) fn http_date(wall: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(wall.as_micros())
        .ok()
        .and_then(|at| {
            let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
            printer.timestamp_to_rfc9110_string(&at).ok()
        })
        .unwrap_or_else(|| "Thu, 01 Jan 1970 00:00:00 GMT".to_owned())
}

/// Returns `wall` as RFC 3339 with whole seconds.
fn rfc3339(wall: Timestamp) -> String {
    let mut text: String = wall.to_string().chars().take(19).collect();
    text.push('Z');
    text
}

/// Returns `duration` as Go writes it, to the millisecond: `250ms`, `1.204s`, `6m0s`, `1h0m2.5s`.
fn go_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms == 0 {
        return "0s".to_owned();
    }
    if ms < 1_000 {
        return format!("{ms}ms");
    }
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    let (seconds, rest) = (ms / 1_000 % 60, ms % 1_000);
    let mut text = String::new();
    if hours > 0 {
        text = format!("{hours}h");
    }
    if hours > 0 || minutes > 0 {
        text = format!("{text}{minutes}m");
    }
    text.push_str(&seconds.to_string());
    if rest > 0 {
        text.push_str(format!(".{rest:03}").trim_end_matches('0'));
    }
    text.push('s');
    text
}

fn ceil_to(duration: Duration, unit: Duration) -> Duration {
    let unit_nanos = unit.as_nanos().max(1);
    let count = duration.as_nanos().div_ceil(unit_nanos);
    Duration::from_nanos(u64::try_from(count * unit_nanos).unwrap_or(u64::MAX))
}

fn ceil_second(at: Timestamp) -> Timestamp {
    const SECOND: i64 = 1_000_000;
    let micros = at.as_micros();
    Timestamp::from_micros(micros + (-micros).rem_euclid(SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::LimitSpec;

    /// 2026-09-21T14:13:20.250Z.
    const WALL: i64 = 1_790_000_000_250_000;

    fn told(hint: RetryHint, wait_ms: u64) -> Told {
        let refusal = Refusal {
            exhausted: Exhausted::Requests,
            wait: Duration::from_millis(wait_ms),
        };
        tell(hint, &refusal, Timestamp::from_micros(WALL))
    }

    #[test]
    fn hints_are_never_shorter_than_the_wait() {
        for (hint, name, value, wait_ms) in [
            (RetryHint::Seconds, "retry-after", "2", 2_000),
            (RetryHint::Float, "retry-after", "1.204", 1_204),
            (RetryHint::Ms, "retry-after-ms", "1204", 1_204),
            (
                RetryHint::HttpDate,
                "retry-after",
                "Mon, 21 Sep 2026 14:13:22 GMT",
                1_750,
            ),
            (
                RetryHint::GoDurationHeaders,
                "x-ratelimit-reset-requests",
                "1.204s",
                1_204,
            ),
            (
                RetryHint::Rfc3339Headers,
                "anthropic-ratelimit-requests-reset",
                "2026-09-21T14:13:22Z",
                1_750,
            ),
        ] {
            let told = told(hint, 1_204);
            assert_eq!(told.headers, [(name, value.to_owned())]);
            assert_eq!(told.wait, Some(Duration::from_millis(wait_ms)), "{hint:?}");
        }
        assert_eq!(
            told(RetryHint::BodyHint, 1_204).words,
            " Please try again in 1.204s."
        );
        assert_eq!(
            told(RetryHint::RetryInfo, 48_900).retry_delay.as_deref(),
            Some("48.900s")
        );
        assert_eq!(told(RetryHint::None, 5), Told::default());
        assert_eq!(told(RetryHint::Seconds, 1).headers[0].1, "1");
    }

    #[test]
    fn go_durations() {
        for (ms, text) in [
            (0, "0s"),
            (6, "6ms"),
            (16_601, "16.601s"),
            (360_000, "6m0s"),
            (179_560, "2m59.56s"),
            (3_602_500, "1h0m2.5s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn families_announce_in_their_own_words() {
        let lines = |family| {
            let spec = LimitSpec {
                requests_per_minute: Some(120.0),
                burst: Some(4),
                tokens_per_minute: Some(6_000),
                ..LimitSpec::default()
            };
            let mut limiter = Limiter::new(&spec, Duration::ZERO);
            limiter.admit(Duration::ZERO, 100).unwrap();
            let headers = announce(
                family,
                &mut limiter,
                Duration::ZERO,
                Timestamp::from_micros(WALL),
            );
            let lines = headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}"));
            lines.collect::<Vec<_>>()
        };
        assert!(lines(HeaderFamily::None).is_empty());
        assert_eq!(
            lines(HeaderFamily::Openai),
            [
                "x-ratelimit-limit-requests: 120",
                "x-ratelimit-remaining-requests: 3",
                "x-ratelimit-reset-requests: 500ms",
                "x-ratelimit-limit-tokens: 6000",
                "x-ratelimit-remaining-tokens: 5900",
                "x-ratelimit-reset-tokens: 1s",
            ]
        );
        assert_eq!(
            lines(HeaderFamily::Azure)[2],
            "x-ratelimit-reset-requests: 1"
        );
        assert_eq!(lines(HeaderFamily::Azure).len(), 8);
        assert_eq!(
            lines(HeaderFamily::Anthropic)[2],
            "anthropic-ratelimit-requests-reset: 2026-09-21T14:13:21Z"
        );
        assert_eq!(
            lines(HeaderFamily::Mistral),
            [
                "x-ratelimit-limit-req-minute: 120",
                "x-ratelimit-remaining-req-minute: 3",
                "x-ratelimit-limit-tokens-minute: 6000",
                "x-ratelimit-remaining-tokens-minute: 5900",
            ]
        );
        assert_eq!(
            lines(HeaderFamily::Together),
            [
                "x-ratelimit-limit: 2",
                "x-ratelimit-remaining: 3",
                "x-ratelimit-reset: 1"
            ]
        );
        assert_eq!(lines(HeaderFamily::Xai).len(), 4);
    }
}
