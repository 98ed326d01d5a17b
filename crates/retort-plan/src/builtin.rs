//! The providers that come with the software: rows that a catalog names instead of repeating them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use retort_types::ProviderName;
use retort_types::catalog::Provider;
use serde::{Deserialize, Serialize};

const TEXT: &str = include_str!("../catalog/providers.yaml");

/// A built-in provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuiltinProvider {
    /// Who it is and, where it speaks several protocols, which door this is.
    pub title: String,
    /// The page of its documentation that the row was written from.
    pub docs: String,
    /// What its users should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The row. Names in braces in its `base_url` are for the user to fill in.
    pub row: Provider,
}

impl BuiltinProvider {
    /// Returns whether its users must fill in their own `base_url`.
    pub fn is_template(&self) -> bool {
        is_template(&self.row.base_url)
    }

    /// Returns the row as YAML, complete, to be copied into a catalog under `name`.
    pub fn yaml(&self, name: &str) -> String {
        let row = serde_json::to_value(&self.row).expect("texts and numbers always serialize");
        let mut text = format!("providers:\n  {name}:\n");
        for (key, value) in row.as_object().into_iter().flatten() {
            // JSON is YAML, and nothing in it needs to be quoted any further.
            writeln!(text, "    {key}: {value}").expect("a String takes everything");
        }
        text
    }
}

/// Returns whether `base_url` still has names in braces to be filled in.
pub(crate) fn is_template(base_url: &str) -> bool {
    base_url.contains('{')
}

/// Returns the built-in providers by name.
pub fn providers() -> &'static BTreeMap<ProviderName, BuiltinProvider> {
    static PROVIDERS: LazyLock<BTreeMap<ProviderName, BuiltinProvider>> = LazyLock::new(|| {
        serde_saphyr::from_str_with_options(TEXT, crate::read::options())
            .expect("the built-in providers are read by a test of this file")
    });
    &PROVIDERS
}

/// Returns the built-in provider called `name`.
pub fn provider(name: &str) -> Option<&'static BuiltinProvider> {
    providers().get(name)
}

/// Returns the names of the built-in providers, sorted.
pub(crate) fn names<'a>() -> impl Iterator<Item = &'a str> {
    providers().keys().map(ProviderName::as_str)
}

#[cfg(test)]
mod tests;
