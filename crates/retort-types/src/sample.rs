//! A sample: one planned draw, the unit of work, dedupe and resumption.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::campaign::StoreOptions;
use crate::digest::{HexVisitor, unhex_exactly, with_hex};
use crate::{
    ArmName, CampaignId, Digest, DomainId, ModelName, Params, PromptInput, SuiteName, Timestamp,
};

/// Identity of a sample: 16 bytes, written as 32 hex characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleId([u8; 16]);

/// What a sample's identity is taken over.
#[derive(Debug, Clone, Copy)]
pub struct SampleKey<'a> {
    /// The campaign.
    pub campaign: &'a CampaignId,
    /// The model, by its name in the catalog.
    pub model: &'a ModelName,
    /// Digest of the prompt's input.
    pub prompt: &'a Digest,
    /// Digest of the arm: system text and parameters.
    pub arm: &'a Digest,
    /// Which draw of the same question, from 0.
    pub sample_index: u32,
    /// Which repetition of the campaign, from 0.
    pub round: u32,
}

impl SampleId {
    /// Returns the identity of `key`: the first 16 bytes of the SHA-256 of the RFC 8785 JSON
    /// `[campaign, model, prompt digest, arm digest, sample_index, round]`.
    pub fn of(key: &SampleKey<'_>) -> Self {
        // The alphabets of these names need no escaping, so this is the canonical form.
        let text = format!(
            "[\"{}\",\"{}\",\"{}\",\"{}\",{},{}]",
            key.campaign, key.model, key.prompt, key.arm, key.sample_index, key.round
        );
        let digest = Digest::of(text.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.as_bytes()[..16]);
        Self(bytes)
    }

    /// Returns the 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for SampleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_hex::<32, _>(&self.0, |text| f.write_str(text))
    }
}

impl fmt::Debug for SampleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SampleId({self})")
    }
}

/// Text that should have been 32 hex characters was not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a sample id is 32 hex characters")]
pub struct InvalidSampleId;

impl FromStr for SampleId {
    type Err = InvalidSampleId;

    fn from_str(text: &str) -> Result<Self, InvalidSampleId> {
        unhex_exactly(text).map(Self).ok_or(InvalidSampleId)
    }
}

impl Serialize for SampleId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_bytes(&self.0);
        }
        with_hex::<32, _>(&self.0, |text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for SampleId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = HexVisitor("a sample id is 32 hex characters");
        visitor.read(deserializer).map(Self)
    }
}

/// One planned draw, complete enough that a worker with the same catalog can ask it. What samples of
/// one plan have in common they share: thousands wait in memory.
///
/// Unknown fields are tolerated: a newer coordinator may say more than an older worker reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Identity and dedupe key.
    pub sample_id: SampleId,
    /// The campaign.
    pub campaign: CampaignId,
    /// The plan it was drawn from.
    pub plan_hash: Digest,
    /// Dense position within the plan, from 0: `block_id` × models + `order_in_block`.
    pub index: u64,
    /// The block: the samples of one prompt, arm, draw and round for all models.
    pub block_id: u32,
    /// Position within the block, from 0; random by the campaign's seed.
    pub order_in_block: u32,
    /// Repetition of the campaign, from 0.
    pub round: u32,
    /// The model, by its name in the catalog.
    pub model: ModelName,
    /// Digest of the catalog row that was meant ([`crate::Endpoint::identity`]).
    pub endpoint: Digest,
    /// The rate-limit domain that pays.
    pub domain: DomainId,
    /// The suite.
    pub suite: SuiteName,
    /// The prompt's name within the suite.
    pub prompt_id: String,
    /// Digest of `input`.
    pub prompt_digest: Digest,
    /// What is asked.
    pub input: Arc<PromptInput>,
    /// The arm.
    pub arm: ArmName,
    /// Digest of the arm's system text and parameters.
    pub arm_digest: Digest,
    /// System text put in front, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<Arc<str>>,
    /// Sampling parameters: the campaign's, overlaid with the arm's.
    #[serde(default)]
    pub params: Arc<Params>,
    /// Which draw of the same question, from 0.
    pub sample_index: u32,
    /// What is kept of the reply.
    #[serde(default)]
    pub store: StoreOptions,
    /// After this time the sample is not asked any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_is_the_sha256_of_canonical_json() {
        let campaign = CampaignId::new("demo").unwrap();
        let model = ModelName::new("deepseek-ai/R1").unwrap();
        let (prompt, arm) = (Digest::of(b"p"), Digest::of(b"a"));
        let key = SampleKey {
            campaign: &campaign,
            model: &model,
            prompt: &prompt,
            arm: &arm,
            sample_index: 3,
            round: 1,
        };
        let json = serde_json::json!(["demo", "deepseek-ai/R1", prompt, arm, 3, 1]);
        let expected: String = Digest::of_json(&json)
            .unwrap()
            .to_string()
            .chars()
            .take(32)
            .collect();
        assert_eq!(SampleId::of(&key).to_string(), expected);
        assert_eq!(expected.parse(), Ok(SampleId::of(&key)));
        assert_ne!(
            SampleId::of(&key),
            SampleId::of(&SampleKey { round: 2, ..key })
        );
    }
}
