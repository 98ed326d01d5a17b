//! From the catalog's rows to endpoints and rate-limit domains.

use std::collections::BTreeMap;

use retort_types::catalog::{Account, Catalog, Endpoint, LimitScope, Model, Provider};
use retort_types::ids::slug;
use retort_types::{DomainId, DomainSpec, LaneSpec, Limits, ModelName};

use crate::check::{self, effective_auth, limit_group};
use crate::error::{SpecError, steps, suggest};
use crate::limits::{default_limits, narrowed_defaults};

/// The catalog's rows of some models, resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// One endpoint per model, in the order they were asked for.
    pub endpoints: Vec<Endpoint>,
    /// Their domains, in the order of their first model. Lanes keep the order of the models.
    pub domains: Vec<DomainSpec>,
}

/// A model with the rows it refers to.
struct Rows<'a> {
    name: &'a ModelName,
    model: &'a Model,
    account: &'a Account,
    provider: &'a Provider,
}

/// Resolves `models` against `catalog`.
///
/// An account that states any limit, or whose provider documents some per account, is one domain,
/// named after it, and its models' limits apply within. Otherwise each limit group of the account
/// is a domain named `account.group`, limited as the group says or, when it says nothing, by what
/// the provider documents per model and by [`default_limits`].
///
/// # Errors
/// When the catalog breaks a rule, does not know a model, or two domains would share a name.
pub fn resolve(catalog: &Catalog, models: &[ModelName]) -> Result<Resolved, SpecError> {
    check::catalog(catalog)?;
    let mut endpoints = Vec::with_capacity(models.len());
    let mut domains: Vec<DomainSpec> = Vec::new();
    let mut position_of: BTreeMap<DomainId, (usize, String)> = BTreeMap::new();
    for (index, name) in models.iter().enumerate() {
        let rows = rows(catalog, name, index)?;
        let (domain, full_name) = domain(&rows)?;
        let id = domain.id.clone();
        let lane = lane(&rows);
        endpoints.push(endpoint(&rows, id.clone()));
        let position = match position_of.get(&id) {
            Some((_, other)) if *other != full_name => {
                let message = format!("the domains of `{other}` and `{full_name}` share a name");
                return Err(SpecError::catalog(steps!["models", name.as_str()], message)
                    .with_hint("rename an account or a limit group"));
            }
            Some((position, _)) => *position,
            None => {
                position_of.insert(id, (domains.len(), full_name));
                domains.push(domain);
                domains.len() - 1
            }
        };
        domains[position].lanes.push(lane);
    }
    Ok(Resolved { endpoints, domains })
}

fn rows<'a>(
    catalog: &'a Catalog,
    name: &'a ModelName,
    index: usize,
) -> Result<Rows<'a>, SpecError> {
    let Some(model) = catalog.models.get(name) else {
        let known = catalog.models.keys().map(ModelName::as_str);
        return Err(SpecError::campaign(
            steps!["models", index],
            format!("unknown model `{name}`"),
        )
        .with_hint(suggest(name.as_str(), known)));
    };
    let missing = |kind: &str| {
        SpecError::catalog(
            steps!["models", name.as_str()],
            format!("the {kind} is missing"),
        )
    };
    let account = catalog
        .accounts
        .get(&model.account)
        .ok_or_else(|| missing("account"))?;
    let provider = catalog
        .providers
        .get(&account.provider)
        .ok_or_else(|| missing("provider"))?;
    Ok(Rows {
        name,
        model,
        account,
        provider,
    })
}

/// Returns the limits of everything on the account together: its own, else those its provider
/// documents per account.
fn account_limits(rows: &Rows<'_>) -> Limits {
    if !rows.account.limits.is_empty() {
        return rows.account.limits.clone();
    }
    match &rows.provider.default_limits {
        Some(documented) if documented.per == LimitScope::Account => {
            narrowed_defaults(&documented.limits)
        }
        Some(_) | None => Limits::default(),
    }
}

/// Returns the limits of a model for which nobody states any.
fn model_defaults(rows: &Rows<'_>) -> Limits {
    match &rows.provider.default_limits {
        Some(documented) if documented.per == LimitScope::Model => {
            narrowed_defaults(&documented.limits)
        }
        Some(_) | None => default_limits(),
    }
}

/// Returns the domain that pays, without lanes, and the unshortened name it is known by.
fn domain(rows: &Rows<'_>) -> Result<(DomainSpec, String), SpecError> {
    let account = rows.model.account.as_str();
    let shared = account_limits(rows);
    let (shown, full_name, limits) = if shared.is_empty() {
        let group = limit_group(rows.name, rows.model);
        let limits = if rows.model.limits.is_empty() {
            model_defaults(rows)
        } else {
            rows.model.limits.clone()
        };
        // A slash cannot end an account's name, so this name belongs to one pair only.
        (
            format!("{account}.{group}"),
            format!("{account}/ {group}"),
            limits,
        )
    } else {
        (account.to_owned(), account.to_owned(), shared)
    };
    let id = DomainId::new(&slug(&shown)).map_err(|error| {
        SpecError::catalog(steps!["models", rows.name.as_str()], error.to_string())
    })?;
    let domain = DomainSpec {
        id,
        limits,
        lanes: Vec::new(),
    };
    Ok((domain, full_name))
}

/// Returns the model's lane. In a domain of one group the limits stand at the domain.
fn lane(rows: &Rows<'_>) -> LaneSpec {
    let limits = if account_limits(rows).is_empty() {
        Limits::default()
    } else {
        rows.model.limits.clone()
    };
    LaneSpec {
        model: rows.name.clone(),
        group: limit_group(rows.name, rows.model).to_owned(),
        limits,
    }
}

fn endpoint(rows: &Rows<'_>, domain: DomainId) -> Endpoint {
    let provider = rows.provider;
    Endpoint {
        name: rows.name.clone(),
        request_model: rows.model.model.clone(),
        provider: rows.account.provider.clone(),
        account: rows.model.account.clone(),
        domain,
        wire: provider.wire,
        base_url: provider.base_url.trim_end_matches('/').to_owned(),
        chat_path: provider.chat_path.clone(),
        completion_path: provider.completion_path.clone(),
        auth: effective_auth(provider, rows.account),
        headers: provider.headers.clone(),
        sample_id_header: provider.sample_id_header.clone(),
        options: provider.options.overlaid(&rows.model.overrides),
        price: rows.model.price.clone(),
    }
}

#[cfg(test)]
mod tests;
