//! The window of a domain: the samples that were published and have no receipt yet.

use std::collections::BTreeMap;

use retort_types::DomainSpec;
use tokio::time::Instant;

use super::budget::Amount;
use crate::fleet::Share;
use crate::settings::CoordinatorSettings;

/// Fewest samples in a window that is shared: below, each receipt would leave the domain idle.
const SHARE_MIN: usize = 16;

/// Part of a window that may be asked and not told: 15 s of the two minutes that it lasts.
const LAG_PART: usize = 8;

/// A published sample without a receipt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outstanding {
    pub(super) model: usize,
    pub(super) published: Instant,
    pub(super) reserved: Amount,
}

/// One domain as the coordinator supplies it.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) spec: DomainSpec,
    /// Its models, by their places in the plan.
    pub(super) models: Vec<usize>,
    pub(super) outstanding: BTreeMap<u64, Outstanding>,
    pub(super) size: usize,
    /// What it is when no other campaign shares the domain.
    whole: usize,
    /// When the last receipt came, or the domain began.
    pub(super) progress: Instant,
}

impl Window {
    pub(super) fn new(
        spec: DomainSpec,
        models: Vec<usize>,
        settings: &CoordinatorSettings,
        now: Instant,
    ) -> Self {
        let size = size(&spec, settings);
        Self {
            spec,
            models,
            outstanding: BTreeMap::new(),
            size,
            whole: size,
            progress: now,
        }
    }

    /// Returns in how many blocks it may have samples that were asked and whose receipts are under way:
    /// those of a few seconds, which is how long rows take to become durable.
    pub(super) fn lag_blocks(&self) -> u32 {
        let blocks = self.whole / self.models.len().max(1) / LAG_PART;
        u32::try_from(blocks).unwrap_or(u32::MAX)
    }

    /// Makes it one of several windows that together keep the domain busy.
    pub(super) fn take_share(&mut self, share: &Share) {
        self.size = share.of(self.whole).max(SHARE_MIN.min(self.whole));
    }
}

/// Returns how many unreceipted samples keep a domain busy: its rate over the window's time.
fn size(spec: &DomainSpec, settings: &CoordinatorSettings) -> usize {
    let limits = || std::iter::once(&spec.limits).chain(spec.lanes.iter().map(|lane| &lane.limits));
    let seconds = settings.window.0.as_secs();
    let by_rate = limits().filter_map(|limits| limits.requests_per_minute);
    let by_rate: u64 = by_rate
        .map(|rate| u64::from(rate.get()) * seconds / 60)
        .sum();
    let by_concurrency: u64 = limits()
        .filter_map(|limits| limits.concurrency)
        .map(|requests| u64::from(requests.get()) * 128)
        .sum();
    let wanted = by_rate.max(by_concurrency);
    let bounds = (
        u64::from(settings.window_min.max(1)),
        u64::from(settings.window_max.max(settings.window_min).max(1)),
    );
    usize::try_from(wanted.clamp(bounds.0, bounds.1)).unwrap_or(usize::MAX)
}
