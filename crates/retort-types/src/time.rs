//! Points in time and lengths of time as files and messages carry them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time: microseconds since 1970-01-01T00:00:00Z, as the dataset stores it.
///
/// In JSON it is an RFC 3339 text with microseconds and `Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Returns the point `microseconds` after the epoch, clamped to the years 1 to 9999.
    pub fn from_micros(microseconds: i64) -> Self {
        Self(microseconds.clamp(-62_135_596_800_000_000, 253_402_200_000_000_000))
    }

    /// Returns microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Returns the point `duration` later, or the last one that can be written.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self::from_micros(
            self.0
                .saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// Returns the time from `earlier` to this point; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Returns the UTC date as `YYYY-MM-DD`.
    pub fn date(self) -> String {
        self.to_string().chars().take(10).collect()
    }

    /// Returns the first point of the next UTC day.
    #[must_use]
    pub fn next_midnight(self) -> Self {
        const DAY: i64 = 86_400_000_000;
        Self::from_micros((self.0.div_euclid(DAY) + 1).saturating_mul(DAY))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timestamp = jiff::Timestamp::from_microsecond(self.0).map_err(|_| fmt::Error)?;
        write!(f, "{timestamp:.6}")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}

/// Tells the time of day. Passed in wherever a timestamp reaches a dataset, so that tests decide it.
pub trait WallClock: Send + Sync + fmt::Debug {
    /// Returns the time now.
    fn now(&self) -> Timestamp;

    /// Returns the random part of a new name, for clocks of worlds that repeat exactly; with nothing,
    /// as unless said otherwise, the system is asked for one.
    fn chance(&self) -> Option<[u8; 10]> {
        None
    }
}

/// Text that should have been an RFC 3339 time was not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time like 2026-11-24T09:30:00Z")]
pub struct InvalidTimestamp(String);

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let timestamp: jiff::Timestamp = text
            .parse()
            .map_err(|_| InvalidTimestamp(text.chars().take(60).collect()))?;
        Ok(Self(timestamp.as_microsecond()))
    }
}

/// A length of time written as a person writes it: `250ms`, `30s`, `5m`, `2h`, `1d`, `1h30m`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(pub Duration);

/// Text that should have been a length of time was not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a length of time like 250ms, 30s, 5m, 2h, 1d or 1h30m")]
pub struct InvalidDuration(String);

impl FromStr for HumanDuration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let invalid = || InvalidDuration(text.chars().take(60).collect());
        let mut total = 0_u64;
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(invalid());
        }
        while !rest.is_empty() {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .ok_or_else(invalid)?;
            let (number, tail) = rest.split_at(digits);
            let letters = tail
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            let factor = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" | "min" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return Err(invalid()),
            };
            let part = number
                .parse::<u64>()
                .ok()
                .and_then(|n| n.checked_mul(factor))
                .ok_or_else(invalid)?;
            total = total.checked_add(part).ok_or_else(invalid)?;
            rest = tail;
        }
        Ok(Self(Duration::from_millis(total)))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, factor) in [
            ("d", 86_400_000),
            ("h", 3_600_000),
            ("m", 60_000),
            ("s", 1_000),
            ("ms", 1),
        ] {
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

macro_rules! as_text {
    ($type:ty, $name:literal, $schema:tt) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        schema_of_text!($type, $name, $schema);
    };
}

macro_rules! schema_of_text {
    ($type:ty, $name:literal, $schema:tt) => {
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

impl Serialize for Timestamp {
    /// As text where a person may read it, else as microseconds.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.as_micros())
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return i64::deserialize(deserializer).map(Self::from_micros);
        }
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

schema_of_text!(Timestamp, "Timestamp", { "type": "string", "format": "date-time" });
as_text!(HumanDuration, "Duration", { "type": "string", "pattern": "^([0-9]+(ms|s|m|min|h|d))+$" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_round_trip() {
        let at = Timestamp::from_micros(1_790_000_000_123_456);
        assert_eq!(at.to_string(), "2026-09-21T14:13:20.123456Z");
        assert_eq!(at.to_string().parse(), Ok(at));
        assert_eq!(at.date(), "2026-09-21");
        assert_eq!(
            at.next_midnight().to_string(),
            "2026-09-22T00:00:00.000000Z"
        );
        assert_eq!(
            Timestamp::from_micros(0).to_string(),
            "1970-01-01T00:00:00.000000Z"
        );
        assert!(
            Timestamp::from_micros(i64::MAX)
                .to_string()
                .starts_with("9999")
        );
    }

    #[test]
    fn durations_read_and_write() {
        for (text, ms) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("5min", 300_000),
            ("1h30m", 5_400_000),
            ("0s", 0),
        ] {
            assert_eq!(
                text.parse::<HumanDuration>().unwrap().0,
                Duration::from_millis(ms),
                "{text}"
            );
        }
        assert_eq!(
            HumanDuration(Duration::from_millis(5_400_250)).to_string(),
            "1h30m250ms"
        );
        for bad in [
            "",
            "5",
            "s",
            "5x",
            "-1s",
            "1.5s",
            "99999999999999999999s",
            "5é",
        ] {
            assert!(bad.parse::<HumanDuration>().is_err(), "{bad}");
        }
    }
}
