//! The campaigns that the active coordinator carries out: each a task of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use retort_broker::Fence;
use retort_types::CampaignId;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::shares::Shares;
use super::submission::is_submitted;
use super::task::{Begun, Ending, carry};
use super::{FleetParts, Statuses};
use crate::CrawlError;
use crate::coordinator::Note;
use crate::message::Receipt;
use crate::status::{self, State, Status};

/// Notes that wait for a campaign that reads its ledger: receipts of minutes.
const NOTES_QUEUE: usize = 4_096;

/// How long to wait before a campaign that failed is tried again.
const FAILED_PAUSE: Duration = Duration::from_secs(10);

/// How long the status of a sealed campaign is looked after: another coordinator that has not noticed
/// yet that it is not the active one any more may write over it what it last knew.
const SEALED_WATCH: Duration = Duration::from_mins(1);

/// How often samples are published again without any of them ending before they are given up: some
/// message kills workers, or every worker refuses it.
const REPAIRS_MAX: u32 = 4;

/// A campaign at work.
#[derive(Debug)]
struct Running {
    notes: mpsc::Sender<Note>,
    task: AbortHandle,
}

/// What is remembered of a campaign that had to be opened again.
#[derive(Debug, Clone, Copy, Default)]
struct Past {
    /// Samples done when it last was.
    done: u64,
    /// How often in a row nothing had been done in between.
    in_vain: u32,
    /// When it may be opened again.
    due: Option<Instant>,
}

/// The campaigns that are carried out.
#[derive(Debug)]
pub(super) struct Campaigns {
    parts: Arc<FleetParts>,
    statuses: Statuses,
    running: BTreeMap<CampaignId, Running>,
    tasks: JoinSet<(CampaignId, Ending)>,
    /// Campaigns that are sealed, and those that fleets do not carry out, are not looked at again.
    settled: BTreeSet<CampaignId>,
    /// Campaigns that were sealed just now: when, and what was told.
    sealed: BTreeMap<CampaignId, (Instant, Arc<Status>)>,
    past: BTreeMap<CampaignId, Past>,
    shares: Shares,
    fence: Fence,
}

impl Campaigns {
    /// Returns none yet; `fence` tells whether this coordinator is the active one.
    pub(super) fn new(parts: Arc<FleetParts>, statuses: Statuses, fence: Fence) -> Self {
        Self {
            parts,
            statuses,
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            settled: BTreeSet::new(),
            sealed: BTreeMap::new(),
            past: BTreeMap::new(),
            shares: Shares::default(),
            fence,
        }
    }

    /// Takes up a campaign that was just submitted; `existed` when the store had it before.
    pub(super) async fn take_up(&mut self, id: &CampaignId, existed: bool) {
        if existed {
            self.settled.remove(id);
            if let Err(error) = self.consider(id).await {
                tracing::warn!(campaign.id = %id, error = %error, "the store did not tell of a campaign; it is looked at again");
            }
        } else {
            self.start(id, false);
        }
    }

    /// Takes up every campaign of the store that is submitted and not sealed.
    pub(super) async fn look(&mut self) -> Result<(), CrawlError> {
        let (names, _) = self.parts.store.list_folder("campaigns").await?;
        let mut ids: Vec<CampaignId> = names
            .iter()
            .filter_map(|name| CampaignId::new(name).ok())
            .collect();
        ids.sort();
        for id in ids {
            self.consider(&id).await?;
        }
        self.look_after_sealed().await
    }

    /// Tells again that a campaign is sealed, where somebody wrote over it.
    async fn look_after_sealed(&mut self) -> Result<(), CrawlError> {
        self.sealed
            .retain(|_, (sealed, _)| sealed.elapsed() < SEALED_WATCH);
        for (id, (_, told)) in &self.sealed {
            let status = status::read(&self.parts.store, id).await?;
            if status.is_none_or(|status| status.state != State::Sealed) {
                tracing::info!(campaign.id = %id, "the status of a sealed campaign was written over; it is told again");
                status::write(&self.parts.store, told).await?;
            }
        }
        Ok(())
    }

    async fn consider(&mut self, id: &CampaignId) -> Result<(), CrawlError> {
        if self.settled.contains(id) || self.running.contains_key(id) {
            return Ok(());
        }
        let due = self.past.get(id).and_then(|past| past.due);
        if due.is_some_and(|due| due > Instant::now()) {
            return Ok(());
        }
        let store = &self.parts.store;
        if !is_submitted(store, id).await? {
            // It may still be: a submission that broke off is repeated.
            return Ok(());
        }
        let status = status::read(store, id).await?;
        if status.is_some_and(|status| status.state == State::Sealed) {
            self.settled.insert(id.clone());
        } else {
            self.start(id, true);
        }
        Ok(())
    }

    fn start(&mut self, id: &CampaignId, resumed: bool) {
        if self.running.contains_key(id) {
            return;
        }
        let (notes, heard) = mpsc::channel(NOTES_QUEUE);
        let past = self.past.get(id).copied().unwrap_or_default();
        let given_up = (past.in_vain >= REPAIRS_MAX).then(|| {
            format!(
                "published {} times, and no worker told how it ended",
                past.in_vain + 1
            )
        });
        let begun = Begun {
            notes: heard,
            resumed,
            shares: self.shares.clone(),
            given_up,
            statuses: self.statuses.clone(),
            fence: self.fence.clone(),
        };
        let carried = carry(Arc::clone(&self.parts), id.clone(), begun);
        let name = id.clone();
        let task = self.tasks.spawn(async move { (name, carried.await) });
        tracing::info!(campaign.id = %id, resumed, "a campaign is carried out");
        self.running.insert(id.clone(), Running { notes, task });
    }

    /// Waits until a campaign ends, and decides what becomes of it. Pends while there is none.
    pub(super) async fn next_end(&mut self) {
        let Some(joined) = self.tasks.join_next().await else {
            return std::future::pending().await;
        };
        let (id, ending) = match joined {
            Ok(ended) => ended,
            Err(error) => {
                let gone = self
                    .running
                    .iter()
                    .find(|(_, own)| own.task.id() == error.id());
                let Some(id) = gone.map(|(id, _)| id.clone()) else {
                    return;
                };
                (id, Ending::Failed(error.to_string()))
            }
        };
        self.running.remove(&id);
        self.statuses.remove(&id);
        let past = self.past.entry(id.clone()).or_default();
        match ending {
            Ending::Sealed(told) => {
                self.past.remove(&id);
                self.statuses.count_sealed();
                self.sealed.insert(id.clone(), (Instant::now(), told));
                self.settled.insert(id);
            }
            Ending::Lost { done } => {
                past.in_vain = if past.done == done {
                    past.in_vain + 1
                } else {
                    1
                };
                past.done = done;
                self.statuses.count_repair();
                self.start(&id, true);
            }
            Ending::Failed(reason) => {
                tracing::warn!(campaign.id = %id, reason, "a campaign cannot be carried out now; it is tried again");
                past.due = Some(Instant::now() + FAILED_PAUSE);
            }
        }
    }

    /// Hands a note to the campaigns it is about.
    pub(super) async fn hand_on(&self, note: Note) {
        match &note {
            Note::Heartbeat(_) => {
                for own in self.running.values() {
                    // Who is behind with receipts needs no old heartbeats.
                    drop(own.notes.try_send(note.clone()));
                }
            }
            Note::Receipt(receipt) => {
                let about: BTreeSet<&CampaignId> = receipt
                    .records
                    .iter()
                    .map(|record| &record.campaign)
                    .collect();
                for id in about {
                    if let Some(own) = self.running.get(id) {
                        // A campaign that ends meanwhile needs no receipts.
                        drop(own.notes.send(note.clone()).await);
                    }
                }
            }
        }
    }

    /// Hands on what the coordinator itself made durable.
    pub(super) async fn hand_on_own(&self, committed: &retort_dataset::writer::Committed) {
        let receipt = Receipt {
            worker_id: "coordinator".to_owned(),
            records: committed.records().to_vec(),
        };
        self.hand_on(Note::Receipt(Arc::new(receipt))).await;
    }
}
