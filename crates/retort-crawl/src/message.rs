//! What coordinator and worker say to each other, as JSON in the broker's messages.
//!
//! Readers ignore fields, kinds and commands they do not know, and do without those that came later,
//! so that one of the two may be a version ahead: a new field has a default. What is asked and kept
//! (`params`, `input` and `store` of a sample) is the exception. Whoever does not know a part of it
//! must not ask, so it is read strictly, and a new part is left out where it says nothing.

use retort_broker::{Body, Message};
use retort_dataset::WriterStatus;
use retort_dataset::writer::CommittedRecord;
use retort_pace::DomainStatus;
use retort_types::{
    CampaignId, Digest, DomainId, ModelName, Outcome, PromptInput, Sample, Timestamp,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

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

/// Bytes of a sample besides its texts and parameters: twice its names at their longest.
const SAMPLE_FRAME_BYTES: usize = 4 << 10;

/// Bytes of an entry of a receipt: twice its names at their longest.
const COMMITTED_BYTES: usize = 2 << 10;

/// Most bytes that a byte of text takes in JSON.
const ESCAPED_BYTES: usize = 6;

/// Returns a message for a sample, `reissued` when it may have been published before.
pub fn sample_message(sample: Sample, reissued: bool) -> Message {
    let kind = if reissued { REISSUED_KIND } else { SAMPLE_KIND };
    let id = sample.sample_id.to_string();
    let most = sample_bytes_at_most(&sample);
    Message {
        id,
        kind: kind.to_owned(),
        body: Body::of(Arc::new(sample), most),
    }
}

/// Returns more bytes than a sample takes as JSON.
fn sample_bytes_at_most(sample: &Sample) -> usize {
    // Whatever else is asked may be of any size, and is rarely there at all.
    if !sample.params.extra.is_empty() || sample.params.stop.is_some() {
        return usize::MAX;
    }
    let input: usize = match &*sample.input {
        PromptInput::Text(text) => text.len(),
        PromptInput::Messages(messages) => messages
            .iter()
            .map(|message| 32 + message.role.len() + message.content.len())
            .sum(),
    };
    let effort = sample.params.reasoning_effort.as_ref();
    let texts = [
        input,
        sample.prompt_id.len(),
        sample.system.as_ref().map_or(0, |text| text.len()),
        effort.map_or(0, String::len),
    ];
    SAMPLE_FRAME_BYTES + ESCAPED_BYTES * texts.iter().sum::<usize>()
}

/// Returns a message for a receipt.
pub fn receipt_message(id: String, receipt: Arc<Receipt>) -> Message {
    let most = COMMITTED_BYTES * (1 + receipt.records.len());
    Message {
        id,
        kind: RECEIPT_KIND.to_owned(),
        body: Body::of(receipt, most),
    }
}

/// Returns a message of `kind` with `value` as JSON.
pub fn message<T: Serialize>(
    kind: &str,
    id: String,
    value: &T,
) -> Result<Message, serde_json::Error> {
    Ok(Message {
        id,
        kind: kind.to_owned(),
        body: serde_json::to_vec(value)?.into(),
    })
}

/// Returns the value a message carries.
pub fn parse<T: DeserializeOwned>(message: &Message) -> Result<T, serde_json::Error> {
    serde_json::from_slice(&message.body.bytes())
}

/// Returns the value a message carries: the one it was made of, where it stayed in this process.
pub fn carried<T>(message: &Message) -> Result<Arc<T>, serde_json::Error>
where
    T: DeserializeOwned + Any + Send + Sync,
{
    match message.body.value() {
        Some(value) => Ok(value),
        None => parse(message).map(Arc::new),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns a sample with every name at its longest and texts that JSON makes longest.
    fn long(text: &str, more: &serde_json::Value) -> Sample {
        let (name, slug, digest) = ("n".repeat(128), "s".repeat(64), "f".repeat(64));
        let number = -1.234_567_890_123_456_7e-300;
        let mut value = json!({
            "sample_id": "f".repeat(32), "campaign": slug, "plan_hash": digest, "index": u64::MAX,
            "block_id": u32::MAX, "order_in_block": u32::MAX, "round": u32::MAX, "model": name,
            "endpoint": digest, "domain": slug, "suite": name, "prompt_id": text,
            "prompt_digest": digest, "arm": name, "arm_digest": digest, "system": text,
            "sample_index": u32::MAX, "deadline": "2026-11-24T10:00:00.123456Z",
            "input": { "messages": [
                { "role": "user", "content": text }, { "role": text, "content": "" },
            ] },
            "params": {
                "temperature": number, "top_p": number, "top_k": u32::MAX, "min_p": number,
                "max_tokens": u32::MAX, "seed": i64::MIN, "frequency_penalty": number,
                "presence_penalty": number, "repetition_penalty": number, "logprobs": u32::MAX,
                "reasoning_effort": text, "stream": false, "echo": false,
            },
        });
        if let (Some(params), Some(more)) = (value["params"].as_object_mut(), more.as_object()) {
            params.extend(more.clone());
        }
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn no_sample_is_longer_than_it_is_taken_for() {
        for text in ["", "\u{0}", "\u{1f600}", "\\"] {
            for times in [0, 1, 1_000] {
                for more in [json!({}), json!({ "stop": [text.repeat(times)] })] {
                    let sample = long(&text.repeat(times), &more);
                    let message = sample_message(sample.clone(), true);
                    let bytes = message.body.bytes();
                    assert!(
                        bytes.len() <= message.body.bytes_at_most(),
                        "{}",
                        bytes.len()
                    );
                    assert_eq!(*carried::<Sample>(&message).unwrap(), sample);
                    let body = Body::from(bytes);
                    let arrived = Message { body, ..message };
                    assert_eq!(*carried::<Sample>(&arrived).unwrap(), sample);
                }
            }
        }
    }

    #[test]
    fn no_receipt_is_longer_than_it_is_taken_for() {
        let sample = long("", &json!({}));
        let record = CommittedRecord {
            campaign: sample.campaign,
            plan_hash: sample.plan_hash,
            sample_id: sample.sample_id,
            index: u64::MAX,
            attempt_id: "f".repeat(36),
            attempt_no: u32::MAX,
            model: sample.model,
            domain: sample.domain,
            outcome: Outcome::InvalidRequest,
            final_outcome: Some(Outcome::InvalidRequest),
            cost_usd: Some(-1.234_567_890_123_456_7e-300),
            input_tokens: Some(u32::MAX),
            output_tokens: Some(u32::MAX),
        };
        for count in [0, 1, 100] {
            let receipt = Receipt {
                worker_id: "w".repeat(128),
                records: vec![record.clone(); count],
            };
            let body = receipt_message("id".to_owned(), Arc::new(receipt)).body;
            assert!(body.bytes().len() <= body.bytes_at_most());
        }
    }
}
