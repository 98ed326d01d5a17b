//! Looks for samples that nobody has any more.

use std::time::Duration;

use retort_broker::{BrokerError, Queue};
use tokio::time::Instant;

use super::{Coordinator, STATUS_EVERY};
use crate::CrawlError;
use crate::control::Wish;
use crate::message::{CANCELLED, Command};

/// How often samples without a receipt are looked for.
const REPAIR_EVERY: Duration = Duration::from_secs(1);

/// How often workers of a fleet are told what stands: one that just came has not heard it.
const WISH_EVERY: Duration = Duration::from_secs(5);

impl Coordinator {
    /// Returns how often the status is written.
    pub(super) fn status_every(&self) -> Duration {
        if self.share.is_some() {
            self.parts.settings.status_every.0.max(STATUS_EVERY)
        } else {
            STATUS_EVERY
        }
    }

    /// Returns whether it is time to look for samples that nobody has.
    pub(super) fn may_repair(&mut self, now: Instant) -> bool {
        let due = self
            .repaired
            .is_none_or(|last| now.saturating_duration_since(last) >= REPAIR_EVERY);
        if due {
            self.repaired = Some(now);
        }
        due
    }

    /// Returns whether samples of a fleet are gone: their queue is empty, no worker has them, and
    /// nothing was heard of them for long. A queue that cannot be looked at is no proof.
    pub(super) async fn has_lost(&mut self) -> bool {
        let now = Instant::now();
        if self.share.is_none() || self.state.paused || !self.may_repair(now) {
            return false;
        }
        let silent = self.state.silent(now, self.parts.settings.lost_after.0);
        for domain in silent.into_iter().filter(|domain| !self.view.holds(domain)) {
            let queue = Queue::Probes(domain);
            let depth = self.parts.broker.depth(&queue).await;
            if matches!(depth, Ok(Some(0)) | Err(BrokerError::UnknownQueue(_))) {
                tracing::warn!(queue = %queue, "samples are gone: the campaign is repaired from the store");
                return true;
            }
        }
        false
    }

    /// Gives up waiting for what no worker of a fleet holds, when it is to be ended anyway.
    pub(super) fn drop_unheld(&mut self, now: Instant) {
        if self.share.is_none() {
            return;
        }
        for domain in self.state.silent(now, self.parts.settings.lost_after.0) {
            if !self.view.holds(&domain) {
                self.state.drop_outstanding(&domain);
            }
        }
    }

    /// Tells the workers of a fleet again what stands.
    pub(super) async fn repeat_wish(&mut self) -> Result<(), CrawlError> {
        let now = Instant::now();
        let due = now.saturating_duration_since(self.wish_told) >= WISH_EVERY;
        if self.share.is_none() || !due {
            return Ok(());
        }
        self.wish_told = now;
        let command = match self.last_wish {
            Wish::Pause => Command::Pause,
            Wish::Resume => Command::Resume,
            Wish::Cancel => Command::Close {
                models: Vec::new(),
                reason: CANCELLED.to_owned(),
            },
        };
        self.announce(command).await
    }
}
