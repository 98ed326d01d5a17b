//! Counting of one provider: the numbers behind its statistics, kept as requests come and go.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::fault::FaultKind;
use crate::peak::Peak;
use crate::stats::{Counts, ProviderStats};

/// How long after a refusal requests may still have been on their way: a loopback round trip and
/// a busy scheduler.
const ON_ITS_WAY: Duration = Duration::from_millis(50);

/// Most sample ids that are told apart: about 200 MB.
const SAMPLES_MAX: usize = 4_000_000;

/// Most sample ids that are listed.
const LISTED_MAX: usize = 1_000;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Served {
        prompt_tokens: u64,
        completion_tokens: u64,
    },
    Refused,
    Error,
    Faulted,
    Aborted,
}

/// Counts of one provider.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    totals: Counts,
    models: BTreeMap<String, Counts>,
    statuses: BTreeMap<u16, u64>,
    faults: BTreeMap<FaultKind, u64>,
    accepted: Peak,
    arrived: Peak,
    early_returns: u64,
    /// When the last refusal streak began, and until when clients were told to wait.
    told: Option<(Duration, Duration)>,
    /// Served requests by hash of the sample id.
    samples: HashMap<u128, u32>,
    paid_twice: u64,
    paid_twice_ids: Vec<String>,
    samples_untracked: u64,
}

impl Ledger {
    pub(crate) fn new<'a>(models: impl Iterator<Item = &'a str>) -> Self {
        Self {
            models: models.map(|m| (m.to_owned(), Counts::default())).collect(),
            ..Self::default()
        }
    }

    /// Counts a request that arrived, which must get a [fate](Self::end).
    pub(crate) fn arrive(&mut self, now: Duration) {
        self.totals.requests += 1;
        self.arrived.record(now);
        match self.told {
            Some((_, until)) if now >= until => self.told = None,
            Some((since, _)) if now >= since + ON_ITS_WAY => self.early_returns += 1,
            Some(_) | None => {}
        }
    }

    /// Counts the request for a model of this provider.
    pub(crate) fn name(&mut self, model: &str) {
        self.of_model(model, |counts| counts.requests += 1);
    }

    /// Counts a request that was admitted.
    pub(crate) fn accept(&mut self, now: Duration, model: &str) {
        self.accepted.record(now);
        self.both(Some(model), |counts| {
            counts.in_flight += 1;
            counts.in_flight_peak = counts.in_flight_peak.max(counts.in_flight);
        });
    }

    /// Counts that an admitted request is over.
    pub(crate) fn leave(&mut self, model: &str) {
        self.both(Some(model), |counts| {
            counts.in_flight = counts.in_flight.saturating_sub(1);
        });
    }

    /// Notes that clients were told to wait.
    pub(crate) fn tell(&mut self, now: Duration, wait: Duration) {
        let (since, until) = self.told.unwrap_or((now, now));
        self.told = Some((since, until.max(now + wait)));
    }

    pub(crate) fn status(&mut self, status: u16) {
        *self.statuses.entry(status).or_default() += 1;
    }

    pub(crate) fn fault(&mut self, kind: FaultKind) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// Counts how a request ended.
    pub(crate) fn end(&mut self, model: Option<&str>, fate: Fate, sample_id: Option<&str>) {
        self.both(model, |counts| match fate {
            Fate::Served {
                prompt_tokens,
                completion_tokens,
            } => {
                counts.served += 1;
                counts.prompt_tokens += prompt_tokens;
                counts.completion_tokens += completion_tokens;
            }
            Fate::Refused => counts.refused_429 += 1,
            Fate::Error => counts.errors += 1,
            Fate::Faulted => counts.faulted += 1,
            Fate::Aborted => counts.aborted += 1,
        });
        if let (Fate::Served { .. }, Some(id)) = (fate, sample_id) {
            self.pay(id);
        }
    }

    fn pay(&mut self, id: &str) {
        let key = xxhash_rust::xxh3::xxh3_128(id.as_bytes());
        if self.samples.len() >= SAMPLES_MAX && !self.samples.contains_key(&key) {
            self.samples_untracked += 1;
            return;
        }
        let times = self.samples.entry(key).or_default();
        *times += 1;
        if *times == 2 {
            self.paid_twice += 1;
            if self.paid_twice_ids.len() < LISTED_MAX {
                self.paid_twice_ids.push(id.to_owned());
            }
        }
    }

    fn both(&mut self, model: Option<&str>, change: impl Fn(&mut Counts)) {
        change(&mut self.totals);
        if let Some(model) = model {
            self.of_model(model, change);
        }
    }

    fn of_model(&mut self, model: &str, change: impl Fn(&mut Counts)) {
        if let Some(counts) = self.models.get_mut(model) {
            change(counts);
        }
    }

    pub(crate) fn stats(&self) -> ProviderStats {
        let faults = self.faults.iter();
        ProviderStats {
            totals: self.totals,
            statuses: self.statuses.clone(),
            faults: faults.map(|(k, n)| (k.as_str().to_owned(), *n)).collect(),
            peak_accepted_1s: self.accepted.most(),
            peak_total_1s: self.arrived.most(),
            early_returns: self.early_returns,
            samples_served: self.samples.len() as u64,
            paid_twice: self.paid_twice,
            paid_twice_ids: self.paid_twice_ids.clone(),
            samples_untracked: self.samples_untracked,
            models: self.models.clone(),
        }
    }

    /// Forgets everything but what is at work and what clients were told.
    pub(crate) fn reset(&mut self) {
        let fresh = Self {
            totals: self.totals,
            models: std::mem::take(&mut self.models),
            told: self.told,
            ..Self::default()
        };
        *self = fresh;
        self.totals.reset();
        for counts in self.models.values_mut() {
            counts.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn early_returns_are_those_before_the_told_time() {
        let mut ledger = Ledger::new(["m"].into_iter());
        ledger.arrive(ms(0));
        ledger.tell(ms(0), ms(1_000));
        ledger.arrive(ms(10));
        ledger.tell(ms(10), ms(500));
        ledger.arrive(ms(60));
        ledger.arrive(ms(999));
        ledger.arrive(ms(1_000));
        ledger.arrive(ms(1_001));
        assert_eq!(ledger.stats().early_returns, 2);
    }

    #[test]
    fn samples_served_twice_are_listed_once() {
        let mut ledger = Ledger::new(["m"].into_iter());
        let served = Fate::Served {
            prompt_tokens: 1,
            completion_tokens: 2,
        };
        for (id, fate) in [
            ("a", served),
            ("b", served),
            ("a", served),
            ("a", served),
            ("b", Fate::Aborted),
        ] {
            ledger.end(Some("m"), fate, Some(id));
        }
        let stats = ledger.stats();
        assert_eq!((stats.samples_served, stats.paid_twice), (2, 1));
        assert_eq!(stats.paid_twice_ids, ["a"]);
        assert_eq!(stats.totals.served, 4);
        assert_eq!(stats.models["m"].completion_tokens, 8);
    }

    #[test]
    fn a_reset_keeps_what_is_at_work() {
        let mut ledger = Ledger::new(["m"].into_iter());
        ledger.arrive(ms(0));
        ledger.name("m");
        ledger.accept(ms(0), "m");
        ledger.status(200);
        ledger.reset();
        let stats = ledger.stats();
        assert_eq!((stats.totals.in_flight, stats.totals.requests), (1, 1));
        assert!(stats.statuses.is_empty());
        ledger.leave("m");
        assert_eq!(ledger.stats().models["m"].in_flight, 0);
    }
}
