//! `retort models`: built-in providers, the registry of public models, and the catalog's doctor.

use retort_plan::builtin::{self, BuiltinProvider};
use retort_plan::doctor::{self, Finding, Patient, Severity};
use retort_plan::registry::{Registry, RegistryModel, registry};
use retort_types::ProviderName;
use retort_types::catalog::{KnownRelation, RelationKind};
use serde_json::{Value, json};

use super::Context;
use crate::cli::{ModelsCommand, ModelsList};
use crate::failure::{FAILED, Failure};
use crate::files;
use crate::output::{self, Table, line};
use crate::secrets;

/// Carries out a command on providers and models.
pub(crate) fn models(context: &Context, command: &ModelsCommand) -> Result<u8, Failure> {
    match command {
        ModelsCommand::List(args) => list(args),
        ModelsCommand::Show { name, json } => show(name, *json),
        ModelsCommand::Doctor { json } => examine(context, *json),
    }
}

/// Lists providers and models. A filter that only one of the two knows leaves the other out.
fn list(args: &ModelsList) -> Result<u8, Failure> {
    let of_models = args.vendor.is_some() || args.family.is_some();
    let providers: Vec<_> = builtin::providers()
        .iter()
        .filter(|_| args.wire.is_some() || !of_models)
        .filter(|(_, builtin)| args.wire.is_none_or(|wire| builtin.row.wire == wire))
        .collect();
    let models: Vec<_> = registry()
        .models
        .iter()
        .filter(|_| of_models || args.wire.is_none())
        .filter(|(_, entry)| {
            matches(args.vendor.as_deref(), &entry.vendor)
                && matches(args.family.as_deref(), &entry.family)
        })
        .collect();
    if args.json {
        output::json(&json!({
            "providers": providers.iter().map(|(name, builtin)| provider_json(name, builtin)).collect::<Vec<_>>(),
            "models": models.iter().map(|(name, entry)| model_json(name, entry)).collect::<Vec<_>>(),
        }))?;
        return Ok(0);
    }
    let mut parts = Vec::new();
    if !providers.is_empty() {
        parts.push(provider_table(&providers).to_string());
    }
    if !models.is_empty() {
        parts.push(model_table(&models).to_string());
    }
    if parts.is_empty() {
        return Err(Failure::new("nothing known is like that")
            .hint("`retort models list` without filters lists everything"));
    }
    line(&parts.join("\n\n"));
    Ok(0)
}

fn matches(wanted: Option<&str>, value: &str) -> bool {
    wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
}

fn provider_table(providers: &[(&ProviderName, &BuiltinProvider)]) -> Table {
    let mut table = Table::new("lllll", &["provider", "wire", "base_url", "key", ""]);
    for (name, builtin) in providers {
        let auth = builtin.row.auth.as_ref();
        table.row(vec![
            name.to_string(),
            builtin.row.wire.to_string(),
            builtin.row.base_url.clone(),
            auth.and_then(|auth| auth.env.clone())
                .unwrap_or_else(|| "-".to_owned()),
            builtin.title.clone(),
        ]);
    }
    table
}

fn model_table(models: &[(&String, &RegistryModel)]) -> Table {
    let headings = ["model", "vendor", "family", "base", "released", "from"];
    let mut table = Table::new("llllll", &headings);
    for (name, entry) in models {
        let fact = |fact: &Option<String>| fact.clone().unwrap_or_else(|| "-".to_owned());
        let origins: Vec<String> = entry.known_relations.iter().map(origin).collect();
        table.row(vec![
            (*name).clone(),
            entry.vendor.clone(),
            entry.family.clone(),
            fact(&entry.base),
            fact(&entry.released),
            origins.join(", "),
        ]);
    }
    table
}

/// Returns a relation in a few words, with a mark where its maker does not say so.
fn origin(relation: &KnownRelation) -> String {
    let mark = match relation.confidence.as_str() {
        "documented" => "",
        "disputed" => " (disputed)",
        _ => " (reported)",
    };
    format!("{} {}{mark}", kind(relation.kind), relation.to)
}

const fn kind(kind: RelationKind) -> &'static str {
    match kind {
        RelationKind::FineTune => "fine_tune",
        RelationKind::Distillation => "distillation",
        RelationKind::Merge => "merge",
        RelationKind::SameModel => "same_model",
        RelationKind::Sibling => "sibling",
        RelationKind::Unrelated => "unrelated",
    }
}

fn provider_json(name: &ProviderName, builtin: &BuiltinProvider) -> Value {
    json!({
        "name": name,
        "title": builtin.title,
        "docs": builtin.docs,
        "note": builtin.note,
        "template": builtin.is_template(),
        "row": builtin.row,
    })
}

fn model_json(name: &str, entry: &RegistryModel) -> Value {
    json!({
        "name": name,
        "vendor": entry.vendor,
        "family": entry.family,
        "base": entry.base,
        "tokenizer": entry.tokenizer,
        "released": entry.released,
        "sources": entry.sources,
        "known_relations": entry.known_relations,
    })
}

fn show(name: &str, as_json: bool) -> Result<u8, Failure> {
    let registry = registry();
    let found = builtin::providers().get_key_value(name);
    let model = match registry.models.get_key_value(name) {
        None if found.is_none() => registry
            .find(name)
            .and_then(|entry| registry.models.get_key_value(entry)),
        model => model,
    };
    if found.is_none() && model.is_none() {
        let hint = match registry.nearest(name) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`retort models list` lists what is known".to_owned(),
        };
        let message = format!("there is no built-in provider and no known model `{name}`");
        return Err(Failure::bad(message).hint(hint));
    }
    if as_json {
        output::json(&json!({
            "provider": found.map(|(name, builtin)| provider_json(name, builtin)),
            "model": model.map(|(name, entry)| {
                let mut shown = model_json(name, entry);
                shown["known_relations"] = json!(registry.relations(name));
                shown["relations_of_others"] = registry
                    .relations_to(name)
                    .map(|(other, relation)| json!({ "of": other, "relation": relation }))
                    .collect();
                shown
            }),
        }))?;
        return Ok(0);
    }
    if let Some((name, builtin)) = found {
        line(&provider_text(name, builtin));
    }
    if let Some((name, entry)) = model {
        line(&model_text(registry, name, entry));
    }
    Ok(0)
}

fn provider_text(name: &ProviderName, builtin: &BuiltinProvider) -> String {
    let use_of_it = if builtin.is_template() {
        format!(
            "In a catalog: providers: {{{name}: {{builtin: {name}, base_url: …}}}} with your own\n\
             # base_url, or the whole row, the braces of its base_url filled in:"
        )
    } else {
        format!(
            "In a catalog: accounts: {{mine: {{provider: {name}}}}} without a row, or\n\
             # providers: {{{name}: {{builtin: {name}, …}}}} with what differs, or the whole row:"
        )
    };
    let remarks = [
        Some(&builtin.title),
        Some(&builtin.docs),
        builtin.note.as_ref(),
    ];
    let remarks: Vec<String> = remarks
        .into_iter()
        .flatten()
        .map(|remark| format!("# {remark}\n"))
        .collect();
    let row = builtin.yaml(name.as_str());
    format!("{}#\n# {use_of_it}\n{}", remarks.concat(), row.trim_end())
}

fn model_text(registry: &Registry, name: &str, entry: &RegistryModel) -> String {
    let mut table = Table::new("ll", &[name, ""]);
    let facts = [
        ("vendor", Some(&entry.vendor)),
        ("family", Some(&entry.family)),
        ("base", entry.base.as_ref()),
        ("tokenizer", entry.tokenizer.as_ref()),
        ("released", entry.released.as_ref()),
    ];
    for (label, fact) in facts {
        if let Some(fact) = fact {
            table.row(vec![label.to_owned(), fact.clone()]);
        }
    }
    for source in &entry.sources {
        table.row(vec!["source".to_owned(), source.clone()]);
    }
    let mut relations = Table::new("lllll", &["relation", "", "", "confidence", "source"]);
    let mut add = |of: &str, relation: &KnownRelation| {
        relations.row(vec![
            of.to_owned(),
            kind(relation.kind).to_owned(),
            relation.to.clone(),
            relation.confidence.clone(),
            relation.source.clone(),
        ]);
    };
    let mut siblings = Vec::new();
    let mut known = false;
    for relation in registry.relations(name) {
        if relation.kind == RelationKind::Sibling {
            siblings.push(relation.to);
        } else {
            add(name, &relation);
            known = true;
        }
    }
    for (other, relation) in registry.relations_to(name) {
        add(other, relation);
        known = true;
    }
    let mut parts = vec![table.to_string()];
    if known {
        parts.push(relations.to_string());
    }
    if !siblings.is_empty() {
        parts.push(format!("siblings: {}", siblings.join(", ")));
    }
    parts.push(format!("in a catalog: registry: {name}"));
    parts.join("\n\n")
}

fn examine(context: &Context, as_json: bool) -> Result<u8, Failure> {
    let config = &context.loaded.config;
    let (name, text) = files::catalog_here(config)?;
    let findings = doctor::examine(&Patient {
        text: &text,
        name: &name,
        prices: &files::prices(config)?,
        has_secret: &secrets::is_present,
    });
    if as_json {
        output::json(&findings.iter().map(finding_json).collect::<Vec<_>>())?;
    } else {
        for finding in &findings {
            line(&format!("{}: {}", finding.severity.as_str(), finding.what));
            if let Some(hint) = finding.what.hint() {
                line(&format!("  hint: {hint}"));
            }
        }
        line(&summary(&findings));
    }
    let failed = findings.iter().any(|f| f.severity == Severity::Error);
    Ok(if failed { FAILED } else { 0 })
}

fn finding_json(finding: &Finding) -> Value {
    let position = finding.what.position();
    json!({
        "severity": finding.severity,
        "line": position.map(|(line, _)| line),
        "column": position.map(|(_, column)| column),
        "message": finding.what.message(),
        "hint": finding.what.hint(),
    })
}

fn summary(findings: &[Finding]) -> String {
    let counts = [
        (Severity::Error, "errors"),
        (Severity::Warning, "warnings"),
        (Severity::Note, "notes"),
    ];
    let counted = counts.map(|(severity, word)| {
        let count = findings.iter().filter(|f| f.severity == severity).count();
        format!("{count} {word}")
    });
    counted.join(", ")
}
