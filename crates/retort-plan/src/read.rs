//! Reads campaigns and catalogs from YAML or JSON text, strictly.
//!
//! JSON is read by the same parser: YAML 1.2 contains it, escapes and surrogate pairs included.

use retort_types::campaign::{InlineSuite, PromptSpec};
use retort_types::catalog::CatalogFile;
use retort_types::{Campaign, Catalog};
use serde::de::DeserializeOwned;
use serde_saphyr::{DefaultMessageFormatter, Error as Fault, MessageFormatter};

use crate::error::{Document, SpecError, suggest};
use crate::{check, expand, prompts};

/// Longest campaign, catalog or file of prompts, in bytes: 250,000 prompts of a paragraph each.
pub const TEXT_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Deepest nesting of a text. Ours has eight levels; the rest is for `analysis` and `extra`.
const DEPTH_MAX: usize = 48;

/// Most values of a text: three for each of a million prompts.
const NODES_MAX: usize = 4_000_000;

/// Most values that aliases may repeat: enough for shared settings, too few for an alias bomb.
const REPEATED_EVENTS_MAX: usize = 20_000;

/// Returns how texts are read: one document, unique keys, YAML 1.2 truth values, bounded.
pub(crate) fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: 3 * NODES_MAX,
            max_total_scalar_bytes: TEXT_MAX_BYTES,
            max_aliases: 1_000,
            max_anchors: 1_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: REPEATED_EVENTS_MAX,
        },
    }
}

/// Reads a campaign. Its `file` entries stay as they are; see [`crate::inline_files`].
///
/// `name` stands in front of messages, as the path the text was read from.
///
/// # Errors
/// When the text is not YAML or JSON, has unknown or repeated keys, or breaks a rule that can be
/// checked without the catalog.
pub fn parse_campaign(text: &str, name: &str) -> Result<Campaign, SpecError> {
    let campaign: Campaign = parse(text, name, Document::Campaign)?;
    // Deserializing also takes a list [id, text] for a prompt; people who write one mean two.
    let has_objects = |inline: &InlineSuite| {
        let mut prompts = inline.prompts.iter();
        prompts.any(|prompt| !matches!(prompt, PromptSpec::Text(_)))
    };
    let mut inline = campaign
        .suites
        .iter()
        .filter_map(|entry| entry.inline.as_ref());
    if inline.any(has_objects)
        && let Some(error) = prompts::diagnose_inline(text)
    {
        return Err(error.with_name(name));
    }
    check::campaign(&campaign).map_err(|error| error.located_in(Document::Campaign, text, name))?;
    Ok(campaign)
}

/// Reads a catalog. Built-in providers and facts of the registry that it names are filled in.
///
/// `name` stands in front of messages, as the path the text was read from.
///
/// # Errors
/// When the text is not YAML or JSON, has unknown or repeated keys, or breaks a rule.
pub fn parse_catalog(text: &str, name: &str) -> Result<Catalog, SpecError> {
    let file: CatalogFile = parse(text, name, Document::Catalog)?;
    expand::catalog(file)
        .and_then(|catalog| check::catalog(&catalog).map(|()| catalog))
        .map_err(|error| error.located_in(Document::Catalog, text, name))
}

/// Reads any other document of YAML or JSON as strictly as campaigns are read.
///
/// # Errors
/// When the text is not YAML or JSON, has repeated keys, or does not make a `T`.
pub fn parse_yaml<T: DeserializeOwned>(text: &str, name: &str) -> Result<T, SpecError> {
    parse(text, name, Document::Other)
}

/// Reads a document, without checks of meaning.
pub(crate) fn parse<T: DeserializeOwned>(
    text: &str,
    name: &str,
    document: Document,
) -> Result<T, SpecError> {
    if text.len() > TEXT_MAX_BYTES {
        let message = format!("the text is longer than {TEXT_MAX_BYTES} bytes");
        return Err(SpecError::new(document, Vec::new(), message).with_name(name));
    }
    serde_saphyr::from_str_with_options(text, options()).map_err(|fault| {
        let fault = innermost(&fault);
        if document == Document::Campaign
            && fault.to_string().contains("untagged enum PromptSpec")
            && let Some(error) = prompts::diagnose_inline(text)
        {
            return error.with_name(name);
        }
        let error = from_fault(fault, document).with_name(name);
        if document == Document::Catalog && is_bare_auto(text, fault) {
            return error.with_hint(check::AUTO_EXAMPLE);
        }
        error
    })
}

/// Returns whether the parser stumbled over `limits: auto`.
fn is_bare_auto(text: &str, fault: &Fault) -> bool {
    let line = fault
        .location()
        .and_then(|place| usize::try_from(place.line()).ok()?.checked_sub(1))
        .and_then(|line| text.lines().nth(line));
    line.and_then(|line| line.split_once("limits:"))
        .is_some_and(|(_, after)| after.trim_start().starts_with("auto"))
}

fn innermost(fault: &Fault) -> &Fault {
    if let Fault::AliasError { error, .. } = fault.without_snippet() {
        return innermost(error);
    }
    fault.without_snippet()
}

/// Returns the parser's `fault` in our words.
pub(crate) fn from_fault(fault: &Fault, document: Document) -> SpecError {
    let error = describe(fault, document);
    match fault.location() {
        Some(place) => error.with_position(place.line(), place.column()),
        None => error,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the parser's errors are open"
)]
fn describe(fault: &Fault, document: Document) -> SpecError {
    let new = |message: String| SpecError::new(document, Vec::new(), message);
    match fault {
        Fault::SerdeUnknownField {
            field, expected, ..
        } => new(format!("unknown key `{field}`")).with_hint(hint_for_key(field, expected)),
        Fault::SerdeMissingField { field, .. } => {
            let error = new(format!("missing key `{field}`"));
            match hint_for_missing(field) {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        }
        Fault::SerdeUnknownVariant {
            variant, expected, ..
        } => new(format!("unknown value `{variant}`"))
            .with_hint(suggest(variant, expected.iter().copied())),
        Fault::SerdeInvalidType {
            unexpected,
            expected,
            ..
        }
        | Fault::SerdeInvalidValue {
            unexpected,
            expected,
            ..
        } => new(format!(
            "expected {}, found {}",
            plain(expected),
            kind_found(unexpected)
        )),
        Fault::Unexpected { expected, .. } => new(format!("expected {}", plain(expected))),
        Fault::InvalidScalar { ty, .. } => new(format!("expected {}", plain(ty))),
        Fault::InvalidBooleanStrict { .. } => new("expected `true` or `false`".to_owned()),
        Fault::NullIntoString { .. } => new("expected a text, found nothing".to_owned()),
        Fault::DuplicateMappingKey { key, .. } => match key {
            Some(key) => new(format!("key `{key}` stands here twice")),
            None => new("a key stands here twice".to_owned()),
        },
        Fault::MultipleDocuments { .. } => new("more than one document in the text".to_owned())
            .with_hint(format!("write one {} per file", word(document))),
        Fault::Eof { .. } => new("the text is empty or ends too early".to_owned()),
        Fault::Message { msg, .. } => new(msg.clone()),
        Fault::Budget { .. }
        | Fault::AliasReplayLimitExceeded { .. }
        | Fault::AliasExpansionLimitExceeded { .. }
        | Fault::AliasReplayStackDepthExceeded { .. } => {
            new("the text is nested or repeated beyond the limits".to_owned())
        }
        Fault::ExternalMessage { msg, .. } => new(format!("this is neither YAML nor JSON: {msg}")),
        other => new(DefaultMessageFormatter.format_message(other).into_owned()),
    }
}

fn word(document: Document) -> &'static str {
    match document {
        Document::Campaign => "campaign",
        Document::Catalog => "catalog",
        Document::Prompts => "list of prompts",
        Document::Prices => "list of prices",
        Document::Plan => "plan",
        Document::Other => "document",
    }
}

/// Returns the parser's name of a kind of value as readers call it.
fn plain(expected: &str) -> &str {
    match expected {
        "sequence start" => "a list",
        "mapping start" => "a mapping",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not negative",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "floating point" | "f32" | "f64" => "a number",
        "string scalar" | "string" | "a string" => "a text",
        "a nonzero u32" | "a nonzero u64" => "a whole number, at least 1",
        other => other,
    }
}

/// Returns what was found, without the texts themselves: one of them may be a secret.
fn kind_found(unexpected: &str) -> &str {
    if unexpected.starts_with("string") {
        return "a text";
    }
    match unexpected {
        "map" => "a mapping",
        "sequence" => "a list",
        other => other,
    }
}

fn hint_for_key(field: &str, expected: &[&'static str]) -> String {
    let named = match field {
        "n" | "best_of" => "`samples` says how many draws",
        "temperature" | "top_p" | "top_k" | "max_tokens" | "stop" | "stream" | "logprobs"
            if expected.contains(&"params") =>
        {
            "sampling parameters stand under `params`"
        }
        "rounds" | "every" | "align" if expected.contains(&"schedule") => {
            "rounds and their order stand under `schedule`"
        }
        "api_key" | "key" | "secret" | "token" => {
            "secrets are named, never written: `auth: {env: NAME}` or `auth: {file: PATH}`"
        }
        "base_url" | "headers" if expected.contains(&"suites") => {
            "where and how models are asked stands in the catalog"
        }
        _ => "",
    };
    if named.is_empty() {
        suggest(field, expected.iter().copied())
    } else {
        named.to_owned()
    }
}

fn hint_for_missing(field: &str) -> Option<&'static str> {
    Some(match field {
        "purpose" => "say in a sentence what the campaign is for; it goes into the dataset's card",
        "id" => "an id names the campaign in the store, as in `id: first-look`",
        "models" => "list the models to ask, by their names in the catalog",
        "suites" => "list what to ask, as in `suites: [{suite: style}]`",
        "as_of" | "source" => {
            "a price, limit or relation counts only with the day it was read and where"
        }
        "account" => "a model names the account whose quota pays for it",
        "provider" => "an account names its provider",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
