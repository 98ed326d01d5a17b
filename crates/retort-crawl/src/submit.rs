//! Submission: a campaign and its plan become immutable in the store.

use retort_dataset::import::is_imported;
use retort_dataset::{Store, StoreError};
use retort_plan::{Plan, PlanDocument, PlannedModel};
use retort_types::digest::canonical_json;
use retort_types::{Campaign, CampaignId, ModelName};

/// A campaign could not be submitted or opened.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The id is taken by another campaign.
    #[error("campaign `{0}` exists with other content")]
    Conflict(CampaignId),
    /// A model's catalog row changed since the campaign was planned.
    #[error("campaign `{campaign}` was planned with other catalog rows for {}", names(.models))]
    CatalogChanged {
        /// The campaign.
        campaign: CampaignId,
        /// The models whose rows differ.
        models: Vec<ModelName>,
    },
    /// A model's limits moved to another rate-limit domain since the campaign was planned.
    #[error("campaign `{campaign}` was planned with other rate-limit domains for {}", names(.models))]
    DomainsChanged {
        /// The campaign.
        campaign: CampaignId,
        /// The models whose domains differ.
        models: Vec<ModelName>,
    },
    /// What the store holds is not a campaign or a plan.
    #[error("`{path}` is damaged: {reason}")]
    Damaged {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

fn names(models: &[ModelName]) -> String {
    models
        .iter()
        .map(|model| format!("`{model}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A campaign that is in the store.
#[derive(Debug)]
pub struct Submitted {
    /// Its plan: the one in the store, whatever was offered.
    pub plan: Plan,
    /// Whether it was there before.
    pub existed: bool,
}

fn campaign_path(campaign: &CampaignId) -> String {
    format!("campaigns/{campaign}/campaign.json")
}

/// Puts a planned campaign into the store. The same campaign again is the same campaign; another
/// one under its id is refused, and so is a catalog that by now means other models.
///
/// # Errors
/// See [`SubmitError`].
pub async fn submit(store: &Store, plan: Plan) -> Result<Submitted, SubmitError> {
    let campaign = plan.campaign().clone();
    if let Some(stored) = load_campaign(store, &campaign.id).await? {
        if stored.digest() != campaign.digest() {
            return Err(SubmitError::Conflict(campaign.id));
        }
        let stored = load_plan(store, &campaign.id).await?;
        let models = changed_models(&stored, &plan, |old, new| old.endpoint != new.endpoint);
        if !models.is_empty() {
            return Err(SubmitError::CatalogChanged {
                campaign: campaign.id,
                models,
            });
        }
        let models = changed_models(&stored, &plan, |old, new| old.domain != new.domain);
        if !models.is_empty() {
            return Err(SubmitError::DomainsChanged {
                campaign: campaign.id,
                models,
            });
        }
        return Ok(Submitted {
            plan: stored,
            existed: true,
        });
    }
    if is_imported(store, &campaign.id).await? {
        return Err(SubmitError::Conflict(campaign.id));
    }
    for stale in plan_paths(store, &campaign.id).await? {
        // Left by a submission that broke off before its campaign was written.
        store.delete(&stale).await?;
    }
    let path = format!(
        "campaigns/{}/plan-{}.json",
        campaign.id,
        plan.hash().short()
    );
    store.put(&path, json(plan.document()).into()).await?;
    store
        .put_if_absent(&campaign_path(&campaign.id), json(&campaign).into())
        .await?;
    let stored = load_campaign(store, &campaign.id).await?;
    if stored.is_none_or(|stored| stored.digest() != campaign.digest()) {
        return Err(SubmitError::Conflict(campaign.id));
    }
    Ok(Submitted {
        plan,
        existed: false,
    })
}

/// Returns the campaign of this id, if the store has one.
///
/// # Errors
/// When the store fails or holds something else there.
pub async fn load_campaign(
    store: &Store,
    id: &CampaignId,
) -> Result<Option<Campaign>, SubmitError> {
    let path = campaign_path(id);
    match store.get(&path).await {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(campaign) => Ok(Some(campaign)),
            Err(error) => Err(SubmitError::Damaged {
                path,
                reason: error.to_string(),
            }),
        },
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns the plan of a submitted campaign, checked against its hash.
///
/// # Errors
/// When the store fails, holds no plan or a damaged one.
pub async fn load_plan(store: &Store, id: &CampaignId) -> Result<Plan, SubmitError> {
    let paths = plan_paths(store, id).await?;
    let [path] = paths.as_slice() else {
        let path = format!("campaigns/{id}");
        return Err(SubmitError::Damaged {
            path,
            reason: format!("{} plans instead of one", paths.len()),
        });
    };
    let damaged = |reason: String| SubmitError::Damaged {
        path: path.clone(),
        reason,
    };
    let bytes = store.get(path).await?;
    let document: PlanDocument =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    let plan = Plan::from_document(document).map_err(|error| damaged(error.to_string()))?;
    if !path.ends_with(&format!("plan-{}.json", plan.hash().short())) {
        return Err(damaged(format!(
            "its content hashes to {}",
            plan.hash().short()
        )));
    }
    Ok(plan)
}

async fn plan_paths(store: &Store, id: &CampaignId) -> Result<Vec<String>, StoreError> {
    let (_, mut files) = store.list_folder(&format!("campaigns/{id}")).await?;
    files.retain(|file| file.starts_with("plan-"));
    Ok(files
        .into_iter()
        .map(|file| format!("campaigns/{id}/{file}"))
        .collect())
}

fn changed_models(
    stored: &Plan,
    offered: &Plan,
    differ: impl Fn(&PlannedModel, &PlannedModel) -> bool,
) -> Vec<ModelName> {
    let pairs = stored
        .document()
        .models
        .iter()
        .zip(&offered.document().models);
    pairs
        .filter(|(old, new)| differ(old, new))
        .map(|(old, _)| old.name.clone())
        .collect()
}

fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    canonical_json(value)
        .expect("what was read from text always serializes")
        .into_bytes()
}
