//! The built-in providers keep the rules of catalogs.

use std::collections::BTreeSet;

use retort_types::WireProtocol;

use super::*;
use crate::fixtures::check;
use crate::parse_catalog;

/// Returns a catalog text that uses the built-in provider, its braces filled in.
fn using(name: &str, builtin: &BuiltinProvider) -> String {
    let filled = builtin.row.base_url.replace(['{', '}'], "");
    format!(
        "providers: {{mine: {{builtin: {name}, base_url: '{filled}'}}}}\n\
         accounts: {{a: {{provider: mine}}}}\n\
         models: {{m: {{account: a, model: m}}}}\n"
    )
}

#[test]
fn each_is_a_row_that_catalogs_may_hold() {
    assert!(providers().len() >= 25, "{}", providers().len());
    for (name, builtin) in providers() {
        let text = using(name.as_str(), builtin);
        let catalog = parse_catalog(&text, "c").unwrap_or_else(|error| panic!("{name}: {error}"));
        let row = &catalog.providers["mine"];
        assert_eq!(
            Provider {
                base_url: builtin.row.base_url.clone(),
                ..row.clone()
            },
            builtin.row,
            "{name}"
        );
        assert!(builtin.docs.starts_with("https://"), "{name}");
        assert!(!builtin.row.base_url.ends_with('/'), "{name}");
        let is_local = builtin.row.base_url.starts_with("http://127.0.0.1:");
        assert_eq!(
            builtin.row.base_url.starts_with("https://"),
            !is_local,
            "{name}"
        );
        let auth = builtin.row.auth.as_ref();
        assert!(
            is_local || auth.is_some_and(|auth| auth.env.is_some()),
            "{name}"
        );
    }
}

#[test]
fn every_protocol_has_one() {
    let spoken: BTreeSet<WireProtocol> = providers().values().map(|b| b.row.wire).collect();
    assert_eq!(spoken, WireProtocol::ALL.into_iter().collect());
}

#[test]
fn the_row_that_is_printed_is_the_row() {
    for (name, builtin) in providers() {
        let mut text = builtin.yaml(name.as_str());
        if builtin.is_template() {
            text = text.replace(&builtin.row.base_url, "https://filled.example/v1");
        }
        let catalog = parse_catalog(&text, "c").unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut row = catalog.providers[name.as_str()].clone();
        row.base_url.clone_from(&builtin.row.base_url);
        assert_eq!(row, builtin.row, "{name}");
    }
    check("builtin_row", &provider("groq").unwrap().yaml("groq"));
}
