//! The catalog: who serves which model, on whose account, within which limits. Pure data.

mod auth;
mod file;
mod host;
mod limits;
mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AccountName, Digest, DomainId, Mode, ModelName, Outcome, ProviderName};

pub use auth::{Auth, SIGV4_SERVICE, SigV4};
pub use file::{CatalogFile, ProviderRow};
use host::without_loopback_port;
pub use host::{host_and_port, is_loopback_host};
pub use limits::{DefaultLimits, LimitScope, Limits};
pub use model::{KnownRelation, Model, Price, RelationKind};

/// What is escaped where a model's name stands in a path: all but RFC 3986's unreserved characters.
const MODEL_IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A catalog: complete rows. How people write them down is a [`CatalogFile`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// Who serves models.
    #[serde(default)]
    pub providers: BTreeMap<ProviderName, Provider>,
    /// Whose quota pays.
    #[serde(default)]
    pub accounts: BTreeMap<AccountName, Account>,
    /// The models under study.
    #[serde(default)]
    pub models: BTreeMap<ModelName, Model>,
}

/// A wire protocol: the shape of requests and answers.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum WireProtocol {
    /// `POST /chat/completions` of OpenAI and everyone compatible with it.
    OpenaiChat,
    /// `POST /completions`: raw continuation.
    OpenaiCompletions,
    /// `POST /responses` of OpenAI and those compatible with it.
    OpenaiResponses,
    /// `POST /messages` of Anthropic and those compatible with it.
    AnthropicMessages,
    /// `generateContent` of the Gemini API and of Vertex AI.
    Gemini,
    /// `converse` of Amazon Bedrock.
    BedrockConverse,
    /// `POST /v2/chat` of Cohere.
    CohereV2,
    /// Ollama's own API: `chat`, and `generate` for raw continuation.
    Ollama,
}

impl WireProtocol {
    /// Every protocol.
    pub const ALL: [Self; 8] = [
        Self::OpenaiChat,
        Self::OpenaiCompletions,
        Self::OpenaiResponses,
        Self::AnthropicMessages,
        Self::Gemini,
        Self::BedrockConverse,
        Self::CohereV2,
        Self::Ollama,
    ];

    /// Returns the word used in files and columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai-chat",
            Self::OpenaiCompletions => "openai-completions",
            Self::OpenaiResponses => "openai-responses",
            Self::AnthropicMessages => "anthropic-messages",
            Self::Gemini => "gemini",
            Self::BedrockConverse => "bedrock-converse",
            Self::CohereV2 => "cohere-v2",
            Self::Ollama => "ollama",
        }
    }

    /// Returns whether its count of output tokens leaves reasoning out, unless the catalog says
    /// otherwise of a provider.
    pub const fn excludes_reasoning(self) -> bool {
        match self {
            Self::Gemini => true,
            Self::OpenaiChat
            | Self::OpenaiCompletions
            | Self::OpenaiResponses
            | Self::AnthropicMessages
            | Self::BedrockConverse
            | Self::CohereV2
            | Self::Ollama => false,
        }
    }

    /// Returns the protocol that puts prompts of `mode` to a provider that speaks this one, or
    /// nothing when it cannot: raw text has no chat template, so it never becomes a chat.
    pub const fn for_mode(self, mode: Mode) -> Option<Self> {
        match (self, mode) {
            (Self::OpenaiChat | Self::OpenaiCompletions, Mode::Completion) => {
                Some(Self::OpenaiCompletions)
            }
            (Self::OpenaiCompletions, Mode::Chat)
            | (
                Self::OpenaiResponses
                | Self::AnthropicMessages
                | Self::Gemini
                | Self::BedrockConverse
                | Self::CohereV2,
                Mode::Completion,
            ) => None,
            (Self::Ollama, Mode::Chat | Mode::Completion) | (_, Mode::Chat) => Some(self),
        }
    }

    /// Returns the path below `base_url` that the protocol uses unless the catalog says otherwise.
    /// `{model}` stands for the model as sent.
    pub const fn default_path(self, mode: Mode, streamed: bool) -> &'static str {
        match (self, mode, streamed) {
            (Self::OpenaiChat, _, _) => "/chat/completions",
            (Self::OpenaiCompletions, _, _) => "/completions",
            (Self::OpenaiResponses, _, _) => "/responses",
            (Self::AnthropicMessages, _, _) => "/messages",
            (Self::Gemini, _, false) => "/models/{model}:generateContent",
            (Self::Gemini, _, true) => "/models/{model}:streamGenerateContent?alt=sse",
            (Self::BedrockConverse, _, false) => "/model/{model}/converse",
            (Self::BedrockConverse, _, true) => "/model/{model}/converse-stream",
            (Self::CohereV2, _, _) | (Self::Ollama, Mode::Chat, _) => "/chat",
            (Self::Ollama, Mode::Completion, _) => "/generate",
        }
    }
}

impl fmt::Display for WireProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A provider: one row of the catalog. A new OpenAI-compatible provider is a new row and no code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The wire protocol it speaks.
    pub wire: WireProtocol,
    /// Where: scheme, host and the path up to the protocol's own, as `https://api.openai.com/v1`.
    pub base_url: String,
    /// Path of chat requests below `base_url`; the protocol's own unless set. `{model}` stands for
    /// the model as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_path: Option<String>,
    /// Path of raw completion requests below `base_url`; the protocol's own unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_path: Option<String>,
    /// The provider's terms of use, shown before money is spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// How requests are authorised; nothing is sent unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Further headers of every request. Not for secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Header that carries the sample id, for providers that help to find double payments. Off unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_id_header: Option<String>,
    /// Quirks of this provider's dialect.
    #[serde(default, skip_serializing_if = "WireOptions::is_empty")]
    pub options: WireOptions,
    /// Limits that apply where neither an account nor a model states any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_limits: Option<DefaultLimits>,
}

/// Quirks of a dialect. Absent fields mean the protocol's own habit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WireOptions {
    /// Name of the field that limits the answer's tokens, as `max_completion_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens_field: Option<String>,
    /// Name of the field that carries the seed, as `random_seed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed_field: Option<String>,
    /// Parameters that are not sent to it even when asked for, by their names in `params`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub drop_params: BTreeSet<String>,
    /// Further fields of the request body.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_body: BTreeMap<String, serde_json::Value>,
    /// Where streams tell usage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_usage: Option<StreamUsage>,
    /// Fields of a message that hold reasoning text, in order of preference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_fields: Option<Vec<String>>,
    /// Most alternatives per token that it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs_max: Option<u32>,
    /// Whether `output_tokens` leaves reasoning out, where the protocol has it otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_excluded: Option<bool>,
    /// Errors that mean something else here than in the protocol.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub error_overrides: Vec<ErrorOverride>,
}

impl WireOptions {
    /// Returns whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns these options with every field that `over` sets replaced by it; maps and sets join.
    #[must_use]
    pub fn overlaid(&self, over: &Self) -> Self {
        let mut drop_params = self.drop_params.clone();
        drop_params.extend(over.drop_params.iter().cloned());
        let mut extra_body = self.extra_body.clone();
        extra_body.extend(over.extra_body.clone());
        let mut error_overrides = over.error_overrides.clone();
        error_overrides.extend(self.error_overrides.iter().cloned());
        Self {
            max_tokens_field: over
                .max_tokens_field
                .clone()
                .or_else(|| self.max_tokens_field.clone()),
            seed_field: over.seed_field.clone().or_else(|| self.seed_field.clone()),
            drop_params,
            extra_body,
            stream_usage: over.stream_usage.or(self.stream_usage),
            reasoning_fields: over
                .reasoning_fields
                .clone()
                .or_else(|| self.reasoning_fields.clone()),
            logprobs_max: over.logprobs_max.or(self.logprobs_max),
            reasoning_excluded: over.reasoning_excluded.or(self.reasoning_excluded),
            error_overrides,
        }
    }
}

/// Where a provider's streams tell usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StreamUsage {
    /// Only when asked by `stream_options.include_usage`.
    Option,
    /// Unasked, in the last chunk or in every one.
    Always,
    /// Not at all; the option is not sent.
    Never,
}

/// An error that means something else at this provider than in its protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorOverride {
    /// Status that must match; any unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Text that the error's kind, code or message must contain, in any case; any unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// What it means.
    pub outcome: Outcome,
}

/// A provider's terms of use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Where they are published.
    pub url: String,
    /// What matters for measuring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// An account at a provider. One per provider and quota: two accounts for one model are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Whose account.
    pub provider: ProviderName,
    /// Where the account's own secret is, over the provider's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Limits of everything asked on this account together.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
}

/// Everything a worker needs to ask one model in one mode: the catalog's rows, resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Our name of the model.
    pub name: ModelName,
    /// The model as sent.
    pub request_model: String,
    /// Who serves it.
    pub provider: ProviderName,
    /// Whose quota pays.
    pub account: AccountName,
    /// Everything that shares this quota.
    pub domain: DomainId,
    /// The provider's own protocol; [`WireProtocol::for_mode`] gives the one for a prompt.
    pub wire: WireProtocol,
    /// Scheme, host and path prefix, without a slash at the end.
    pub base_url: String,
    /// Path of chat requests below `base_url`, when it is not the protocol's own.
    pub chat_path: Option<String>,
    /// Path of raw completion requests below `base_url`, when it is not the protocol's own.
    pub completion_path: Option<String>,
    /// How requests are authorised: the provider's setting under the account's.
    pub auth: Option<Auth>,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
    /// Header that carries the sample id.
    pub sample_id_header: Option<String>,
    /// Quirks: the provider's under the model's.
    pub options: WireOptions,
    /// What it costs.
    pub price: Option<Price>,
}

impl Endpoint {
    /// Returns the URL that prompts of `mode` are posted to, or nothing when it cannot be asked so.
    /// `streamed` says whether a streamed answer is asked for.
    pub fn url(&self, mode: Mode, streamed: bool) -> Option<String> {
        let protocol = self.wire.for_mode(mode)?;
        let path = match mode {
            Mode::Chat => self.chat_path.as_deref(),
            Mode::Completion => self.completion_path.as_deref(),
        };
        let path = path.unwrap_or(protocol.default_path(mode, streamed));
        let model = utf8_percent_encode(&self.request_model, MODEL_IN_PATH).to_string();
        Some(format!(
            "{}{}",
            self.base_url,
            path.replace("{model}", &model)
        ))
    }

    /// Returns the digest of what decides which model answers and what it is sent: not limits,
    /// prices or keys, and not the port of a loopback host, which changes from run to run.
    pub fn identity(&self) -> Digest {
        Digest::of_json(&serde_json::json!({
            "request_model": self.request_model,
            "provider": self.provider,
            "wire": self.wire,
            "base_url": without_loopback_port(&self.base_url),
            "chat_path": self.chat_path,
            "completion_path": self.completion_path,
            "headers": self.headers,
            "options": self.options,
        }))
        .expect("strings and numbers that came from JSON or YAML always serialize")
    }

    /// Returns host and port of the URL, without user info.
    pub fn host(&self) -> &str {
        host_and_port(&self.base_url)
    }

    /// Returns whether the host is this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback_host(self.host())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chat_templates_are_never_invented() {
        assert_eq!(WireProtocol::OpenaiCompletions.for_mode(Mode::Chat), None);
        assert_eq!(WireProtocol::Gemini.for_mode(Mode::Completion), None);
        assert_eq!(
            WireProtocol::OpenaiChat.for_mode(Mode::Completion),
            Some(WireProtocol::OpenaiCompletions)
        );
    }
}
