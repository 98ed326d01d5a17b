//! The proof that rows are durable.

use retort_types::{AttemptRecord, CampaignId, Digest, DomainId, ModelName, Outcome, SampleId};
use serde::{Deserialize, Serialize};

/// Rows that are durable in the store. Only a writer makes one, after the store has confirmed, so
/// whoever holds one may acknowledge what it names.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    segments: Vec<SegmentRef>,
    records: Vec<CommittedRecord>,
}

impl Committed {
    /// Makes the proof; called by the flush alone, when everything is stored.
    pub(super) const fn new(segments: Vec<SegmentRef>, records: Vec<CommittedRecord>) -> Self {
        Self { segments, records }
    }

    /// Returns the files that hold the rows.
    pub fn segments(&self) -> &[SegmentRef] {
        &self.segments
    }

    /// Returns one entry per record, in the order they were appended.
    pub fn records(&self) -> &[CommittedRecord] {
        &self.records
    }
}

/// A stored segment file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    /// Its path in the store.
    pub path: String,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Its rows.
    pub rows: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

/// What is told of one durable record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommittedRecord {
    /// The campaign.
    pub campaign: CampaignId,
    /// The plan the sample was drawn from.
    pub plan_hash: Digest,
    /// The sample.
    pub sample_id: SampleId,
    /// Its dense position within the plan.
    pub index: u64,
    /// The attempt.
    pub attempt_id: String,
    /// Its number within the sample; 0 when it was never asked.
    pub attempt_no: u32,
    /// The model.
    pub model: ModelName,
    /// The rate-limit domain.
    pub domain: DomainId,
    /// How the attempt ended.
    pub outcome: Outcome,
    /// How the sample ended, when this attempt ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_outcome: Option<Outcome>,
    /// Cost in US dollars, where priced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Tokens of the prompt, as reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u32>,
    /// Tokens of the answer, as reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u32>,
}

impl From<&AttemptRecord> for CommittedRecord {
    fn from(record: &AttemptRecord) -> Self {
        let sample = &record.sample;
        Self {
            campaign: sample.campaign.clone(),
            plan_hash: sample.plan_hash,
            sample_id: sample.sample_id,
            index: sample.index,
            attempt_id: record.attempt_id.clone(),
            attempt_no: record.attempt_no,
            model: sample.model.clone(),
            domain: sample.domain.clone(),
            outcome: record.outcome,
            final_outcome: record.final_outcome,
            cost_usd: record.cost_usd,
            input_tokens: record.reply.usage.input_tokens,
            output_tokens: record.reply.usage.output_tokens,
        }
    }
}
