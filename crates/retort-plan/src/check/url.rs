//! The rules of URLs and headers of a catalog.

use std::collections::BTreeMap;

use retort_types::catalog::{host_and_port, is_loopback_host};
use url::Url;

use crate::error::{SpecError, steps};

/// Headers that the client sets itself.
const OWN_HEADERS: [&str; 8] = [
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Headers that carry secrets; only `auth` may fill them.
const SECRET_HEADERS: [&str; 7] = [
    "api-key",
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-amz-security-token",
    "x-api-key",
    "x-goog-api-key",
];

/// Returns the rule that a `base_url` breaks.
pub(super) fn base_url(text: &str) -> Result<(), SpecError> {
    let wrong = |message: &str| SpecError::catalog(steps!["base_url"], message);
    let strange = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
    if text.contains(strange) {
        return Err(wrong(
            "a URL holds white space, a control character or `\\`",
        ));
    }
    let url = Url::parse(text).map_err(|error| {
        wrong(&format!("`{}` is not a URL: {error}", shown(text)))
            .with_hint("as in `https://api.example.com/v1`")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("a URL begins with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
        return Err(wrong("a URL must not hold a user or a password")
            .with_hint("name the secret under `auth`, as in `auth: {env: NAME}`"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("a base URL has no `?` and no `#`")
            .with_hint("fields of the request stand under `options.extra_body`"));
    }
    // Two readings of one text must name the same host, or a check would look at another one.
    let host = url.host_str().unwrap_or_default();
    let authority = host_and_port(text);
    let read_host = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let plain = authority
        .strip_suffix(if url.scheme() == "https" {
            ":443"
        } else {
            ":80"
        })
        .unwrap_or(authority);
    if host.is_empty() || !plain.eq_ignore_ascii_case(&read_host) {
        return Err(wrong("the host is not written as it is read")
            .with_hint("write the host in plain ASCII letters, without a dot at the end"));
    }
    if url.scheme() == "http" && !is_loopback_host(authority) {
        return Err(wrong("plain http would send the key in the clear")
            .with_hint("use https; http is for 127.0.0.1 and localhost"));
    }
    Ok(())
}

/// Returns the text up to 60 characters, without anything that could be a password.
fn shown(text: &str) -> String {
    if text.contains('@') {
        return "…".to_owned();
    }
    text.chars().take(60).collect()
}

/// Returns the rule that a path below a `base_url` breaks.
pub(super) fn path_below(key: &str, text: &str) -> Result<(), SpecError> {
    let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\\' | '#' | '@');
    if !text.starts_with('/') || text.starts_with("//") || text.contains(strange) {
        let message = "a path begins with one `/` and has no white space, `#`, `@` or `\\`";
        return Err(SpecError::catalog(steps![key], message).with_hint("as in `/chat/completions`"));
    }
    if text.split(['/', '?']).any(|part| part == "..") {
        return Err(SpecError::catalog(
            steps![key],
            "a path does not climb with `..`",
        ));
    }
    Ok(())
}

/// Returns whether `name` is a field name of RFC 9110.
fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

/// Returns the rule that the name of a header breaks; `place` leads to it.
pub(super) fn header_name(name: &str, place: Vec<crate::error::Step>) -> Result<(), SpecError> {
    if !is_header_name(name) {
        return Err(
            SpecError::catalog(place, format!("`{}` is not a header name", shown(name)))
                .with_hint("letters, digits and `-`, as in `x-title`"),
        );
    }
    if OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
        return Err(SpecError::catalog(
            place,
            format!("`{name}` is set by the client"),
        ));
    }
    if name.eq_ignore_ascii_case("user-agent") {
        return Err(SpecError::catalog(place, "the user agent is not disguised")
            .with_hint("the client names itself and your contact"));
    }
    Ok(())
}

/// Returns the rule that a provider's headers break. `secret_headers` are those that its
/// authorisation fills.
pub(super) fn headers(
    headers: &BTreeMap<String, String>,
    secret_headers: &[&str],
) -> Result<(), SpecError> {
    let mut seen = std::collections::BTreeSet::new();
    for (name, value) in headers {
        let here = || steps!["headers", name.as_str()];
        header_name(name, here())?;
        let mut secret = SECRET_HEADERS.iter().chain(secret_headers);
        if secret.any(|other| name.eq_ignore_ascii_case(other)) {
            return Err(
                SpecError::catalog(here(), format!("`{name}` carries a secret"))
                    .with_hint("name the secret under `auth`, as in `auth: {env: NAME}`"),
            );
        }
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(SpecError::catalog(
                here(),
                format!("`{name}` stands here twice"),
            ));
        }
        if value.trim() != value || !value.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
            let message = format!("the value of `{name}` is not plain ASCII text");
            return Err(SpecError::catalog(here(), message));
        }
    }
    Ok(())
}
