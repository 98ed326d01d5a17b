//! What the domains of one worker share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use retort_broker::{Acker, Delivery};
use retort_dataset::Writer;
use retort_pace::DomainState;
use retort_types::{Digest, DomainId, ModelName, Sample, SampleId, WallClock};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::ask::Target;
use super::attempt::Attempter;
use super::pace_store::PaceStore;
use super::registry::Registry;
use super::rules::Rules;
use crate::message::DomainReport;
use crate::settings::WorkerSettings;

/// How long a domain is waited for before its last pace but one is saved.
const PACE_PATIENCE: Duration = Duration::from_secs(1);

/// Paces that are saved at the same time: stores beyond this machine take tens of milliseconds for
/// each.
const SAVED_AT_ONCE: usize = 16;

/// A pace that waits to be saved.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) state: DomainState,
    /// Whether counts of the day are not to wait: they are limited, or nothing is cheaper.
    pub(super) prompt: bool,
}

/// How far a worker has come with stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Asking.
    Work,
    /// Starting nothing more; waiting for what is in the air.
    Drain,
    /// Everything that ended is durable and acknowledged: queues may be given back.
    Close,
}

/// A target with the digest of its rows, which samples are checked against.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) target: Target,
    pub(super) identity: Digest,
}

impl std::ops::Deref for Known {
    type Target = Target;

    fn deref(&self) -> &Target {
        &self.target
    }
}

/// What the domains of one worker share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) attempter: Attempter,
    pub(super) registry: Registry,
    pub(super) rules: Rules,
    pub(super) pace_store: PaceStore,
    pub(super) settings: WorkerSettings,
    pub(super) targets: BTreeMap<ModelName, Arc<Known>>,
    pub(super) reports: Mutex<BTreeMap<DomainId, DomainReport>>,
    pub(super) paces: Mutex<BTreeMap<DomainId, Kept>>,
    /// Held while paces are saved, so that an older state of a domain is never saved after a newer one.
    pub(super) saving: tokio::sync::Mutex<()>,
    /// Whom to ask for the pace of a domain as it is now.
    pub(super) pace_of: BTreeMap<DomainId, mpsc::Sender<oneshot::Sender<()>>>,
    /// How far the worker has come with stopping.
    pub(super) phase: watch::Sender<Phase>,
    /// Attempts in the air; told of only when the first begins and when the last ends.
    pub(super) in_the_air: watch::Sender<usize>,
    pub(super) flush_wanted: Notify,
    /// Domains that have something in the air or may still start something.
    pub(super) working_domains: watch::Sender<usize>,
    /// Domains whose session with the broker stands.
    pub(super) sessions: Arc<AtomicUsize>,
}

impl Context {
    pub(super) fn clock(&self) -> &dyn WallClock {
        &*self.attempter.maker.clock
    }

    pub(super) const fn writer(&self) -> &Writer {
        &self.attempter.writer
    }

    pub(super) fn target(&self, model: &ModelName) -> Option<Arc<Known>> {
        self.targets.get(model).map(Arc::clone)
    }

    /// Returns how long a new owner waits while an earlier one may still be asking.
    pub(super) fn grace(&self) -> Duration {
        if self.rules.grace {
            self.settings.grace.0
        } else {
            Duration::ZERO
        }
    }

    /// Returns how long to wait before the next attempt: doubling, with up to half taken off by
    /// the sample's own id, so that samples that failed together do not come back together.
    pub(super) fn retry_wait(&self, counted: u32, id: &SampleId) -> Duration {
        let base = self
            .settings
            .retry_wait
            .0
            .saturating_mul(1 << counted.saturating_sub(1).min(16));
        let wait = base.min(self.settings.retry_wait_max.0);
        let share = f64::from(id.as_bytes()[(counted % 16) as usize]) / 512.0;
        wait.mul_f64(1.0 - share)
    }

    /// Counts a domain as working until the guard is dropped.
    pub(super) fn working(self: &Arc<Self>) -> Working {
        self.working_domains.send_modify(|count| *count += 1);
        Working(Arc::clone(self))
    }

    /// Counts an attempt as being in the air until the guard is dropped.
    pub(super) fn in_the_air(self: &Arc<Self>) -> InTheAir {
        self.in_the_air.send_if_modified(|count| {
            *count += 1;
            *count == 1
        });
        InTheAir(Arc::clone(self))
    }

    /// Waits until no domain has anything in the air.
    pub(super) async fn all_drained(&self) {
        let mut working = self.working_domains.subscribe();
        drop(working.wait_for(|count| *count == 0).await);
    }

    pub(super) async fn end(&self, sample: &Arc<Sample>, attempts: u32, reason: String) {
        // A sample of an unknown model has no row to make; its queue keeps it for another worker.
        if let Some(target) = self.target(&sample.model) {
            self.attempter
                .not_asked(sample, &target.target, (attempts, reason))
                .await;
        }
    }

    /// Returns whether replies can no longer be stored: nothing may be asked then.
    pub(super) fn is_broken(&self) -> bool {
        self.attempter.broken.borrow().is_some()
    }

    pub(super) async fn reject(&self, delivery: Delivery, reason: &str) {
        if let Err(error) = delivery.reject(reason).await {
            tracing::warn!(error = %error, "a message could not be dead-lettered; it will come again");
        }
    }

    pub(super) async fn acknowledge(&self, acker: Acker) {
        if let Err(error) = acker.acknowledge().await {
            tracing::debug!(error = %error, "an acknowledgement came too late; the sample will be delivered again");
        }
    }

    /// Acknowledges every delivery of a sample.
    pub(super) async fn acknowledge_all(&self, id: SampleId) {
        for acker in self.registry.finish(id) {
            self.acknowledge(acker).await;
        }
    }

    pub(super) fn report(&self, domain: &DomainId, report: DomainReport) {
        self.reports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(domain.clone(), report);
    }

    /// Takes a report back: another worker tells of the domain.
    pub(super) fn withdraw(&self, domain: &DomainId) {
        self.reports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(domain);
    }

    /// Saves the paces of domains as they are now, before anything of theirs is acknowledged: the
    /// next owner may begin right after.
    pub(super) async fn save_paces_of(&self, domains: BTreeSet<DomainId>) {
        for domain in domains {
            let Some(asked) = self.pace_of.get(&domain) else {
                continue;
            };
            let (kept, is_kept) = oneshot::channel();
            // A domain that has ended left its last pace; one that waits for a full disk must not
            // hold up others.
            let asking = async {
                if asked.send(kept).await.is_ok() {
                    drop(is_kept.await);
                }
            };
            drop(tokio::time::timeout(PACE_PATIENCE, asking).await);
        }
        self.save_paces().await;
    }

    /// Takes a domain's pace to be saved soon.
    pub(super) fn keep_pace(&self, domain: &DomainId, kept: Kept) {
        self.kept().insert(domain.clone(), kept);
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<DomainId, Kept>> {
        self.paces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves every pace that was kept, apart from the dispatchers: a slow disk must not cost rate.
    pub(super) async fn save_paces(&self) {
        self.save_paces_that(|_, _| true).await;
    }

    /// Saves the kept paces whose time has come; the others stay kept.
    pub(super) async fn save_due_paces(&self) {
        let now = Instant::now();
        let due = |domain: &DomainId, kept: &Kept| {
            self.pace_store
                .is_due(domain, &kept.state, kept.prompt, now)
        };
        self.save_paces_that(due).await;
    }

    async fn save_paces_that(&self, due: impl Fn(&DomainId, &Kept) -> bool) {
        let saving = self.saving.lock().await;
        let due: Vec<(DomainId, Kept)> = self
            .kept()
            .extract_if(.., |domain, kept| due(domain, kept))
            .collect();
        let saved = stream::iter(due).map(|(domain, kept)| async move {
            let saved = self.pace_store.save(&domain, &kept.state, self.clock()).await;
            if let Err(error) = saved {
                tracing::warn!(domain.id = %domain, error = %error, "the pace state could not be saved");
            }
        });
        saved.buffer_unordered(SAVED_AT_ONCE).collect::<()>().await;
        drop(saving);
    }
}

/// A domain that may have something in the air.
#[derive(Debug)]
pub(super) struct Working(Arc<Context>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.working_domains.send_modify(|count| *count -= 1);
    }
}

/// An attempt in the air.
#[derive(Debug)]
pub(super) struct InTheAir(Arc<Context>);

impl Drop for InTheAir {
    fn drop(&mut self) {
        self.0.in_the_air.send_if_modified(|count| {
            *count -= 1;
            *count == 0
        });
    }
}
