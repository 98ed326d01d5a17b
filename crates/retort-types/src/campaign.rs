//! A campaign: an investigation, immutable once submitted.

use std::num::{NonZeroU8, NonZeroU32};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ArmName, CampaignId, Digest, HumanDuration, Message, Mode, ModelName, Params, SuiteName,
    Timestamp,
};

/// A campaign file and, as JSON, a campaign message (`retort.campaign.v1`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// Its name in the store: same id, same content is the same campaign.
    pub id: CampaignId,
    /// A title for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is for; goes into the dataset card.
    pub purpose: String,
    /// The models asked, by their names in the catalog.
    pub models: Vec<ModelName>,
    /// Which of them play which part in the analysis.
    #[serde(default, skip_serializing_if = "Roles::is_empty")]
    pub roles: Roles,
    /// What is asked.
    pub suites: Vec<SuiteEntry>,
    /// Settings of context and parameters; one called `default` unless set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arms: Vec<Arm>,
    /// Sampling parameters of every arm, under the arm's own. Unset stays unset.
    #[serde(default, skip_serializing_if = "is_default")]
    pub params: Params,
    /// In which order and how often.
    #[serde(default, skip_serializing_if = "is_default")]
    pub schedule: Schedule,
    /// What it may use at most.
    #[serde(default, skip_serializing_if = "is_default")]
    pub budget: Budget,
    /// Seeds the order of blocks and of models within them.
    #[serde(default)]
    pub seed: u64,
    /// What is kept of each reply.
    #[serde(default, skip_serializing_if = "is_default")]
    pub store: StoreOptions,
    /// The frozen plan of the analysis, carried along as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<serde_json::Value>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Which models play which part in the analysis.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// The models in question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspects: Vec<ModelName>,
    /// Their possible teachers or ancestors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<ModelName>,
    /// Models of known relation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<ModelName>,
}

impl Roles {
    /// Returns whether no model plays a part.
    pub const fn is_empty(&self) -> bool {
        self.suspects.is_empty() && self.candidates.is_empty() && self.controls.is_empty()
    }
}

/// One suite of a campaign. Exactly one of `suite`, `file` and `inline` says where prompts come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SuiteEntry {
    /// A built-in suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<SuiteName>,
    /// A file of prompts, read by the submitting client, relative to the campaign file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Prompts written here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<InlineSuite>,
    /// Draws of each prompt per model, arm and round.
    #[serde(default = "one")]
    pub samples: NonZeroU32,
    /// How prompts are put.
    #[serde(default)]
    pub mode: Mode,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

/// Prompts written into the campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InlineSuite {
    /// Name of the suite.
    pub name: SuiteName,
    /// Its prompts.
    pub prompts: Vec<PromptSpec>,
}

/// A prompt as written: a text alone, or a text or conversation with an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PromptSpec {
    /// A text; its id is its number within the suite.
    Text(String),
    /// A text with an id.
    Named(NamedPrompt),
    /// A conversation with an id.
    Conversation(ConversationPrompt),
}

/// A text with an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedPrompt {
    /// Name within the suite.
    pub id: String,
    /// The text.
    pub text: String,
}

/// A conversation with an id; chat mode only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConversationPrompt {
    /// Name within the suite.
    pub id: String,
    /// Messages, oldest first.
    pub messages: Vec<Message>,
}

/// One setting of context and parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Its name.
    pub name: ArmName,
    /// System text put in front of every chat prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Sampling parameters over the campaign's.
    #[serde(default, skip_serializing_if = "is_default")]
    pub params: Params,
}

/// In which order and how often a campaign asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Whether fast domains wait for slow ones, so that a block is asked close together in time.
    #[serde(default)]
    pub align: Align,
    /// Time from the start of one round to the start of the next; at once unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<HumanDuration>,
    /// Repetitions of the whole campaign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds: Option<NonZeroU32>,
    /// Its share of limits that it shares with other campaigns of a fleet, 1 to 255: with 3, three
    /// times as much as one with 1. 1 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<NonZeroU8>,
}

/// Whether fast domains wait for slow ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Align {
    /// A domain runs only a bounded number of blocks ahead of the slowest healthy one.
    #[default]
    Blocks,
    /// Every domain goes as fast as its limits allow.
    Free,
}

/// What a campaign may use at most. What is not reached in time ends as `not_asked`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// US dollars, by the catalog's prices; a model without a price is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
    /// Requests, attempts included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Tokens of prompts and answers together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// When asking ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

/// What is kept of each reply beside its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreOptions {
    /// Every request and answer as it was sent and received, which is what evidence rests on:
    /// about as many bytes again as the rows. Without it a row cannot be traced to bytes.
    #[serde(skip_serializing_if = "is_set")]
    pub exchanges: bool,
    /// Time between the chunks of streams.
    pub stream_timings: bool,
    /// Log probabilities, when `params.logprobs` asks for them.
    pub logprobs: bool,
}

/// Leaves a default out, so that campaigns from before the setting keep their digest.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
const fn is_set(flag: &bool) -> bool {
    *flag
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            exchanges: true,
            stream_timings: false,
            logprobs: true,
        }
    }
}

impl Campaign {
    /// Returns the SHA-256 of the canonical JSON: what "same content" means.
    pub fn digest(&self) -> Digest {
        Digest::of_json(self).expect("a campaign that was read from text always serializes")
    }

    /// Returns the arms, or the default one.
    pub fn arms(&self) -> Vec<Arm> {
        if self.arms.is_empty() {
            let name = ArmName::new("default").expect("`default` keeps the rule of names");
            vec![Arm {
                name,
                system: None,
                params: Params::default(),
            }]
        } else {
            self.arms.clone()
        }
    }

    /// Returns the number of rounds.
    pub fn rounds(&self) -> u32 {
        self.schedule.rounds.map_or(1, NonZeroU32::get)
    }
}
