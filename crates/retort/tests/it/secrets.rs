//! Secrets never leave the auth header: not in files, logs, errors, rows or process arguments.

use std::path::Path;

use serde_json::json;

use crate::support::{World, assert_code, finish, text};

const CANARY: &str = "sk-canary-4f1d0c9b7a6e";

fn world() -> World {
    let mut world = World::new(json!({
        "providers": [
            { "name": "good", "api_keys": [CANARY], "latency": { "ms": 5 }, "models": [{ "name": "a" }] },
            { "name": "echo", "latency": { "ms": 5 }, "models": [{ "name": "b" }], "faults": [
                { "kind": "status", "status": 401, "message": format!("Incorrect API key provided: {CANARY}. Check it.") }
            ] },
        ]
    }));
    let mut catalog = world.catalog(&[
        ("good", json!({ "concurrency": 4 })),
        ("echo", json!({ "concurrency": 1 })),
    ]);
    for provider in ["good", "echo"] {
        catalog["providers"][provider]["auth"] = json!({ "env": "CANARY_KEY" });
    }
    world.write("models.yaml", &catalog);
    world.campaign(
        &["a", "b"],
        10,
        1,
        json!({ "params": { "max_tokens": 20, "stream": true } }),
    );
    world.env.push(("CANARY_KEY".to_owned(), CANARY.to_owned()));
    world
}

fn assert_clean(place: &str, bytes: &[u8]) {
    let found = bytes
        .windows(CANARY.len())
        .any(|window| window == CANARY.as_bytes());
    assert!(!found, "the key is in {place}");
}

fn search(folder: &Path, files: &mut usize) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, files);
        } else {
            *files += 1;
            assert_clean(&path.display().to_string(), &std::fs::read(&path).unwrap());
        }
    }
}

/// Parquet compresses, so files alone do not tell: every text of every row is looked at too.
fn assert_rows_clean(world: &World) {
    let columns = [
        "error_message",
        "reason",
        "error_code",
        "request_params",
        "response_text",
        "late_fault",
    ];
    for row in world.table("responses", &columns) {
        assert_clean("a row", format!("{row:?}").as_bytes());
    }
    for row in world.table("attempts", &["error_message", "reason"]) {
        assert_clean("a row", format!("{row:?}").as_bytes());
    }
}

#[test]
fn a_canary_key_is_nowhere_even_at_trace() {
    let mut world = world();
    world.env.push(("RUST_LOG".to_owned(), "trace".to_owned()));
    let child = world.start(&[]);
    let arguments = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap_or_default();
    assert_clean("the process arguments", &arguments);
    let output = finish(child);
    assert_code(&output, 3);
    let printed = text(&output);
    assert!(printed.contains("TRACE"), "trace logging was on");
    assert_clean("the output", printed.as_bytes());
    // The catalog names the variable and the campaign names nothing: all else is ours.
    let mut files = 0;
    search(&world.path("data"), &mut files);
    search(&world.path("state"), &mut files);
    assert!(files > 8, "{files} files");
    assert_rows_clean(&world);
    assert!(
        world.stats()["providers"]["good"]["served"]
            .as_u64()
            .unwrap()
            >= 10,
        "the key was sent where it belongs"
    );
}

#[test]
fn errors_and_checks_do_not_print_keys() {
    let world = world();
    for arguments in [
        &["check", "campaign.yaml"][..],
        &["check", "campaign.yaml", "--json"],
        &["config", "show"],
        &["plan", "campaign.yaml"],
    ] {
        assert_clean(
            &arguments.join(" "),
            text(&world.command(arguments)).as_bytes(),
        );
    }
}
