//! What is wrong with a catalog, what is doubtful and what could be said: all at once, with hints.
//!
//! Reading a catalog stops at the first broken rule. This goes on, and also looks at what breaks no
//! rule: missing keys, terms, prices and limits, doubtful limits, models nobody knows.

mod limits;
mod models;

use retort_types::catalog::{Auth, CatalogFile, host_and_port, is_loopback_host};
use retort_types::{Catalog, ProviderName};

use crate::check::{self, effective_auth};
use crate::error::{Document, SpecError, Step, steps};
use crate::prices::{Prices, apply_prices};
use crate::{expand, read};

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Commands refuse the catalog, or campaigns that use the row.
    Error,
    /// Something will not work, or not as meant.
    Warning,
    /// Something that could be said and is not.
    Note,
}

impl Severity {
    /// Returns its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// What was found, where, and what to do about it.
    pub what: SpecError,
}

/// A catalog as it was read, and what the machine knows.
#[derive(Clone, Copy)]
pub struct Patient<'a> {
    /// The catalog's text.
    pub text: &'a str,
    /// Its name in messages.
    pub name: &'a str,
    /// Prices from a file of their own.
    pub prices: &'a Prices,
    /// Says whether the secret that these settings name is there.
    pub has_secret: &'a dyn Fn(&Auth) -> bool,
}

impl std::fmt::Debug for Patient<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patient")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Collects findings.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, severity: Severity, path: Vec<Step>, message: String, hint: String) {
        self.0.push(Finding {
            severity,
            what: SpecError::catalog(path, message).with_hint(hint),
        });
    }

    fn extend(&mut self, errors: Vec<SpecError>) {
        self.0.extend(errors.into_iter().map(|what| Finding {
            severity: Severity::Error,
            what,
        }));
    }
}

/// Returns what is to be said of a catalog, the gravest first, then in the order of the text.
pub fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Findings::default();
    match read::parse::<CatalogFile>(patient.text, patient.name, Document::Catalog) {
        Ok(file) => rows(patient, file, &mut findings),
        Err(error) => findings.extend(vec![error]),
    }
    let mut findings: Vec<Finding> = findings
        .0
        .into_iter()
        .map(|finding| Finding {
            what: finding
                .what
                .located_in(Document::Catalog, patient.text, patient.name),
            ..finding
        })
        .collect();
    findings.sort_by_key(|finding| (finding.severity, finding.what.position()));
    findings
}

fn rows(patient: &Patient<'_>, file: CatalogFile, findings: &mut Findings) {
    let stated = file.models.clone();
    let (mut catalog, errors) = expand::rows(file);
    if !errors.is_empty() {
        // Rows that are not complete would be found missing by every other check.
        findings.extend(errors);
        return;
    }
    apply_prices(&mut catalog, patient.prices);
    findings.extend(check::violations(&catalog));
    terms(&catalog, findings);
    secrets(patient, &catalog, findings);
    limits::examine(&catalog, findings);
    models::examine(&catalog, &stated, findings);
}

fn terms(catalog: &Catalog, findings: &mut Findings) {
    for (name, row) in &catalog.providers {
        if row.terms.is_some() || is_local(&row.base_url) || !is_used(catalog, name) {
            continue;
        }
        findings.add(
            Severity::Warning,
            steps!["providers", name.as_str()],
            format!("provider `{name}` has no terms, which are shown before money is spent"),
            "add `terms: {url: …, note: …}`".to_owned(),
        );
    }
}

fn secrets(patient: &Patient<'_>, catalog: &Catalog, findings: &mut Findings) {
    for (name, account) in &catalog.accounts {
        let Some(provider) = catalog.providers.get(&account.provider) else {
            continue;
        };
        let Some(auth) = effective_auth(provider, account) else {
            continue;
        };
        if (patient.has_secret)(&auth) {
            continue;
        }
        let Some((message, hint)) = missing(&auth) else {
            continue;
        };
        findings.add(
            Severity::Warning,
            steps!["accounts", name.as_str()],
            format!("account `{name}` has no key: {message}"),
            hint,
        );
    }
}

/// Returns what is not there of what `auth` names, and what to do about it.
fn missing(auth: &Auth) -> Option<(String, String)> {
    if let Some(key) = &auth.sigv4 {
        let names: Vec<&str> = key.env_names().collect();
        let exports: Vec<String> = names.iter().map(|name| format!("{name}=…")).collect();
        return Some((
            format!("not all of {} are set", names.join(", ")),
            format!("export {}", exports.join(" ")),
        ));
    }
    if let Some(name) = &auth.env {
        return Some((format!("{name} is not set"), format!("export {name}=…")));
    }
    auth.file.as_ref().map(|path| {
        (
            format!("the file `{path}` cannot be read or is empty"),
            "write the key into it, and nothing else".to_owned(),
        )
    })
}

fn is_used(catalog: &Catalog, provider: &ProviderName) -> bool {
    let mut accounts = catalog.accounts.values();
    accounts.any(|account| account.provider == *provider)
}

fn is_local(base_url: &str) -> bool {
    is_loopback_host(host_and_port(base_url))
}

#[cfg(test)]
mod tests;
