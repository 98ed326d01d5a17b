//! Whether a campaign's samples are still wanted. A queue may hold samples of a campaign that was
//! sealed since, and a worker that just came has not heard what people wish: the store says both.

use std::sync::Arc;
use std::time::Duration;

use retort_types::CampaignId;
use tokio::task::JoinError;

use super::super::context::Context;
use super::super::lane::{Job, Lane};
use super::Domain;
use crate::control::{Wish, standing};
use crate::message::{CANCELLED, Command, Control};
use crate::status::{self, State};

/// How long to wait before a store that failed is asked again.
const JUDGE_PAUSE: Duration = Duration::from_secs(1);

/// What the store says of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is carried out, with what people wish last.
    Open(Option<Wish>),
    /// It is sealed: nobody needs another reply.
    Sealed,
}

/// A campaign and what the store says of it.
pub(super) type Judged = (CampaignId, Judgement);

impl Domain {
    /// Returns whether samples of a campaign wait until the store has said that they are wanted.
    pub(super) fn is_unjudged(&mut self, campaign: &CampaignId) -> bool {
        if self.context.pace_store.is_locking() {
            return false;
        }
        if let Some(judgement) = self.judged.get(campaign) {
            return judgement.is_none();
        }
        self.judged.insert(campaign.clone(), None);
        let judging = judge(Arc::clone(&self.context), campaign.clone());
        self.judging.spawn(judging);
        true
    }

    /// Takes in what the store says of a campaign.
    pub(super) fn heed(&mut self, judged: Result<Judged, JoinError>) {
        let Ok((campaign, judgement)) = judged else {
            // Given up with the session; whoever comes next is judged anew.
            return;
        };
        self.judged.insert(campaign.clone(), Some(judgement));
        let command = match judgement {
            Judgement::Sealed => return self.drop_all(&campaign),
            Judgement::Open(Some(Wish::Pause)) => Command::Pause,
            Judgement::Open(Some(Wish::Cancel)) => Command::Close {
                models: Vec::new(),
                reason: CANCELLED.to_owned(),
            },
            Judgement::Open(Some(Wish::Resume) | None) => Command::Resume,
        };
        self.control(Control { campaign, command });
    }

    /// Returns whether a campaign is known to be sealed.
    pub(super) fn is_sealed(&self, campaign: &CampaignId) -> bool {
        self.judged.get(campaign) == Some(&Some(Judgement::Sealed))
    }

    /// Acknowledges samples of a sealed campaign unasked.
    fn drop_all(&mut self, campaign: &CampaignId) {
        let of_it = |job: &Job| job.sample.campaign == *campaign;
        let lanes = self.lanes.iter_mut();
        let jobs: Vec<Job> = lanes.flat_map(|lane: &mut Lane| lane.take(of_it)).collect();
        for job in jobs {
            self.drop_one(&job);
        }
    }

    /// Acknowledges a sample of a sealed campaign unasked.
    pub(super) fn drop_one(&mut self, job: &Job) {
        let (context, id) = (Arc::clone(&self.context), job.sample.sample_id);
        self.endings.spawn(async move {
            for acker in context.registry.finish(id) {
                context.acknowledge(acker).await;
            }
        });
    }
}

/// Asks the store, however long it fails.
async fn judge(context: Arc<Context>, campaign: CampaignId) -> Judged {
    loop {
        match ask(&context, &campaign).await {
            Ok(judgement) => return (campaign, judgement),
            Err(error) => {
                tracing::warn!(campaign.id = %campaign, error = %error, "the store did not tell of a campaign; its samples wait");
            }
        }
        tokio::time::sleep(JUDGE_PAUSE).await;
    }
}

async fn ask(
    context: &Context,
    campaign: &CampaignId,
) -> Result<Judgement, retort_dataset::StoreError> {
    let store = context.pace_store.store();
    let status = status::read(store, campaign).await?;
    if status.is_some_and(|status| status.state == State::Sealed) {
        return Ok(Judgement::Sealed);
    }
    standing(store, campaign).await.map(Judgement::Open)
}
