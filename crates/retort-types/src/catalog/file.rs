//! A catalog as people write it down: rows may begin with a built-in one and say only what differs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Account, Auth, DefaultLimits, Model, Provider, Terms, WireOptions, WireProtocol};
use crate::{AccountName, ModelName, ProviderName};

/// A catalog file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CatalogFile {
    /// Who serves models. A built-in provider that an account names needs no row here.
    #[serde(default)]
    pub providers: BTreeMap<ProviderName, ProviderRow>,
    /// Whose quota pays.
    #[serde(default)]
    pub accounts: BTreeMap<AccountName, Account>,
    /// The models under study.
    #[serde(default)]
    pub models: BTreeMap<ModelName, Model>,
}

/// A provider's row: whole, or what differs from a built-in row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderRow {
    /// The built-in row it begins with. Everything else here replaces what that one says; the
    /// entries of `headers`, `auth` and `options` do so one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builtin: Option<String>,
    /// The wire protocol it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<WireProtocol>,
    /// Where: scheme, host and the path up to the protocol's own, as `https://api.openai.com/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
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

impl ProviderRow {
    /// Returns the provider that this row and the row it begins with make, or the key that is
    /// missing: `wire` and `base_url` have no defaults.
    pub fn provider(&self, below: Option<&Provider>) -> Result<Provider, &'static str> {
        let wire = self.wire.or(below.map(|row| row.wire)).ok_or("wire")?;
        let base_url = self
            .base_url
            .clone()
            .or_else(|| below.map(|row| row.base_url.clone()))
            .ok_or("base_url")?;
        let mut headers = below.map_or_else(BTreeMap::new, |row| row.headers.clone());
        headers.extend(self.headers.clone());
        let under = |of: fn(&Provider) -> Option<String>| below.and_then(of);
        Ok(Provider {
            wire,
            base_url,
            chat_path: self
                .chat_path
                .clone()
                .or_else(|| under(|row| row.chat_path.clone())),
            completion_path: self
                .completion_path
                .clone()
                .or_else(|| under(|row| row.completion_path.clone())),
            terms: self
                .terms
                .clone()
                .or_else(|| below.and_then(|row| row.terms.clone())),
            auth: Auth::joined(below.and_then(|row| row.auth.as_ref()), self.auth.as_ref()),
            headers,
            sample_id_header: self
                .sample_id_header
                .clone()
                .or_else(|| under(|row| row.sample_id_header.clone())),
            options: below.map_or_else(
                || self.options.clone(),
                |row| row.options.overlaid(&self.options),
            ),
            default_limits: self
                .default_limits
                .clone()
                .or_else(|| below.and_then(|row| row.default_limits.clone())),
        })
    }
}
