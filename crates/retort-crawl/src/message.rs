//! What coordinator and worker say to each other, as JSON in the broker's messages.
//!
//! Readers ignore fields, kinds and commands they do not know, and do without those that came later,
//! so that one of the two may be a version ahead: a new field has a default. What is asked and kept
//! (`params`, `input` and `store` of a sample) is the exception. Whoever does not know a part of it
//! must not ask, so it is read strictly, and a new part is left out where it says nothing.

use bytes::Bytes;
use retort_broker::Message;
use retort_dataset::WriterStatus;
use retort_dataset::writer::CommittedRecord;
use retort_pace::DomainStatus;
use retort_types::{CampaignId, Digest, DomainId, ModelName, Outcome, Sample, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Kind of a message that carries a [`Sample`].
pub const SAMPLE_KIND: &str = "retort.sample.v1";
/// Kind of a message that carries a [`Sample`] which was published before: whoever asked it then may
/// still be asking.
pub const REISSUED_KIND: &str = "retort.sample-reissued.v1";
/// Kind of a message that carries a [`Receipt`].
pub const RECEIPT_KIND: &str = "retort.receipt.v1";
/// Kind of a message that carries a [`Heartbeat`].
pub const HEARTBEAT_KIND: &str = "retort.heartbeat.v1";
/// Kind of an empty message by which a coordinator finds out whether it is the active one.
pub const PING_KIND: &str = "retort.ping.v1";
/// Kind of a message that carries a campaign for the coordinator, as JSON, or a [`Stored`] one.
pub const CAMPAIGN_KIND: &str = "retort.campaign.v1";
/// Kind of the news that a coordinator became the active one; carries nothing.
pub const ACTIVE_KIND: &str = "retort.coordinator-active.v1";
/// Kind of the news that a campaign was taken up; carries an [`Accepted`].
pub const ACCEPTED_KIND: &str = "retort.accepted.v1";
/// Kind of the news that a submission was refused; carries a [`Rejected`].
pub const REJECTED_KIND: &str = "retort.rejected.v1";
/// Kind of the news that a campaign was sealed; carries a [`SealedNews`].
pub const SEALED_KIND: &str = "retort.sealed.v1";
/// Kind of a message that carries a [`Control`].
pub const CONTROL_KIND: &str = "retort.control.v1";

/// Why samples end when their campaign's time is over.
pub const DEADLINE_PASSED: &str = "the campaign's deadline passed";
/// Why samples end when a person cancelled their campaign.
pub const CANCELLED: &str = "cancelled";

/// A worker's word that rows are durable in the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Receipt {
    /// Who says so.
    pub worker_id: String,
    /// One entry per attempt, in the order they were stored.
    pub records: Vec<CommittedRecord>,
}

/// How a worker is doing, told twice a second while that changes, and every few seconds otherwise.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Who says so.
    pub worker_id: String,
    /// When.
    pub at: Timestamp,
    /// The domains it owns or waits for.
    pub domains: BTreeMap<DomainId, DomainReport>,
    /// Its spool and segments.
    #[serde(default)]
    pub writer: WriterStatus,
}

/// One domain as its owner sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DomainReport {
    /// Its pace; absent until it is owned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pace: Option<DomainStatus>,
    /// Why it is not owned yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Samples held and not yet started.
    pub queued: u64,
    /// Requests in the air.
    pub in_flight: u64,
    /// What this worker did so far, per model.
    pub models: BTreeMap<ModelName, Tally>,
}

/// Counts per model since a worker started, or over a whole campaign.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Requests that were sent.
    pub requests: u64,
    /// Attempts that were followed by another one.
    pub retries: u64,
    /// Samples that ended, by how.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Tokens of prompts, as reported.
    pub input_tokens: u64,
    /// Tokens of answers, as reported.
    pub output_tokens: u64,
    /// Cost by the catalog's prices, in US dollars.
    pub cost_usd: f64,
}

impl Tally {
    /// Adds `other` to these counts.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.retries += other.retries;
        for (outcome, count) in &other.outcomes {
            *self.outcomes.entry(*outcome).or_default() += count;
        }
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.cost_usd += other.cost_usd;
    }

    /// Returns how many samples ended.
    pub fn ended(&self) -> u64 {
        self.outcomes.values().sum()
    }
}

/// A campaign too large for a message: its JSON is in the store, named by its digest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// SHA-256 of the JSON, hex; it lies at `submissions/<sha256>.json`.
    pub campaign_sha256: Digest,
}

/// The news that a campaign was taken up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The campaign.
    pub campaign: CampaignId,
    /// Hash of its plan.
    pub plan_hash: Digest,
    /// Samples planned.
    pub planned: u64,
    /// Whether it was there before.
    pub existed: bool,
}

/// The news that a submission was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Id of the message.
    pub message: String,
    /// Why.
    pub reason: String,
}

/// The news that a campaign was sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedNews {
    /// The campaign.
    pub campaign: CampaignId,
    /// The snapshot, a path in the store.
    pub snapshot: String,
    /// Samples planned, which is the number of its final rows.
    pub planned: u64,
    /// Samples that ended without a measurement.
    pub missing: u64,
}

/// What a person asks of a running campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// The campaign.
    pub campaign: CampaignId,
    /// What is asked.
    pub command: Command,
}

/// A command to workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Command {
    /// Start nothing new until resumed.
    Pause,
    /// Go on.
    Resume,
    /// End every sample that has not started as `not_asked`, for this reason.
    Close {
        /// The models meant; all of them when empty.
        #[serde(default)]
        models: Vec<ModelName>,
        /// Why, in our words.
        reason: String,
    },
}

/// Returns a message for a sample, `reissued` when it may have been published before.
pub fn sample_message(sample: &Sample, reissued: bool) -> Result<Message, serde_json::Error> {
    let kind = if reissued { REISSUED_KIND } else { SAMPLE_KIND };
    message(kind, sample.sample_id.to_string(), sample)
}

/// Returns a message of `kind` with `value` as JSON.
pub fn message<T: Serialize>(
    kind: &str,
    id: String,
    value: &T,
) -> Result<Message, serde_json::Error> {
    // As long as it is: thousands wait in memory, and growing left up to half of each unused.
    let body = serde_json::to_vec(value)?.into_boxed_slice();
    Ok(Message {
        id,
        kind: kind.to_owned(),
        body: Bytes::from(body),
    })
}

/// Returns the value a message carries.
pub fn parse<T: DeserializeOwned>(message: &Message) -> Result<T, serde_json::Error> {
    serde_json::from_slice(&message.body)
}
