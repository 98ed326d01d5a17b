//! A breaker: leaves an endpoint alone that does not answer, and gives up on it in the end.

use std::time::Duration;

use retort_types::{Outcome, Timestamp};
use tokio::time::Instant;

use crate::backoff::{doubled, later};
use crate::permit::Now;
use crate::settings::BreakerSettings;

/// The breaker of one lane.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// Failures since the last success.
    failures: u32,
    /// Instant and time of the first of them.
    since: Option<(Instant, Timestamp)>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    /// How often it opened since the last success.
    times: u32,
    until: Instant,
    until_at: Timestamp,
    reason: Outcome,
    /// When the request that tries the endpoint started.
    trial: Option<Instant>,
}

/// What a breaker says about the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    Free,
    At(Instant),
    /// One request tries the endpoint; the others wait for how it ends.
    Trial,
}

impl Breaker {
    /// Returns whether the next request may pass.
    pub(crate) fn passage(&self, now: Instant) -> Passage {
        match &self.open {
            Some(Open { trial: Some(_), .. }) => Passage::Trial,
            Some(open) if now < open.until => Passage::At(open.until),
            Some(_) | None => Passage::Free,
        }
    }

    /// Takes note that a request started.
    pub(crate) fn started(&mut self, now: Instant) {
        if let Some(open) = &mut self.open {
            open.trial = Some(now);
        }
    }

    /// Takes note that a request that started then ended without saying anything of the endpoint.
    pub(crate) fn neutral(&mut self, started: Instant) {
        if let Some(open) = &mut self.open
            && open.trial == Some(started)
        {
            open.trial = None;
        }
    }

    /// Takes note that the endpoint answered.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Takes note that a request that started then failed; returns the reason to park, if it is
    /// time to.
    pub(crate) fn failed(
        &mut self,
        started: Instant,
        outcome: Outcome,
        now: Now,
        settings: &BreakerSettings,
    ) -> Option<String> {
        self.failures = self.failures.saturating_add(1);
        let (since, since_at) = *self.since.get_or_insert((now.instant, now.wall));
        if self.failures < settings.failures_to_open {
            return None;
        }
        let times = match &self.open {
            None => 0,
            Some(open) if open.trial == Some(started) => open.times.saturating_add(1),
            // It started before the breaker opened and says nothing new.
            Some(_) => return None,
        };
        if now.instant.saturating_duration_since(since) >= settings.park_after.0 {
            self.neutral(started);
            return Some(format!("no answer since {since_at}: {outcome}"));
        }
        let wait = doubled(settings.first_wait.0, times, settings.max_wait.0).max(WAIT_MIN);
        self.open = Some(Open {
            times,
            until: later(now.instant, wait),
            until_at: now.wall.after(wait),
            reason: outcome,
            trial: None,
        });
        None
    }

    /// Returns until when requests wait, and why.
    pub(crate) fn waits(&self, now: Instant) -> Option<(Timestamp, String)> {
        let open = self.open.as_ref().filter(|open| now < open.until)?;
        Some((
            open.until_at,
            format!("{} failures in a row: {}", self.failures, open.reason),
        ))
    }

    /// Returns until when requests wait, if they do.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.until)
    }
}

/// The shortest wait: settings of zero must not make a dead endpoint a busy loop.
const WAIT_MIN: Duration = Duration::from_millis(10);
