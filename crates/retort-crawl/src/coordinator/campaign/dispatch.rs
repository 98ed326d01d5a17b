//! Which sample comes next: per model, per domain, and how far a domain may run ahead.

use retort_types::campaign::Align;
use tokio::time::Instant;

use super::super::window::Window;
use super::CampaignState;

/// Orders of blocks that are kept: lanes of a domain stand close together, so few are needed.
const ORDERS_KEPT: usize = 4_096;

impl CampaignState {
    /// Returns the last block each domain may publish from: a bounded lead over the slowest other
    /// domain that is healthy.
    pub(super) fn leads(&self, now: Instant) -> Vec<u32> {
        if self.plan.campaign().schedule.align == Align::Free {
            return vec![u32::MAX; self.windows.len()];
        }
        let oldest: Vec<Option<u32>> = self
            .windows
            .iter()
            .map(|window| self.oldest_block(window, now))
            .collect();
        let mut lowest: Vec<(u32, usize)> = oldest
            .iter()
            .enumerate()
            .filter_map(|(domain, block)| Some(((*block)?, domain)))
            .collect();
        lowest.sort_unstable();
        let domains = 0..self.windows.len();
        let lead = |domain| {
            let other = lowest.iter().find(|(_, holder)| *holder != domain);
            other.map_or(u32::MAX, |(block, holder)| {
                let lead = self.windows[*holder].lag_blocks();
                block.saturating_add(lead.max(self.settings.align_lead))
            })
        };
        domains.map(lead).collect()
    }

    /// Returns the block that holds a domain, unless it is done, parked or has been silent.
    fn oldest_block(&self, window: &Window, now: Instant) -> Option<u32> {
        if now.saturating_duration_since(window.progress) >= self.settings.align_patience.0 {
            return None;
        }
        let live = |model: &usize| self.lanes[*model].parked.is_none();
        let out = window
            .outstanding
            .iter()
            .find(|(_, out)| live(&out.model))
            .map(|(index, _)| *index);
        let next = window
            .models
            .iter()
            .filter(|model| live(model))
            .filter_map(|model| self.lanes[*model].next)
            .min();
        out.into_iter()
            .chain(next)
            .min()
            .map(|index| self.plan.block_of(index))
    }

    /// Returns the next sample of a domain: the earliest of the models that have not used up their
    /// share of its window, so that a model that does not answer leaves room for the others.
    pub(super) fn next_of(&self, domain: usize) -> Option<(usize, u64)> {
        let window = &self.windows[domain];
        let live = || {
            window
                .models
                .iter()
                .filter(|model| self.lanes[**model].parked.is_none())
        };
        let count = live().count();
        let out: usize = live().map(|model| self.lanes[*model].out).sum();
        if out >= window.size {
            return None;
        }
        let share = (window.size / count.max(1)).max(1);
        let room = live().filter(|model| self.lanes[**model].out < share);
        room.filter_map(|model| Some((*model, self.lanes[*model].next?)))
            .min_by_key(|(_, index)| *index)
    }

    /// Finds a model's next sample that is open and not out.
    pub(super) fn find_next(&mut self, model: usize) {
        let models = self.lanes.len() as u64;
        let mut block = self.lanes[model].block;
        let mut next = None;
        while block < self.plan.block_count() {
            let index = u64::from(block) * models + u64::from(self.place(model, block));
            let out = self.windows[self.lanes[model].domain]
                .outstanding
                .contains_key(&index);
            if !out && !self.ledger.is_done(index) {
                next = Some(index);
                break;
            }
            block += 1;
        }
        self.lanes[model].block = block;
        self.lanes[model].next = next;
    }

    /// Returns a model's place within a block.
    fn place(&mut self, model: usize, block: u32) -> u32 {
        if self.lanes.len() == 1 {
            return 0;
        }
        if !self.orders.contains_key(&block) {
            let mut places = vec![0; self.lanes.len()];
            for (place, model) in self.plan.models_of_block(block).into_iter().enumerate() {
                places[model] = u32::try_from(place).unwrap_or(u32::MAX);
            }
            if self.orders.len() >= ORDERS_KEPT {
                self.orders.pop_first();
            }
            self.orders.insert(block, places);
        }
        self.orders.get(&block).map_or(0, |places| places[model])
    }
}
