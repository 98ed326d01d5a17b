//! From a catalog as people write it to complete rows: built-in providers and the registry's facts
//! are filled in, and what the file says itself wins.

use retort_types::catalog::{CatalogFile, Model, Provider, ProviderRow};
use retort_types::{Catalog, ProviderName};

use crate::builtin::{self, is_template};
use crate::error::{SpecError, steps, suggest};
use crate::registry::registry;

/// Returns the complete rows of `file`, or the first thing that keeps them from being complete.
pub(crate) fn catalog(file: CatalogFile) -> Result<Catalog, SpecError> {
    let (catalog, errors) = rows(file);
    match errors.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(catalog),
    }
}

/// Returns the rows of `file` that can be completed, and what keeps the others from it.
pub(crate) fn rows(file: CatalogFile) -> (Catalog, Vec<SpecError>) {
    let mut errors = Vec::new();
    let mut catalog = Catalog {
        accounts: file.accounts,
        ..Catalog::default()
    };
    for (name, row) in &file.providers {
        match provider(row) {
            Ok(row) => {
                catalog.providers.insert(name.clone(), row);
            }
            Err(error) => errors.push(error.below(steps!["providers", name.as_str()])),
        }
    }
    for (name, account) in &catalog.accounts {
        if file.providers.contains_key(&account.provider) {
            continue;
        }
        match named_by_account(&account.provider) {
            Ok(Some(row)) => {
                catalog.providers.insert(account.provider.clone(), row);
            }
            Ok(None) => {}
            Err(error) => {
                errors.push(error.below(steps!["accounts", name.as_str(), "provider"]));
            }
        }
    }
    for (name, mut row) in file.models {
        if let Err(error) = facts(&mut row) {
            errors.push(error.below(steps!["models", name.as_str()]));
        }
        catalog.models.insert(name, row);
    }
    (catalog, errors)
}

fn provider(row: &ProviderRow) -> Result<Provider, SpecError> {
    let below = match row.builtin.as_deref() {
        Some(name) => Some(builtin::provider(name).ok_or_else(|| {
            SpecError::catalog(
                steps!["builtin"],
                format!("unknown built-in provider `{name}`"),
            )
            .with_hint(suggest(name, builtin::names()))
        })?),
        None => None,
    };
    let whole = row.provider(below.map(|builtin| &builtin.row));
    let whole = whole.map_err(|missing| {
        SpecError::catalog(Vec::new(), format!("missing key `{missing}`"))
            .with_hint("write it, or begin with a built-in row, as in `builtin: openai`")
    })?;
    if is_template(&whole.base_url) {
        return Err(unfilled(&whole.base_url));
    }
    Ok(whole)
}

/// Returns the built-in row of an account's provider that has no row in the file, if there is one.
fn named_by_account(name: &ProviderName) -> Result<Option<Provider>, SpecError> {
    let Some(builtin) = builtin::provider(name.as_str()) else {
        return Ok(None);
    };
    if builtin.is_template() {
        let error = SpecError::catalog(
            Vec::new(),
            format!("the built-in provider `{name}` needs a `base_url` of your own"),
        );
        return Err(error.with_hint(format!(
            "as in `providers: {{{name}: {{builtin: {name}, base_url: '{}'}}}}`, its braces filled in",
            builtin.row.base_url
        )));
    }
    Ok(Some(builtin.row.clone()))
}

fn unfilled(base_url: &str) -> SpecError {
    SpecError::catalog(steps!["base_url"], "the `base_url` is not filled in")
        .with_hint(format!("write `{base_url}` with the braces filled in"))
}

/// Fills in the registry's facts of a model that names its entry.
fn facts(model: &mut Model) -> Result<(), SpecError> {
    let Some(name) = model.registry.clone() else {
        return Ok(());
    };
    let registry = registry();
    let entry = registry.models.get(&name).ok_or_else(|| {
        let known = registry.models.keys().map(String::as_str);
        SpecError::catalog(
            steps!["registry"],
            format!("unknown model `{name}` of the registry"),
        )
        .with_hint(suggest(&name, known))
    })?;
    entry.fill(&name, registry.relations(&name), model);
    Ok(())
}

#[cfg(test)]
mod tests;
