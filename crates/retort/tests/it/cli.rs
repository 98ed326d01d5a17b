//! What people read: help, errors, schemas, configuration.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{World, assert_code, finish, signal, text};

fn world() -> World {
    let world = World::new(json!({ "providers": [{ "name": "p", "models": [{ "name": "m" }] }] }));
    world.catalog(&[("p", json!({ "requests_per_minute": 600 }))]);
    world.campaign(&["m"], 3, 2, json!({}));
    world
}

fn printed(world: &World, arguments: &[&str]) -> String {
    let output = world.command(arguments);
    text(&output)
        .replace(&world.dir.path().display().to_string(), "[dir]")
        .replace(&world.fleet.address().to_string(), "[fleet]")
}

#[test]
fn help_of_every_command() {
    let world = world();
    for command in [
        &[][..],
        &["run"],
        &["worker"],
        &["coordinator"],
        &["submit"],
        &["dead"],
        &["dead", "list"],
        &["dead", "requeue"],
        &["dead", "drop"],
        &["plan"],
        &["power"],
        &["check"],
        &["status"],
        &["pause"],
        &["resume"],
        &["cancel"],
        &["sim"],
        &["bench"],
        &["bench", "throughput"],
        &["bench", "pace"],
        &["bench", "family"],
        &["bench", "lineage"],
        &["fingerprint"],
        &["compare"],
        &["dataset"],
        &["detect"],
        &["dataset", "seal"],
        &["dataset", "show"],
        &["dataset", "export"],
        &["dataset", "import"],
        &["store"],
        &["store", "doctor"],
        &["dataset", "verify"],
        &["keys"],
        &["keys", "generate"],
        &["keys", "sign"],
        &["keys", "verify"],
        &["suites"],
        &["suites", "show"],
        &["models"],
        &["models", "list"],
        &["models", "show"],
        &["models", "doctor"],
        &["schema"],
        &["config"],
    ] {
        let mut arguments = command.to_vec();
        arguments.push("--help");
        let name = if command.is_empty() {
            "help".to_owned()
        } else {
            format!("help_{}", command.join("_"))
        };
        insta::assert_snapshot!(name, printed(&world, &arguments));
    }
}

#[test]
fn errors_say_what_and_what_helps() {
    let world = world();
    insta::assert_snapshot!(
        "error_unknown_campaign",
        printed(&world, &["status", "tset"])
    );
    insta::assert_snapshot!(
        "error_no_such_file",
        printed(&world, &["run", "nothing.yaml"])
    );
    insta::assert_snapshot!(
        "error_bad_setting",
        printed(&world, &["config", "show", "--set", "worker.max_atempts=3"])
    );
    insta::assert_snapshot!(
        "error_bad_store",
        printed(&world, &["status", "--store", "ftp://x"])
    );
    std::fs::write(
        world.path("bad.yaml"),
        "id: x\npurpose: p\nmodles: [m]\nsuites: [{suite: style}]\n",
    )
    .unwrap();
    insta::assert_snapshot!("error_unknown_key", printed(&world, &["run", "bad.yaml"]));
    std::fs::write(
        world.path("bad.yaml"),
        "id: x\npurpose: p\nmodels: [mm]\nsuites: [{suite: style}]\n",
    )
    .unwrap();
    insta::assert_snapshot!("error_unknown_model", printed(&world, &["run", "bad.yaml"]));
    std::fs::write(
        world.path("bad.yaml"),
        "id: x\npurpose: p\nmodels: [m]\nsuites: [{suite: stile}]\n",
    )
    .unwrap();
    insta::assert_snapshot!("error_unknown_suite", printed(&world, &["run", "bad.yaml"]));
}

#[test]
fn a_host_beyond_this_machine_needs_a_contact() {
    let world = world();
    let mut catalog = world.catalog(&[]);
    catalog["providers"]["p"]["base_url"] = json!("https://api.example.com/v1");
    world.write("models.yaml", &catalog);
    insta::assert_snapshot!(
        "error_no_contact",
        printed(&world, &["run", "campaign.yaml"])
    );
}

#[test]
fn plan_asks_nobody_and_is_the_same_every_time() {
    let world = world();
    let first = world.command(&["plan", "campaign.yaml", "--json"]);
    assert_code(&first, 0);
    let plan: Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(
        (&plan["samples"], &plan["campaign"]),
        (&json!(6), &json!("test"))
    );
    assert_eq!(
        first.stdout,
        world.command(&["plan", "campaign.yaml", "--json"]).stdout
    );
    let text = printed(&world, &["plan", "campaign.yaml"]);
    assert!(text.contains("samples   6 = 6 blocks × 1 models"), "{text}");
    assert_eq!(world.stats()["providers"]["p"]["requests"], 0);
}

#[test]
fn check_asks_each_model_once() {
    let world = world();
    let output = world.command(&["check", "campaign.yaml", "--json"]);
    assert_code(&output, 0);
    let results: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&results[0]["outcome"], &results[0]["status"]),
        (&json!("answered"), &json!(200))
    );
    assert_eq!(world.stats()["providers"]["p"]["served"], 1);
    assert_code(&world.command(&["check", "campaign.yaml", "--offline"]), 0);
    assert_eq!(world.stats()["providers"]["p"]["served"], 1);
}

#[test]
fn schemas_describe_the_files() {
    let world = world();
    for of in ["campaign", "catalog"] {
        let output = world.command(&["schema", of]);
        assert_code(&output, 0);
        let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(schema["additionalProperties"], json!(false), "{of}");
        assert!(schema["properties"].as_object().unwrap().len() >= 3);
    }
}

#[test]
fn dataset_show_and_seal_after_a_run() {
    let world = world();
    assert_code(&world.run(&[]), 0);
    let shown = world.command(&["dataset", "show", "test"]);
    assert_code(&shown, 0);
    assert!(text(&shown).contains("answered"), "{}", text(&shown));
    let before = world.snapshot();
    assert_code(&world.command(&["dataset", "seal", "test"]), 0);
    assert_eq!(world.snapshot(), before);
    let id = world.table("responses", &["sample_id"])[0]["sample_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let row = world.command(&["dataset", "show", "test", "--row", &id]);
    assert_code(&row, 0);
    assert!(text(&row).contains(&id), "{}", text(&row));
    let statuses = world.command(&["status", "--json"]);
    let statuses: Value = serde_json::from_slice(&statuses.stdout).unwrap();
    assert_eq!(statuses[0]["state"], "sealed");
}

#[test]
fn suites_are_listed_and_shown() {
    let world = world();
    let list = printed(&world, &["suites", "list"]);
    for suite in ["style", "random", "identity"] {
        assert!(list.contains(suite), "{list}");
        assert_code(&world.command(&["suites", "show", suite, "--json"]), 0);
    }
    assert_code(&world.command(&["suites", "show", "stile"]), 2);
}

#[test]
fn a_simulation_ends_when_it_is_told_to() {
    let world = world();
    world.write(
        "fleet.yaml",
        &json!({ "providers": [{ "name": "p", "models": [{ "name": "m" }] }] }),
    );
    for name in ["TERM", "INT"] {
        let mut command = world.retort();
        let mut child = command
            .args(["sim", "fleet.yaml"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(line.starts_with("serving on"), "{line}");
        signal(&child, name);
        // What it served is told last: it was not just killed.
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("\"requests\": 0"), "{rest}");
        assert_code(&finish(child), 0);
    }
}
