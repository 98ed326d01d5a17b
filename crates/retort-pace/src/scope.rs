//! The limits of a domain as a whole, or of one group of its lanes.

use std::time::Duration;

use retort_types::{AnnouncedLimits, Limits};
use tokio::time::Instant;

use crate::announced;
use crate::backoff::later;
use crate::block::Block;
use crate::bucket::RequestBucket;
use crate::ceiling::Ceiling;
use crate::day::Day;
use crate::learned::{Learned, Search};
use crate::permit::{Now, Permit, Waiting};
use crate::settings::PaceSettings;
use crate::state::{GroupState, LearnedState};
use crate::status::{Blocked, LimitInForce, LimitSource};
use crate::tokens::TokenBuckets;

/// A pause after which the first request goes alone: it may be refused again.
const LONG_PAUSE: Duration = Duration::from_mins(1);

/// Whether a scope lets a request start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Since this instant, which is not later than now.
    Since(Instant),
    /// At this instant.
    At(Instant),
    /// When a request of it is settled.
    Full,
}

/// The limits of a domain as a whole, or of one group of its lanes.
#[derive(Debug)]
pub(crate) struct Scope {
    name: String,
    limits: Limits,
    burst_window: Duration,
    requests: Option<RequestBucket>,
    learned_requests: Option<RequestBucket>,
    tokens: TokenBuckets,
    /// What the provider announces about tokens, with `limits: auto`.
    announced_tokens: Option<(Limits, TokenBuckets)>,
    /// Whether limits are looked for from below.
    auto: bool,
    pub(crate) in_flight: u32,
    starts: u64,
    /// Since when neither a block nor too many requests at the same time are in the way.
    open_since: Instant,
    pub(crate) day: Day,
    pub(crate) block: Option<Block>,
    learned: Learned,
    ceiling: Ceiling,
    refusals: Refusals,
}

/// Refusals since something was served.
#[derive(Debug, Default)]
struct Refusals {
    /// Pauses in a row without anything served between them.
    in_a_row: u32,
    /// The present run was refused and its pause is not over or not looked at.
    pausing: bool,
    /// The pause explains itself by concurrency.
    by_concurrency: bool,
    /// Fewest other requests in flight beside a refused one of this run.
    least_beside: Option<u32>,
    /// Only one request of the present run may be out until something is served.
    alone: bool,
    /// Requests of the present run that are out.
    out: u32,
}

impl Scope {
    pub(crate) fn new(
        name: String,
        limits: Limits,
        settings: &PaceSettings,
        saved: Option<GroupState>,
        now: Now,
    ) -> Self {
        let auto = limits.auto;
        let search = Search {
            auto,
            probe_after: settings.probe_after.0,
        };
        let fresh = saved.is_none();
        let saved = saved.unwrap_or_default();
        let burst_window = settings.burst_window.0;
        let longest = settings.retry_after_max.0;
        let mut scope = Self {
            name,
            burst_window,
            requests: per_second(&limits).map(|rate| {
                let make = if fresh {
                    RequestBucket::full
                } else {
                    RequestBucket::empty
                };
                make(rate, burst_window, now.instant)
            }),
            learned_requests: None,
            tokens: TokenBuckets::new(&limits, settings.token_window.0, fresh, now.instant),
            announced_tokens: None,
            auto,
            in_flight: 0,
            starts: 0,
            open_since: now.instant,
            day: Day::new(saved.day, now.wall),
            block: None,
            learned: Learned::new(&saved.learned, search),
            ceiling: Ceiling::new(saved.learned.concurrency, auto),
            refusals: Refusals::default(),
            limits,
        };
        scope.renew_learned(now.instant);
        if let Some(block) = saved
            .blocked
            .and_then(|saved| Block::restored(&saved, now, longest))
        {
            scope.hold(&block);
            scope.block = Some(block);
            scope.refusals.alone = true;
        }
        scope
    }

    /// Returns the limits as configured.
    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Brings the day, the end of a pause and learned rates up to date.
    pub(crate) fn refresh(&mut self, now: Now) {
        self.day.roll(now.wall);
        if let Some(block) = self.block.take_if(|block| block.until <= now.instant) {
            self.open_since = self.open_since.max(block.until);
            if self.refusals.pausing {
                self.conclude(now.instant);
            }
        }
        if !self.refusals.pausing && self.learned.advance(now.instant, per_second(&self.limits)) {
            self.renew_learned(now.instant);
        }
    }

    fn conclude(&mut self, now: Instant) {
        let nothing_served = self.learned.served() == 0;
        if nothing_served {
            self.ceiling
                .full_at(self.refusals.least_beside.unwrap_or(0));
        }
        if self.refusals.by_concurrency || (!nothing_served && self.is_full()) {
            self.learned.pass_over();
        } else {
            self.learned.conclude(now, per_second(&self.limits));
            self.renew_learned(now);
        }
        self.refusals = Refusals {
            in_a_row: self.refusals.in_a_row,
            alone: self.refusals.alone || nothing_served,
            ..Refusals::default()
        };
    }

    /// Returns whether the number of requests in flight explains the refusals of this run.
    fn is_full(&mut self) -> bool {
        let rate = self.learned.rate().or_else(|| per_second(&self.limits));
        let (Some(beside), Some(rate)) = (self.refusals.least_beside, rate) else {
            return false;
        };
        self.ceiling.lowered(beside, rate)
    }

    /// Takes note of what the provider announces with an answer, if limits are looked for.
    pub(crate) fn announced(&mut self, limits: &AnnouncedLimits, is_refusal: bool, now: Instant) {
        if !self.auto || limits.counts.is_empty() {
            return;
        }
        let configured = per_second(&self.limits);
        let rate = announced::request_rate(limits);
        let changed = match rate {
            Some(rate) => self.learned.announces(now, rate, configured),
            None => !is_refusal && announced::is_used_up(limits) && self.learned.used_up(),
        };
        if changed {
            self.renew_learned(now);
        }
        let Some(tokens) = announced::token_limits(limits) else {
            return;
        };
        if self
            .announced_tokens
            .as_ref()
            .is_none_or(|(known, _)| *known != tokens)
        {
            let unused = announced::are_tokens_unused(limits);
            let buckets = TokenBuckets::new(&tokens, announced::TOKEN_WINDOW, unused, now);
            self.announced_tokens = Some((tokens, buckets));
        }
    }

    /// Returns most requests at the same time as learned, if that was.
    pub(crate) const fn learned_concurrency(&self) -> Option<u32> {
        self.ceiling.limit()
    }

    /// Returns the announced tokens per minute, prompts and answers together.
    pub(crate) fn announced_tokens_per_minute(&self) -> Option<u64> {
        let (limits, _) = self.announced_tokens.as_ref()?;
        limits.tokens_per_minute.map(std::num::NonZeroU64::get)
    }

    /// Makes the bucket of the learned rate anew; what was due stays due.
    fn renew_learned(&mut self, now: Instant) {
        let due = self
            .learned_requests
            .as_ref()
            .map(|bucket| bucket.ready_at(now));
        self.learned_requests = self.learned.rate().map(|rate| {
            let bucket = RequestBucket::full(rate, self.burst_window, now);
            bucket.hold_until(due.unwrap_or(now).max(now));
            bucket
        });
    }

    /// Returns whether a request like `waiting` may start.
    pub(crate) fn readiness(&self, now: Now, waiting: &Waiting) -> Readiness {
        let most = self.most_in_flight();
        if most.is_some_and(|most| self.in_flight >= most)
            || (self.refusals.alone && self.refusals.out > 0)
        {
            return Readiness::Full;
        }
        let (input, output) = (waiting.input_tokens, waiting.output_tokens);
        let announced = self.announced_tokens.as_ref();
        let announced =
            announced.and_then(|(_, tokens)| tokens.ready_at(now.instant, input, output));
        let tokens = self.tokens.ready_at(now.instant, input, output);
        let tokens = tokens.into_iter().chain(announced).max();
        let requests = [&self.requests, &self.learned_requests];
        let requests = requests
            .into_iter()
            .flatten()
            .map(|bucket| bucket.ready_at(now.instant));
        let waits = self
            .block
            .as_ref()
            .map(|block| block.until)
            .into_iter()
            .chain(self.day_ends(now));
        match tokens.into_iter().chain(requests).chain(waits).max() {
            Some(at) if at > now.instant => Readiness::At(at),
            Some(since) => Readiness::Since(since.max(self.open_since)),
            None => Readiness::Since(self.open_since),
        }
    }

    /// Returns most requests at the same time, configured or learned.
    pub(crate) fn most_in_flight(&self) -> Option<u32> {
        let configured = self.limits.concurrency.map(std::num::NonZeroU32::get);
        configured.into_iter().chain(self.ceiling.limit()).min()
    }

    fn is_day_used_up(&self) -> bool {
        let limit = self.limits.requests_per_day;
        limit.is_some_and(|limit| self.day.counts.requests >= u64::from(limit.get()))
    }

    fn day_ends(&self, now: Now) -> Option<Instant> {
        self.is_day_used_up()
            .then(|| later(now.instant, self.day.ends_at().since(now.wall)))
    }

    /// Takes what the request needs; it must be ready.
    pub(crate) fn start(&mut self, now: Now, waiting: &Waiting, ruling: bool) {
        for bucket in [&mut self.requests, &mut self.learned_requests]
            .into_iter()
            .flatten()
        {
            bucket.take(now.instant);
        }
        self.starts += 1;
        let (input, output) = (waiting.input_tokens, waiting.output_tokens);
        self.tokens.take(now.instant, input, output);
        if let Some((_, tokens)) = &mut self.announced_tokens {
            tokens.take(now.instant, input, output);
        }
        self.in_flight = self.in_flight.saturating_add(1);
        self.day.counts.requests = self.day.counts.requests.saturating_add(1);
        if ruling {
            self.learned.started(now.instant);
            self.refusals.out = self.refusals.out.saturating_add(1);
        }
    }

    /// Returns the number of the present run, for the permit.
    pub(crate) const fn run_no(&self) -> u64 {
        self.learned.run_no()
    }

    /// Returns the number of the last start.
    pub(crate) const fn starts(&self) -> u64 {
        self.starts
    }

    /// Gives back what a permit took, as if it had never been given. `number` is that of its
    /// start: only the last one can give its place in the pace back.
    pub(crate) fn release(&mut self, permit: &Permit, number: u64, now: Now) {
        if number == self.starts {
            for bucket in [&self.requests, &self.learned_requests]
                .into_iter()
                .flatten()
            {
                bucket.give_back_last();
            }
            // It has no place any more; the one before it is not known.
            self.starts += 1;
        }
        self.correct_tokens(permit, (0, 0), now);
        self.leave(now.instant);
        if permit.day_ends_at == self.day.ends_at() {
            self.day.counts.requests = self.day.counts.requests.saturating_sub(1);
        }
    }

    /// Takes note, as the ruling scope, that a request never started.
    pub(crate) fn never_started(&mut self, permit: &Permit) {
        self.learned.released(permit.run);
        self.returned(permit);
    }

    /// Takes note that a request is no longer in flight, and what it used.
    pub(crate) fn settle(&mut self, permit: &Permit, used: Used, now: Now) {
        self.leave(now.instant);
        self.correct_tokens(permit, (used.input_tokens, used.output_tokens), now);
        self.day
            .add(used.told_input, used.told_output, used.cost_usd);
    }

    fn correct_tokens(&mut self, permit: &Permit, actual: (u64, u64), now: Now) {
        let estimated = (permit.input_tokens, permit.output_tokens);
        self.tokens.correct(now.instant, estimated, actual);
        if let Some((_, tokens)) = &mut self.announced_tokens {
            tokens.correct(now.instant, estimated, actual);
        }
    }

    fn leave(&mut self, now: Instant) {
        if self
            .most_in_flight()
            .is_some_and(|most| self.in_flight >= most)
        {
            self.open_since = now;
        }
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    fn returned(&mut self, permit: &Permit) {
        if permit.run == self.learned.run_no() {
            self.refusals.out = self.refusals.out.saturating_sub(1);
        }
    }

    /// Takes note that the provider served a request of this ruling scope, however it ended.
    pub(crate) fn served(&mut self, permit: &Permit) {
        self.returned(permit);
        self.ceiling.served(permit.in_flight_before);
        if permit.run == self.learned.run_no() {
            self.refusals.in_a_row = 0;
            // What was served before a pause says nothing about what comes after it.
            self.refusals.alone &= self.refusals.pausing;
        }
    }

    /// Takes note that a request of this ruling scope came to nothing.
    pub(crate) fn failed(&mut self, permit: &Permit) {
        self.returned(permit);
    }

    /// Takes note that the provider refused a request of this ruling scope for coming too early.
    /// Returns how many pauses in a row were refused, when this refusal begins one.
    pub(crate) fn refused(&mut self, permit: &Permit) -> Option<u32> {
        self.returned(permit);
        if permit.run != self.learned.run_no() {
            return None;
        }
        self.learned.refused();
        let refusals = &mut self.refusals;
        let beside = permit.in_flight_before;
        refusals.least_beside = Some(refusals.least_beside.map_or(beside, |b| b.min(beside)));
        if refusals.pausing {
            return None;
        }
        refusals.by_concurrency = self.ceiling.explains(beside);
        refusals.pausing = true;
        refusals.in_a_row = refusals.in_a_row.saturating_add(1);
        Some(refusals.in_a_row)
    }

    /// Lets nothing start for `wait`; a longer block stays. Returns the block in force.
    pub(crate) fn pause(&mut self, now: Now, wait: Duration, reason: &str) -> Block {
        if wait >= LONG_PAUSE {
            self.refusals.alone = true;
        }
        let block = Block::new(now, wait, reason.to_owned());
        match &self.block {
            Some(longer) if longer.until >= block.until => longer.clone(),
            _ => {
                self.hold(&block);
                self.block = Some(block.clone());
                block
            }
        }
    }

    fn hold(&self, block: &Block) {
        for bucket in [&self.requests, &self.learned_requests]
            .into_iter()
            .flatten()
        {
            bucket.hold_until(block.until);
        }
    }

    /// Returns the limit on requests in force.
    pub(crate) fn limit(&self) -> Option<LimitInForce> {
        let (rate, source) = match (self.learned.rate(), per_second(&self.limits)) {
            (Some(learned), Some(configured)) if learned >= configured => {
                (configured, LimitSource::Configured)
            }
            (Some(learned), _) if self.learned.is_announced() => (learned, LimitSource::Announced),
            (Some(learned), _) if self.learned.is_ramping() => (learned, LimitSource::Growing),
            (Some(learned), _) => (learned, LimitSource::Learned),
            (None, configured) => (configured?, LimitSource::Configured),
        };
        Some(LimitInForce {
            requests_per_minute: rate * 60.0,
            source,
        })
    }

    /// Returns until when nothing of it starts, and why, if that is more than its pace.
    pub(crate) fn blocked(&self, now: Now) -> Option<Blocked> {
        let block = self.block.as_ref().filter(|b| b.until > now.instant);
        let day = self.is_day_used_up() && self.day.ends_at() > now.wall;
        let day = day.then(|| Blocked {
            until: self.day.ends_at(),
            reason: "the requests of this UTC day are used up".to_owned(),
        });
        block
            .map(Block::status)
            .into_iter()
            .chain(day)
            .max_by_key(|blocked| blocked.until)
    }

    /// Returns the scope's name: the group's, or the domain's.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns what is kept for the next owner.
    pub(crate) fn saved(&self, now: Now) -> GroupState {
        let block = self.block.as_ref().filter(|b| b.until > now.instant);
        GroupState {
            day: (self.day.counts.requests > 0).then(|| self.day.counts.clone()),
            blocked: block.map(Block::saved),
            learned: LearnedState {
                concurrency: self.ceiling.limit(),
                ..self.learned.saved()
            },
        }
    }
}

/// What a request used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    /// Tokens that count against limits.
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    /// Tokens that the provider told.
    pub(crate) told_input: u64,
    pub(crate) told_output: u64,
    pub(crate) cost_usd: f64,
}

fn per_second(limits: &Limits) -> Option<f64> {
    limits
        .requests_per_minute
        .map(|limit| f64::from(limit.get()) / 60.0)
}
