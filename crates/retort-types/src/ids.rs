//! Names that people choose, checked once when they are read.
//!
//! A name becomes part of paths, queue names and hashed identities, so each kind has a narrow
//! alphabet. The alphabets need no escaping in JSON, which keeps `sample_id` easy to recompute.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name breaks the rule of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{text}` is not allowed: {rule}")]
pub struct InvalidName {
    kind: &'static str,
    rule: &'static str,
    text: String,
}

/// Longest model, provider, account, arm or suite name, in bytes.
pub const NAME_MAX_BYTES: usize = 128;

/// Longest campaign id and domain id, in bytes: they become folder and queue names.
pub const SLUG_MAX_BYTES: usize = 64;

const NAME_RULE: &str = "1 to 128 characters out of A-Z a-z 0-9 . _ - : / @ +, \
                         beginning with a letter or a digit, without `..` and `//`";
const SLUG_RULE: &str =
    "1 to 64 characters out of a-z 0-9 . _ -, beginning with a letter or a digit, without `..`";

fn is_name(text: &str) -> bool {
    text.len() <= NAME_MAX_BYTES
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-:/@+".contains(c))
        && !text.contains("..")
        && !text.contains("//")
        && !text.ends_with('/')
}

fn is_slug(text: &str) -> bool {
    text.len() <= SLUG_MAX_BYTES
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
        && !text.contains("..")
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $check:ident, $rule:ident, $pattern:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Returns the name when it keeps the rule of its kind.
            ///
            /// # Errors
            /// When it does not; the error states the rule.
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                if $check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidName { kind: $kind, rule: $rule, text: text.chars().take(80).collect() })
                }
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern, "description": $rule })
            }
        }
    };
}

name!(
    /// Names a campaign; also its folder in the store.
    CampaignId, "campaign id", is_slug, SLUG_RULE, "^[a-z0-9][a-z0-9._-]{0,63}$"
);
name!(
    /// Names a rate-limit domain; also its queue.
    DomainId, "domain id", is_slug, SLUG_RULE, "^[a-z0-9][a-z0-9._-]{0,63}$"
);
name!(
    /// Names a model of the catalog: ours, not the one sent to the provider.
    ModelName, "model name", is_name, NAME_RULE, "^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$"
);
name!(
    /// Names a provider of the catalog.
    ProviderName, "provider name", is_name, NAME_RULE, "^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$"
);
name!(
    /// Names an account of the catalog, whose quota pays.
    AccountName, "account name", is_name, NAME_RULE, "^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$"
);
name!(
    /// Names a suite: a family of prompts.
    SuiteName, "suite name", is_name, NAME_RULE, "^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$"
);
name!(
    /// Names an arm: one setting of context and parameters.
    ArmName, "arm name", is_name, NAME_RULE, "^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$"
);

/// Returns a slug for `text`: lowercase, other characters as `-`, and, when anything was lost,
/// eight hex characters of its SHA-256 behind, so that two names never share a slug.
pub fn slug(text: &str) -> String {
    let mut slug: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    if slug == text && is_slug(text) {
        return slug;
    }
    slug = slug.replace("..", "--");
    slug.truncate(SLUG_MAX_BYTES - 11);
    if !slug.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        slug.insert(0, 'x');
    }
    let digest = crate::Digest::of(text.as_bytes()).to_string();
    let tail: String = digest.chars().take(8).collect();
    format!("{slug}-{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_alphabet() {
        for good in [
            "gpt-4o",
            "deepseek-ai/DeepSeek-R1",
            "a",
            "llama3:8b",
            "x@2024",
        ] {
            assert!(ModelName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "", "../x", "a..b", "a b", "a\"b", "/a", "a//b", "a/", "é", "-x",
        ] {
            assert!(ModelName::new(bad).is_err(), "{bad}");
        }
        assert!(CampaignId::new("Upper").is_err());
        assert!(CampaignId::new(&"a".repeat(65)).is_err());
    }

    #[test]
    fn slugs_are_valid_and_distinct() {
        assert_eq!(slug("openai"), "openai");
        let slugs: std::collections::BTreeSet<_> = [
            "Open AI",
            "open-ai",
            "open/ai",
            "..",
            "é",
            "",
            &"long".repeat(40),
        ]
        .map(slug)
        .into();
        assert_eq!(slugs.len(), 7);
        assert!(slugs.iter().all(|s| is_slug(s)), "{slugs:?}");
    }

    #[test]
    fn errors_name_the_rule() {
        let error = ModelName::new("a b").unwrap_err().to_string();
        assert!(
            error.starts_with("model name `a b` is not allowed: 1 to 128 characters"),
            "{error}"
        );
    }
}
