//! What a campaign is doing, as people and programs read it: kept beside the campaign in the store.

use retort_dataset::{Store, StoreError, WriterStatus};
use retort_pace::DomainStatus;
use retort_types::{CampaignId, DomainId, ModelName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::message::Tally;

/// Version of the document.
pub const STATUS_SCHEMA: &str = "retort.status.v1";

/// What a campaign is doing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// [`STATUS_SCHEMA`].
    pub schema: String,
    /// The campaign.
    pub campaign: CampaignId,
    /// What it is doing.
    pub state: State,
    /// Why, where that needs saying: what it waits for, what ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Until when it waits, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Samples planned.
    pub planned: u64,
    /// Samples with a final row.
    pub done: u64,
    /// Samples that ended without a measurement.
    pub missing: u64,
    /// Per model, in the plan's order.
    pub models: Vec<ModelStatus>,
    /// Per domain.
    pub domains: Vec<DomainProgress>,
    /// The spool and segments of the worker, last told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<WriterStatus>,
    /// US dollars spent, by the catalog's prices.
    pub cost_usd: f64,
    /// Requests made.
    pub requests: u64,
    /// Seconds left at the present rate, if one can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// When this run began.
    pub started_at: Timestamp,
    /// When this was written.
    pub updated_at: Timestamp,
    /// The process that wrote it.
    pub process: u32,
    /// The snapshot, once sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
}

/// What a campaign is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Requests go out.
    Asking,
    /// Nothing goes out until a limit, a round or another run allows it.
    Waiting,
    /// A person paused it.
    Paused,
    /// What is open is being ended as `not_asked`.
    ClosingOut,
    /// The snapshot is being made.
    Sealing,
    /// There is a snapshot and nothing open.
    Sealed,
    /// It was stopped before it was done.
    Interrupted,
}

impl State {
    /// Returns the word people see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asking => "asking",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::ClosingOut => "closing out",
            Self::Sealing => "sealing",
            Self::Sealed => "sealed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// One model's progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModelStatus {
    /// The model.
    pub model: ModelName,
    /// Its domain.
    pub domain: DomainId,
    /// Samples planned.
    pub planned: u64,
    /// What was done so far, earlier runs included.
    pub tally: Tally,
    /// Requests per minute over the last ten seconds.
    pub rate_per_minute: f64,
    /// Why nothing more is asked of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<String>,
    /// Until when its lane waits, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
}

/// Why something waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Waiting {
    /// Until when, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What for.
    pub reason: String,
}

/// One domain's progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DomainProgress {
    /// The domain.
    pub domain: DomainId,
    /// Samples published and without a receipt.
    pub window: u64,
    /// Requests in the air.
    pub in_flight: u64,
    /// Its pace, once a worker owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<DomainStatus>,
    /// Why no worker owns it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
}

fn path(campaign: &CampaignId) -> String {
    format!("campaigns/{campaign}/status.json")
}

/// Writes a status beside its campaign.
///
/// # Errors
/// When the store does.
pub async fn write(store: &Store, status: &Status) -> Result<(), StoreError> {
    let text = serde_json::to_vec_pretty(status).expect("a status holds only words and numbers");
    store.put(&path(&status.campaign), text.into()).await
}

/// Returns the last status of a campaign, if one was ever written and can be read.
///
/// # Errors
/// When the store does.
pub async fn read(store: &Store, campaign: &CampaignId) -> Result<Option<Status>, StoreError> {
    match store.get(&path(campaign)).await {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
