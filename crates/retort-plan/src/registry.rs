//! The registry of public models that comes with the software: who made them, from what, and where
//! that is said. Detection draws its controls from these facts; none of them enters evidence.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use retort_types::catalog::{KnownRelation, Model, RelationKind};
use serde::{Deserialize, Serialize};

use crate::error::nearest;

const TEXT: &str = include_str!("../catalog/registry.yaml");

/// The registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// What models were made from and is no model of its own here, by name.
    pub bases: BTreeMap<String, Base>,
    /// The models, by name.
    pub models: BTreeMap<String, RegistryModel>,
}

/// Something that models were made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Who made it.
    pub vendor: String,
    /// Where that is said.
    pub source: String,
}

/// What is publicly known of a model. What is not known for sure is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryModel {
    /// Who made it.
    pub vendor: String,
    /// The line it belongs to: models of one vendor and family are siblings.
    pub family: String,
    /// The base model it was tuned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Its tokenizer; models with the same word here share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// When it was released, as `YYYY-MM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<String>,
    /// Where the facts above are said: model card, paper, the vendor's announcement; at least one.
    pub sources: Vec<String>,
    /// What is publicly known of its origin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_relations: Vec<KnownRelation>,
}

/// Returns the registry.
pub fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
        serde_saphyr::from_str_with_options(TEXT, crate::read::options())
            .expect("the registry is read by a test of this file")
    });
    &REGISTRY
}

impl Registry {
    /// Returns the name of the entry that the name `sent` to a provider means, if one does: the
    /// entry of that name, or the one whose model card is published under it.
    pub fn find(&self, sent: &str) -> Option<&str> {
        let wanted = plain(sent);
        let mut names = self.models.iter();
        let found = names.find(|(name, entry)| {
            plain(name) == wanted
                || entry
                    .sources
                    .iter()
                    .any(|source| card(source).is_some_and(|id| plain(id) == wanted))
        });
        found.map(|(name, _)| name.as_str())
    }

    /// Returns the name of the entry nearest to `sent`, when one is near.
    pub fn nearest(&self, sent: &str) -> Option<&str> {
        let names: Vec<&str> = self.models.keys().map(String::as_str).collect();
        nearest(&plain(sent), &names)
    }

    /// Returns whether `name` is a model, a base or a family of it.
    pub fn knows(&self, name: &str) -> bool {
        self.models.contains_key(name)
            || self.bases.contains_key(name)
            || self.models.values().any(|entry| entry.family == name)
    }

    /// Returns what is known of the entry `name`: its own relations, then its siblings, sorted.
    pub fn relations(&self, name: &str) -> Vec<KnownRelation> {
        let Some(entry) = self.models.get(name) else {
            return Vec::new();
        };
        let mut relations = entry.known_relations.clone();
        let siblings = self.models.iter().filter(|(other, row)| {
            *other != name && row.vendor == entry.vendor && row.family == entry.family
        });
        for (other, row) in siblings {
            if relations.iter().all(|relation| relation.to != *other) {
                relations.push(KnownRelation {
                    to: other.clone(),
                    kind: RelationKind::Sibling,
                    confidence: "documented".to_owned(),
                    source: row.main_source(),
                });
            }
        }
        relations
    }

    /// Returns relations of other entries to `name`, as (entry, relation).
    pub fn relations_to<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a KnownRelation)> {
        self.models.iter().flat_map(move |(other, entry)| {
            let to = entry.known_relations.iter();
            to.filter(move |relation| relation.to == name)
                .map(move |relation| (other.as_str(), relation))
        })
    }
}

impl RegistryModel {
    fn main_source(&self) -> String {
        self.sources.first().cloned().unwrap_or_default()
    }

    /// Fills what `model`, which says it is the entry called `name`, leaves out.
    pub(crate) fn fill(&self, name: &str, known: Vec<KnownRelation>, model: &mut Model) {
        let fill = |own: &mut Option<String>, fact: Option<&String>| {
            if own.is_none() {
                *own = fact.cloned();
            }
        };
        fill(&mut model.vendor, Some(&self.vendor));
        fill(&mut model.family, Some(&self.family));
        fill(&mut model.base, self.base.as_ref());
        fill(&mut model.tokenizer, self.tokenizer.as_ref());
        fill(&mut model.released, self.released.as_ref());
        // Relations of others name the entry; this one says which of a campaign's models that is.
        let own = KnownRelation {
            to: name.to_owned(),
            kind: RelationKind::SameModel,
            confidence: "documented".to_owned(),
            source: self.main_source(),
        };
        for relation in std::iter::once(own).chain(known) {
            if model.known_relations.iter().all(|r| r.to != relation.to) {
                model.known_relations.push(relation);
            }
        }
    }
}

/// Returns the id of the model whose card `source` is.
fn card(source: &str) -> Option<&str> {
    source.strip_prefix("https://huggingface.co/")
}

/// Returns `name` as it is compared: in small letters, without the organisation in front.
fn plain(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    last.to_lowercase()
}

#[cfg(test)]
mod tests;
