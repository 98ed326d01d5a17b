//! The description of a fleet: providers, their models, limits, latencies and faults.
//!
//! Plain serde types without paths or secrets; the caller parses YAML or JSON into them.

mod check;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use retort_types::WireProtocol;
use serde::{Deserialize, Serialize};

use crate::fault::FaultSpec;
use crate::lineage::LineageSpec;
use crate::route;

/// A simulated fleet of providers on one port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetSpec {
    /// Address to listen on; loopback unless set.
    #[serde(default = "loopback")]
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    #[serde(default)]
    pub port: u16,
    /// Seeds everything random: latencies, which requests faults hit, styles of models without a
    /// seed of their own.
    #[serde(default)]
    pub seed: u64,
    /// A family tree of small language models, which models of the kind `language` serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<LineageSpec>,
    /// The providers, by different names and prefixes.
    pub providers: Vec<ProviderSpec>,
}

fn loopback() -> IpAddr {
    Ipv4Addr::LOCALHOST.into()
}

/// One provider: a path prefix with limits, latencies, faults and models of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSpec {
    /// Its name, in the catalog and in statistics.
    pub name: String,
    /// The protocol that its generated catalog asks it in. It speaks all of them.
    #[serde(default = "usual_wire", skip_serializing_if = "is_usual_wire")]
    pub wire: WireProtocol,
    /// Path in front of `/chat/completions`; `/p/<name>/v1` unless set. Protocols with a version
    /// of their own stand beside its `/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Keys that are accepted, in the headers of each protocol; any request passes when there are
    /// none and no signing keys. They protect nothing real.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub api_keys: Vec<String>,
    /// Secrets by key id: Bedrock's requests may be signed with them, and the signature is
    /// checked. They protect nothing real.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub signing_keys: BTreeMap<String, String>,
    /// Limits of all its models together.
    #[serde(default)]
    pub limits: LimitSpec,
    /// How long answers take.
    #[serde(default)]
    pub latency: LatencySpec,
    /// What goes wrong; the first fault that selects a request hits it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultSpec>,
    /// Whether plain answers are compressed for clients that accept gzip.
    #[serde(default)]
    pub gzip: bool,
    /// Its models, by different names.
    pub models: Vec<ModelSpec>,
}

impl ProviderSpec {
    /// Returns a provider with these models and no limits, latency or faults.
    pub fn new(name: &str, models: Vec<ModelSpec>) -> Self {
        Self {
            name: name.to_owned(),
            wire: usual_wire(),
            prefix: None,
            api_keys: Vec::new(),
            signing_keys: BTreeMap::new(),
            limits: LimitSpec::default(),
            latency: LatencySpec::default(),
            faults: Vec::new(),
            gzip: false,
            models,
        }
    }

    /// Returns the path in front of the endpoints, without a slash at the end.
    pub fn path_prefix(&self) -> String {
        self.prefix
            .clone()
            .unwrap_or_else(|| format!("/p/{}/v1", self.name))
    }

    /// Returns the path below which the endpoints of `wire` are, as a catalog's `base_url` ends.
    pub fn base_path(&self, wire: WireProtocol) -> String {
        let prefix = self.path_prefix();
        let root = route::root(&prefix);
        match wire {
            WireProtocol::OpenaiChat
            | WireProtocol::OpenaiCompletions
            | WireProtocol::OpenaiResponses
            | WireProtocol::AnthropicMessages => prefix,
            WireProtocol::Gemini => format!("{root}/v1beta"),
            WireProtocol::BedrockConverse => root.to_owned(),
            WireProtocol::CohereV2 => format!("{root}/v2"),
            WireProtocol::Ollama => format!("{root}/api"),
        }
    }
}

fn usual_wire() -> WireProtocol {
    WireProtocol::OpenaiChat
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn is_usual_wire(wire: &WireProtocol) -> bool {
    *wire == usual_wire()
}

impl FleetSpec {
    /// Returns a fleet of these providers on a free port of loopback, with seed 0.
    pub fn new(providers: Vec<ProviderSpec>) -> Self {
        Self {
            host: loopback(),
            port: 0,
            seed: 0,
            lineage: Vec::new(),
            providers,
        }
    }
}

/// Limits of a provider and how it tells them. Absent ones do not limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSpec {
    /// Requests per second, above 0; not together with `requests_per_minute`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<f64>,
    /// Requests per minute, above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<f64>,
    /// Requests that a full bucket admits at once; one second's worth, at least 1, unless set.
    /// Buckets only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// How requests and tokens are counted.
    pub kind: LimitKind,
    /// Tokens of prompts and answers per minute. The prompt must fit when it arrives, the answer is
    /// charged when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Requests at the same time, at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How a refused request is told when to come back.
    pub retry_after: RetryHint,
    /// Headers that tell limits on every answer.
    pub announce: HeaderFamily,
}

/// How a limit counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// A token bucket: refills evenly, holds `burst`.
    #[default]
    Bucket,
    /// Fixed windows since the start of the fleet: of one second for `requests_per_second`, of one
    /// minute otherwise.
    Window,
}

/// How a refused request is told when to come back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryHint {
    /// `retry-after` in whole seconds, rounded up.
    #[default]
    Seconds,
    /// `retry-after` in seconds with milliseconds, as `0.250`.
    Float,
    /// `retry-after-ms` in milliseconds.
    Ms,
    /// `retry-after` as an HTTP date, rounded up to a whole second.
    HttpDate,
    /// `x-ratelimit-reset-requests` (or `-tokens`) as a Go duration, as `1.204s`.
    GoDurationHeaders,
    /// `anthropic-ratelimit-requests-reset` (or `-tokens-`) as an RFC 3339 time, rounded up.
    Rfc3339Headers,
    /// Words of the error message: `Please try again in 1.204s.`
    BodyHint,
    /// A `RetryInfo` with `retryDelay` among the error's details.
    RetryInfo,
    /// Not at all.
    None,
}

/// Headers that tell limits, in the habit of a family of providers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderFamily {
    /// No such headers.
    #[default]
    None,
    /// `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, resets as Go durations.
    Openai,
    /// The same names with resets as bare seconds, and `x-ratelimit-renewalperiod-*`.
    Azure,
    /// `anthropic-ratelimit-{requests,tokens}-{limit,remaining,reset}`, resets as RFC 3339.
    Anthropic,
    /// `x-ratelimit-{limit,remaining}-{req,tokens}-minute`.
    Mistral,
    /// `x-ratelimit-{limit,remaining,reset}`, per second.
    Together,
    /// The names of `openai` without resets.
    Xai,
}

/// How long answers take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatencySpec {
    /// Milliseconds to the first byte, or to the whole plain answer without its tokens.
    pub ms: u64,
    /// Up to so many milliseconds more, evenly spread, by seed and request number.
    pub jitter_ms: u64,
    /// Milliseconds per token of the answer.
    pub per_token_ms: u64,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Its name, as requests say it.
    pub name: String,
    /// Where its answers come from.
    #[serde(default)]
    pub kind: ModelKind,
    /// The name it goes by in the recording, in the family tree or among the caller's models; its
    /// own unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Seeds the style of a canned model; taken from the fleet's seed and the name unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What a canned model likes to talk of.
    #[serde(default)]
    pub vocabulary: Vocabulary,
    /// Factor on the temperature of a canned or language model: 0 makes every answer the likeliest one.
    #[serde(default = "one")]
    pub temperature_sensitivity: f64,
    /// Fewest words of a canned answer; the last sentence is finished.
    #[serde(default = "words_min")]
    pub words_min: u32,
    /// Most words of a canned answer, before the last sentence is finished; most words of an answer
    /// of a language model.
    #[serde(default = "words_max")]
    pub words_max: u32,
    /// Prompts with one of these texts, in any case, are refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refuses_containing: Vec<String>,
    /// Prompts with one of these texts, in any case, are withheld by a content filter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters_containing: Vec<String>,
    /// Words of reasoning in front of every canned or language model's answer, told in `reasoning_content`; none unless
    /// set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_words: Option<u32>,
    /// Most tokens of prompt and answer together; unlimited unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u32>,
}

fn one() -> f64 {
    1.0
}

fn words_min() -> u32 {
    20
}

fn words_max() -> u32 {
    90
}

impl ModelSpec {
    /// Returns a canned model with default style.
    pub fn canned(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: ModelKind::Canned,
            source: None,
            seed: None,
            vocabulary: Vocabulary::default(),
            temperature_sensitivity: one(),
            words_min: words_min(),
            words_max: words_max(),
            refuses_containing: Vec::new(),
            filters_containing: Vec::new(),
            reasoning_words: None,
            context_tokens: None,
        }
    }

    /// Returns a model that repeats what was recorded of the model `name`.
    pub fn replay(name: &str) -> Self {
        Self {
            kind: ModelKind::Replay,
            ..Self::canned(name)
        }
    }
}

/// Where a model's answers come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// A small grammar with a style of its own.
    #[default]
    Canned,
    /// A small language model of the fleet's family tree.
    Language,
    /// A recording that the caller opened.
    Replay,
    /// A model that the caller made.
    Custom,
}

/// What a canned model likes to talk of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vocabulary {
    /// Daily life.
    #[default]
    Everyday,
    /// Machines and methods.
    Technical,
    /// Landscapes and moods.
    Literary,
}
