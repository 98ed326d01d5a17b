//! Names of partitions.

use std::collections::BTreeMap;

use retort_types::Digest;

/// Returns a folder name for each of `models`: `org--name`, other characters as `-`.
///
/// Models that would share one, on a file system that ignores case, get a digest behind it.
pub fn model_slugs<'a>(models: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, String> {
    let mut slugs: BTreeMap<String, String> = models
        .into_iter()
        .map(|model| (model.to_owned(), plain(model)))
        .collect();
    let mut uses: BTreeMap<String, u32> = BTreeMap::new();
    for slug in slugs.values() {
        *uses.entry(slug.to_ascii_lowercase()).or_default() += 1;
    }
    for (model, slug) in &mut slugs {
        if uses.get(&slug.to_ascii_lowercase()).is_some_and(|&n| n > 1) {
            slug.push('-');
            slug.push_str(&Digest::of(model.as_bytes()).short());
        }
    }
    slugs
}

fn plain(model: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    model
        .replace('/', "--")
        .chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_readable_and_distinct() {
        let slugs = model_slugs(["org/Name-1.5", "qwen:7b", "a/b", "a--b", "A--b"]);
        assert_eq!(slugs["org/Name-1.5"], "org--Name-1.5");
        assert_eq!(slugs["qwen:7b"], "qwen-7b");
        let lower: std::collections::BTreeSet<String> = slugs
            .values()
            .map(|slug| slug.to_ascii_lowercase())
            .collect();
        assert_eq!(lower.len(), 5, "{slugs:?}");
        assert!(slugs["a/b"].starts_with("a--b-"));
    }
}
