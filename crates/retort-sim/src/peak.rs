//! The most events in any window of one second, kept up as they happen.

use std::collections::VecDeque;
use std::time::Duration;

/// Length of the window.
const WINDOW: Duration = Duration::from_secs(1);

/// Finds the most events in any half-open window of one second.
///
/// Memory is bounded by the events of one second.
#[derive(Debug, Default)]
pub(crate) struct Peak {
    recent: VecDeque<Duration>,
    most: usize,
}

impl Peak {
    /// Counts an event; times never go back.
    pub(crate) fn record(&mut self, at: Duration) {
        while self
            .recent
            .front()
            .is_some_and(|first| at.saturating_sub(*first) >= WINDOW)
        {
            self.recent.pop_front();
        }
        self.recent.push_back(at);
        self.most = self.most.max(self.recent.len());
    }

    /// Returns the most events in any window so far.
    pub(crate) fn most(&self) -> u64 {
        self.most as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every window that begins at an event; one that does not holds no more.
    fn brute_force(times: &[Duration]) -> u64 {
        times
            .iter()
            .map(|from| {
                let inside = times
                    .iter()
                    .filter(|at| *at >= from && at.saturating_sub(*from) < WINDOW);
                inside.count() as u64
            })
            .max()
            .unwrap_or(0)
    }

    proptest::proptest! {
        #[test]
        fn equals_brute_force(gaps in proptest::collection::vec(0_u64..700_000, 0..120)) {
            let mut peak = Peak::default();
            let mut times = Vec::new();
            let mut now = Duration::ZERO;
            for gap in gaps {
                now += Duration::from_micros(gap);
                times.push(now);
                peak.record(now);
            }
            proptest::prop_assert_eq!(peak.most(), brute_force(&times));
        }
    }

    #[test]
    fn a_window_is_half_open() {
        let mut peak = Peak::default();
        for ms in [0, 999, 1_000, 1_999, 2_000] {
            peak.record(Duration::from_millis(ms));
        }
        assert_eq!(peak.most(), 2);
    }
}
