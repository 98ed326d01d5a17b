//! `retort detect` from a crawl or an import to its files, against truth that is known.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test ends where its world breaks"
)]

#[expect(dead_code, reason = "this binary uses a part of the world")]
#[path = "../support/world.rs"]
mod support;

mod command;
mod degenerate;
mod family;
mod truth;

use serde_json::Value;

use support::{World, text};

/// Returns a fleet that nobody asks: for snapshots that are imported.
fn quiet() -> World {
    World::new(serde_json::json!({
        "providers": [{ "name": "unused", "models": [{ "name": "unused" }] }]
    }))
}

/// Imports replies, one row per model, prompt and text, as the campaign `replies`.
fn import(world: &World, rows: &[(String, String, Option<String>)]) {
    let lines: Vec<String> = rows
        .iter()
        .map(|(model, prompt, output)| {
            serde_json::json!({ "model": model, "prompt": prompt, "output": output }).to_string()
        })
        .collect();
    std::fs::write(world.path("replies.jsonl"), lines.join("\n")).unwrap();
    let output = world.command(&[
        "dataset",
        "import",
        "replies.jsonl",
        "--campaign",
        "replies",
    ]);
    assert!(output.status.success(), "{}", text(&output));
}

/// Analyses a campaign and returns `analysis.json`, after checking that every file is sound.
fn detect(world: &World, arguments: &[&str]) -> Value {
    let mut all = vec!["detect"];
    all.extend(arguments);
    all.extend(["--out", "evidence", "--force"]);
    let output = world.command(&all);
    assert!(output.status.success(), "{}", text(&output));
    let analysis = std::fs::read_to_string(world.path("evidence/analysis.json")).unwrap();
    let report = std::fs::read_to_string(world.path("evidence/report.html")).unwrap();
    for (name, text) in [
        ("analysis", &analysis),
        ("report", &report),
        ("summary", &text(&output)),
    ] {
        assert!(
            !text.contains("NaN") && !text.contains("inf "),
            "{name} has no number"
        );
    }
    let analysis: Value = serde_json::from_str(&analysis).unwrap();
    let columns = [
        "suspect",
        "candidate",
        "detector",
        "result",
        "p",
        "n_prompts",
        "n_controls",
        "conclusion",
    ];
    let pairs = support::read_file(&world.path("evidence/pairs.parquet"), &columns);
    assert_eq!(
        pairs.len(),
        analysis["statements"].as_array().unwrap().len()
    );
    analysis
}

/// Returns what one detector says about a pair.
fn said<'a>(analysis: &'a Value, detector: &str, suspect: &str, candidate: &str) -> &'a Value {
    let found = analysis["statements"]
        .as_array()
        .unwrap()
        .iter()
        .find(|statement| {
            statement["detector"] == detector
                && statement["suspect"] == suspect
                && statement["candidate"] == candidate
        });
    found.unwrap_or_else(|| panic!("{detector} says nothing about {suspect} and {candidate}"))
}

fn is_supported(analysis: &Value, detector: &str, suspect: &str, candidate: &str) -> bool {
    said(analysis, detector, suspect, candidate)["finding"]["state"] == "supported"
}
