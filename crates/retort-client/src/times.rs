//! When bytes went over a connection, and how late this program is to see them.
//!
//! A busy client sends late and looks late at what has arrived. Both would pass for the host's time:
//! an exchange counts from when its request was written to when its answer was read, by the
//! connection itself. What then remains is the time for which bytes lie in the kernel. Nothing tells
//! that of a single answer, but how late the runtime wakes whoever waits for an exact time is the
//! same: both wait for the next look at the system and then for their turn.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// When bytes went over a connection last.
#[derive(Debug)]
pub(crate) struct Times {
    begun_at: Instant,
    connected_at: Instant,
    /// Of the first bytes written since bytes were read, and of the last bytes read: microseconds
    /// since connecting began.
    written: AtomicU64,
    read: AtomicU64,
    /// Whether bytes were written and none were read since.
    waits: AtomicBool,
}

impl Times {
    /// Returns those of a connection that was begun then and is there now.
    pub(crate) fn new(begun_at: Instant) -> Self {
        Self {
            begun_at,
            connected_at: Instant::now(),
            written: AtomicU64::new(0),
            read: AtomicU64::new(0),
            waits: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun_at.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) fn note_written(&self) {
        if !self.waits.swap(true, Ordering::Relaxed) {
            self.written.store(self.now(), Ordering::Relaxed);
        }
    }

    pub(crate) fn note_read(&self) {
        self.waits.store(false, Ordering::Relaxed);
        self.read.store(self.now(), Ordering::Relaxed);
    }

    fn at(&self, micros: &AtomicU64) -> Instant {
        self.begun_at + Duration::from_micros(micros.load(Ordering::Relaxed))
    }

    /// Returns when a request that was begun at `start` went to the network: when it was written,
    /// less the time for which a connection was being made meanwhile. What comes before that is this
    /// program's delay.
    pub(crate) fn sent_at(&self, start: Instant) -> Instant {
        let written = self.at(&self.written).max(start);
        let connecting = self.connected_at.min(written) - self.begun_at.max(start).min(written);
        (written - connecting).max(start)
    }

    /// Returns when bytes were read last, if that was after `earliest`.
    pub(crate) fn read_at(&self, earliest: Instant) -> Instant {
        self.at(&self.read).max(earliest)
    }
}

/// How often the delay of the runtime is measured: a thousandth of a core when nothing else happens.
const MEASURE_EVERY: Duration = Duration::from_millis(10);

/// Timers wake up to so much later than asked for, on an idle machine too.
const TIMER_STEP: Duration = Duration::from_millis(1);

/// How late a runtime wakes its tasks.
#[derive(Debug, Default)]
pub(crate) struct Lag(AtomicU64);

impl Lag {
    /// Measures for ever; what was measured is forgotten when this is dropped.
    pub(crate) async fn measure(&self) {
        let _forgotten = Forgotten(self);
        loop {
            let due = Instant::now() + MEASURE_EVERY;
            sleep_until(due).await;
            let late = due.elapsed().saturating_sub(TIMER_STEP);
            let late = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
            self.0.store(late, Ordering::Relaxed);
        }
    }

    /// Returns what was measured last; nothing unless something measures.
    pub(crate) fn last(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// Forgets a delay that nothing measures any more.
struct Forgotten<'a>(&'a Lag);

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        self.0.0.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_turn_is_not_sending_and_connecting_is() {
        let start = Instant::now();
        // 2 ms until connecting begins, 30 ms for that, 5 ms until the request is written.
        tokio::time::advance(2 * MS).await;
        let begun_at = Instant::now();
        tokio::time::advance(30 * MS).await;
        let times = Times::new(begun_at);
        tokio::time::advance(5 * MS).await;
        times.note_written();
        assert_eq!(times.sent_at(start) - start, 7 * MS);
        // A second write belongs to the same request; the answer ends it.
        tokio::time::advance(MS).await;
        times.note_written();
        assert_eq!(times.sent_at(start) - start, 7 * MS);
        tokio::time::advance(200 * MS).await;
        times.note_read();
        assert_eq!(times.read_at(start) - start, 238 * MS);
        // The next request finds the connection there.
        let start = Instant::now();
        tokio::time::advance(4 * MS).await;
        times.note_written();
        assert_eq!(times.sent_at(start) - start, 4 * MS);
        // Nothing read since: what counts is what the caller knows.
        let known = Instant::now();
        assert_eq!(times.read_at(known), known);
    }

    #[tokio::test]
    async fn a_busy_runtime_is_late() {
        let lag = std::sync::Arc::new(Lag::default());
        let measured = std::sync::Arc::clone(&lag);
        let measuring = tokio::spawn(async move { measured.measure().await });
        tokio::time::sleep(2 * MEASURE_EVERY).await;
        let busy = 60 * MS;
        let until = std::time::Instant::now() + busy;
        while std::time::Instant::now() < until {}
        // The measurement that was due meanwhile comes now, and the next one not before its time.
        tokio::time::sleep(MS).await;
        assert!(lag.last() >= busy / 2, "{:?}", lag.last());
        measuring.abort();
        drop(measuring.await);
        assert_eq!(lag.last(), Duration::ZERO, "nothing measures");
    }
}
