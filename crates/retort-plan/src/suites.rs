//! The suites that come with the software.

use std::sync::LazyLock;

use retort_types::SuiteName;
use retort_types::campaign::NamedPrompt;
use serde::{Deserialize, Serialize};

const NAMES: [&str; 3] = ["identity", "random", "style"];

const TEXTS: [&str; 3] = [
    include_str!("../suites/identity.yaml"),
    include_str!("../suites/random.yaml"),
    include_str!("../suites/style.yaml"),
];

/// A built-in suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Its name.
    pub name: SuiteName,
    /// A title for people.
    pub title: String,
    /// What its prompts are for.
    pub purpose: String,
    /// From 1; any change to a prompt raises it.
    pub version: u32,
    /// Its prompts. Ids are stable over versions.
    pub prompts: Vec<NamedPrompt>,
}

/// Returns the names of the built-in suites, sorted.
pub fn names() -> &'static [&'static str] {
    &NAMES
}

/// Returns the built-in suite called `name`.
pub fn get(name: &str) -> Option<&'static Suite> {
    static SUITES: LazyLock<Vec<Suite>> = LazyLock::new(|| {
        let read = |text: &&str| {
            serde_saphyr::from_str_with_options(text, crate::read::options())
                .expect("the built-in suites are read by a test of this file")
        };
        TEXTS.iter().map(read).collect()
    });
    SUITES.iter().find(|suite| suite.name.as_str() == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use retort_types::{Message, PromptInput};

    use super::*;

    #[test]
    fn each_suite_has_its_prompts() {
        for (name, count) in [("identity", 24), ("random", 40), ("style", 64)] {
            let suite = get(name).expect("a built-in suite");
            assert_eq!(suite.name.as_str(), name);
            assert_eq!(suite.prompts.len(), count, "{name}");
            assert!(suite.version >= 1);
            assert!(suite.purpose.ends_with('.'), "{name}");
            assert!(names().contains(&name));
        }
        assert_eq!(names().len(), TEXTS.len());
        assert!(get("nothing").is_none());
    }

    #[test]
    fn ids_and_prompts_are_unique_and_clean() {
        let mut digests = BTreeSet::new();
        for suite in names().iter().map(|name| get(name).unwrap()) {
            for (prompt, number) in suite.prompts.iter().zip(1..) {
                assert_eq!(prompt.id, format!("{}-{number:03}", suite.name));
                assert_eq!(prompt.text, prompt.text.trim(), "{}", prompt.id);
                assert!(!prompt.text.contains("  "), "{}", prompt.id);
                assert!(!prompt.text.chars().any(char::is_control), "{}", prompt.id);
                let input = PromptInput::Messages(vec![Message {
                    role: "user".to_owned(),
                    content: prompt.text.clone(),
                }]);
                assert!(digests.insert(input.digest()), "{}", prompt.id);
            }
        }
        assert_eq!(digests.len(), 24 + 40 + 64);
    }
}
