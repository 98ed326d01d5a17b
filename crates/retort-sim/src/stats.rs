//! What really happened, as the fleet saw it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The truth about a fleet since its start or the last reset.
///
/// For each provider and model, `requests` is the sum of `served`, `refused_429`, `errors`,
/// `faulted`, `aborted` and `in_flight`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Milliseconds since the fleet started.
    pub uptime_ms: u64,
    /// Connections that are open.
    pub connections: u64,
    /// Connections that were ever opened.
    pub connections_total: u64,
    /// Connections turned away because too many were open.
    pub connections_refused: u64,
    /// Requests that broke HTTP itself or a bound on its size.
    pub bad_requests: u64,
    /// Requests that followed an unasked redirect.
    pub redirects_followed: u64,
    /// By provider.
    pub providers: BTreeMap<String, ProviderStats>,
}

/// Counts of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that arrived whole.
    pub requests: u64,
    /// Requests whose complete answer was written while the client still listened.
    pub served: u64,
    /// Requests refused by limits.
    pub refused_429: u64,
    /// Requests that were wrong: key, model, shape, prompt.
    pub errors: u64,
    /// Requests that a fault kept from a usable answer.
    pub faulted: u64,
    /// Requests whose client went before the answer was written.
    pub aborted: u64,
    /// Admitted requests at work just now.
    pub in_flight: u64,
    /// Most admitted requests at work at once.
    pub in_flight_peak: u64,
    /// Prompt tokens of served requests.
    pub prompt_tokens: u64,
    /// Answer tokens of served requests, reasoning included.
    pub completion_tokens: u64,
}

/// What happened at one provider.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProviderStats {
    /// All its models together, and requests that named none of them.
    #[serde(flatten)]
    pub totals: Counts,
    /// Answers begun by status, faults included.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests hit by faults, by kind; some were served nevertheless.
    pub faults: BTreeMap<String, u64>,
    /// Most requests admitted within any window of one second.
    pub peak_accepted_1s: u64,
    /// Most requests that arrived within any window of one second.
    pub peak_total_1s: u64,
    /// Requests that came before a told retry time had passed. Those within 50 ms after a refusal
    /// was first told are left out: they may have been on their way.
    pub early_returns: u64,
    /// Different sample ids that were served.
    pub samples_served: u64,
    /// Sample ids that were served more than once.
    pub paid_twice: u64,
    /// The first thousand of them.
    pub paid_twice_ids: Vec<String>,
    /// Served requests with a sample id that were not tracked, because four million were.
    pub samples_untracked: u64,
    /// By model.
    pub models: BTreeMap<String, Counts>,
}

impl Stats {
    /// Returns all providers together.
    pub fn totals(&self) -> Counts {
        let mut sum = Counts::default();
        for provider in self.providers.values() {
            sum.add(&provider.totals);
        }
        sum
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.served += other.served;
        self.refused_429 += other.refused_429;
        self.errors += other.errors;
        self.faulted += other.faulted;
        self.aborted += other.aborted;
        self.in_flight += other.in_flight;
        self.in_flight_peak += other.in_flight_peak;
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
    }

    /// Forgets everything but what is at work.
    pub(crate) fn reset(&mut self) {
        *self = Self {
            requests: self.in_flight,
            in_flight: self.in_flight,
            in_flight_peak: self.in_flight,
            ..Self::default()
        };
    }
}
