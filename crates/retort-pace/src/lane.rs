//! One lane: a model within its domain.

use retort_types::{LaneSpec, ModelName, Timestamp};
use tokio::time::Instant;

use crate::block::Block;
use crate::breaker::{Breaker, Passage};
use crate::permit::Now;
use crate::state::LaneSaved;
use crate::status::LaneState;

/// One lane.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) model: ModelName,
    /// Index of its group's scope.
    pub(crate) group: usize,
    /// Index of the scope whose request rate its refusals are about.
    pub(crate) ruling: usize,
    pub(crate) parked: Option<String>,
    pub(crate) block: Option<Block>,
    pub(crate) breaker: Breaker,
    pub(crate) in_flight: u32,
    /// Since when it has something waiting.
    pub(crate) waiting_since: Option<Instant>,
    /// Number of its last start, for fairness among equals.
    pub(crate) last_start: u64,
}

/// Whether a lane by itself lets a request start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneReadiness {
    Ready,
    At(Instant),
    Trial,
    Parked,
}

impl Lane {
    pub(crate) fn new(spec: &LaneSpec, group: usize, ruling: usize) -> Self {
        Self {
            model: spec.model.clone(),
            group,
            ruling,
            parked: None,
            block: None,
            breaker: Breaker::default(),
            in_flight: 0,
            waiting_since: None,
            last_start: 0,
        }
    }

    /// Returns whether the lane by itself lets a request start.
    pub(crate) fn readiness(&self, now: Instant) -> LaneReadiness {
        if self.parked.is_some() {
            return LaneReadiness::Parked;
        }
        let blocked = self.block.as_ref().map(|block| block.until);
        if let Some(until) = blocked.filter(|until| *until > now) {
            return LaneReadiness::At(until);
        }
        match self.breaker.passage(now) {
            Passage::Free => LaneReadiness::Ready,
            Passage::At(until) => LaneReadiness::At(until),
            Passage::Trial => LaneReadiness::Trial,
        }
    }

    /// Returns whether it may be asked, given what its group says.
    pub(crate) fn state(&self, group: Option<(Timestamp, String)>, now: Now) -> LaneState {
        if let Some(reason) = self.parked.clone() {
            return LaneState::Parked { reason };
        }
        let block = self.block.as_ref().filter(|b| b.until > now.instant);
        let block = block.map(|block| (block.until_at, block.reason.clone()));
        let waits = block
            .into_iter()
            .chain(self.breaker.waits(now.instant))
            .chain(group);
        match waits.max_by_key(|(until, _)| *until) {
            Some((until, reason)) => LaneState::Blocked { until, reason },
            None => LaneState::Open,
        }
    }

    /// Returns what is kept for the next owner.
    pub(crate) fn saved(&self, now: Now) -> LaneSaved {
        let block = self.block.as_ref().filter(|b| b.until > now.instant);
        LaneSaved {
            parked: self.parked.clone(),
            blocked: block.map(Block::saved),
        }
    }
}
