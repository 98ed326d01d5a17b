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
