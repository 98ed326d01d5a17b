//! Limits that are missing, that contradict each other, or that are above what is documented.

use retort_types::catalog::{Account, DefaultLimits};
use retort_types::{Catalog, Limits, ModelName};

use super::{Findings, Severity, is_local};
use crate::error::{Step, steps};
use crate::limits::{DEFAULT_CONCURRENCY, DEFAULT_REQUESTS_PER_MINUTE};

/// Returns every kind of limit as (name, value).
fn each(limits: &Limits) -> [(&'static str, Option<u64>); 6] {
    [
        (
            "requests_per_minute",
            limits.requests_per_minute.map(|n| n.get().into()),
        ),
        (
            "tokens_per_minute",
            limits.tokens_per_minute.map(std::num::NonZeroU64::get),
        ),
        (
            "input_tokens_per_minute",
            limits
                .input_tokens_per_minute
                .map(std::num::NonZeroU64::get),
        ),
        (
            "output_tokens_per_minute",
            limits
                .output_tokens_per_minute
                .map(std::num::NonZeroU64::get),
        ),
        (
            "requests_per_day",
            limits.requests_per_day.map(|n| n.get().into()),
        ),
        ("concurrency", limits.concurrency.map(|n| n.get().into())),
    ]
}

/// Returns the limits of `inner` that are above those of `outer`, as (name, inner, outer).
fn above(inner: &Limits, outer: &Limits) -> Vec<(&'static str, u64, u64)> {
    let pairs = each(inner).into_iter().zip(each(outer));
    pairs
        .filter_map(|((name, inner), (_, outer))| Some((name, inner?, outer?)))
        .filter(|(_, inner, outer)| inner > outer)
        .collect()
}

/// Examines the limits of a catalog.
pub(super) fn examine(catalog: &Catalog, findings: &mut Findings) {
    for (name, account) in &catalog.accounts {
        let path = || steps!["accounts", name.as_str(), "limits"];
        halves(&account.limits, &path(), findings);
        if let Some(documented) = documented(catalog, account) {
            against_documents(&account.limits, documented, &path(), findings);
        }
    }
    for (name, model) in &catalog.models {
        let path = || steps!["models", name.as_str(), "limits"];
        halves(&model.limits, &path(), findings);
        let Some(account) = catalog.accounts.get(&model.account) else {
            continue;
        };
        for (limit, inner, outer) in above(&model.limits, &account.limits) {
            findings.add(
                Severity::Warning,
                path(),
                format!(
                    "`{limit}` of `{name}` is {inner}, and its account `{}` allows {outer}",
                    model.account
                ),
                "the lower one holds; state one of the two".to_owned(),
            );
        }
        match documented(catalog, account) {
            Some(documented) => against_documents(&model.limits, documented, &path(), findings),
            None if model.limits.is_empty() && account.limits.is_empty() => {
                unstated(catalog, name, account, findings);
            }
            None => {}
        }
    }
}

fn documented<'a>(catalog: &'a Catalog, account: &Account) -> Option<&'a DefaultLimits> {
    let provider = catalog.providers.get(&account.provider)?;
    provider.default_limits.as_ref()
}

fn against_documents(
    limits: &Limits,
    documented: &DefaultLimits,
    path: &[Step],
    findings: &mut Findings,
) {
    for (limit, stated, told) in above(limits, &documented.limits) {
        let whose = documented.note.as_deref().unwrap_or("any account");
        findings.add(
            Severity::Note,
            path.to_vec(),
            format!(
                "`{limit}` is {stated}, and the provider documents {told} ({whose}, {})",
                documented.as_of
            ),
            format!("see {}", documented.source),
        );
    }
}

/// Finds limits of prompts or answers that the limit of both together never lets them reach.
fn halves(limits: &Limits, path: &[Step], findings: &mut Findings) {
    let Some(both) = limits.tokens_per_minute else {
        return;
    };
    let parts = [
        ("input_tokens_per_minute", limits.input_tokens_per_minute),
        ("output_tokens_per_minute", limits.output_tokens_per_minute),
    ];
    for (name, part) in parts {
        if part.is_some_and(|part| part > both) {
            findings.add(
                Severity::Warning,
                path.to_vec(),
                format!("`{name}` is above `tokens_per_minute`, which counts both"),
                "leave one of them out".to_owned(),
            );
        }
    }
}

fn unstated(catalog: &Catalog, name: &ModelName, account: &Account, findings: &mut Findings) {
    let provider = catalog.providers.get(&account.provider);
    if provider.is_none_or(|provider| is_local(&provider.base_url)) {
        return;
    }
    findings.add(
        Severity::Note,
        steps!["models", name.as_str()],
        format!(
            "nobody states limits for `{name}`: {DEFAULT_REQUESTS_PER_MINUTE} requests a minute \
             and {DEFAULT_CONCURRENCY} at a time hold"
        ),
        "state what your tier allows, as in `limits: {requests_per_minute: 500}`".to_owned(),
    );
}
