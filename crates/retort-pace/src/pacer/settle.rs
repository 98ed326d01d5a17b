//! What follows from how a request ended.

use std::time::Duration;

use retort_types::{AnnouncedLimits, Disposition, Outcome};

use super::{Pacer, WHOLE};
use crate::backoff::{doubled, jittered};
use crate::block::Block;
use crate::permit::{Effect, Now, Permit, Settlement};
use crate::scope::Used;
use crate::settings::WAIT_MAX;

/// The shortest pause after a refusal: what is in the air comes back and shows what was served.
const PAUSE_MIN: Duration = Duration::from_millis(200);

/// Pauses in a row that are as short as the provider says, though nothing is served between them.
const PAUSES_TRUSTED: u32 = 3;

impl Pacer {
    /// Takes note of how a request ended; returns what that changed.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a permit ends with its request"
    )]
    pub fn settle(&mut self, permit: Permit, settlement: &Settlement, now: Now) -> Effect {
        for scope in &mut self.scopes {
            scope.refresh(now);
        }
        let Some(lane) = self.lanes.get_mut(permit.lane) else {
            return Effect::None;
        };
        lane.in_flight = lane.in_flight.saturating_sub(1);
        let used = used(&permit, settlement);
        for scope in [WHOLE, lane.group] {
            self.scopes[scope].settle(&permit, used, now);
        }
        let told = used.told_input.saturating_add(used.told_output);
        self.meter.tokens(now.instant, told);
        let ruling = self.lanes[permit.lane].ruling;
        let is_refusal = settlement.outcome == Outcome::RateLimited;
        self.scopes[ruling].announced(&settlement.limits, is_refusal, now.instant);
        self.follow(&permit, settlement, now)
    }

    /// Draws the consequences of an outcome for the lane, its ruling scope and the domain.
    fn follow(&mut self, permit: &Permit, settlement: &Settlement, now: Now) -> Effect {
        let outcome = settlement.outcome;
        let lane = &mut self.lanes[permit.lane];
        match outcome {
            Outcome::RateLimited => {
                lane.breaker.neutral(permit.started);
                return self.refused(permit, &settlement.limits, now);
            }
            Outcome::NotAsked | Outcome::GaveUp => {
                lane.breaker.neutral(permit.started);
                self.scopes[lane.ruling].failed(permit);
            }
            Outcome::Answered
            | Outcome::Refused
            | Outcome::Filtered
            | Outcome::InvalidRequest
            | Outcome::ContextLength
            | Outcome::NotFound
            | Outcome::Unauthorized
            | Outcome::QuotaExhausted => {
                lane.breaker.succeeded();
                self.scopes[lane.ruling].served(permit);
            }
            Outcome::Overloaded
            | Outcome::Timeout
            | Outcome::ConnectFailed
            | Outcome::ProviderError
            | Outcome::Cut
            | Outcome::Undecodable => return self.failed(permit, settlement, now),
        }
        match outcome.disposition() {
            Disposition::Finish | Disposition::RetryFree | Disposition::RetryCounted => {
                Effect::None
            }
            Disposition::FinishAndParkLane => {
                self.park_lane(permit.lane, outcome.as_str());
                Effect::LaneParked {
                    lane: permit.lane,
                    reason: outcome.as_str().to_owned(),
                }
            }
            Disposition::FinishAndParkDomain => {
                self.park_domain(outcome.as_str());
                Effect::DomainParked {
                    reason: outcome.as_str().to_owned(),
                }
            }
        }
    }

    fn refused(&mut self, permit: &Permit, limits: &AnnouncedLimits, now: Now) -> Effect {
        let scope = &mut self.scopes[self.lanes[permit.lane].ruling];
        let pauses = scope.refused(permit);
        let asked = asked_wait(limits);
        let backoff = |times: u32| {
            let (first, max) = (self.settings.backoff_first.0, self.settings.backoff_max.0);
            jittered(doubled(first, times, max), scope.name(), times)
        };
        let wait = match (asked, pauses) {
            (None, None) => return Effect::None,
            (None, Some(pauses)) => backoff(pauses.saturating_sub(1)),
            (Some(asked), Some(pauses)) if pauses > PAUSES_TRUSTED => {
                asked.max(backoff(pauses - PAUSES_TRUSTED))
            }
            (Some(asked), _) => asked,
        };
        let wait = wait
            .max(PAUSE_MIN)
            .min(self.settings.retry_after_max.0)
            .min(WAIT_MAX);
        let block = scope.pause(now, wait, "rate_limited");
        if pauses.is_some() {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            tracing::debug!(domain.id = %self.spec.id, wait_ms, "provider asked us to slow down");
        }
        Effect::Blocked {
            until: block.until,
            reason: block.reason,
        }
    }

    fn failed(&mut self, permit: &Permit, settlement: &Settlement, now: Now) -> Effect {
        let outcome = settlement.outcome;
        let lane = &mut self.lanes[permit.lane];
        if outcome == Outcome::ConnectFailed {
            self.scopes[lane.ruling].failed(permit);
        } else {
            self.scopes[lane.ruling].served(permit);
        }
        let was = lane.breaker.until();
        let breaker = &self.settings.breaker;
        if let Some(reason) = lane.breaker.failed(permit.started, outcome, now, breaker) {
            self.park_lane(permit.lane, &reason);
            return Effect::LaneParked {
                lane: permit.lane,
                reason,
            };
        }
        if let Some(wait) = settlement.limits.retry_after {
            let wait = wait.min(self.settings.retry_after_max.0).min(WAIT_MAX);
            let block = Block::new(now, wait, outcome.as_str().to_owned());
            let longer = lane.block.as_ref().is_none_or(|b| b.until < block.until);
            if longer {
                lane.block = Some(block);
            }
        }
        let opened = lane.breaker.until().filter(|until| Some(*until) != was);
        let asked = lane.block.as_ref().map(|block| block.until);
        match opened.max(asked.filter(|until| *until > now.instant)) {
            Some(until) => Effect::Blocked {
                until,
                reason: outcome.as_str().to_owned(),
            },
            None => Effect::None,
        }
    }
}

/// Returns how long the provider asks to wait: what it says outright, else the time until what
/// it says is used up comes back.
fn asked_wait(limits: &AnnouncedLimits) -> Option<Duration> {
    let used_up = limits.counts.iter().filter(|c| c.remaining == Some(0));
    limits
        .retry_after
        .or_else(|| used_up.filter_map(|count| count.reset).max())
}

/// Returns what a request used: what the provider told, nothing when it did no work, else the estimate.
fn used(permit: &Permit, settlement: &Settlement) -> Used {
    let idle = matches!(
        settlement.outcome,
        Outcome::RateLimited | Outcome::ConnectFailed | Outcome::NotAsked
    );
    let estimate = |tokens: u64| if idle { 0 } else { tokens };
    let Settlement {
        input_tokens,
        output_tokens,
        ..
    } = settlement;
    Used {
        input_tokens: input_tokens.unwrap_or(estimate(permit.input_tokens)),
        output_tokens: output_tokens.unwrap_or(estimate(permit.output_tokens)),
        told_input: input_tokens.unwrap_or(0),
        told_output: output_tokens.unwrap_or(0),
        cost_usd: settlement.cost_usd.unwrap_or(0.0),
    }
}
