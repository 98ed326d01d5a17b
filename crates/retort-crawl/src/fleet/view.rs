//! How a coordinator of a fleet is doing, for health checks and metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use retort_types::CampaignId;
use tokio::sync::watch;

use crate::status::Status;

/// How a coordinator of a fleet is doing. Clones tell of the same coordinator.
#[derive(Debug, Clone, Default)]
pub struct Statuses(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    campaigns: Mutex<BTreeMap<CampaignId, watch::Receiver<Arc<Status>>>>,
    active: AtomicBool,
    connected: AtomicBool,
    accepted: AtomicU64,
    rejected: AtomicU64,
    sealed: AtomicU64,
    repairs: AtomicU64,
}

impl Statuses {
    /// Returns the last status of each campaign that is carried out, in order.
    pub fn campaigns(&self) -> Vec<Arc<Status>> {
        let campaigns = self.0.campaigns.lock();
        let campaigns = campaigns.unwrap_or_else(PoisonError::into_inner);
        campaigns
            .values()
            .map(|status| Arc::clone(&status.borrow()))
            .collect()
    }

    /// Returns whether this coordinator is the active one.
    pub fn is_active(&self) -> bool {
        self.0.active.load(Ordering::Relaxed)
    }

    /// Returns whether it can reach its broker: also true for one that waits to become active.
    pub fn is_connected(&self) -> bool {
        self.0.connected.load(Ordering::Relaxed)
    }

    /// Returns how many submissions were taken up and how many were refused, since it started.
    pub fn submissions(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (load(&self.0.accepted), load(&self.0.rejected))
    }

    /// Returns how many campaigns it sealed since it started.
    pub fn sealed(&self) -> u64 {
        self.0.sealed.load(Ordering::Relaxed)
    }

    /// Returns how often it repaired a campaign from the store since it started.
    pub fn repairs(&self) -> u64 {
        self.0.repairs.load(Ordering::Relaxed)
    }

    pub(super) fn insert(&self, id: &CampaignId, status: watch::Receiver<Arc<Status>>) {
        let campaigns = self.0.campaigns.lock();
        let mut campaigns = campaigns.unwrap_or_else(PoisonError::into_inner);
        campaigns.insert(id.clone(), status);
    }

    pub(super) fn remove(&self, id: &CampaignId) {
        let campaigns = self.0.campaigns.lock();
        campaigns.unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    pub(super) fn clear(&self) {
        let campaigns = self.0.campaigns.lock();
        campaigns.unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn set_active(&self, active: bool) {
        self.0.active.store(active, Ordering::Relaxed);
    }

    pub(super) fn set_connected(&self, connected: bool) {
        self.0.connected.store(connected, Ordering::Relaxed);
    }

    pub(super) fn count_submission(&self, accepted: bool) {
        let count = if accepted {
            &self.0.accepted
        } else {
            &self.0.rejected
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_sealed(&self) {
        self.0.sealed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_repair(&self) {
        self.0.repairs.fetch_add(1, Ordering::Relaxed);
    }
}
