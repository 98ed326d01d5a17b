//! Whose a domain is. Nobody tells a worker that it owns one: the first sample does, and the end of
//! its session that it no longer does.
//!
//! An earlier owner that lost its session goes on for a while before it notices. So whoever is given
//! work that was given before waits for that long, then reads what the earlier owner learned and
//! used up, and begins as if everything were used up.

use std::sync::Arc;
use std::time::Duration;

use retort_broker::Delivery;
use retort_pace::{DomainState, Pacer};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::super::pace_store::Found;
use super::Domain;
use crate::message::REISSUED_KIND;

/// How long to wait before a store that failed is asked for a pace again.
const LOAD_PAUSE: Duration = Duration::from_secs(1);

/// What the store knows of a domain's pace.
pub(super) type Loaded = Option<Found>;

/// Whose a domain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tenure {
    /// Another worker's, or nobody's.
    Standby,
    /// This worker's from `until` on, if what it still has in the air has ended by then.
    Grace {
        /// Until when an earlier owner may be asking.
        until: Instant,
        /// When the first sample came.
        since: Instant,
        /// Whether there was an earlier owner.
        inherited: bool,
    },
    /// This worker's as soon as the pace is read.
    Loading {
        /// Whether there was an earlier owner.
        inherited: bool,
    },
    /// This worker's.
    Owner,
}

impl Tenure {
    pub(super) fn is_owner(self) -> bool {
        self == Self::Owner
    }
}

impl Domain {
    /// Takes note of what a delivery says about whose the domain is.
    pub(super) fn claim(&mut self, delivery: &Delivery) {
        let now = Instant::now();
        let inherited = delivery.redelivered || delivery.message.kind == REISSUED_KIND;
        let grace = self.context.grace();
        match self.tenure {
            Tenure::Standby => self.enter(now, inherited),
            Tenure::Grace {
                since,
                inherited: false,
                ..
            } if inherited => {
                self.tenure = Tenure::Grace {
                    until: since + grace,
                    since,
                    inherited,
                };
            }
            // A broker hands a domain over when its owner holds nothing: in between another one may
            // have had it.
            Tenure::Owner if self.may_have_lapsed() => self.enter(now, inherited),
            Tenure::Grace { .. } | Tenure::Loading { .. } | Tenure::Owner => {}
        }
    }

    fn may_have_lapsed(&self) -> bool {
        let shared = !self.context.pace_store.is_locking();
        shared && self.session.hands_over() && self.context.registry.held(self.number) == 0
    }

    fn enter(&mut self, now: Instant, inherited: bool) {
        let grace = self.context.grace();
        let until = if inherited { now + grace } else { now };
        tracing::info!(domain.id = %self.spec.id, inherited, "a rate-limit domain falls to this worker");
        self.tenure = Tenure::Grace {
            until,
            since: now,
            inherited,
        };
        self.forget_judgements();
    }

    /// Has the store asked anew about each campaign: what it said may have changed since.
    fn forget_judgements(&mut self) {
        self.judging = JoinSet::new();
        self.judged.clear();
    }

    /// Returns until when to wait before anything is asked, or nothing when the domain is owned.
    pub(super) fn wait_for_tenure(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let idle = now + super::REPORT_EVERY;
        match self.tenure {
            Tenure::Owner => None,
            Tenure::Standby | Tenure::Loading { .. } => Some(idle),
            Tenure::Grace { until, .. } if now < until => Some(until),
            // A new pace knows nothing of what is in the air.
            Tenure::Grace { .. } if !self.running.is_empty() => Some(idle),
            Tenure::Grace { inherited, .. } => {
                self.tenure = Tenure::Loading { inherited };
                self.load();
                Some(idle)
            }
        }
    }

    fn load(&mut self) {
        let (context, domain) = (Arc::clone(&self.context), self.spec.id.clone());
        self.loading.spawn(async move {
            loop {
                match context.pace_store.load(&domain).await {
                    Ok(found) => return found,
                    Err(error) => {
                        tracing::warn!(domain.id = %domain, error = %error, "the pace of a domain could not be read; it waits");
                    }
                }
                tokio::time::sleep(LOAD_PAUSE).await;
            }
        });
    }

    /// Becomes the owner, with the pace that the last one left.
    pub(super) fn take_over(&mut self, loaded: Result<Loaded, JoinError>) {
        let Tenure::Loading { inherited } = self.tenure else {
            return;
        };
        let Ok(found) = loaded else {
            return self.load();
        };
        let now = self.now();
        let known = self.known(found, inherited);
        let mut pacer = Pacer::new(self.spec.clone(), self.pace.clone(), known, now);
        // What was parked is tried again by whoever starts next: the cause may be gone.
        pacer.unpark_all();
        self.pacer = pacer;
        self.tenure = Tenure::Owner;
    }

    /// Returns what is known of the pace, or nothing for a domain that was never asked in.
    fn known(&self, found: Loaded, inherited: bool) -> Option<DomainState> {
        let own = || self.pacer.state(self.now());
        match found {
            Some(found) if !found.is_own => Some(found.state),
            // This worker knows more than it saved.
            Some(_) => Some(own()),
            None => (inherited || !self.tallies.is_empty()).then(own),
        }
    }

    /// Takes note that the session ended: what has not started is asked by whoever owns the domain
    /// next, what is in the air is finished.
    pub(super) fn lose(&mut self) {
        if self.context.pace_store.is_locking() {
            return;
        }
        tracing::warn!(domain.id = %self.spec.id, "the session of a domain ended; nothing more is asked in it until it comes back");
        self.tenure = Tenure::Standby;
        self.loading.abort_all();
        self.context.registry.lose(self.number);
        let jobs: Vec<_> = self
            .lanes
            .iter_mut()
            .flat_map(|lane| lane.take(|_| true))
            .collect();
        for job in jobs {
            self.context.registry.forget(job.sample.sample_id);
        }
    }

    /// Returns whether there is nothing to tell of the domain: another worker tells.
    pub(super) fn rests(&self) -> bool {
        self.tenure == Tenure::Standby && self.running.is_empty() && self.endings.is_empty()
    }
}
