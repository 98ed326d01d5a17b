//! A plan as it is written down: everything that decides which samples there are and their order.

use std::sync::Arc;

use retort_types::catalog::{KnownRelation, Price, Terms};
use retort_types::{
    AccountName, ArmName, Campaign, Digest, DomainId, Mode, ModelName, Params, Prompt,
    ProviderName, SuiteName, WireProtocol,
};
use serde::{Deserialize, Serialize};

/// Name and version of the format.
pub const PLAN_SCHEMA: &str = "retort.plan.v1";

/// A plan, complete without catalog and files: prompts, arms and models are written out.
///
/// Its canonical JSON (RFC 8785) is what [`crate::Plan::hash`] is taken over. It holds no clock
/// and no name of a machine, so the same campaign and catalog make the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanDocument {
    /// [`PLAN_SCHEMA`].
    pub schema: String,
    /// The software that made it, without version: a release does not change a plan.
    pub software: String,
    /// The campaign as submitted, prompts of files written into it.
    pub campaign: Campaign,
    /// Digest of the campaign.
    pub campaign_digest: Digest,
    /// Name and version of the order, [`crate::ORDER_ALGORITHM`].
    pub order: String,
    /// The suites, in the campaign's order.
    pub suites: Vec<PlannedSuite>,
    /// The prompts of all suites, in the order of suites.
    pub prompts: Vec<Prompt>,
    /// The arms, in the campaign's order.
    pub arms: Vec<PlannedArm>,
    /// The models, in the campaign's order.
    pub models: Vec<PlannedModel>,
    /// Number of samples.
    pub total: u64,
}

/// One suite of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedSuite {
    /// Its name.
    pub name: SuiteName,
    /// Version of a built-in suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// How its prompts are put.
    pub mode: Mode,
    /// Draws of each prompt per model, arm and round; at least 1.
    pub samples: u32,
    /// How many of the plan's prompts are its.
    pub prompts: u32,
}

/// One arm of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedArm {
    /// Its name.
    pub name: ArmName,
    /// SHA-256 of the canonical JSON of `{system, params}`, an absent system text as `null`.
    pub digest: Digest,
    /// System text put in front.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<Arc<str>>,
    /// Sampling parameters: the campaign's, overlaid with the arm's.
    #[serde(default)]
    pub params: Arc<Params>,
}

impl PlannedArm {
    /// Returns the digest that identifies this setting.
    pub(crate) fn digest_of(system: Option<&str>, params: &Params) -> Digest {
        Digest::of_json(&serde_json::json!({ "system": system, "params": params }))
            .expect("texts and finite numbers always serialize")
    }
}

/// One model of a plan, with what the catalog said of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedModel {
    /// Our name of it.
    pub name: ModelName,
    /// The model as sent.
    pub request_model: String,
    /// Who serves it.
    pub provider: ProviderName,
    /// Whose quota pays.
    pub account: AccountName,
    /// The rate-limit domain that pays.
    pub domain: DomainId,
    /// Digest of the endpoint that is meant ([`retort_types::Endpoint::identity`]).
    pub endpoint: Digest,
    /// The provider's wire protocol.
    pub wire: WireProtocol,
    /// Host and port; a loopback host without its port, which changes from run to run.
    pub host: String,
    /// The provider's terms of use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// What it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// The family it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// The base model it was tuned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Its tokenizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// When it was released, as `YYYY-MM` or `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<String>,
    /// What is publicly known of its origin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_relations: Vec<KnownRelation>,
}
