//! The metrics there are. Their labels take values of the catalog and of closed sets, so that their
//! number is bounded; campaigns are not among them. `docs/metrics.md` lists them.

/// How a metric moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Up and down.
    Gauge,
    /// Up, from 0 at the start of the process.
    Counter,
}

/// A metric.
#[derive(Debug)]
pub(crate) struct Metric {
    /// Its name, as it is queried.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// What it tells, as a fragment: the encoder ends it.
    pub(crate) help: &'static str,
    pub(crate) labels: &'static [&'static str],
}

impl Metric {
    /// Returns the name without the suffix that the encoder adds.
    pub(crate) fn base(&self) -> &'static str {
        match self.kind {
            Kind::Gauge => self.name,
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
        }
    }
}

macro_rules! metrics {
    ($($constant:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            pub(crate) static $constant: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                help: $help,
                labels: &[$($label),*],
            };
        )*
        /// Every metric.
        #[cfg(test)]
        pub(crate) static ALL: &[&Metric] = &[$(&$constant),*];
    };
}

metrics! {
    BUILD_INFO: Gauge "retort_build_info" ["version"] "The version that runs, always 1";
    BROKER_HEALTH: Gauge "retort_broker_health" ["state"] "1 for how the broker is reached: up, blocked, down or refused";
    DOMAINS_CONFIGURED: Gauge "retort_domains_configured" [] "Rate-limit domains of the worker's catalog";
    SESSIONS_OPEN: Gauge "retort_sessions_open" [] "Domains whose session with the broker stands";
    DOMAIN_OWNED: Gauge "retort_domain_owned" ["domain"] "1 for each domain that is this worker's";
    DOMAIN_IN_FLIGHT_REQUESTS: Gauge "retort_domain_in_flight_requests" ["domain"] "Requests in the air";
    DOMAIN_QUEUED_SAMPLES: Gauge "retort_domain_queued_samples" ["domain"] "Samples held and not started";
    DOMAIN_LIMIT_REQUESTS_PER_MINUTE: Gauge "retort_domain_limit_requests_per_minute" ["domain"] "The limit in force on requests of the whole domain";
    DOMAIN_BLOCKED: Gauge "retort_domain_blocked" ["domain"] "1 while a provider's wait holds the whole domain";
    DOMAIN_PARKED: Gauge "retort_domain_parked" ["domain"] "1 while nothing of the domain is asked until a person acts";
    LANE_PARKED: Gauge "retort_lane_parked" ["domain", "model"] "1 while nothing of the model is asked until a person acts";
    REQUESTS: Counter "retort_requests_total" ["domain", "model"] "Requests sent";
    RETRIES: Counter "retort_retries_total" ["domain", "model"] "Attempts that were followed by another one";
    SAMPLES: Counter "retort_samples_total" ["domain", "model", "outcome"] "Samples that ended, by how";
    TOKENS: Counter "retort_tokens_total" ["domain", "model", "direction"] "Tokens as reported, of prompts (input) and answers (output)";
    COST_USD: Counter "retort_cost_usd_total" ["domain", "model"] "Cost by the catalog's prices, in US dollars";
    SPOOL_BYTES: Gauge "retort_spool_bytes" [] "Length of the spool";
    SPOOL_MAX_BYTES: Gauge "retort_spool_max_bytes" [] "Most bytes the spool may have; nothing is started from seven eighths on";
    SPOOL_PENDING_RECORDS: Gauge "retort_spool_pending_records" [] "Records that are fsynced and not yet in the store";
    SPOOL_STALLED: Gauge "retort_spool_stalled" [] "1 while replies cannot be fsynced";
    SPOOL_FSYNC_SECONDS: Gauge "retort_spool_fsync_seconds" [] "How long the last write and fsync took";
    STORE_FAILING: Gauge "retort_store_failing" [] "1 while segments cannot be stored";
    RECORDS_STORED: Counter "retort_records_stored_total" [] "Records that became durable in the store";
    SEGMENTS_STORED: Counter "retort_segments_stored_total" [] "Segment files that became durable in the store";
    COORDINATOR_ACTIVE: Gauge "retort_coordinator_active" [] "1 for the coordinator that is the active one";
    CAMPAIGNS: Gauge "retort_campaigns" ["state"] "Campaigns that are carried out, by what they are doing";
    CAMPAIGN_SAMPLES_PLANNED: Gauge "retort_campaign_samples_planned" [] "Samples planned in campaigns that are carried out";
    CAMPAIGN_SAMPLES_DONE: Gauge "retort_campaign_samples_done" [] "Samples of these with a final row";
    CAMPAIGN_SAMPLES_MISSING: Gauge "retort_campaign_samples_missing" [] "Samples of these that ended without a measurement";
    WINDOW_SAMPLES: Gauge "retort_window_samples" ["domain"] "Samples published and without a receipt";
    SUBMISSIONS: Counter "retort_submissions_total" ["result"] "Submissions that were accepted or rejected";
    CAMPAIGNS_SEALED: Counter "retort_campaigns_sealed_total" [] "Campaigns that were sealed";
    REPAIRS: Counter "retort_repairs_total" [] "Campaigns opened again from the store because samples were gone";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_page_lists_every_metric_as_it_is() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let page = std::fs::read_to_string(path).unwrap();
        let rows: BTreeSet<&str> = page
            .lines()
            .filter(|line| line.starts_with("| `retort_"))
            .collect();
        let expected: BTreeSet<String> = ALL
            .iter()
            .map(|metric| {
                let kind = match metric.kind {
                    Kind::Gauge => "gauge",
                    Kind::Counter => "counter",
                };
                let labels: Vec<String> = metric
                    .labels
                    .iter()
                    .map(|label| format!("`{label}`"))
                    .collect();
                let (name, help) = (metric.name, metric.help);
                format!("| `{name}` | {kind} | {} | {help} |", labels.join(", "))
            })
            .collect();
        let expected: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
        assert_eq!(rows, expected, "docs/metrics.md is stale");
    }

    #[test]
    fn names_follow_the_rule() {
        let mut names = BTreeSet::new();
        for metric in ALL {
            assert!(names.insert(metric.name), "{} twice", metric.name);
            assert!(metric.name.starts_with("retort_"), "{}", metric.name);
            let is_counter = metric.kind == Kind::Counter;
            assert_eq!(
                metric.name.ends_with("_total"),
                is_counter,
                "{}",
                metric.name
            );
            assert!(
                !metric.labels.contains(&"campaign"),
                "campaigns are not bounded"
            );
        }
    }
}
