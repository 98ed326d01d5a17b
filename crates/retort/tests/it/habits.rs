//! Fingerprints through the command line: from a crawl to files, from files to a statement.

use serde_json::{Value, json};

use crate::support::{World, assert_code, text};

fn crawled() -> World {
    let models = ["m", "n", "o"].map(|name| json!({ "name": name }));
    let world = World::new(json!({ "providers": [{ "name": "p", "models": models }] }));
    world.catalog(&[("p", json!({ "requests_per_minute": 60_000 }))]);
    world.campaign(&["m", "n", "o"], 6, 1, json!({}));
    assert_code(&world.run(&[]), 0);
    world
}

#[test]
fn a_crawl_becomes_fingerprints_that_can_be_compared() {
    let world = crawled();
    let arguments = [
        "fingerprint",
        "test",
        "--store",
        "data",
        "-o",
        "prints",
        "--json",
    ];
    let output = world.command(&arguments);
    assert_code(&output, 0);
    let saved: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let names: Vec<&str> = saved
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["model"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["m", "n", "o"]);
    assert_eq!(saved[0]["prompts"], 6);
    let files = ["prints/m.fingerprint", "prints/n.fingerprint"];
    let first = std::fs::read(world.path(files[0])).unwrap();
    assert_code(&world.command(&arguments), 0);
    assert_eq!(
        std::fs::read(world.path(files[0])).unwrap(),
        first,
        "the same again"
    );

    let compare = ["compare", files[0], files[1], "--pool", "prints", "--json"];
    let output = world.command(&compare);
    assert_code(&output, 0);
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found["statement"]["prompts"], 6);
    assert_eq!(
        found["statement"]["finding"]["state"],
        "control_set_insufficient"
    );
    assert!(found["families"].as_array().unwrap().len() > 5, "{found}");
    let output = world.command(&["compare", files[0], files[0]]);
    assert_code(&output, 0);
    assert!(text(&output).contains("m and m (candidate): control set insufficient"));
}

#[test]
fn what_cannot_be_read_is_named() {
    let world = crawled();
    std::fs::write(world.path("other"), "something else").unwrap();
    for (arguments, expected) in [
        (
            &["compare", "other", "other"][..],
            "it is not a fingerprint",
        ),
        (&["compare", "gone", "other"], "failed to read `gone`"),
        (
            &["bench", "lineage", "--data", "data"],
            "alpaca_eval.parquet",
        ),
    ] {
        let output = world.command(arguments);
        assert_code(&output, 1);
        let told = text(&output);
        assert!(
            told.contains("error: ") && told.contains(expected),
            "{told}"
        );
    }
    let arguments = [
        "fingerprint",
        "test",
        "--store",
        "data",
        "-o",
        "x",
        "--model",
        "nobody",
    ];
    let output = world.command(&arguments);
    assert_code(&output, 1);
    assert!(
        text(&output).contains("holds no replies"),
        "{}",
        text(&output)
    );
}
