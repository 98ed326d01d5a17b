//! Rules of the house that the compiler does not hold: which crate may use which, how long a file
//! may be, and that every file says what it is for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which crates of the workspace each crate may use. Adding an arrow here is the moment to ask
/// whether it should exist. A crate uses only crates above it.
const ARROWS: &[(&str, &[&str])] = &[
    ("retort-types", &[]),
    ("retort-wire", &["retort-types"]),
    ("retort-plan", &["retort-types"]),
    ("retort-pace", &["retort-types"]),
    ("retort-client", &["retort-types"]),
    ("retort-broker", &["retort-types"]),
    ("retort-dataset", &["retort-types"]),
    (
        "retort-crawl",
        &[
            "retort-types",
            "retort-wire",
            "retort-plan",
            "retort-pace",
            "retort-client",
            "retort-broker",
            "retort-dataset",
        ],
    ),
    ("retort-fingerprint", &["retort-types", "retort-dataset"]),
    (
        "retort-detect",
        &["retort-types", "retort-dataset", "retort-fingerprint"],
    ),
    ("retort-sim", &["retort-types"]),
    (
        "retort",
        &[
            "retort-types",
            "retort-wire",
            "retort-plan",
            "retort-pace",
            "retort-client",
            "retort-broker",
            "retort-dataset",
            "retort-crawl",
            "retort-fingerprint",
            "retort-detect",
            "retort-sim",
        ],
    ),
];

/// Most lines of a source file before its tests.
const FILE_LINES_MAX: usize = 500;

fn crates_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("crates/retort has a parent")
        .to_path_buf()
}

fn dependencies(manifest: &Path, section: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(manifest).expect("each crate has a manifest");
    let table: toml::Table = toml::from_str(&text).expect("cargo has read this manifest already");
    let names = table
        .get(section)
        .and_then(toml::Value::as_table)
        .map(|table| table.keys().cloned().collect::<Vec<_>>());
    names
        .unwrap_or_default()
        .into_iter()
        .filter(|name| name.starts_with("retort"))
        .collect()
}

#[test]
fn crates_use_only_the_crates_they_may() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> = ARROWS
        .iter()
        .map(|(name, uses)| (*name, uses.iter().copied().collect()))
        .collect();
    let order: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(crates_dir()).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let uses = dependencies(&folder.join("Cargo.toml"), "dependencies");
        let may = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("crate {name} is not in the table"));
        for used in &uses {
            assert!(
                may.contains(used.as_str()),
                "{name} uses {used}; the table does not allow it"
            );
            let (own, other) = (
                order.iter().position(|n| *n == name),
                order.iter().position(|n| n == used),
            );
            assert!(other < own, "{name} uses {used}, which stands below it");
        }
        let unused: Vec<_> = may.iter().filter(|may| !uses.contains(**may)).collect();
        assert!(
            unused.is_empty(),
            "the table lets {name} use {unused:?}, which it does not: take the arrows out"
        );
        found.insert(name);
    }
    assert_eq!(
        found.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        order.iter().copied().collect()
    );
}

fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![crates_dir()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(files.len() > 40, "the sources were not found");
    files
}

#[test]
fn files_say_what_they_are_for_and_stay_short() {
    for path in sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("//!"),
            "{} does not begin with what it is for",
            path.display()
        );
        let code = text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"))
            .count();
        let is_test = path.components().any(|part| {
            ["tests", "tests.rs"]
                .map(std::ffi::OsStr::new)
                .contains(&part.as_os_str())
        });
        if !is_test {
            assert!(
                code <= FILE_LINES_MAX,
                "{} has {code} lines before its tests",
                path.display()
            );
        }
    }
}

#[test]
fn every_crate_keeps_the_workspace_lints() {
    for (name, _) in ARROWS {
        let text = std::fs::read_to_string(crates_dir().join(name).join("Cargo.toml")).unwrap();
        assert!(
            text.contains("[lints]\nworkspace = true"),
            "{name} does not take the workspace's lints"
        );
    }
}

/// Faults that a fleet must survive.
const FAULTS: usize = 22;

#[test]
fn each_fault_has_the_tests_that_the_page_names() {
    let page = crates_dir().join("../docs/fleet.md");
    let page = std::fs::read_to_string(page).unwrap();
    let table = page
        .split("## Faults")
        .nth(1)
        .expect("the page has a table");
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let mut numbers = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let Ok(number) = cells[1].parse::<usize>() else {
            continue;
        };
        numbers.push(number);
        let named: Vec<&str> = cells[4].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "fault {number} has no test");
        for test in named {
            let (file, name) = test.split_once("::").expect("file::name");
            let text = std::fs::read_to_string(crates_dir().join(file));
            let text = text.unwrap_or_else(|error| panic!("fault {number}: `{file}`: {error}"));
            let place = text.find(&format!("fn {name}()"));
            let place = place.unwrap_or_else(|| panic!("fault {number}: no `{test}`"));
            let before: Vec<&str> = text.split_at(place).0.lines().rev().take(2).collect();
            let is_test = before.iter().any(|line| line.contains("test"));
            assert!(
                is_test || text.contains("\nworlds! {"),
                "fault {number}: `{test}` is not a test"
            );
        }
    }
    assert_eq!(numbers, (1..=FAULTS).collect::<Vec<_>>());
}

/// Rules that tests switch off are out of reach of the binary: it never names what does so, and is not
/// built with the feature that has it.
#[test]
fn the_binary_switches_no_rule_off() {
    let crates = crates_dir();
    let manifest = std::fs::read_to_string(crates.join("retort/Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    let broker = &manifest["dependencies"]["retort-broker"];
    assert_eq!(broker.get("features"), None, "a feature is in the binary");
    let tests = Path::new("tests");
    for path in sources() {
        let own = path.strip_prefix(&crates).unwrap();
        let is_test = own
            .components()
            .any(|part| part.as_os_str() == tests.as_os_str());
        if is_test || !own.starts_with("retort/src") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for switch in ["without_fence", "start_by", "Rules"] {
            assert!(!text.contains(switch), "{} uses {switch}", own.display());
        }
    }
}
