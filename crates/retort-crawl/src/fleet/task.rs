//! One campaign of a fleet, from its opening to its snapshot.

use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use retort_broker::{Fence, Topic};
use retort_plan::Plan;
use retort_types::CampaignId;
use tokio::sync::{mpsc, watch};
use tracing::Instrument as _;

use super::shares::Shares;
use super::{FleetParts, Statuses};
use crate::coordinator::{Membership, Note};
use crate::message::{SEALED_KIND, SealedNews, message};
use crate::record::fresh_id;
use crate::status::{State, Status};
use crate::submit::{load_campaign, load_plan, submit};
use crate::{Coordinator, CoordinatorParts, CrawlError, Finish, sealing};

/// How long to wait before sealing is tried again.
const SEAL_PAUSE: Duration = Duration::from_secs(5);

/// How work on a campaign ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// There is a snapshot and nothing open; this was told last.
    Sealed(Arc<Status>),
    /// Its samples are gone: it must be opened again.
    Lost {
        /// Samples that were done by then.
        done: u64,
    },
    /// It cannot be carried out now.
    Failed(String),
}

/// What a campaign's task begins with.
#[derive(Debug)]
pub(super) struct Begun {
    /// What workers tell.
    pub(super) notes: mpsc::Receiver<Note>,
    /// Whether its samples may have been published before.
    pub(super) resumed: bool,
    /// Whom it shares the domains with.
    pub(super) shares: Shares,
    /// Why what is open ends unasked, if it does.
    pub(super) given_up: Option<String>,
    /// Where its status is told.
    pub(super) statuses: Statuses,
    /// Whether this coordinator is still the active one, for all it knows.
    pub(super) fence: Fence,
}

/// Carries a campaign of the store out.
pub(super) async fn carry(parts: Arc<FleetParts>, id: CampaignId, begun: Begun) -> Ending {
    match Box::pin(carried(&parts, &id, begun)).await {
        Ok(ending) => ending,
        Err(reason) => Ending::Failed(reason),
    }
}

async fn carried(parts: &FleetParts, id: &CampaignId, begun: Begun) -> Result<Ending, String> {
    let plan = Arc::new(planned(parts, id).await?);
    let weight = plan.campaign().schedule.weight;
    let membership = Membership {
        notes: begun.notes,
        resumed: begun.resumed,
        share: begun.shares.join(weight.unwrap_or(NonZeroU8::MIN)),
        given_up: begun.given_up,
        fence: begun.fence,
    };
    let resolved = retort_plan::resolve(&parts.catalog, &plan.campaign().models)
        .map_err(|error| error.to_string())?;
    let endpoints = resolved.endpoints.into_iter();
    let opened = Coordinator::open(CoordinatorParts {
        plan: Arc::clone(&plan),
        domains: resolved.domains,
        endpoints: endpoints
            .map(|endpoint| (endpoint.name.clone(), endpoint))
            .collect(),
        store: parts.store.clone(),
        broker: Arc::clone(&parts.broker),
        writer: parts.writer.clone(),
        clock: Arc::clone(&parts.clock),
        settings: parts.settings.clone(),
        retry_missing: false,
        membership: Some(membership),
    });
    let span = tracing::debug_span!(
        "open",
        otel.name = if begun.resumed { "repair" } else { "open" },
        retort.campaign.id = %id,
        retort.samples = plan.len(),
    );
    let opened = opened.instrument(span).await;
    let mut coordinator = opened.map_err(|error| chain(&error))?;
    begun.statuses.insert(id, coordinator.statuses());
    // The service ends the task when it is to stop.
    let (_stop, stopping) = watch::channel(false);
    match coordinator
        .run(stopping)
        .await
        .map_err(|error| chain(&error))?
    {
        Finish::Complete => {
            finish(parts, &plan, &mut coordinator).await;
            Ok(Ending::Sealed(Arc::clone(&coordinator.statuses().borrow())))
        }
        Finish::Lost | Finish::Stopped => {
            let done = coordinator.statuses().borrow().done;
            Ok(Ending::Lost { done })
        }
    }
}

/// Returns the plan of a campaign of the store, if the catalog still means the same models.
async fn planned(parts: &FleetParts, id: &CampaignId) -> Result<Plan, String> {
    let campaign = load_campaign(&parts.store, id)
        .await
        .map_err(|error| chain(&error))?
        .ok_or_else(|| "it is not in the store".to_owned())?;
    let catalog = Arc::clone(&parts.catalog);
    let planning = tokio::task::spawn_blocking(move || Plan::build(campaign, &catalog));
    match planning.await {
        Ok(Ok(plan)) => {
            let submitted = submit(&parts.store, plan).await;
            submitted
                .map(|submitted| submitted.plan)
                .map_err(|error| chain(&error))
        }
        // It may have been planned by a catalog that knew more: what it then meant stands in its plan.
        Ok(Err(error)) => {
            load_plan(&parts.store, id)
                .await
                .map_err(|error| chain(&error))?;
            Err(error.to_string())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Seals, however often the store fails, and says so.
async fn finish(parts: &FleetParts, plan: &Plan, coordinator: &mut Coordinator) {
    coordinator.tell(Some((State::Sealing, None))).await;
    let sealed = loop {
        match sealing::seal(&parts.store, plan).await {
            Ok(sealed) => break sealed,
            Err(error) => {
                tracing::warn!(campaign.id = %plan.campaign().id, error = %chain(&error), "sealing failed; it is tried again");
            }
        }
        tokio::time::sleep(SEAL_PAUSE).await;
    };
    let path = sealed.path.clone();
    coordinator.tell(Some((State::Sealed, Some(path)))).await;
    let news = SealedNews {
        campaign: plan.campaign().id.clone(),
        snapshot: sealed.path,
        planned: plan.len(),
        missing: coordinator.statuses().borrow().missing,
    };
    tracing::info!(campaign.id = %news.campaign, snapshot = news.snapshot, "a campaign is sealed");
    announce(parts, Topic::Events, SEALED_KIND, &news).await;
}

/// Tells news. Nobody has to be there to hear them, and all of them stand in the store too.
pub(super) async fn announce<T: serde::Serialize>(
    parts: &FleetParts,
    topic: Topic,
    kind: &str,
    news: &T,
) {
    let id = fresh_id(&*parts.clock).to_string();
    let message = message(kind, id, news).map_err(|error| CrawlError::Message(error.to_string()));
    let announced = match message {
        Ok(message) => {
            let announced = parts.broker.announce(topic, message).await;
            announced.map_err(CrawlError::from)
        }
        Err(error) => Err(error),
    };
    if let Err(error) = announced {
        tracing::warn!(kind, error = %error, "news were not told");
    }
}

/// Returns an error and its causes as one text.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}
