//! One campaign as the coordinator sees it: what is done, what is promised, what comes next.
//!
//! No I/O and no clock: everything is an argument, so that it can be simulated.

use std::collections::BTreeMap;
use std::sync::Arc;

use retort_dataset::Ledger;
use retort_dataset::writer::CommittedRecord;
use retort_plan::Plan;
use retort_types::campaign::Align;
use retort_types::catalog::Price;
use retort_types::{DomainSpec, ModelName, Sample, Timestamp};
use tokio::time::Instant;

use super::budget::{Amount, Book};
use super::window::{Outstanding, Window};
use crate::message::Tally;
use crate::settings::CoordinatorSettings;

/// What the coordinator should do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Every planned sample has a final row.
    Complete,
    /// Samples are out, or will be; wait.
    Wait,
    /// Nothing more can be asked, but workers hold samples of these models: have them ended.
    Close(Vec<ModelName>, String),
    /// Nothing is out any more: end what is open as `not_asked`.
    CloseOut,
}

/// One campaign.
#[derive(Debug)]
pub(super) struct CampaignState {
    plan: Arc<Plan>,
    ledger: Ledger,
    windows: Vec<Window>,
    /// Models that cannot be asked any more, by their place in the plan, with the reason.
    parked: BTreeMap<usize, String>,
    /// Why nothing more is published at all.
    ended: Option<String>,
    /// Whether publishing rests until a person resumes it.
    pub(super) paused: bool,
    book: Book,
    /// What this process's receipts and earlier runs say, per model in the plan's order.
    tallies: Vec<Tally>,
    settings: CoordinatorSettings,
    rounds_begin: Timestamp,
}

impl CampaignState {
    /// Returns a campaign that is asked from its first open sample on.
    pub(super) fn new(
        plan: Arc<Plan>,
        ledger: Ledger,
        domains: Vec<DomainSpec>,
        settings: CoordinatorSettings,
        (now, rounds_begin): (Instant, Timestamp),
    ) -> Self {
        let windows = domains
            .into_iter()
            .map(|spec| Window::new(spec, &settings, now))
            .collect();
        let book = Book::new(plan.campaign().budget.clone());
        let tallies = vec![Tally::default(); plan.model_count()];
        Self {
            plan,
            ledger,
            windows,
            parked: BTreeMap::new(),
            ended: None,
            paused: false,
            book,
            tallies,
            settings,
            rounds_begin,
        }
    }

    /// Counts what an earlier run did.
    pub(super) fn count_earlier(&mut self, model: usize, tally: &Tally) {
        let tokens = tally.input_tokens + tally.output_tokens;
        self.book.spend(Amount {
            usd: tally.cost_usd,
            requests: tally.requests,
            tokens,
        });
        if let Some(own) = self.tallies.get_mut(model) {
            own.add(tally);
        }
    }

    /// Counts a row that became durable. Seeing it twice changes nothing but what was spent.
    pub(super) fn count(&mut self, record: &CommittedRecord, now: Instant) {
        if record.plan_hash != self.plan.hash() || record.campaign != self.plan.campaign().id {
            return;
        }
        let Some(model) = self.plan.model_at(record.index) else {
            return;
        };
        let tokens = u64::from(record.input_tokens.unwrap_or(0))
            + u64::from(record.output_tokens.unwrap_or(0));
        let asked = record.attempt_no > 0;
        self.book.spend(Amount {
            usd: record.cost_usd.unwrap_or(0.0),
            requests: u64::from(asked),
            tokens,
        });
        let tally = &mut self.tallies[model];
        tally.requests += u64::from(asked);
        tally.input_tokens += u64::from(record.input_tokens.unwrap_or(0));
        tally.output_tokens += u64::from(record.output_tokens.unwrap_or(0));
        tally.cost_usd += record.cost_usd.unwrap_or(0.0);
        let window = &mut self.windows[self.plan.domain_of_model(model)];
        window.progress = now;
        let Some(outcome) = record.final_outcome else {
            tally.retries += 1;
            return;
        };
        if self.ledger.record(record.index, outcome) {
            *tally.outcomes.entry(outcome).or_default() += 1;
        }
        if let Some(out) = window.outstanding.remove(&record.index) {
            self.book.free(out.reserved);
        }
    }

    /// Parks a model: nothing more of it is published.
    pub(super) fn park(&mut self, model: usize, reason: String) {
        self.parked.entry(model).or_insert(reason);
    }

    /// Ends publishing for a reason.
    pub(super) fn end(&mut self, reason: String) {
        if self.ended.is_none() {
            tracing::info!(reason, "nothing more is published");
            self.ended = Some(reason);
        }
    }

    /// Returns the samples to publish now and promises their cost.
    pub(super) fn fill(&mut self, now: Instant, wall: Timestamp) -> Vec<Sample> {
        let mut samples = Vec::new();
        if self.paused || self.ended.is_some() {
            return samples;
        }
        if self
            .plan
            .campaign()
            .budget
            .deadline
            .is_some_and(|deadline| deadline <= wall)
        {
            self.end("the campaign's deadline passed".to_owned());
            return samples;
        }
        let rounds_open = self.rounds_open(wall);
        for domain in 0..self.windows.len() {
            let lead = self.lead(domain, now);
            while self.windows[domain].has_room() {
                let Some(index) = self.next_open(domain) else {
                    break;
                };
                if self.plan.round_of(index) >= rounds_open || self.plan.block_of(index) > lead {
                    break;
                }
                let reserved = self.estimate(index);
                if let Some(reason) = self.book.exceeded_by(reserved) {
                    if self.nothing_out() {
                        self.end(reason);
                    }
                    return samples;
                }
                let Some(sample) = self.plan.sample(index) else {
                    break;
                };
                self.book.reserve(reserved);
                let window = &mut self.windows[domain];
                window.cursor = index + 1;
                window.outstanding.insert(
                    index,
                    Outstanding {
                        published: now,
                        reserved,
                    },
                );
                samples.push(sample);
            }
        }
        samples
    }

    /// Returns samples that were published long ago and have no receipt, to publish them again.
    pub(super) fn stalled(&mut self, now: Instant) -> Vec<Sample> {
        let mut stalled = Vec::new();
        for window in &mut self.windows {
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
    pub(super) fn next(&mut self, wall: Timestamp) -> Next {
        if self.ledger.done_count() == self.plan.len() {
            return Next::Complete;
        }
        if self.paused {
            return Next::Wait;
        }
        if self.ended.is_none() && !self.only_parked_left(wall) {
            return Next::Wait;
        }
        let held: Vec<u64> = self
            .windows
            .iter()
            .flat_map(|window| window.outstanding.keys().copied())
            .collect();
        if held.is_empty() {
            return Next::CloseOut;
        }
        let mut models: Vec<usize> = held
            .iter()
            .filter_map(|index| self.plan.model_at(*index))
            .collect();
        models.sort_unstable();
        models.dedup();
        let reason = models
            .first()
            .map(|model| self.reason(*model))
            .unwrap_or_default();
        let same = models.iter().filter(|model| self.reason(**model) == reason);
        Next::Close(
            same.map(|model| self.plan.document().models[*model].name.clone())
                .collect(),
            reason,
        )
    }

    /// Returns why samples of a model end unasked.
    pub(super) fn reason(&self, model: usize) -> String {
        let parked = self
            .parked
            .get(&model)
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

    /// Returns whether nothing is out and a round is waited for.
    pub(super) fn waits_for_round(&self, wall: Timestamp) -> bool {
        self.windows
            .iter()
            .all(|window| window.outstanding.is_empty())
            && self.next_round(wall).is_some()
    }

    fn rounds_open(&self, wall: Timestamp) -> u32 {
        let rounds = self.plan.campaign().rounds();
        let Some(every) = self
            .plan
            .campaign()
            .schedule
            .every
            .filter(|every| !every.0.is_zero())
        else {
            return rounds;
        };
        let passed = wall.since(self.rounds_begin).as_millis() / every.0.as_millis().max(1);
        u32::try_from(passed)
            .unwrap_or(u32::MAX)
            .saturating_add(1)
            .min(rounds)
    }

    /// Returns the last block a domain may publish from: a bounded lead over the slowest healthy one.
    fn lead(&self, domain: usize, now: Instant) -> u32 {
        if self.plan.campaign().schedule.align == Align::Free {
            return u32::MAX;
        }
        let slowest = self.windows.iter().enumerate().filter(|(other, window)| {
            let patient =
                now.saturating_duration_since(window.progress) < self.settings.align_patience.0;
            *other != domain
                && patient
                && window.oldest() < self.plan.len()
                && !self.is_parked(*other)
        });
        let block = slowest
            .map(|(_, window)| self.plan.block_of(window.oldest()))
            .min();
        block.map_or(u32::MAX, |block| {
            block.saturating_add(self.settings.align_lead)
        })
    }

    fn is_parked(&self, domain: usize) -> bool {
        let mut models = (0..self.plan.model_count())
            .filter(|model| self.plan.domain_of_model(*model) == domain);
        models.all(|model| self.parked.contains_key(&model))
    }

    /// Moves a domain's cursor to its next sample that is open and may be asked.
    fn next_open(&mut self, domain: usize) -> Option<u64> {
        let models = (self.plan.model_count() as u64).max(1);
        while let Some(index) = self.ledger.first_open_from(self.windows[domain].cursor) {
            let block = self.plan.block_of(index);
            let window = &mut self.windows[domain];
            if window
                .block
                .as_ref()
                .is_none_or(|(known, _)| *known != block)
            {
                window.block = Some((block, self.plan.models_of_block(block)));
            }
            let place = usize::try_from(index % models).unwrap_or(usize::MAX);
            let model = window
                .block
                .as_ref()
                .and_then(|(_, order)| order.get(place))
                .copied();
            let own = model.is_some_and(|model| {
                self.plan.domain_of_model(model) == domain && !self.parked.contains_key(&model)
            });
            if own && !window.outstanding.contains_key(&index) {
                window.cursor = index;
                return Some(index);
            }
            window.cursor = index + 1;
        }
        self.windows[domain].cursor = self.plan.len();
        None
    }

    /// Returns whether everything open belongs to parked models.
    fn only_parked_left(&mut self, wall: Timestamp) -> bool {
        if self.parked.is_empty() || self.next_round(wall).is_some() {
            return false;
        }
        (0..self.windows.len()).all(|domain| {
            let all_parked = self.windows[domain].outstanding.keys().all(|index| {
                self.plan
                    .model_at(*index)
                    .is_some_and(|model| self.parked.contains_key(&model))
            });
            all_parked && self.next_open(domain).is_none()
        })
    }

    fn nothing_out(&self) -> bool {
        let live = |index: &u64| {
            self.plan
                .model_at(*index)
                .is_some_and(|model| !self.parked.contains_key(&model))
        };
        !self
            .windows
            .iter()
            .any(|window| window.outstanding.keys().any(live))
    }

    fn estimate(&self, index: u64) -> Amount {
        let (input, output) = self.plan.estimated_tokens(index);
        let model = self.plan.model_at(index);
        let price = model.and_then(|model| self.price(model));
        Amount {
            usd: price.map_or(0.0, |price| price.cost_usd(input, output)),
            requests: 1,
            tokens: input + output,
        }
    }

    fn price(&self, model: usize) -> Option<&Price> {
        self.plan.document().models.get(model)?.price.as_ref()
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

    /// Returns why nothing more is published, and which models are parked.
    pub(super) fn standstill(&self) -> (Option<&str>, &BTreeMap<usize, String>) {
        (self.ended.as_deref(), &self.parked)
    }
}
