//! Models of a catalog: what they are asked as, what they cost, what is publicly known of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Limits, WireOptions};
use crate::AccountName;

/// A model: what is asked for, by which name, and what is publicly known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The account it is asked on.
    pub account: AccountName,
    /// The model's name as sent to the provider.
    pub model: String,
    /// Models of one account that share limits; a group of its own unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_group: Option<String>,
    /// Limits of this model or its group, within the account's.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// What it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Quirks of this model over its provider's.
    #[serde(default, skip_serializing_if = "WireOptions::is_empty")]
    pub overrides: WireOptions,
    /// Its entry in the registry of public models, whose facts fill what is left out below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
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
    /// What is publicly known of its origin. Selects controls; never enters evidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_relations: Vec<KnownRelation>,
}

/// A price, in US dollars per million tokens. Without a source there is no price.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// US dollars per million tokens of prompts.
    pub input: f64,
    /// US dollars per million tokens of answers.
    pub output: f64,
    /// The day it was read, as `YYYY-MM-DD`.
    pub as_of: String,
    /// Where it was read.
    pub source: String,
}

impl Price {
    /// Returns what this many tokens cost, in US dollars.
    pub fn cost_usd(&self, input_tokens: u64, output_tokens: u64) -> f64 {
        (input_tokens as f64 * self.input + output_tokens as f64 * self.output) / 1e6
    }
}

/// A publicly known relation of a model to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KnownRelation {
    /// The other model, base or family.
    pub to: String,
    /// What relates them.
    pub kind: RelationKind,
    /// How sure the source is: `documented`, `reported` or `disputed`.
    pub confidence: String,
    /// Where it says so.
    pub source: String,
}

/// What relates two models.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    /// Tuned from it.
    FineTune,
    /// Trained on its outputs.
    Distillation,
    /// Merged from it.
    Merge,
    /// The same weights under another name.
    SameModel,
    /// Made by the same maker in the same line.
    Sibling,
    /// Known to be unrelated.
    Unrelated,
}
