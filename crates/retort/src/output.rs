//! The only place that prints: results to standard output, everything else to standard error.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;
use crate::failure::Failure;

/// What is logged unless `RETORT_LOG` says otherwise.
const DEFAULT_FILTER: &str = "warn";

/// What is never logged: the broker's client would write out whole messages, prompts included. It
/// also calls it an error when a channel ends, which is how a broker says that something is not there
/// or not allowed, and when a connection ends, also one that was told to. Whoever asked is told so and
/// logs it where it matters.
const NEVER: &str = "lapin::returned_messages=off,lapin::channels=off,lapin::frames=warn,\
                     lapin::channel=off,lapin::io_loop=off";

/// Starts logging to standard error.
#[expect(
    clippy::disallowed_methods,
    reason = "logging starts before the configuration is read, and reports on it"
)]
pub(crate) fn start_logging(format: LogFormat) {
    let filter = std::env::var("RETORT_LOG").or_else(|_| std::env::var("RUST_LOG"));
    let filter = filter.as_deref().unwrap_or(DEFAULT_FILTER);
    let filter = EnvFilter::new(format!("{filter},{NEVER}"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let builder = builder.with_ansi(io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.compact().init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// Prints a line of a result. A reader that went away is no error.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    drop(writeln!(out, "{text}"));
}

/// Returns a text with everything escaped that could steer a terminal or turn its reading order:
/// control characters but line breaks and tabs, and marks of direction.
pub(crate) fn visible(text: &str) -> String {
    let is_steering = |c: char| {
        c.is_control() && c != '\n' && c != '\t'
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_steering) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_steering(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Prints a line about what is going on.
pub(crate) fn note(text: &str) {
    let mut out = io::stderr().lock();
    drop(writeln!(out, "{text}"));
}

/// Prints an error.
pub(crate) fn error(text: &str) {
    note(text);
}

/// Prints a value as JSON for programs.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    line(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Text in columns, as wide as they need.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    /// `l` or `r` per column.
    sides: &'static str,
}

impl Table {
    /// Returns a table with these headings, aligned by `sides`: `l` or `r` per column.
    pub(crate) fn new(sides: &'static str, headings: &[&str]) -> Self {
        Self {
            rows: vec![
                headings
                    .iter()
                    .map(|heading| (*heading).to_owned())
                    .collect(),
            ],
            sides,
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in self.rows.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            let cells =
                row.iter()
                    .zip(&widths)
                    .zip(self.sides.chars())
                    .map(|((cell, width), side)| {
                        let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
                        if side == 'l' {
                            format!("{cell}{pad}")
                        } else {
                            format!("{pad}{cell}")
                        }
                    });
            let text = cells.collect::<Vec<_>>().join("  ");
            f.write_str(text.trim_end())?;
        }
        Ok(())
    }
}

/// Returns a count with thin groups: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns US dollars with as many digits as small sums need.
pub(crate) fn dollars(amount: f64) -> String {
    if amount == 0.0 || amount >= 0.1 {
        format!("${amount:.2}")
    } else {
        format!("${amount:.4}")
    }
}

/// Returns a length of time in at most two units: `2h 5m`, `45s`.
pub(crate) fn seconds(total: u64) -> String {
    match total {
        0..60 => format!("{total}s"),
        60..3_600 => format!("{}m {}s", total / 60, total % 60),
        3_600..86_400 => format!("{}h {}m", total / 3_600, total % 3_600 / 60),
        _ => format!("{}d {}h", total / 86_400, total % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            (count(0), count(999), count(1_234_567)),
            ("0".into(), "999".into(), "1,234,567".into())
        );
        assert_eq!(
            (dollars(0.0), dollars(0.0123), dollars(12.0)),
            ("$0.00".into(), "$0.0123".into(), "$12.00".into())
        );
        assert_eq!(
            (seconds(59), seconds(3_725), seconds(90_000)),
            ("59s".into(), "1h 2m".into(), "1d 1h".into())
        );
    }

    #[test]
    fn tables_align() {
        let mut table = Table::new("lr", &["model", "n"]);
        table.row(vec!["ä".into(), "10".into()]);
        assert_eq!(table.to_string(), "model   n\nä      10");
    }
}
