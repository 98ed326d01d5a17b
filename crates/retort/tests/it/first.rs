//! The first minutes of a stranger: the README's command and what it leaves behind.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{assert_code, finish, read_table, text};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/retort is two folders deep")
}

#[test]
fn the_readme_command_crawls_and_seals() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let command = readme
        .lines()
        .find(|line| line.starts_with("cargo run"))
        .expect("the README has a first command");
    let arguments: Vec<&str> = command
        .split_once(" -- ")
        .expect("arguments follow `--`")
        .1
        .split_whitespace()
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_retort"))
        .args(&arguments)
        .current_dir(repository())
        .env("RETORT_STORE", dir.path().join("data"))
        .env("RETORT_STATE_DIR", dir.path().join("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = finish(child);
    assert_code(&output, 0);
    let printed = text(&output);
    for heading in [
        "model", "planned", "answered", "refused", "failed", "retries", "median", "p95", "cost",
        "snapshot",
    ] {
        assert!(printed.contains(heading), "no `{heading}` in\n{printed}");
    }
    let snapshot = printed
        .lines()
        .find_map(|line| line.strip_prefix("snapshot  "))
        .expect("the path is told");
    let snapshot = Path::new(snapshot);
    let rows = read_table(
        &snapshot.join("responses"),
        &["model", "outcome", "response_text"],
    );
    assert!(rows.len() > 100, "{} rows", rows.len());
    for file in ["MANIFEST.json", "SHA256SUMS", "README.md"] {
        assert!(snapshot.join(file).exists(), "no {file}");
    }
    let sums = Command::new("sha256sum")
        .args(["-c", "--quiet", "SHA256SUMS"])
        .current_dir(snapshot)
        .status()
        .unwrap();
    assert!(sums.success());
}
