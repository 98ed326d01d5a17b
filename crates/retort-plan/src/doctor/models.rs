//! Models asked twice, without a price, or of which nothing is known.

use std::collections::BTreeMap;

use retort_types::catalog::Model;
use retort_types::{Catalog, ModelName};

use super::{Findings, Severity, is_local};
use crate::error::steps;
use crate::registry::registry;

/// Examines the models of a catalog. `stated` are their rows as the file has them, before facts of
/// the registry were filled in.
pub(super) fn examine(
    catalog: &Catalog,
    stated: &BTreeMap<ModelName, Model>,
    findings: &mut Findings,
) {
    twice(catalog, findings);
    for (name, model) in &catalog.models {
        price(catalog, name, model, findings);
        upstream(catalog, name, model, findings);
        facts(name, model, findings);
    }
    for (name, model) in stated {
        relations(catalog, name, model, findings);
    }
}

/// Finds models that are asked on two accounts of a provider, or under two of our names.
fn twice(catalog: &Catalog, findings: &mut Findings) {
    let mut first_of: BTreeMap<(&str, &str), (&ModelName, &Model)> = BTreeMap::new();
    for (name, model) in &catalog.models {
        let Some(account) = catalog.accounts.get(&model.account) else {
            continue;
        };
        let key = (account.provider.as_str(), model.model.as_str());
        let Some((first, earlier)) = first_of.get(&key) else {
            first_of.insert(key, (name, model));
            continue;
        };
        if earlier.account != model.account {
            findings.add(
                Severity::Error,
                steps!["models", name.as_str(), "account"],
                format!(
                    "`{first}` and `{name}` ask one model on the accounts `{}` and `{}`",
                    earlier.account, model.account
                ),
                "a campaign with both is refused: one account pays for a model".to_owned(),
            );
        } else if earlier.overrides == model.overrides {
            findings.add(
                Severity::Warning,
                steps!["models", name.as_str(), "model"],
                format!("`{first}` and `{name}` ask the same model in the same way"),
                "remove one of them, or let their `overrides` differ".to_owned(),
            );
        }
    }
}

fn price(catalog: &Catalog, name: &ModelName, model: &Model, findings: &mut Findings) {
    if model.price.is_some() || is_on_this_machine(catalog, model) {
        return;
    }
    findings.add(
        Severity::Warning,
        steps!["models", name.as_str()],
        format!(
            "`{name}` has no price: its cost is not estimated, and a budget in dollars is refused"
        ),
        "add `price: {input, output, as_of, source}`, or name a list with --prices FILE".to_owned(),
    );
}

fn is_on_this_machine(catalog: &Catalog, model: &Model) -> bool {
    let account = catalog.accounts.get(&model.account);
    let provider = account.and_then(|account| catalog.providers.get(&account.provider));
    provider.is_some_and(|provider| is_local(&provider.base_url))
}

/// Finds models behind a router that may hand them to any of several hosts.
fn upstream(catalog: &Catalog, name: &ModelName, model: &Model, findings: &mut Findings) {
    let account = catalog.accounts.get(&model.account);
    let Some(provider) = account.and_then(|account| catalog.providers.get(&account.provider))
    else {
        return;
    };
    let options = provider.options.overlaid(&model.overrides);
    let routing = options.extra_body.get("provider");
    let Some(routing) = routing.and_then(serde_json::Value::as_object) else {
        return;
    };
    if routing.contains_key("order") || routing.contains_key("only") {
        return;
    }
    findings.add(
        Severity::Warning,
        steps!["models", name.as_str()],
        format!("the upstream of `{name}` is not pinned: any of several hosts may answer"),
        "as in `overrides: {extra_body: {provider: {order: [deepinfra], allow_fallbacks: false, \
         require_parameters: true}}}`"
            .to_owned(),
    );
}

fn facts(name: &ModelName, model: &Model, findings: &mut Findings) {
    if model.registry.is_some() || model.vendor.is_some() || model.family.is_some() {
        return;
    }
    let registry = registry();
    let found = registry.find(&model.model);
    let hint = match found.or_else(|| registry.nearest(&model.model)) {
        Some(entry) if found.is_some() => format!("add `registry: {entry}`"),
        Some(entry) => format!("did you mean `registry: {entry}`?"),
        None => "add `vendor`, `family` and `known_relations`, with their sources".to_owned(),
    };
    findings.add(
        Severity::Note,
        steps!["models", name.as_str()],
        format!(
            "nothing is known of where `{name}` comes from, so it counts as unrelated to all others"
        ),
        hint,
    );
}

fn relations(catalog: &Catalog, name: &ModelName, model: &Model, findings: &mut Findings) {
    let targets = model.known_relations.iter().map(|relation| &relation.to);
    for (index, target) in targets.enumerate() {
        let own = catalog.models.iter().any(|(other, row)| {
            other.as_str() == target
                || row.base.as_ref() == Some(target)
                || row.family.as_ref() == Some(target)
        });
        if own || registry().knows(target) {
            continue;
        }
        let hint = registry().nearest(target).map_or_else(
            || "name a model of the catalog or of the registry (`retort models list`)".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        findings.add(
            Severity::Warning,
            steps!["models", name.as_str(), "known_relations", index, "to"],
            format!("a relation of `{name}` points to `{target}`, which nobody knows"),
            hint,
        );
    }
}
