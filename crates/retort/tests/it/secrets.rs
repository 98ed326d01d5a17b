//! Secrets never leave the auth header: not in files, logs, errors, rows or process arguments.

use std::io::{Read as _, Write as _};
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
            let bytes = std::fs::read(&path).unwrap();
            assert_clean(&path.display().to_string(), &bytes);
            if path.extension().is_some_and(|kind| kind == "gz") {
                let mut plain = Vec::new();
                let mut reader = flate2::read::MultiGzDecoder::new(&bytes[..]);
                reader.read_to_end(&mut plain).unwrap();
                assert!(plain.starts_with(b"WARC/1.1"), "{}", path.display());
                assert_clean(&path.display().to_string(), &plain);
            }
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
    // What was replaced is said, and the rest is still what the rows say.
    let verified = world.command(&["dataset", "verify", "test"]);
    assert_code(&verified, 0);
    let ids = world.table("responses", &["sample_id", "outcome"]);
    let echoed = ids
        .iter()
        .find(|row| row["outcome"] == "unauthorized")
        .unwrap();
    let shown = world.command(&["dataset", "show", echoed["sample_id"].as_str().unwrap()]);
    assert!(
        text(&shown).contains("redacted  response body"),
        "{}",
        text(&shown)
    );
    assert_clean("what is shown", text(&shown).as_bytes());
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

/// Answers with the key it was sent: `how` says in which disguise.
fn echo(how: &str, key: &str) -> Vec<u8> {
    let escapes = key.chars().map(|c| format!("\\u{:04x}", u32::from(c)));
    let escaped = escapes.collect::<Vec<_>>().concat();
    let (header, content, is_zipped) = match how {
        "header" => (format!("x-echo: {key}\r\n"), "nothing".to_owned(), false),
        "zipped" => (String::new(), key.to_owned(), true),
        "escaped" => (String::new(), escaped, false),
        "escaped and zipped" => (String::new(), escaped, true),
        _ => (String::new(), key.to_owned(), false),
    };
    let body = format!(
        r#"{{"id":"x","model":"m","choices":[{{"index":0,"finish_reason":"stop","message":{{"role":"assistant","content":"it is {content}"}}}}]}}"#
    );
    let (body, coding) = if is_zipped {
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zip.write_all(body.as_bytes()).unwrap();
        (zip.finish().unwrap(), "content-encoding: gzip\r\n")
    } else {
        (body.into_bytes(), "")
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nset-cookie: sid={key}\r\nconnection: close\r\n{header}{coding}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

#[test]
fn a_key_that_a_provider_sends_back_in_any_disguise_is_in_no_byte() {
    let disguises = ["plain", "header", "zipped", "escaped", "escaped and zipped"];
    let mut world =
        World::new(json!({ "providers": [{ "name": "unused", "models": [{ "name": "u" }] }] }));
    let port = crate::support::serve(disguises.len(), |head, body| {
        let key = head
            .split("Bearer ")
            .nth(1)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .to_owned();
        let asked: serde_json::Value = serde_json::from_slice(body).unwrap();
        echo(asked["messages"][0]["content"].as_str().unwrap(), &key)
    });
    world.write(
        "models.yaml",
        &json!({
            "providers": { "p": {
                "wire": "openai-chat", "base_url": format!("http://127.0.0.1:{port}/v1"),
                // A key does not belong into an address, and yet people put it there.
                "chat_path": format!("/chat/completions?api-version=1&key={CANARY}"),
                "auth": { "env": "CANARY_KEY" },
            } },
            "accounts": { "p": { "provider": "p", "limits": { "concurrency": 1 } } },
            "models": { "m": { "account": "p", "model": "m" } },
        }),
    );
    world.write(
        "campaign.yaml",
        &json!({
            "id": "test", "purpose": "a test of this program", "models": ["m"],
            "suites": [{ "inline": { "name": "echoes", "prompts": disguises } }],
        }),
    );
    world.env.push(("CANARY_KEY".to_owned(), CANARY.to_owned()));
    assert_code(&world.run(&[]), 0);
    let mut files = 0;
    search(&world.path("data"), &mut files);
    assert!(files > 8, "{files} files");
    assert_rows_clean(&world);
    let rows = world.table("responses", &["messages", "response_text"]);
    assert_eq!(rows.len(), disguises.len());
    for row in &rows {
        let how = row["messages"][0]["content"].as_str().unwrap();
        let expected = match how {
            "header" => "it is nothing",
            _ => "it is [redacted]",
        };
        assert_eq!(row["response_text"], expected, "{how}");
    }
    let verified = world.command(&["dataset", "verify", "test"]);
    assert_code(&verified, 0);
    let told = text(&verified);
    assert!(
        told.contains("not checked: 3 exchanges whose body was withheld"),
        "{told}"
    );
    assert!(told.contains("2 decoded again"), "{told}");
}
