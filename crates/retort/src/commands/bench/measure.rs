//! What a process used, as the kernel counts it, and how waits are summed up.

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Clock ticks a second in `/proc`: fixed by Linux for programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Waits in milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Waits {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Waits {
    /// Sums waits up.
    pub(crate) fn of(mut waits: Vec<f64>) -> Self {
        waits.sort_by(f64::total_cmp);
        let at = |part: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a part of a length is an index"
            )]
            let index = (waits.len().saturating_sub(1) as f64 * part) as usize;
            waits.get(index).copied().unwrap_or(0.0)
        };
        Self {
            p50: at(0.5),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

/// Returns the middle of `values`; zero when there are none.
pub(crate) fn median(values: &[f64]) -> f64 {
    Waits::of(values.to_vec()).p50
}

/// Returns the CPU seconds that a process used, all its threads, user and system.
pub(crate) fn cpu_seconds(process: u32) -> Result<f64, Failure> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold anything.
    let after = text.rsplit_once(") ").map(|(_, after)| after);
    let fields = || after.into_iter().flat_map(str::split_whitespace);
    let ticks = |field: usize| {
        fields()
            .nth(field)
            .and_then(|text| text.parse::<f64>().ok())
    };
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok((user + system) / TICKS_PER_SECOND),
        _ => Err(
            Failure::new("failed to read the CPU time of a process from /proc")
                .hint("benchmarks run on Linux only"),
        ),
    }
}

/// Returns the most memory that a process had resident so far, in MB.
pub(crate) fn peak_rss_mb(process: u32) -> Result<f64, Failure> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map(|kib| kib * 1024.0 / 1e6)
        .ok_or_else(|| Failure::new("failed to read the memory of a process from /proc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_used_something() {
        let process = std::process::id();
        assert!(cpu_seconds(process).unwrap() >= 0.0);
        assert!(peak_rss_mb(process).unwrap() > 1.0);
        assert!(cpu_seconds(u32::MAX).is_err());
    }

    #[test]
    fn waits_are_summed_up() {
        let waits = Waits::of((0..=100).rev().map(f64::from).collect());
        let json = |waits| serde_json::to_string(&waits).unwrap();
        assert_eq!(json(waits), r#"{"p50":50.0,"p99":99.0,"max":100.0}"#);
        assert_eq!(
            json(Waits::of(Vec::new())),
            r#"{"p50":0.0,"p99":0.0,"max":0.0}"#
        );
        assert_eq!(median(&[3.0, 1.0, 2.0]).to_string(), "2");
    }
}
