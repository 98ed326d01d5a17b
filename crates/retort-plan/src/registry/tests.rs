//! The registry keeps its own rules.

use std::collections::BTreeSet;

use super::*;

#[test]
fn it_holds_enough_models_of_many_makers() {
    let registry = registry();
    assert!(registry.models.len() >= 100, "{}", registry.models.len());
    let vendors: BTreeSet<&str> = registry
        .models
        .values()
        .map(|m| m.vendor.as_str())
        .collect();
    assert!(vendors.len() >= 20, "{vendors:?}");
    let has = |kind| {
        let mut relations = registry.models.values().flat_map(|m| &m.known_relations);
        relations.any(|relation| relation.kind == kind)
    };
    for kind in [
        RelationKind::FineTune,
        RelationKind::Distillation,
        RelationKind::Merge,
        RelationKind::Unrelated,
    ] {
        assert!(has(kind), "{kind:?}");
    }
}

#[test]
fn every_fact_has_a_source_and_every_target_exists() {
    let registry = registry();
    for (name, base) in &registry.bases {
        assert!(base.source.starts_with("https://"), "{name}");
        assert!(!registry.models.contains_key(name), "{name} stands twice");
    }
    for (name, entry) in &registry.models {
        assert!(!entry.sources.is_empty(), "{name}");
        for source in &entry.sources {
            url::Url::parse(source).unwrap_or_else(|_| panic!("{name}: {source}"));
            assert!(source.starts_with("https://"), "{name}");
        }
        if let Some(base) = &entry.base {
            assert!(registry.bases.contains_key(base), "{name}: base {base}");
        }
        let mut kinds = BTreeSet::new();
        for relation in &entry.known_relations {
            let to = &relation.to;
            assert!(
                registry.models.contains_key(to) || registry.bases.contains_key(to),
                "{name} → {to}"
            );
            assert!(kinds.insert((to, relation.kind)), "{name} → {to} twice");
            assert!(relation.source.starts_with("https://"), "{name} → {to}");
            assert!(
                ["documented", "reported", "disputed"].contains(&relation.confidence.as_str()),
                "{name} → {to}"
            );
        }
    }
}

#[test]
fn months_are_months() {
    for (name, entry) in &registry().models {
        if let Some(month) = &entry.released {
            assert!(crate::check::is_date(month, true), "{name}: {month}");
            let year = month.split('-').next().and_then(|year| year.parse().ok());
            assert!(
                year.is_some_and(|year: u32| (2022..=2026).contains(&year)),
                "{name}"
            );
        }
    }
}

#[test]
fn bases_are_used() {
    let registry = registry();
    for base in registry.bases.keys() {
        let used = registry.models.values().any(|entry| {
            entry.base.as_ref() == Some(base)
                || entry
                    .known_relations
                    .iter()
                    .any(|relation| relation.to == *base)
        });
        assert!(used, "{base}");
    }
}

/// Returns what the entry was made from, one step up.
fn parents(name: &str) -> Vec<&'static str> {
    let Some(entry) = registry().models.get(name) else {
        return Vec::new();
    };
    let made_from = entry.known_relations.iter().filter(|relation| {
        matches!(
            relation.kind,
            RelationKind::FineTune | RelationKind::Distillation | RelationKind::Merge
        )
    });
    let targets = made_from.map(|relation| relation.to.as_str());
    targets.chain(entry.base.as_deref()).collect()
}

#[test]
fn nothing_descends_from_itself() {
    for name in registry().models.keys() {
        let mut open = parents(name);
        let mut seen = BTreeSet::new();
        while let Some(ancestor) = open.pop() {
            assert_ne!(ancestor, name, "{name} descends from itself");
            if seen.insert(ancestor) {
                open.extend(parents(ancestor));
            }
        }
    }
}

#[test]
fn entries_are_found_by_the_names_providers_use() {
    let registry = registry();
    for (sent, entry) in [
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("openai/gpt-oss-20b", "gpt-oss-20b"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b-instruct"),
        (
            "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
            "deepseek-r1-distill-qwen-7b",
        ),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama-3-8b-instruct"),
    ] {
        assert_eq!(registry.find(sent), Some(entry), "{sent}");
    }
    assert_eq!(registry.find("nothing-like-it"), None);
    assert_eq!(registry.nearest("gpt-4o-mimi"), Some("gpt-4o-mini"));
}

#[test]
fn siblings_share_vendor_and_family() {
    let relations = registry().relations("deepseek-r1-distill-qwen-7b");
    let to = |name: &str| relations.iter().find(|r| r.to == name).map(|r| r.kind);
    assert_eq!(to("deepseek-r1"), Some(RelationKind::Distillation));
    assert_eq!(
        to("deepseek-r1-distill-llama-8b"),
        Some(RelationKind::Sibling)
    );
    assert_eq!(to("deepseek-v3"), None);
    assert_eq!(to("deepseek-r1-distill-qwen-7b"), None);
    assert_eq!(registry().relations("nothing"), []);
}

#[test]
fn relations_are_seen_from_both_ends() {
    let students: Vec<&str> = registry()
        .relations_to("deepseek-r1")
        .map(|(name, _)| name)
        .collect();
    assert!(students.contains(&"deepseek-r1-distill-qwen-7b"));
    assert!(students.contains(&"deepseek-v3"));
}
