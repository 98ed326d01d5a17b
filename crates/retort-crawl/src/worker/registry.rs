//! The samples a worker holds: each at most once, whatever the broker delivers again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use retort_broker::Acker;
use retort_types::SampleId;

/// Finished samples that are remembered, so that a late redelivery is acknowledged and not asked:
/// a few times the largest prefetch.
const FINISHED_REMEMBERED: usize = 100_000;

/// What to do with a delivery.
#[derive(Debug)]
pub(crate) enum Admission {
    /// Not seen before: ask it.
    New,
    /// Held already: this delivery is acknowledged together with the first.
    Held,
    /// Finished and durable: acknowledge it.
    Finished(Acker),
}

/// The samples a worker holds and those it finished lately.
#[derive(Debug)]
pub(crate) struct Registry {
    dedupes: bool,
    inner: Mutex<Inner>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new(true)
    }
}

#[derive(Debug, Default)]
struct Inner {
    held: HashMap<SampleId, (usize, Vec<Acker>)>,
    counts: Vec<usize>,
    finished: HashSet<SampleId>,
    order: VecDeque<SampleId>,
}

impl Registry {
    /// Returns an empty one; a test may have it take every delivery for new.
    pub(crate) fn new(dedupes: bool) -> Self {
        Self {
            dedupes,
            inner: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a delivery of the domain with this number.
    pub(crate) fn admit(&self, id: SampleId, domain: usize, acker: Acker) -> Admission {
        let mut inner = self.lock();
        if inner.finished.contains(&id) && self.dedupes {
            return Admission::Finished(acker);
        }
        if let Some((_, ackers)) = inner.held.get_mut(&id) {
            ackers.push(acker);
            return if self.dedupes {
                Admission::Held
            } else {
                Admission::New
            };
        }
        inner.held.insert(id, (domain, vec![acker]));
        if inner.counts.len() <= domain {
            inner.counts.resize(domain + 1, 0);
        }
        inner.counts[domain] += 1;
        Admission::New
    }

    /// Takes note that the session of a domain ended: what is held was given to whoever owns the
    /// domain now. A delivery to this worker makes it its own again.
    pub(crate) fn lose(&self, domain: usize) {
        let mut inner = self.lock();
        let held = inner.held.values_mut();
        held.filter(|(of, _)| *of == domain)
            .for_each(|(_, ackers)| ackers.clear());
    }

    /// Returns whether a held sample is another owner's by now.
    pub(crate) fn is_lost(&self, id: SampleId) -> bool {
        let inner = self.lock();
        inner
            .held
            .get(&id)
            .is_some_and(|(_, ackers)| ackers.is_empty())
    }

    /// Gives up a sample that is not asked here any more.
    pub(crate) fn forget(&self, id: SampleId) {
        let mut inner = self.lock();
        if let Some((domain, _)) = inner.held.remove(&id) {
            inner.counts[domain] -= 1;
        }
    }

    /// Marks a sample as durable and returns what acknowledges its deliveries.
    pub(crate) fn finish(&self, id: SampleId) -> Vec<Acker> {
        let mut inner = self.lock();
        if inner.finished.insert(id) {
            inner.order.push_back(id);
        }
        if inner.order.len() > FINISHED_REMEMBERED
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.finished.remove(&oldest);
        }
        let Some((domain, ackers)) = inner.held.remove(&id) else {
            return Vec::new();
        };
        inner.counts[domain] -= 1;
        ackers
    }

    /// Returns how many samples of a domain are held.
    pub(crate) fn held(&self, domain: usize) -> usize {
        self.lock().counts.get(domain).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use retort_broker::{AckError, Settle};
    use retort_types::Digest;

    use super::*;

    #[derive(Debug)]
    struct Nothing;

    #[async_trait::async_trait]
    impl Settle for Nothing {
        async fn acknowledge(self: Box<Self>) -> Result<(), AckError> {
            Ok(())
        }
        async fn reject(self: Box<Self>, _: &str) -> Result<(), AckError> {
            Ok(())
        }
        async fn requeue(self: Box<Self>) -> Result<(), AckError> {
            Ok(())
        }
    }

    fn acker() -> Acker {
        Acker::new(Box::new(Nothing))
    }

    fn id(number: u32) -> SampleId {
        let digest = Digest::of(&number.to_le_bytes()).to_string();
        digest.chars().take(32).collect::<String>().parse().unwrap()
    }

    #[test]
    fn a_sample_is_asked_once_however_often_it_is_delivered() {
        let registry = Registry::default();
        assert!(matches!(registry.admit(id(1), 0, acker()), Admission::New));
        assert!(matches!(registry.admit(id(1), 0, acker()), Admission::Held));
        assert_eq!(registry.held(0), 1);
        assert_eq!(
            registry.finish(id(1)).len(),
            2,
            "both deliveries are acknowledged"
        );
        assert_eq!(registry.held(0), 0);
        assert!(matches!(
            registry.admit(id(1), 0, acker()),
            Admission::Finished(_)
        ));
        assert!(registry.finish(id(2)).is_empty());
    }

    #[test]
    fn what_a_lost_session_held_is_asked_again_only_by_its_new_owner() {
        let registry = Registry::default();
        for number in 0..3 {
            assert!(matches!(
                registry.admit(id(number), 7, acker()),
                Admission::New
            ));
        }
        assert!(matches!(registry.admit(id(9), 8, acker()), Admission::New));
        registry.lose(7);
        assert!(registry.is_lost(id(0)) && registry.is_lost(id(1)));
        assert!(!registry.is_lost(id(9)), "another domain's session stands");
        // The domain came back while the first was in the air: it is not asked again.
        assert!(matches!(registry.admit(id(0), 7, acker()), Admission::Held));
        assert!(!registry.is_lost(id(0)));
        assert_eq!(registry.finish(id(0)).len(), 1);
        // The second ended without a session, the third was never started.
        assert!(registry.finish(id(1)).is_empty());
        registry.forget(id(2));
        assert_eq!(registry.held(7), 0);
        assert!(matches!(
            registry.admit(id(1), 7, acker()),
            Admission::Finished(_)
        ));
        assert!(matches!(registry.admit(id(2), 7, acker()), Admission::New));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let registry = Registry::default();
        for number in 0..=u32::try_from(FINISHED_REMEMBERED).unwrap() {
            registry.finish(id(number));
        }
        assert!(matches!(registry.admit(id(0), 0, acker()), Admission::New));
        assert!(matches!(
            registry.admit(id(1), 0, acker()),
            Admission::Finished(_)
        ));
    }
}
