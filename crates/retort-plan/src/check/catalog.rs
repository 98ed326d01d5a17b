//! The rules of a catalog.

use std::collections::BTreeMap;

use retort_types::catalog::{
    Account, Auth, Catalog, DefaultLimits, KnownRelation, Model, Price, Provider, SigV4,
};
use retort_types::{AccountName, Limits, ModelName, ProviderName};

use crate::builtin;
use crate::check::{PARAM_NAMES, inexact_number, reserved_field, url};
use crate::error::{Document, SpecError, steps, suggest};

/// How sure the source of a relation can be.
const CONFIDENCES: [&str; 3] = ["documented", "reported", "disputed"];

/// Returns the first rule that `catalog` breaks.
pub(crate) fn catalog(catalog: &Catalog) -> Result<(), SpecError> {
    match violations(catalog).into_iter().next() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Returns the rules that `catalog` breaks: the first of each row.
pub(crate) fn violations(catalog: &Catalog) -> Vec<SpecError> {
    let mut errors = Vec::new();
    let mut note = |place: [&str; 2], result: Result<(), SpecError>| {
        if let Err(error) = result {
            errors.push(error.below(steps![place[0], place[1]]));
        }
    };
    for (name, row) in &catalog.providers {
        note(["providers", name.as_str()], provider(catalog, name, row));
    }
    for (name, row) in &catalog.accounts {
        note(["accounts", name.as_str()], account(catalog, row));
    }
    let mut groups = BTreeMap::new();
    for (name, row) in &catalog.models {
        let result = model(catalog, row).and_then(|()| group(&mut groups, name, row));
        note(["models", name.as_str()], result);
    }
    errors.extend(exact_numbers(catalog).err());
    errors
}

fn exact_numbers(catalog: &Catalog) -> Result<(), SpecError> {
    let value = serde_json::to_value(catalog)
        .map_err(|error| SpecError::catalog(Vec::new(), error.to_string()))?;
    match inexact_number(&value) {
        Some(place) => {
            let message = "a whole number this large is not kept exactly by JSON";
            Err(SpecError::catalog(place, message)
                .with_hint(format!("the largest is {}", super::EXACT_MAX)))
        }
        None => Ok(()),
    }
}

fn provider(catalog: &Catalog, name: &ProviderName, row: &Provider) -> Result<(), SpecError> {
    url::base_url(&row.base_url)?;
    for (key, text) in [
        ("chat_path", &row.chat_path),
        ("completion_path", &row.completion_path),
    ] {
        if let Some(text) = text {
            url::path_below(key, text)?;
        }
    }
    if let Some(terms) = &row.terms
        && !terms.url.starts_with("https://")
    {
        return Err(SpecError::catalog(
            steps!["terms", "url"],
            "terms are published at an https URL",
        ));
    }
    if let Some(auth) = &row.auth {
        self::auth(auth).map_err(|error| error.below(steps!["auth"]))?;
    }
    let accounts = catalog.accounts.values().filter(|a| a.provider == *name);
    let auths: Vec<Auth> = accounts
        .filter_map(|account| effective_auth(row, account))
        .chain(row.auth.clone())
        .collect();
    let secret_headers: Vec<&str> = auths.iter().map(Auth::header_name).collect();
    url::headers(&row.headers, &secret_headers)?;
    if let Some(header) = &row.sample_id_header {
        let here = || steps!["sample_id_header"];
        url::header_name(header, here())?;
        let taken = |other: &str| other.eq_ignore_ascii_case(header);
        if secret_headers.iter().copied().any(taken) || row.headers.keys().any(|h| taken(h)) {
            let message = format!("`{header}` carries something else already");
            return Err(SpecError::catalog(here(), message));
        }
    }
    if let Some(limits) = &row.default_limits {
        default_limits(limits).map_err(|error| error.below(steps!["default_limits"]))?;
    }
    options(&row.options).map_err(|error| error.below(steps!["options"]))
}

fn default_limits(row: &DefaultLimits) -> Result<(), SpecError> {
    if row.limits.is_empty() {
        return Err(SpecError::catalog(steps!["limits"], "no limit is stated"));
    }
    if !is_date(&row.as_of, true) {
        let message = format!("`{}` is not a day or month", row.as_of);
        return Err(SpecError::catalog(steps!["as_of"], message)
            .with_hint("write when the limits were read as YYYY-MM or YYYY-MM-DD"));
    }
    if !row.source.starts_with("https://") {
        let message = "limits are documented at an https URL";
        return Err(SpecError::catalog(steps!["source"], message));
    }
    Ok(())
}

fn auth(auth: &Auth) -> Result<(), SpecError> {
    if let Some(header) = &auth.header {
        url::header_name(header, steps!["header"])?;
    }
    if let Some(prefix) = &auth.prefix
        && !prefix.chars().all(|c| c == ' ' || c.is_ascii_graphic())
    {
        return Err(SpecError::catalog(
            steps!["prefix"],
            "a prefix is plain ASCII text",
        ));
    }
    if auth.env.is_some() && auth.file.is_some() {
        return Err(SpecError::catalog(
            steps!["file"],
            "a secret stands in an environment variable or in a file, not both",
        ));
    }
    if let Some(env) = &auth.env {
        env_name("env", env)?;
    }
    if let Some(sigv4) = &auth.sigv4 {
        if auth.header.is_some()
            || auth.prefix.is_some()
            || auth.env.is_some()
            || auth.file.is_some()
        {
            let message = "requests are signed or carry a secret, not both";
            return Err(SpecError::catalog(steps!["sigv4"], message)
                .with_hint("remove `header`, `prefix`, `env` and `file`, or `sigv4`"));
        }
        self::sigv4(sigv4).map_err(|error| error.below(steps!["sigv4"]))?;
    }
    if auth
        .file
        .as_deref()
        .is_some_and(|file| file.trim().is_empty())
    {
        return Err(SpecError::catalog(
            steps!["file"],
            "the file's name is empty",
        ));
    }
    Ok(())
}

fn env_name(key: &'static str, name: &str) -> Result<(), SpecError> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(
            SpecError::catalog(steps![key], "not the name of an environment variable")
                .with_hint("name the variable that holds the secret, not the secret itself"),
        );
    }
    Ok(())
}

fn sigv4(key: &SigV4) -> Result<(), SpecError> {
    let is_region = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if key.region.is_empty() || !key.region.chars().all(is_region) {
        return Err(
            SpecError::catalog(steps!["region"], "not the name of a region")
                .with_hint("as in `us-east-1`"),
        );
    }
    env_name("access_key_env", &key.access_key_env)?;
    env_name("secret_key_env", &key.secret_key_env)?;
    match &key.session_token_env {
        Some(name) => env_name("session_token_env", name),
        None => Ok(()),
    }
}

fn options(options: &retort_types::catalog::WireOptions) -> Result<(), SpecError> {
    for name in &options.drop_params {
        if !PARAM_NAMES.contains(&name.as_str()) {
            let message = format!("unknown parameter `{name}`");
            return Err(SpecError::catalog(steps!["drop_params"], message)
                .with_hint(suggest(name, PARAM_NAMES)));
        }
    }
    for field in options.extra_body.keys() {
        reserved_field(field, steps!["extra_body", field.as_str()])
            .map_err(|error| error.about(Document::Catalog))?;
    }
    Ok(())
}

fn account(catalog: &Catalog, row: &Account) -> Result<(), SpecError> {
    let Some(provider) = catalog.providers.get(&row.provider) else {
        let mut known: Vec<&str> = catalog.providers.keys().map(ProviderName::as_str).collect();
        known.extend(builtin::names());
        let message = format!("unknown provider `{}`", row.provider);
        return Err(SpecError::catalog(steps!["provider"], message)
            .with_hint(suggest(row.provider.as_str(), known)));
    };
    limits(&row.limits)?;
    if let Some(auth) = &row.auth {
        self::auth(auth).map_err(|error| error.below(steps!["auth"]))?;
    }
    if let Some(auth) = effective_auth(provider, row)
        && !auth.names_secret()
    {
        return Err(SpecError::catalog(
            Vec::new(),
            "the provider wants a secret, but nothing says where it is",
        )
        .with_hint("add `auth: {env: NAME}` or `auth: {file: PATH}`"));
    }
    Ok(())
}

/// What a catalog writes to have limits found.
pub(crate) const AUTO_EXAMPLE: &str = "write `limits: {auto: true, requests_per_minute: 6000}`; \
    the limits beside `auto` are caps: requests_per_minute, tokens_per_minute or concurrency";

fn limits(limits: &Limits) -> Result<(), SpecError> {
    if limits.is_auto_without_cap() {
        return Err(
            SpecError::catalog(steps!["limits"], "limits that are to be found need a cap")
                .with_hint(AUTO_EXAMPLE),
        );
    }
    Ok(())
}

/// Returns how requests on `account` are authorised: the provider's setting under the account's.
pub(crate) fn effective_auth(provider: &Provider, account: &Account) -> Option<Auth> {
    Auth::joined(provider.auth.as_ref(), account.auth.as_ref())
}

fn model(catalog: &Catalog, row: &Model) -> Result<(), SpecError> {
    if !catalog.accounts.contains_key(&row.account) {
        let known = catalog.accounts.keys().map(AccountName::as_str);
        let message = format!("unknown account `{}`", row.account);
        return Err(SpecError::catalog(steps!["account"], message)
            .with_hint(suggest(row.account.as_str(), known)));
    }
    limits(&row.limits)?;
    if row.model.trim() != row.model || row.model.is_empty() {
        let message = "the model's name as sent is empty or has white space around it";
        return Err(SpecError::catalog(steps!["model"], message));
    }
    if row
        .limit_group
        .as_deref()
        .is_some_and(|group| group.trim().is_empty())
    {
        return Err(
            SpecError::catalog(steps!["limit_group"], "the group's name is empty")
                .with_hint("leave it out for a group of its own"),
        );
    }
    if let Some(released) = &row.released
        && !is_date(released, true)
    {
        let message = format!("`{released}` is not a day or month");
        return Err(SpecError::catalog(steps!["released"], message)
            .with_hint("write YYYY-MM-DD or YYYY-MM"));
    }
    if let Some(price) = &row.price {
        self::price(price).map_err(|error| error.below(steps!["price"]))?;
    }
    for (index, relation) in row.known_relations.iter().enumerate() {
        self::relation(relation).map_err(|error| error.below(steps!["known_relations", index]))?;
    }
    options(&row.overrides).map_err(|error| error.below(steps!["overrides"]))
}

pub(crate) fn price(price: &Price) -> Result<(), SpecError> {
    for (key, usd) in [("input", price.input), ("output", price.output)] {
        if !usd.is_finite() || usd < 0.0 {
            return Err(
                SpecError::catalog(steps![key], "a price is a number, not negative")
                    .with_hint("US dollars per million tokens"),
            );
        }
    }
    if !is_date(&price.as_of, false) {
        let message = format!("`{}` is not a day", price.as_of);
        return Err(SpecError::catalog(steps!["as_of"], message)
            .with_hint("write the day the price was read as YYYY-MM-DD"));
    }
    if price.source.trim().is_empty() {
        return Err(SpecError::catalog(
            steps!["source"],
            "a price without a source does not count",
        )
        .with_hint("write the address where it was read"));
    }
    Ok(())
}

fn relation(relation: &KnownRelation) -> Result<(), SpecError> {
    if !CONFIDENCES.contains(&relation.confidence.as_str()) {
        let message = format!("unknown confidence `{}`", relation.confidence);
        return Err(SpecError::catalog(steps!["confidence"], message)
            .with_hint(suggest(&relation.confidence, CONFIDENCES)));
    }
    for (key, text) in [("to", &relation.to), ("source", &relation.source)] {
        if text.trim().is_empty() {
            return Err(SpecError::catalog(steps![key], format!("`{key}` is empty")));
        }
    }
    Ok(())
}

/// Returns whether `text` is `YYYY-MM-DD` or, if `month_will_do`, `YYYY-MM`.
pub(crate) fn is_date(text: &str, month_will_do: bool) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |part: &str, length: usize| {
        part.len() == length && part.chars().all(|c| c.is_ascii_digit())
    };
    let within = |part: &str, most: u8| part.parse().is_ok_and(|n: u8| (1..=most).contains(&n));
    match parts[..] {
        [year, month] if month_will_do => digits(year, 4) && digits(month, 2) && within(month, 12),
        [year, month, day] => {
            digits(year, 4)
                && digits(month, 2)
                && within(month, 12)
                && digits(day, 2)
                && within(day, 31)
        }
        _ => false,
    }
}

/// Returns the name of the group whose limits `model` shares within its account.
pub(crate) fn limit_group<'a>(name: &'a ModelName, model: &'a Model) -> &'a str {
    model.limit_group.as_deref().unwrap_or(name.as_str())
}

type Groups<'a> = BTreeMap<(&'a AccountName, &'a str), (&'a ModelName, &'a Limits)>;

/// Refuses a model whose limits differ from those of an earlier model of its group.
fn group<'a>(
    groups: &mut Groups<'a>,
    name: &'a ModelName,
    row: &'a Model,
) -> Result<(), SpecError> {
    let key = (&row.account, limit_group(name, row));
    let (first, limits) = *groups.entry(key).or_insert((name, &row.limits));
    if *limits == row.limits {
        return Ok(());
    }
    let message = format!("`{first}` shares these limits but states others");
    Err(SpecError::catalog(steps!["limits"], message)
        .with_hint("models of one `limit_group` state the same limits"))
}
