//! Lengths of time in the forms that providers write them. None is negative or above a day.

use std::cell::RefCell;
use std::time::Duration;

use jiff::fmt::{rfc2822, strtime};
use jiff::tz::TimeZone;
use retort_types::Timestamp;
use serde_json::Value;

/// Longest wait that is believed. Nothing is gained by waiting longer before looking again.
const WAIT_MAX: Duration = Duration::from_hours(24);

/// Plain numbers from here on are points in time, not lengths: seconds since 1970 of the year 2001.
const EPOCH_SECONDS_MIN: f64 = 1e9;

/// Plain numbers from here on are milliseconds since 1970.
const EPOCH_MILLISECONDS_MIN: f64 = 1e12;

/// Returns `seconds` as a length, clamped to 0 to 24 hours; nothing when it is not a number.
pub(crate) fn seconds(seconds: f64) -> Option<Duration> {
    if seconds.is_nan() {
        return None;
    }
    Duration::try_from_secs_f64(seconds.clamp(0.0, WAIT_MAX.as_secs_f64())).ok()
}

/// Returns the plain number that `text` is.
pub(crate) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_plain = text
        .chars()
        .all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E'));
    if is_plain { text.parse().ok() } else { None }
}

/// Returns the wait that a `retry-after` header asks for: seconds, a date, or a length with units.
pub(crate) fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    until(text, now)
        .or_else(|| number(text).and_then(seconds))
        .or_else(|| whole_duration(text))
}

/// Returns the time from `now` to the point in time that `text` is, or nothing when it is none.
pub(crate) fn until(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let point = match number(text) {
        Some(number) if number >= EPOCH_MILLISECONDS_MIN => at_epoch_seconds(number / 1_000.0),
        Some(number) if number >= EPOCH_SECONDS_MIN => at_epoch_seconds(number),
        Some(_) => return None,
        None => text.parse().ok().or_else(|| http_date(text))?,
    };
    Some(point.since(now).min(WAIT_MAX))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast saturates, and timestamps clamp"
)]
fn at_epoch_seconds(seconds: f64) -> Timestamp {
    Timestamp::from_micros((seconds * 1e6) as i64)
}

/// Returns the point in time of an HTTP date, in any of its three forms. Every answer has one, and all
/// answers of a second the same: the last one is remembered.
pub(crate) fn http_date(text: &str) -> Option<Timestamp> {
    thread_local! {
        static LAST: RefCell<(String, Option<Timestamp>)> = const { RefCell::new((String::new(), None)) };
    }
    LAST.with_borrow_mut(|(last, point)| {
        if last != text {
            *point = read_http_date(text);
            text.clone_into(last);
        }
        *point
    })
}

fn read_http_date(text: &str) -> Option<Timestamp> {
    static PARSER: rfc2822::DateTimeParser = rfc2822::DateTimeParser::new().relaxed_weekday(true);
    let text = text.trim();
    let obsolete = |format| {
        let moment = strtime::parse(format, text).ok()?.to_datetime().ok()?;
        TimeZone::UTC.to_timestamp(moment).ok()
    };
    let timestamp = PARSER
        .parse_timestamp(text)
        .ok()
        .or_else(|| obsolete("%A, %d-%b-%y %H:%M:%S GMT"))
        .or_else(|| obsolete("%a %b %e %H:%M:%S %Y"))?;
    Some(Timestamp::from_micros(timestamp.as_microsecond()))
}

/// Returns the length that all of `text` is, as `6m0s`, `16.601s` or `12ms`.
pub(crate) fn whole_duration(text: &str) -> Option<Duration> {
    let (duration, rest) = leading_duration(text.trim())?;
    rest.is_empty().then_some(duration)
}

/// Returns the length that `text` begins with and what follows it. White space may stand between
/// numbers and units.
fn leading_duration(text: &str) -> Option<(Duration, &str)> {
    let mut total = None::<f64>;
    let mut rest = text;
    loop {
        let begun = rest.trim_start();
        let digits = begun
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(begun.len());
        let (digits, tail) = begun.split_at_checked(digits)?;
        let tail = tail.trim_start();
        let letters = tail
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(letters)?;
        let (Some(number), Some(factor)) = (digits.parse::<f64>().ok(), unit_seconds(unit)) else {
            break;
        };
        total = Some(total.unwrap_or(0.0) + number * factor);
        rest = tail;
    }
    Some((seconds(total?)?, rest))
}

fn unit_seconds(unit: &str) -> Option<f64> {
    match unit {
        "ns" => Some(1e-9),
        "us" | "µs" | "μs" => Some(1e-6),
        "ms" | "millisecond" | "milliseconds" => Some(1e-3),
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1.0),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60.0),
        "h" | "hour" | "hours" => Some(3_600.0),
        "d" | "day" | "days" => Some(86_400.0),
        _ => None,
    }
}

/// Returns the wait that a message asks for in words: "Please try again in 1.2s."
pub(crate) fn in_words(message: &str) -> Option<Duration> {
    const LEADS: [&str; 4] = [
        "try again in ",
        "retry in ",
        "retry after ",
        "try again after ",
    ];
    let message = message.to_ascii_lowercase();
    LEADS.iter().find_map(|lead| {
        let (_, rest) = message.split_once(lead)?;
        Some(leading_duration(rest)?.0)
    })
}

/// Returns the wait that fields beside a message ask for: Google's `RetryInfo`, the end of the day
/// where Google says that a quota per day is used up, and the headers that a router copies into
/// `metadata`.
pub(crate) fn in_details(
    details: Option<&Value>,
    metadata: Option<&Value>,
    now: Timestamp,
) -> Option<Duration> {
    let items = details
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let delay = items
        .iter()
        .find_map(|item| whole_duration(item.get("retryDelay")?.as_str()?));
    let reset = metadata
        .and_then(|metadata| metadata.get("headers")?.get("X-RateLimit-Reset"))
        .and_then(|value| match value {
            Value::String(text) => until(text, now),
            Value::Number(number) => until(&number.to_string(), now),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        });
    let is_day_over = items
        .iter()
        .filter_map(|item| item.get("violations")?.as_array())
        .flatten()
        .filter_map(|violation| violation.get("quotaId")?.as_str())
        .any(|quota| quota.contains("PerDay"));
    let next_day = is_day_over.then(|| until_next_day(now)).flatten();
    delay.max(reset).max(next_day)
}

/// Returns the time from `now` to the end of Google's day, which is midnight on the Pacific coast.
fn until_next_day(now: Timestamp) -> Option<Duration> {
    let pacific = TimeZone::posix("PST8PDT,M3.2.0,M11.1.0").ok()?;
    let now = jiff::Timestamp::from_microsecond(now.as_micros()).ok()?;
    let tomorrow = pacific.to_datetime(now).date().tomorrow().ok()?;
    let next_day = pacific.to_timestamp(tomorrow.at(0, 0, 0, 0)).ok()?;
    seconds(next_day.duration_since(now).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn go_durations() {
        for (text, expected_ms) in [
            ("6ms", Some(6)),
            ("16.601s", Some(16_601)),
            ("6m0s", Some(360_000)),
            ("2m59.56s", Some(179_560)),
            ("0s", Some(0)),
            ("1h2m3s", Some(3_723_000)),
            ("1d", Some(86_400_000)),
            ("9d", Some(86_400_000)),
            ("1500µs", Some(1)),
            ("48.9s", Some(48_900)),
            ("", None),
            ("s", None),
            ("5", None),
            ("5 parsecs", None),
            ("-5s", None),
            ("1..5s", None),
            ("5s later", None),
        ] {
            let ours = whole_duration(text).map(|duration| duration.as_millis());
            assert_eq!(ours, expected_ms, "{text}");
        }
    }

    #[test]
    fn a_used_up_quota_per_day_waits_for_the_next_one() {
        let details = |quota: &str| serde_json::json!([{"violations": [{"quotaId": quota}]}]);
        let day = "GenerateRequestsPerDayPerProjectPerModel-FreeTier";
        for (quota, now, expected_s) in [
            (day, "2026-11-24T09:00:00Z", Some(82_800)),
            (day, "2026-07-24T06:59:00Z", Some(60)),
            (
                "GenerateRequestsPerMinutePerProject",
                "2026-11-24T09:00:00Z",
                None,
            ),
        ] {
            let now = now.parse().expect("a time");
            let wait = in_details(Some(&details(quota)), None, now);
            assert_eq!(
                wait.map(|wait| wait.as_secs()),
                expected_s,
                "{quota} {now:?}"
            );
        }
    }

    #[test]
    fn waits_in_words() {
        for (message, expected_ms) in [
            (
                "Rate limit reached. Please try again in 1.2s. Visit us.",
                Some(1_200),
            ),
            ("Please try again in 6m0s.", Some(360_000)),
            ("Try again in 250ms", Some(250)),
            ("Please retry after 26 seconds.", Some(26_000)),
            ("Please retry in 48.9s.", Some(48_900)),
            ("Try again in 1 minute 5 seconds", Some(65_000)),
            ("Please try again in a few minutes.", None),
            ("Please try again later.", None),
            ("İ try again in 7s", Some(7_000)),
        ] {
            let ours = in_words(message).map(|duration| duration.as_millis());
            assert_eq!(ours, expected_ms, "{message}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*", now in any::<i64>()) {
            let now = Timestamp::from_micros(now);
            let waits = [
                retry_after(&text, now),
                until(&text, now),
                whole_duration(&text),
                in_words(&text),
            ];
            prop_assert!(waits.into_iter().flatten().all(|wait| wait <= WAIT_MAX));
        }

        #[test]
        fn numbers_clamp(number in any::<f64>(), now in any::<i64>()) {
            let wait = retry_after(&number.to_string(), Timestamp::from_micros(now));
            prop_assert!(wait.is_none_or(|wait| wait <= WAIT_MAX));
            prop_assert_eq!(seconds(number).is_none(), number.is_nan());
        }

        #[test]
        fn whole_seconds_read_exactly(hours in 0_u64..24, minutes in 0_u64..60, secs in 0_u64..60) {
            let text = format!("{hours}h{minutes}m{secs}s");
            let expected = Duration::from_secs(hours * 3_600 + minutes * 60 + secs);
            prop_assert_eq!(whole_duration(&text), Some(expected));
        }
    }
}
