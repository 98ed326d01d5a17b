//! Export and import through the command line: out, back in, the same rows; and what goes wrong.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{World, assert_code, read_table, text};

fn crawled() -> World {
    let world = World::new(json!({ "providers": [{
        "name": "p",
        "models": [{ "name": "m" }, { "name": "n", "refuses_containing": ["number 1"] }],
    }] }));
    world.catalog(&[("p", json!({ "requests_per_minute": 60_000 }))]);
    world.campaign(&["m", "n"], 4, 2, json!({}));
    assert_code(&world.run(&[]), 0);
    world
}

/// Returns how each sample ended and what was answered, by model, prompt and text.
fn told(rows: Vec<BTreeMap<String, Value>>) -> Vec<String> {
    let mut told: Vec<String> = rows
        .into_iter()
        .map(|row| serde_json::to_string(&row).unwrap())
        .collect();
    told.sort();
    told
}

const KEPT: &[&str] = &[
    "model",
    "suite",
    "prompt_id",
    "messages",
    "outcome",
    "response_text",
    "refusal_text",
    "finish_reason",
    "input_tokens",
    "output_tokens",
    "served_model",
];

#[test]
fn what_is_exported_can_be_imported() {
    let world = crawled();
    let export = ["dataset", "export", "test", "--store", "data", "--format"];
    let output = world.command(&[&export[..], &["jsonl", "--out", "out"]].concat());
    assert_code(&output, 0);
    let lines = std::fs::read_to_string(world.path("out/responses.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 16);
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let keys: Vec<&String> = first.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["custom_id", "error", "id", "response"]);
    assert_eq!(first["response"]["body"]["object"], "chat.completion");

    let import = [
        "dataset",
        "import",
        "out/responses.jsonl",
        "--requests",
        "out/requests.jsonl",
    ];
    let import = [&import[..], &["--campaign", "back", "--store", "data"]].concat();
    assert_code(&world.command(&import), 0);
    let folder = world.path("data/campaigns/back/snapshots");
    let snapshots = || -> Vec<_> {
        let entries = std::fs::read_dir(&folder).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let before = snapshots();
    assert_eq!(before.len(), 1);
    let back = read_table(&before[0].join("responses"), KEPT);
    assert_eq!(told(back), told(world.table("responses", KEPT)));

    let again = world.command(&[&import[..], &["--json"]].concat());
    assert_code(&again, 0);
    let result: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(result["existed"], true);
    assert_eq!(snapshots(), before);

    let show = world.command(&["dataset", "show", "back", "--store", "data"]);
    assert_code(&show, 0);
    assert!(text(&show).contains("16"), "{}", text(&show));
    let exchanges = [
        "dataset", "export", "back", "--store", "data", "--format", "csv",
    ];
    let exchanges = [&exchanges[..], &["--with-exchanges", "--out", "none"]].concat();
    let none = world.command(&exchanges);
    assert_code(&none, 1);
    assert!(
        text(&none).contains("names no stored exchanges"),
        "{}",
        text(&none)
    );
    assert!(!world.path("none").exists());
    // Who was imported cannot be asked, and its id is taken.
    let status = world.command(&["status", "back", "--store", "data"]);
    assert_code(&status, 2);
    assert!(text(&status).contains("was imported"), "{}", text(&status));
    world.campaign(&["m"], 1, 1, json!({ "id": "back" }));
    let run = world.run(&[]);
    assert!(
        text(&run).contains("exists with other content"),
        "{}",
        text(&run)
    );
}

#[test]
fn csv_goes_to_standard_output_or_a_folder_and_replaces_nothing() {
    let world = crawled();
    let export = [
        "dataset", "export", "test", "--store", "data", "--format", "csv",
    ];
    let output = world.command(&export);
    assert_code(&output, 0);
    let to_folder = [&export[..], &["--out", "out"]].concat();
    assert_code(&world.command(&to_folder), 0);
    let file = std::fs::read(world.path("out/responses.csv")).unwrap();
    assert_eq!(file, output.stdout);
    std::fs::write(world.path("out/responses.csv"), "mine").unwrap();
    let refused = world.command(&to_folder);
    assert_code(&refused, 2);
    assert!(text(&refused).contains("--force"), "{}", text(&refused));
    assert_eq!(
        std::fs::read(world.path("out/responses.csv")).unwrap(),
        b"mine"
    );
    assert_code(&world.command(&[&to_folder[..], &["--force"]].concat()), 0);
    assert_eq!(
        std::fs::read(world.path("out/responses.csv")).unwrap(),
        file
    );
    // A folder that was copied elsewhere is a snapshot as well.
    let folder = world.snapshot().display().to_string();
    let alone = world.command(&["dataset", "export", &folder, "--format", "csv"]);
    assert_code(&alone, 0);
    assert_eq!(alone.stdout, file);
}

#[test]
fn errors_of_export_and_import_say_what_helps() {
    let world = crawled();
    let mut told = Vec::new();
    let good = "{\"model\": \"m\", \"prompt\": \"p\", \"response\": \"r\"}\n";
    std::fs::write(world.path("good.jsonl"), good).unwrap();
    std::fs::write(
        world.path("bad.jsonl"),
        format!("{good}{{\"model\": \"m\", \"question\": \"p\"}}\n"),
    )
    .unwrap();
    for arguments in [
        &["dataset", "export", "nothing", "--format", "csv"][..],
        &["dataset", "export", "no/folder", "--format", "csv"],
        &[
            "dataset",
            "export",
            "test",
            "--format",
            "jsonl",
            "--with-exchanges",
        ],
        &["dataset", "import", "gone.jsonl", "--campaign", "x"],
        &["dataset", "import", "bad.jsonl", "--campaign", "x"],
        &[
            "dataset",
            "import",
            "bad.jsonl",
            "--campaign",
            "x",
            "--column",
            "modle=m",
        ],
        &["dataset", "import", "good.jsonl", "--campaign", "test"],
    ] {
        let output = world.command(&[arguments, &["--store", "data"]].concat());
        assert_code(&output, 2);
        told.push(text(&output).replace(&world.dir.path().display().to_string(), "[dir]"));
    }
    assert!(!world.path("data/campaigns/x").exists());
    insta::assert_snapshot!(told.join("\n"));
}
