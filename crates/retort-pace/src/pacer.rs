//! The pace of one domain, kept by its one owner.

mod settle;
#[cfg(test)]
mod tests;

use retort_types::{DomainSpec, Limits};
use tokio::time::Instant;

use crate::block::Block;
use crate::lane::{Lane, LaneReadiness};
use crate::meter::Meter;
use crate::permit::{Decision, Now, Permit, Waiting};
use crate::scope::{Readiness, Scope};
use crate::settings::PaceSettings;
use crate::state::{DomainState, LaneSaved, PACE_SCHEMA};
use crate::status::{DomainStatus, LaneStatus, Today};

/// The pace of one domain.
#[derive(Debug)]
pub struct Pacer {
    spec: DomainSpec,
    settings: PaceSettings,
    parked: Option<String>,
    /// The domain as a whole, then its groups.
    scopes: Vec<Scope>,
    lanes: Vec<Lane>,
    starts: u64,
    meter: Meter,
}

/// Index of the scope of the domain as a whole.
const WHOLE: usize = 0;

impl Pacer {
    /// Returns the pace of a domain. Without a saved state all its limits are unused; with one,
    /// an earlier owner may have used them up to `now`, so that its buckets begin empty.
    pub fn new(
        spec: DomainSpec,
        settings: PaceSettings,
        saved: Option<DomainState>,
        now: Now,
    ) -> Self {
        let saved = saved.filter(|saved| saved.schema == PACE_SCHEMA && saved.domain == spec.id);
        let mut whole = saved.as_ref().map(|saved| saved.whole.clone());
        let scope = |name: &str, limits: &Limits, saved| {
            Scope::new(name.to_owned(), limits.clone(), &settings, saved, now)
        };
        let mut scopes = vec![scope(spec.id.as_str(), &spec.limits, whole.take())];
        let group_limits = |limits: &Limits| Limits {
            // Only one scope can learn from a refusal.
            auto: limits.auto && !spec.limits.auto,
            ..limits.clone()
        };
        let mut lanes = Vec::with_capacity(spec.lanes.len());
        for lane in &spec.lanes {
            let known = scopes.iter().skip(1).position(|s| s.name() == lane.group);
            let group = known.map_or(scopes.len(), |position| position + 1);
            if known.is_none() {
                // A group that is new to a saved domain begins as unused as the others.
                let kept = saved
                    .as_ref()
                    .map(|saved| saved.groups.get(&lane.group).cloned().unwrap_or_default());
                scopes.push(scope(&lane.group, &group_limits(&lane.limits), kept));
            }
            let group_finds = lane.limits.auto && !spec.limits.auto;
            let ruling = if limits_account(&spec.limits) && !group_finds {
                WHOLE
            } else {
                group
            };
            lanes.push(Lane::new(lane, group, ruling));
        }
        let mut pacer = Self {
            parked: saved.as_ref().and_then(|saved| saved.parked.clone()),
            spec,
            settings,
            scopes,
            lanes,
            starts: 0,
            meter: Meter::default(),
        };
        if let Some(saved) = saved {
            pacer.restore_lanes(&saved, now);
        }
        pacer
    }

    fn restore_lanes(&mut self, saved: &DomainState, now: Now) {
        let longest = self.settings.retry_after_max.0;
        for lane in &mut self.lanes {
            if let Some(kept) = saved.lanes.get(&lane.model) {
                lane.parked.clone_from(&kept.parked);
                let block = kept.blocked.as_ref();
                lane.block = block.and_then(|block| Block::restored(block, now, longest));
            }
        }
    }

    /// Returns what to do now. `waiting` names each lane that has something waiting, once.
    ///
    /// Lanes whose limits are their own do not hold others up. One that waits for a limit it
    /// shares goes before later ones, so that large requests are not overtaken for ever.
    pub fn poll(&mut self, now: Now, waiting: &[Waiting]) -> Decision {
        for scope in &mut self.scopes {
            scope.refresh(now);
        }
        self.note_waiting(now.instant, waiting);
        let mut order: Vec<&Waiting> = waiting
            .iter()
            .filter(|waiting| waiting.lane < self.lanes.len())
            .collect();
        if self.parked.is_some() {
            return if order.is_empty() {
                Decision::WaitForSettle
            } else {
                Decision::Parked
            };
        }
        order.sort_by_key(|w| (w.priority, self.lanes[w.lane].last_start, w.lane));
        self.first_ready(now, &order)
    }

    fn note_waiting(&mut self, now: Instant, waiting: &[Waiting]) {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if !waiting.iter().any(|waiting| waiting.lane == index) {
                lane.waiting_since = None;
            } else if lane.waiting_since.is_none() {
                lane.waiting_since = Some(now);
            }
        }
    }

    fn first_ready(&mut self, now: Now, order: &[&Waiting]) -> Decision {
        let mut wake: Option<Instant> = None;
        let mut all_parked = !order.is_empty();
        let mut held = vec![false; self.scopes.len()];
        for waiting in order {
            let lane = &self.lanes[waiting.lane];
            let ready = lane.readiness(now.instant);
            all_parked &= ready == LaneReadiness::Parked;
            match ready {
                LaneReadiness::Ready => {}
                LaneReadiness::At(at) => {
                    wake = Some(wake.map_or(at, |wake| wake.min(at)));
                    continue;
                }
                LaneReadiness::Trial | LaneReadiness::Parked => continue,
            }
            if held[lane.group] {
                continue;
            }
            let group = self.scopes[lane.group].readiness(now, waiting);
            let since_group = match group {
                Readiness::Since(since) => since,
                Readiness::At(at) => {
                    wake = Some(wake.map_or(at, |wake| wake.min(at)));
                    held[lane.group] = true;
                    continue;
                }
                Readiness::Full => {
                    held[lane.group] = true;
                    continue;
                }
            };
            match self.scopes[WHOLE].readiness(now, waiting) {
                Readiness::Since(since) => {
                    return Decision::Start(self.start(now, waiting, since.max(since_group)));
                }
                Readiness::At(at) => {
                    wake = Some(wake.map_or(at, |wake| wake.min(at)));
                    break;
                }
                Readiness::Full => break,
            }
        }
        match wake {
            Some(at) => Decision::WaitUntil(at),
            None if all_parked => Decision::Parked,
            None => Decision::WaitForSettle,
        }
    }

    fn start(&mut self, now: Now, waiting: &Waiting, since: Instant) -> Permit {
        self.starts += 1;
        self.meter.request(now.instant);
        let lane = &mut self.lanes[waiting.lane];
        lane.in_flight = lane.in_flight.saturating_add(1);
        lane.last_start = self.starts;
        lane.breaker.started(now.instant);
        let waiting_since = lane.waiting_since.replace(now.instant);
        let ruling = &self.scopes[lane.ruling];
        let scopes = [WHOLE, lane.group];
        let permit = Permit {
            numbers: scopes.map(|scope| self.scopes[scope].starts() + 1),
            day_ends_at: self.scopes[WHOLE].day.ends_at(),
            lane: waiting.lane,
            due: since
                .max(waiting_since.unwrap_or(now.instant))
                .min(now.instant),
            started: now.instant,
            input_tokens: waiting.input_tokens,
            output_tokens: waiting.output_tokens,
            run: ruling.run_no(),
            in_flight_before: ruling.in_flight,
        };
        for scope in scopes {
            self.scopes[scope].start(now, waiting, scope == lane.ruling);
        }
        permit
    }

    /// Takes back a request that never started: everything is given back.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a permit ends with its request"
    )]
    pub fn release(&mut self, permit: Permit, now: Now) {
        let Some(lane) = self.lanes.get_mut(permit.lane) else {
            return;
        };
        lane.in_flight = lane.in_flight.saturating_sub(1);
        lane.breaker.neutral(permit.started);
        for (scope, number) in [WHOLE, lane.group].into_iter().zip(permit.numbers) {
            self.scopes[scope].release(&permit, number, now);
        }
        self.scopes[lane.ruling].never_started(&permit);
    }

    /// Parks a lane: nothing of it starts until [`Pacer::unpark_lane`]. The first reason stays.
    pub fn park_lane(&mut self, lane: usize, reason: &str) {
        let Some(lane) = self.lanes.get_mut(lane) else {
            return;
        };
        if lane.parked.is_none() {
            tracing::warn!(domain.id = %self.spec.id, model.name = %lane.model, reason, "lane parked");
            lane.parked = Some(reason.to_owned());
        }
    }

    /// Parks the domain: nothing starts until [`Pacer::unpark_all`]. The first reason stays.
    pub fn park_domain(&mut self, reason: &str) {
        if self.parked.is_none() {
            tracing::warn!(domain.id = %self.spec.id, reason, "domain parked");
            self.parked = Some(reason.to_owned());
        }
    }

    /// Lets a parked lane be asked again.
    pub fn unpark_lane(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane)
            && lane.parked.take().is_some()
        {
            lane.breaker.succeeded();
        }
    }

    /// Lets the domain and every lane be asked again. Blocks, counts and learned limits stay.
    pub fn unpark_all(&mut self) {
        self.parked = None;
        for lane in 0..self.lanes.len() {
            self.unpark_lane(lane);
        }
    }

    /// Returns what the next owner must know. It is the same until something happens.
    pub fn state(&self, now: Now) -> DomainState {
        let groups = self.scopes.iter().skip(1);
        let lanes = self.lanes.iter();
        DomainState {
            schema: PACE_SCHEMA.to_owned(),
            domain: self.spec.id.clone(),
            parked: self.parked.clone(),
            whole: self.scopes[WHOLE].saved(now),
            groups: groups
                .map(|scope| (scope.name().to_owned(), scope.saved(now)))
                .collect(),
            lanes: lanes
                .map(|lane| (lane.model.clone(), lane.saved(now)))
                .filter(|(_, saved): &(_, LaneSaved)| !saved.is_empty())
                .collect(),
        }
    }

    /// Returns what the domain is doing.
    pub fn status(&self, now: Now) -> DomainStatus {
        let whole = &self.scopes[WHOLE];
        let day = &whole.day.counts;
        let lanes = self.lanes.iter().map(|lane| self.lane_status(lane, now));
        let (requests, tokens) = self.meter.last_minute(now.instant);
        DomainStatus {
            domain: self.spec.id.clone(),
            requests_last_minute: requests,
            tokens_last_minute: tokens,
            limit: whole.limit(),
            in_flight: whole.in_flight,
            concurrency: whole.most_in_flight(),
            learned_concurrency: whole.learned_concurrency(),
            announced_tokens_per_minute: whole.announced_tokens_per_minute(),
            blocked: whole.blocked(now),
            parked: self.parked.clone(),
            today: Today {
                date: day.date.clone(),
                requests: day.requests,
                requests_limit: whole
                    .limits()
                    .requests_per_day
                    .map(std::num::NonZeroU32::get),
                input_tokens: day.input_tokens,
                output_tokens: day.output_tokens,
                cost_usd: day.cost_usd,
            },
            lanes: lanes.collect(),
        }
    }

    fn lane_status(&self, lane: &Lane, now: Now) -> LaneStatus {
        let group = &self.scopes[lane.group];
        let blocked = group.blocked(now);
        let blocked = blocked.map(|blocked| (blocked.until, blocked.reason));
        let state = match self.parked.clone() {
            Some(reason) => crate::LaneState::Parked { reason },
            None => lane.state(blocked, now),
        };
        LaneStatus {
            model: lane.model.clone(),
            state,
            limit: group.limit(),
            in_flight: lane.in_flight,
        }
    }
}

/// Returns whether the account itself limits requests or tokens, so that a refusal may be about
/// all of its models.
const fn limits_account(limits: &Limits) -> bool {
    limits.requests_per_minute.is_some()
        || limits.tokens_per_minute.is_some()
        || limits.input_tokens_per_minute.is_some()
        || limits.output_tokens_per_minute.is_some()
        || limits.requests_per_day.is_some()
        || limits.auto
}
