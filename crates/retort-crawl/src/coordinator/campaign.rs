//! One campaign as the coordinator sees it: what is done, what is promised, what comes next.
//!
//! No I/O and no clock: everything is an argument, so that it can be simulated.

mod dispatch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use retort_dataset::Ledger;
use retort_dataset::writer::CommittedRecord;
use retort_plan::Plan;
use retort_types::{DomainId, DomainSpec, Limits, ModelName, Outcome, Sample, Timestamp};
use tokio::time::Instant;

use super::budget::{Amount, Book};
use super::window::{Outstanding, Window};
use crate::fleet::Share;
use crate::message::{DEADLINE_PASSED, Tally};
use crate::settings::CoordinatorSettings;

/// What the coordinator should do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Every planned sample has a final row.
    Complete,
    /// Samples are out, or will be; wait.
    Wait,
    /// Nothing more can be asked, but workers hold samples of these models: have them ended.
    Close(Vec<(Vec<ModelName>, String)>),
    /// Nothing is out any more: end what is open as `not_asked`.
    CloseOut,
}

/// One model as the coordinator supplies it.
#[derive(Debug)]
struct Lane {
    domain: usize,
    /// The first block that may hold an open sample of it.
    block: u32,
    /// Its next sample, if there is one.
    next: Option<u64>,
    /// Its samples that are out.
    out: usize,
    /// Why it cannot be asked any more.
    parked: Option<String>,
}

/// One campaign.
#[derive(Debug)]
pub(super) struct CampaignState {
    plan: Arc<Plan>,
    ledger: Ledger,
    windows: Vec<Window>,
    lanes: Vec<Lane>,
    /// Places of the models within blocks.
    orders: BTreeMap<u32, Vec<u32>>,
    /// Why nothing more is published at all.
    ended: Option<String>,
    /// Whether publishing rests until a person resumes it.
    pub(super) paused: bool,
    book: Book,
    earlier: Amount,
    /// What this process's receipts and earlier runs say, per model in the plan's order.
    tallies: Vec<Tally>,
    settings: CoordinatorSettings,
    rounds_begin: Timestamp,
}

impl CampaignState {
    /// Returns a campaign that is asked from its first open sample on. `domains` are the plan's, in
    /// any order.
    pub(super) fn new(
        plan: Arc<Plan>,
        ledger: Ledger,
        domains: &[DomainSpec],
        settings: CoordinatorSettings,
        (now, rounds_begin): (Instant, Timestamp),
    ) -> Self {
        let ids = plan.domain_ids().iter().enumerate();
        let windows = ids.map(|(number, id)| {
            let spec = domains.iter().find(|spec| spec.id == *id).cloned();
            let spec = spec.unwrap_or_else(|| DomainSpec {
                id: id.clone(),
                limits: Limits::default(),
                lanes: Vec::new(),
            });
            let models = 0..plan.model_count();
            let models = models
                .filter(|model| plan.domain_of_model(*model) == number)
                .collect();
            Window::new(spec, models, &settings, now)
        });
        let windows = windows.collect();
        let first = ledger
            .first_open_from(0)
            .map_or(plan.block_count(), |index| plan.block_of(index));
        let lanes = (0..plan.model_count()).map(|model| Lane {
            domain: plan.domain_of_model(model),
            block: first,
            next: None,
            out: 0,
            parked: None,
        });
        let mut state = Self {
            book: Book::new(plan.campaign().budget.clone()),
            earlier: Amount::default(),
            tallies: vec![Tally::default(); plan.model_count()],
            lanes: lanes.collect(),
            orders: BTreeMap::new(),
            ended: None,
            paused: false,
            plan,
            ledger,
            windows,
            settings,
            rounds_begin,
        };
        for model in 0..state.lanes.len() {
            state.find_next(model);
        }
        state
    }

    /// Counts what an earlier run did.
    pub(super) fn count_earlier(&mut self, model: usize, tally: &Tally) {
        let amount = amount_of(tally);
        self.book.spend(amount);
        self.earlier = self.earlier.plus(amount);
        if let Some(own) = self.tallies.get_mut(model) {
            own.add(tally);
        }
    }

    /// Counts a row that became durable. Seeing it twice changes nothing but what was spent.
    pub(super) fn count(&mut self, record: &CommittedRecord, now: Instant) {
        if record.plan_hash != self.plan.hash() || record.campaign != self.plan.campaign().id {
            return;
        }
        let Some(model) = self.plan.model_number(&record.model) else {
            return;
        };
        let input = u64::from(record.input_tokens.unwrap_or(0));
        let output = u64::from(record.output_tokens.unwrap_or(0));
        let one = Tally {
            requests: u64::from(record.attempt_no > 0 && record.outcome != Outcome::NotAsked),
            retries: u64::from(record.final_outcome.is_none()),
            input_tokens: input,
            output_tokens: output,
            cost_usd: record.cost_usd.unwrap_or(0.0),
            ..Tally::default()
        };
        self.book.spend(amount_of(&one));
        self.tallies[model].add(&one);
        let window = &mut self.windows[self.lanes[model].domain];
        window.progress = now;
        let Some(outcome) = record.final_outcome else {
            return;
        };
        if self.ledger.record(record.index, outcome) {
            *self.tallies[model].outcomes.entry(outcome).or_default() += 1;
        }
        if let Some(out) = window.outstanding.remove(&record.index) {
            self.book.free(out.reserved);
            self.lanes[out.model].out -= 1;
        }
    }

    /// Parks a model: nothing more of it is published. Returns whether that is news.
    pub(super) fn park(&mut self, model: usize, reason: String) -> bool {
        let news = self.lanes[model].parked.is_none();
        if news {
            self.lanes[model].parked = Some(reason);
        }
        news
    }

    /// Ends publishing for a reason.
    pub(super) fn end(&mut self, reason: String) {
        if self.ended.is_none() {
            tracing::info!(reason, "nothing more is published");
            self.ended = Some(reason);
        }
    }

    /// Takes back an end for this reason.
    pub(super) fn unend(&mut self, reason: &str) {
        self.ended.take_if(|ended| ended == reason);
    }

    /// Ends publishing when what workers used by now, `live`, leaves nothing of a budget: what they
    /// still hold is then not asked. Receipts tell the same, but later.
    pub(super) fn check_spent(&mut self, live: &Tally) {
        if let Some(reason) = self.book.used_up_by(self.earlier.plus(amount_of(live))) {
            self.end(reason);
        }
    }

    /// Returns the samples to publish now and promises their cost.
    pub(super) fn fill(&mut self, now: Instant, wall: Timestamp) -> Vec<Sample> {
        let mut samples = Vec::new();
        if self
            .plan
            .campaign()
            .budget
            .deadline
            .is_some_and(|deadline| deadline <= wall)
        {
            self.end(DEADLINE_PASSED.to_owned());
        }
        if self.paused || self.ended.is_some() {
            return samples;
        }
        let rounds_open = self.rounds_open(wall);
        let leads = self.leads(now);
        for (domain, lead) in leads.into_iter().enumerate() {
            while let Some((model, index)) = self.next_of(domain) {
                if self.plan.round_of(index) >= rounds_open || self.plan.block_of(index) > lead {
                    break;
                }
                let reserved = self.estimate(model, index);
                if let Some(reason) = self.book.exceeded_by(reserved) {
                    if self.live_out() == 0 {
                        self.end(reason);
                    }
                    return samples;
                }
                let Some(sample) = self.plan.sample(index) else {
                    break;
                };
                self.book.reserve(reserved);
                let out = Outstanding {
                    model,
                    published: now,
                    reserved,
                };
                self.windows[domain].outstanding.insert(index, out);
                self.lanes[model].out += 1;
                self.find_next(model);
                samples.push(sample);
            }
        }
        samples
    }

    /// Returns samples that were published long ago and have no receipt, to publish them again;
    /// `held` tells of a domain whether a worker still holds samples of it.
    pub(super) fn stalled(
        &mut self,
        now: Instant,
        held: impl Fn(&DomainId) -> bool,
    ) -> Vec<Sample> {
        if self.paused || self.ended.is_some() {
            return Vec::new();
        }
        let mut stalled: Vec<u64> = Vec::new();
        for window in self
            .windows
            .iter_mut()
            .filter(|window| !held(&window.spec.id))
        {
            for (index, out) in &mut window.outstanding {
                if now.saturating_duration_since(out.published) >= self.settings.stall_after.0 {
                    out.published = now;
                    stalled.push(*index);
                }
            }
        }
        stalled
            .into_iter()
            .filter_map(|index| self.plan.sample(index))
            .collect()
    }

    /// Returns what to do next.
    pub(super) fn next(&self) -> Next {
        if self.ledger.done_count() == self.plan.len() {
            return Next::Complete;
        }
        if self.ended.is_none() && (self.paused || !self.only_parked_left()) {
            return Next::Wait;
        }
        let mut groups: BTreeMap<String, Vec<ModelName>> = BTreeMap::new();
        for (model, _) in self
            .lanes
            .iter()
            .enumerate()
            .filter(|(_, lane)| lane.out > 0)
        {
            groups
                .entry(self.reason(model))
                .or_default()
                .push(self.plan.model_name(model).clone());
        }
        if groups.is_empty() {
            return Next::CloseOut;
        }
        Next::Close(
            groups
                .into_iter()
                .map(|(reason, models)| (models, reason))
                .collect(),
        )
    }

    /// Takes its part of every window, and so that part of what is asked.
    pub(super) fn take_share(&mut self, share: &Share) {
        for window in &mut self.windows {
            window.take_share(share);
        }
    }

    /// Returns the domains whose samples have been out for `age` without a word.
    pub(super) fn silent(&self, now: Instant, age: Duration) -> Vec<DomainId> {
        let silent = |window: &&Window| {
            let last = window.outstanding.values().map(|out| out.published).max();
            let last = last.map(|published| published.max(window.progress));
            last.is_some_and(|last| now.saturating_duration_since(last) >= age)
        };
        let windows = self.windows.iter().filter(silent);
        windows.map(|window| window.spec.id.clone()).collect()
    }

    /// Gives up waiting for the samples of a domain that no worker owns.
    pub(super) fn drop_outstanding(&mut self, domain: &DomainId) {
        for window in self
            .windows
            .iter_mut()
            .filter(|window| window.spec.id == *domain)
        {
            for (_, out) in std::mem::take(&mut window.outstanding) {
                self.book.free(out.reserved);
                self.lanes[out.model].out -= 1;
            }
        }
    }

    /// Returns why samples of a model end unasked.
    pub(super) fn reason(&self, model: usize) -> String {
        let parked = self.lanes[model]
            .parked
            .as_ref()
            .map(|reason| format!("parked: {reason}"));
        parked
            .or_else(|| self.ended.clone())
            .unwrap_or_else(|| "not asked".to_owned())
    }

    /// Returns the indices without a final row, from `from` on, at most `most`.
    pub(super) fn open_from(&self, from: u64, most: usize) -> Vec<u64> {
        let mut open = Vec::new();
        let mut at = from;
        while open.len() < most
            && let Some(index) = self.ledger.first_open_from(at)
        {
            open.push(index);
            at = index + 1;
        }
        open
    }

    /// Returns when the round after the open ones begins, if one is waited for.
    pub(super) fn next_round(&self, wall: Timestamp) -> Option<Timestamp> {
        let every = self.plan.campaign().schedule.every?;
        let open = self.rounds_open(wall);
        (open < self.plan.campaign().rounds())
            .then(|| self.rounds_begin.after(every.0.saturating_mul(open)))
    }

    /// Returns whether the open rounds are done and the next one is waited for.
    pub(super) fn waits_for_round(&self, wall: Timestamp) -> bool {
        let open = self.rounds_open(wall);
        let idle = |lane: &Lane| {
            let later = lane
                .next
                .is_none_or(|index| self.plan.round_of(index) >= open);
            lane.out == 0 && (later || lane.parked.is_some())
        };
        self.lanes.iter().all(idle) && self.next_round(wall).is_some()
    }

    fn rounds_open(&self, wall: Timestamp) -> u32 {
        let rounds = self.plan.campaign().rounds();
        let every = self
            .plan
            .campaign()
            .schedule
            .every
            .filter(|every| !every.0.is_zero());
        let Some(every) = every else { return rounds };
        let passed = wall.since(self.rounds_begin).as_millis() / every.0.as_millis().max(1);
        u32::try_from(passed)
            .unwrap_or(u32::MAX)
            .saturating_add(1)
            .min(rounds)
    }

    /// Returns whether everything open belongs to parked models.
    fn only_parked_left(&self) -> bool {
        let parked = self.lanes.iter().any(|lane| lane.parked.is_some());
        parked
            && self
                .lanes
                .iter()
                .all(|lane| lane.parked.is_some() || (lane.out == 0 && lane.next.is_none()))
    }

    fn live_out(&self) -> usize {
        self.lanes
            .iter()
            .filter(|lane| lane.parked.is_none())
            .map(|lane| lane.out)
            .sum()
    }

    fn estimate(&self, model: usize, index: u64) -> Amount {
        let (input, output) = self.plan.estimated_tokens(index);
        let price = self
            .plan
            .document()
            .models
            .get(model)
            .and_then(|model| model.price.as_ref());
        Amount {
            usd: price.map_or(0.0, |price| price.cost_usd(input, output)),
            requests: 1,
            tokens: input + output,
        }
    }

    /// Returns the counts per model, in the plan's order.
    pub(super) fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    /// Returns what was spent so far.
    pub(super) const fn spent(&self) -> Amount {
        self.book.spent()
    }

    /// Returns the windows.
    pub(super) fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// Returns how many samples have a final row.
    pub(super) fn done(&self) -> u64 {
        self.ledger.done_count()
    }

    /// Returns how many samples ended without a measurement.
    pub(super) fn missing(&self) -> u64 {
        self.ledger.missing_count()
    }

    /// Returns why nothing more is published.
    pub(super) fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// Returns why a model is parked.
    pub(super) fn parked(&self, model: usize) -> Option<&str> {
        self.lanes.get(model)?.parked.as_deref()
    }
}

fn amount_of(tally: &Tally) -> Amount {
    Amount {
        usd: tally.cost_usd,
        requests: tally.requests,
        tokens: tally.input_tokens + tally.output_tokens,
    }
}
