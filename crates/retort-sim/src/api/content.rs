//! Pieces of requests that several protocols have alike.

use super::fields::{Field, Kind, Object, Wrong};

/// Returns a message's role, which must be one of `known`; `rule` says so otherwise.
pub(super) fn role(message: &mut Object, known: &[&str], rule: &str) -> Result<String, Wrong> {
    let role = message.text("role")?;
    let role = role.ok_or_else(|| Wrong::missing(message.path("role")))?;
    if !known.contains(&role.as_str()) {
        return Err(Wrong::rule(message.path("role"), rule));
    }
    Ok(role)
}

/// Returns a text, or the texts of content parts of `kinds`.
pub(super) fn text(field: Field, kinds: &[&str]) -> Result<String, Wrong> {
    if field.value.is_string() {
        return field.text();
    }
    parts(field, kinds)
}

/// Returns the texts of a list of content parts; other parts than those of `kinds` are refused.
fn parts(field: Field, kinds: &[&str]) -> Result<String, Wrong> {
    if !field.value.is_array() {
        return Err(field.wrong(Kind::Text));
    }
    let mut content = String::new();
    for part in field.list()? {
        let mut part = part.object()?;
        let kind = part.text("type")?;
        let kind = kind.ok_or_else(|| Wrong::missing(part.path("type")))?;
        if !kinds.contains(&kind.as_str()) {
            return Err(Wrong::rule(
                part.path("type"),
                "is no text, and only texts are understood",
            ));
        }
        let text = part.text("text")?;
        content.push_str(&text.ok_or_else(|| Wrong::missing(part.path("text")))?);
        part.ignore(&["cache_control", "annotations", "citations", "logprobs"]);
        part.end()?;
    }
    Ok(content)
}

/// Checks a number of alternatives.
pub(super) fn at_most(path: &str, wanted: Option<u32>, most: u32) -> Result<Option<u32>, Wrong> {
    if wanted.is_some_and(|count| count > most) {
        return Err(Wrong::rule(path, format!("must be at most {most}")));
    }
    Ok(wanted)
}
