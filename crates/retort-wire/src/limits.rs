//! Limits as providers announce them in headers.

pub(crate) mod durations;

use std::time::Duration;

use http::{HeaderMap, header};
use retort_types::{AnnouncedLimit, AnnouncedLimits, Counted, Timestamp};

use durations::{http_date, number, retry_after, until, whole_duration};

/// Most limits that are kept of one answer; no provider announces half as many.
const LIMITS_MAX: usize = 16;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// Returns the announced limits and the time that the provider's times count from: its own `date`,
/// else when the head arrived.
pub(crate) fn announced(
    headers: &HeaderMap,
    received_at: Timestamp,
) -> (AnnouncedLimits, Timestamp) {
    let date = headers
        .get(header::DATE)
        .and_then(|value| http_date(value.to_str().ok()?));
    let now = date.unwrap_or(received_at);
    let limits = AnnouncedLimits {
        retry_after: wait(headers, now),
        counts: counts(headers, now),
    };
    (limits, now)
}

/// Returns the longest wait that headers ask for: `retry-after` and its companion in milliseconds
/// can disagree.
fn wait(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let texts = |name| {
        headers
            .get_all(name)
            .into_iter()
            .filter_map(|value| value.to_str().ok())
    };
    let seconds = texts("retry-after")
        .filter_map(|text| retry_after(text, now))
        .max();
    let milliseconds = texts("retry-after-ms")
        .filter_map(|text| durations::seconds(number(text)? / 1_000.0))
        .max();
    seconds.max(milliseconds)
}

/// Returns how long to wait when a refusal says no more than its reset times: until the longest of
/// the used-up limits is full again, else the shortest reset.
pub(crate) fn wait_until_reset(counts: &[AnnouncedLimit]) -> Option<Duration> {
    let resets = |used_up: bool| {
        counts
            .iter()
            .filter(move |count| !used_up || count.remaining == Some(0))
            .filter_map(|count| count.reset)
            .filter(|reset| !reset.is_zero())
    };
    resets(true).max().or_else(|| resets(false).min())
}

/// What one header tells about a limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Limit,
    Remaining,
    Reset,
    Window,
}

/// A header's name, taken apart.
struct Name {
    part: Part,
    counted: Counted,
    window: Option<Duration>,
    /// Whether it says neither what it counts nor per what, as Together's.
    is_bare: bool,
}

/// A limit while its headers come together.
struct Gathered {
    named_window: Option<Duration>,
    is_bare: bool,
    has_clock_reset: bool,
    limit: AnnouncedLimit,
}

fn counts(headers: &HeaderMap, now: Timestamp) -> Vec<AnnouncedLimit> {
    let mut all: Vec<Gathered> = Vec::new();
    for (name, value) in headers {
        let (Some(name), Ok(text)) = (parsed(name.as_str()), value.to_str()) else {
            continue;
        };
        let place = all.iter().position(|gathered| {
            gathered.limit.counted == name.counted && gathered.named_window == name.window
        });
        let place = match place {
            Some(place) => place,
            None if all.len() < LIMITS_MAX => {
                all.push(Gathered::new(&name));
                all.len() - 1
            }
            None => continue,
        };
        if let Some(gathered) = all.get_mut(place) {
            gathered.set(&name, text, now);
        }
    }
    let is_per_second = headers
        .keys()
        .any(|name| name.as_str().starts_with(PER_SECOND_PREFIX));
    all.into_iter()
        .filter_map(|gathered| gathered.finish(is_per_second))
        .collect()
}

/// Together's headers for tokens, which are per second like its others.
const PER_SECOND_PREFIX: &str = "x-tokenlimit-";

const PREFIXES: [&str; 4] = [
    "x-ratelimit-",
    "anthropic-ratelimit-",
    "ratelimit-",
    "x-rate-limit-",
];

fn parsed(name: &str) -> Option<Name> {
    if let Some(rest) = name.strip_prefix(PER_SECOND_PREFIX) {
        let part = part(rest)?;
        return Some(Name {
            part,
            counted: Counted::Tokens,
            window: Some(SECOND),
            is_bare: false,
        });
    }
    let rest = PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))?;
    let words: Vec<&str> = rest.split('-').collect();
    // Most put the part first, Anthropic last.
    let (part, words) = match words.as_slice() {
        [first, others @ ..] if part(first).is_some() => (part(first)?, others),
        [others @ .., last] => (part(last)?, others),
        [] => return None,
    };
    let (window, words) = match words {
        [others @ .., count, unit] if count.parse::<u32>().is_ok() && window(unit).is_some() => {
            (window(unit)?.checked_mul(count.parse().ok()?), others)
        }
        [others @ .., unit] if window(unit).is_some() => (window(unit), others),
        others => (None, others),
    };
    let counted = match words {
        [] | ["requests" | "request" | "req"] => Counted::Requests,
        ["tokens" | "token"] => Counted::Tokens,
        ["input" | "prompt", "tokens"] | ["tokens", "input" | "prompt"] => Counted::InputTokens,
        ["output" | "generated", "tokens"] | ["tokens", "output" | "generated"] => {
            Counted::OutputTokens
        }
        _ => return None,
    };
    Some(Name {
        part,
        counted,
        window,
        is_bare: words.is_empty() && window.is_none(),
    })
}

fn part(word: &str) -> Option<Part> {
    match word {
        "limit" => Some(Part::Limit),
        "remaining" => Some(Part::Remaining),
        "reset" => Some(Part::Reset),
        "renewalperiod" => Some(Part::Window),
        _ => None,
    }
}

fn window(word: &str) -> Option<Duration> {
    match word {
        "second" => Some(SECOND),
        "minute" => Some(MINUTE),
        "hour" => Some(Duration::from_hours(1)),
        "day" => Some(DAY),
        "month" => Some(DAY * 30),
        _ => None,
    }
}

impl Gathered {
    const fn new(name: &Name) -> Self {
        Self {
            named_window: name.window,
            is_bare: name.is_bare,
            has_clock_reset: false,
            limit: AnnouncedLimit {
                counted: name.counted,
                limit: None,
                remaining: None,
                reset: None,
                window: name.window,
            },
        }
    }

    fn set(&mut self, name: &Name, text: &str, now: Timestamp) {
        match name.part {
            Part::Limit => self.limit.limit = count(text),
            Part::Remaining => self.limit.remaining = count(text),
            Part::Window => {
                let told = number(text).and_then(durations::seconds);
                self.limit.window = told.or_else(|| whole_duration(text));
            }
            Part::Reset => {
                let until_then = until(text, now);
                self.has_clock_reset = until_then.is_some();
                let wait = until_then.or_else(|| number(text).and_then(durations::seconds));
                self.limit.reset = wait.or_else(|| whole_duration(text));
            }
        }
    }

    fn finish(mut self, is_per_second: bool) -> Option<AnnouncedLimit> {
        let limit = &mut self.limit;
        if limit.limit.is_none() && limit.remaining.is_none() && limit.reset.is_none() {
            return None;
        }
        if limit.window.is_none() {
            limit.window = if self.is_bare {
                let resets_at_once = limit.reset.is_some_and(|reset| reset <= SECOND);
                (is_per_second || (resets_at_once && !self.has_clock_reset)).then_some(SECOND)
            } else {
                refill_window(limit)
            };
        }
        Some(self.limit)
    }
}

/// Returns the window that refills a bucket in the announced time. The same header names mean
/// requests per minute at OpenAI and per day at Groq, and the reset time gives it away: it is the
/// window's share that was used. What is near neither stays unknown.
fn refill_window(limit: &AnnouncedLimit) -> Option<Duration> {
    let (capacity, remaining, reset) = (limit.limit?, limit.remaining?, limit.reset?);
    let used = capacity.checked_sub(remaining).filter(|used| *used > 0)?;
    let seconds = reset.as_secs_f64() * capacity as f64 / used as f64;
    [MINUTE, DAY].into_iter().find(|window| {
        let ratio = seconds / window.as_secs_f64();
        (0.75..1.25).contains(&ratio)
    })
}

/// Returns a count; below zero counts as zero, and what follows a comma or semicolon is policy.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and negative numbers are zero before"
)]
fn count(text: &str) -> Option<u64> {
    let first = text.split([',', ';']).next()?;
    first
        .trim()
        .parse()
        .ok()
        .or_else(|| Some(number(first)?.max(0.0) as u64))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use http::{HeaderName, HeaderValue};

    use super::*;

    const RECEIVED: &str = "2026-11-24T09:00:00Z";

    fn told(lines: &str) -> AnnouncedLimits {
        let mut headers = HeaderMap::new();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").expect("a header line");
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        announced(&headers, RECEIVED.parse().expect("a time")).0
    }

    fn or_dash<T: ToString>(value: Option<T>) -> String {
        value.map_or("-".to_owned(), |value| value.to_string())
    }

    /// Checks lines of `counted limit remaining reset_ms window_s`, with `-` for what is not told.
    #[track_caller]
    fn check(lines: &str, expected: &[&str]) {
        let ours: Vec<String> = told(lines)
            .counts
            .iter()
            .map(|count| {
                let fields = [
                    format!("{:?}", count.counted),
                    or_dash(count.limit),
                    or_dash(count.remaining),
                    or_dash(count.reset.map(|reset| reset.as_millis())),
                    or_dash(count.window.map(|window| window.as_secs())),
                ];
                fields.join(" ")
            })
            .collect();
        assert_eq!(ours, expected, "{lines}");
    }

    #[test]
    fn openai() {
        check(
            "x-ratelimit-limit-requests: 5000
             x-ratelimit-limit-tokens: 160000
             x-ratelimit-remaining-requests: 4999
             x-ratelimit-remaining-tokens: 159974
             x-ratelimit-reset-requests: 12ms
             x-ratelimit-reset-tokens: 9ms
             x-ratelimit-limit-input-images: 50000
             x-ratelimit-limit-tokens_usage_based: 250000",
            &["Requests 5000 4999 12 60", "Tokens 160000 159974 9 60"],
        );
        // A free account's two hundred a day.
        check(
            "x-ratelimit-limit-requests: 200
             x-ratelimit-remaining-requests: 199
             x-ratelimit-reset-requests: 7m12s
             x-ratelimit-reset-tokens: 6m0s",
            &["Requests 200 199 432000 86400", "Tokens - - 360000 -"],
        );
    }

    #[test]
    fn groq_counts_requests_per_day() {
        check(
            "x-ratelimit-limit-requests: 14400
             x-ratelimit-limit-tokens: 30000
             x-ratelimit-remaining-requests: 14398
             x-ratelimit-remaining-tokens: 29987
             x-ratelimit-reset-requests: 11.486s
             x-ratelimit-reset-tokens: 26ms",
            &[
                "Requests 14400 14398 11486 86400",
                "Tokens 30000 29987 26 60",
            ],
        );
    }

    #[test]
    fn azure_writes_bare_seconds() {
        check(
            "x-ratelimit-limit-requests: 120
             x-ratelimit-remaining-requests: 119
             x-ratelimit-renewalperiod-requests: 60
             x-ratelimit-reset-requests: 500
             x-ratelimit-reset-tokens: 7
             x-ratelimit-key: gpt
             x-ratelimit-abusepenalty-active: False",
            &["Requests 120 119 500000 60", "Tokens - - 7000 -"],
        );
    }

    #[test]
    fn anthropic_counts_from_the_providers_own_clock() {
        check(
            "date: Mon, 31 Mar 2025 20:37:16 GMT
             anthropic-ratelimit-requests-limit: 50
             anthropic-ratelimit-requests-remaining: 49
             anthropic-ratelimit-requests-reset: 2025-03-31T20:37:17Z
             anthropic-ratelimit-input-tokens-limit: 50000
             anthropic-ratelimit-output-tokens-remaining: 0
             anthropic-ratelimit-output-tokens-reset: 2025-03-31T20:37:46.5Z
             anthropic-ratelimit-tokens-reset: 2025-03-31T20:36:46Z",
            &[
                "Requests 50 49 1000 60",
                "InputTokens 50000 - - -",
                "OutputTokens - 0 30500 -",
                "Tokens - - 0 -",
            ],
        );
    }

    #[test]
    fn mistral_names_its_windows() {
        check(
            "x-ratelimit-limit-req-minute: 4
             x-ratelimit-remaining-req-minute: 3
             x-ratelimit-limit-tokens-minute: 250000
             x-ratelimit-limit-tokens-month: 4000000000
             x-ratelimit-remaining-req-10-second: 5
             x-ratelimit-tokens-query-cost: 109",
            &[
                "Requests 4 3 - 60",
                "Tokens 250000 - - 60",
                "Tokens 4000000000 - - 2592000",
                "Requests - 5 - 10",
            ],
        );
    }

    #[test]
    fn together_counts_per_second() {
        let bare = "x-ratelimit-limit: 10\nx-ratelimit-remaining: 9";
        check(
            &format!("{bare}\nx-ratelimit-reset: 1"),
            &["Requests 10 9 1000 1"],
        );
        check(
            &format!("{bare}\nx-tokenlimit-limit: 3000"),
            &["Requests 10 9 - 1", "Tokens 3000 - - 1"],
        );
        // Elsewhere the same names say nothing about the window.
        check(
            &format!("{bare}\nx-ratelimit-reset: 40"),
            &["Requests 10 9 40000 -"],
        );
        // 2026-11-24T09:00:20Z in milliseconds, as OpenRouter writes it.
        check(
            &format!("{bare}\nx-ratelimit-reset: 1795510820000"),
            &["Requests 10 9 20000 -"],
        );
    }

    #[test]
    fn others() {
        check(
            "x-ratelimit-limit-requests-day: 14400
             x-ratelimit-reset-requests-day: 33011.38
             x-ratelimit-limit-tokens-generated: 60000
             x-ratelimit-limit-tokens-prompt: 60001
             ratelimit-limit: 100, 100;w=60
             ratelimit-reset: 30",
            &[
                "Requests 14400 - 33011380 86400",
                "OutputTokens 60000 - - -",
                "InputTokens 60001 - - -",
                "Requests 100 - 30000 -",
            ],
        );
        check(
            "x-ratelimit-limit: -5
             x-ratelimit-remaining: 1e400
             x-ratelimit-reset: soon
             x-ratelimit-reset-tokens: -3
             x-ratelimit-limit-tokens: NaN
             x-ratelimit: 7
             x-ratelimit-: 7",
            &["Requests 0 18446744073709551615 - -", "Tokens - - 0 -"],
        );
    }

    #[test]
    fn the_longer_of_two_waits_is_taken() {
        for (lines, expected_ms) in [
            ("", None),
            ("retry-after: 20", Some(20_000)),
            ("retry-after: 0.25", Some(250)),
            ("retry-after: 1\nretry-after-ms: 0", Some(1_000)),
            ("retry-after: 1\nretry-after-ms: 1500.5", Some(1_500)),
            ("retry-after: 2\nretry-after: 5", Some(5_000)),
            ("retry-after: 1m30s", Some(90_000)),
            ("retry-after: -5", Some(0)),
            // A point in time, long gone.
            ("retry-after: 1e9", Some(0)),
            ("retry-after: 999999999", Some(86_400_000)),
            ("retry-after-ms: 1e300", Some(86_400_000)),
            ("retry-after: NaN", None),
            ("retry-after: inf", None),
            ("retry-after: later", None),
            ("retry-after: Tue, 24 Nov 2026 09:00:07 GMT", Some(7_000)),
            ("retry-after: Tuesday, 24-Nov-26 09:00:07 GMT", Some(7_000)),
            ("retry-after: Tue Nov 24 09:00:07 2026", Some(7_000)),
            ("retry-after: Tue, 24 Nov 2026 08:00:00 GMT", Some(0)),
            (
                "retry-after: Tue, 24 Nov 2099 08:00:00 GMT",
                Some(86_400_000),
            ),
            (
                "date: Tue, 24 Nov 2026 08:59:00 GMT\nretry-after: Tue, 24 Nov 2026 09:00:00 GMT",
                Some(60_000),
            ),
        ] {
            let ours = told(lines).retry_after.map(|wait| wait.as_millis());
            assert_eq!(ours, expected_ms, "{lines}");
        }
    }

    #[test]
    fn resets_stand_in_for_a_wait() {
        let wait = |lines: &str| wait_until_reset(&told(lines).counts).map(|wait| wait.as_secs());
        let both = "x-ratelimit-reset-requests: 7s\nx-ratelimit-reset-tokens: 3s";
        assert_eq!(wait(both), Some(3));
        assert_eq!(
            wait(&format!("x-ratelimit-remaining-requests: 0\n{both}")),
            Some(7)
        );
        assert_eq!(wait("x-ratelimit-reset-requests: 0s"), None);
        assert_eq!(wait("x-ratelimit-remaining-requests: 0"), None);
    }

    #[test]
    fn the_number_of_limits_is_bounded() {
        let mut lines = String::new();
        for seconds in 1..200 {
            writeln!(lines, "x-ratelimit-limit-requests-{seconds}-second: 1").expect("a text");
        }
        assert_eq!(told(&lines).counts.len(), LIMITS_MAX);
    }
}
