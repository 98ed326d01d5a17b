//! What a session must have shown lately before new work may be begun.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How old the last sign of the broker may be. It is shorter than the time after which a broker
/// gives a silent consumer's work away, which is at least one heartbeat.
pub(super) const LEASE: Duration = Duration::from_secs(5);

/// How often a consumer that holds work asks for a sign.
pub(super) const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How long a question may go without an answer: a broker that is not heard for so long, though its
/// connection stands, is given up, so that its work goes to whoever hears it. Longer than two heartbeats,
/// after which a silent connection ends by itself.
pub(super) const SILENT_MAX: Duration = Duration::from_secs(30);

/// How long a publication may wait for its confirmation: a broker that answers but stores nothing
/// has lost its majority.
const CONFIRM_MAX: Duration = Duration::from_secs(10);

/// When the question was sent that the broker answered last. The time of sending counts, not that
/// of the answer: an answer proves only that the session stood when it was on its way.
#[derive(Debug)]
pub(super) struct Lease(Mutex<Instant>);

impl Lease {
    /// Begins with a question that was answered just now.
    pub(super) fn new(sent: Instant) -> Self {
        Self(Mutex::new(sent))
    }

    pub(super) fn renew(&self, sent: Instant) {
        *lock(&self.0) = sent;
    }

    /// Returns how old the lease is. The clock runs on while a process is stopped.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(*lock(&self.0))
    }
}

/// The publications that wait for their confirmation, by the order they were sent in.
#[derive(Debug, Default)]
pub(super) struct Outstanding(Mutex<BTreeMap<u64, Instant>>);

impl Outstanding {
    pub(super) fn begin(&self, number: u64, now: Instant) {
        lock(&self.0).insert(number, now);
    }

    pub(super) fn end(&self, number: u64) {
        lock(&self.0).remove(&number);
    }

    /// Tells whether one has waited for too long.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        let outstanding = lock(&self.0);
        let oldest = outstanding.first_key_value();
        oldest.is_some_and(|(_, sent)| now.saturating_duration_since(*sent) > CONFIRM_MAX)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is a single step, so the state of a poisoned lock is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ages_from_the_question() {
        let sent = Instant::now();
        let lease = Lease::new(sent);
        assert_eq!(lease.age(sent + LEASE), LEASE);
        lease.renew(sent + Duration::from_secs(1));
        assert_eq!(lease.age(sent + LEASE), Duration::from_secs(4));
    }

    #[test]
    fn the_oldest_publication_decides() {
        let now = Instant::now();
        let outstanding = Outstanding::default();
        outstanding.begin(1, now);
        outstanding.begin(2, now + CONFIRM_MAX);
        let later = now + CONFIRM_MAX + Duration::from_millis(1);
        assert!(!outstanding.is_stalled(now + CONFIRM_MAX));
        assert!(outstanding.is_stalled(later));
        outstanding.end(1);
        assert!(!outstanding.is_stalled(later));
    }
}
