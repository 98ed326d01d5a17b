//! Measurements run, and fail when they should; what they measure is not judged here.

use serde_json::{Value, json};

use crate::support::{World, assert_code, text};

fn world() -> World {
    World::new(json!({ "providers": [{ "name": "p", "models": [{ "name": "m" }] }] }))
}

const SMALL: [&str; 9] = [
    "bench",
    "throughput",
    "--requests=1000",
    "--in-flight=50",
    "--latency-ms=5",
    "--rate=5000",
    "--turns=1",
    "--tls",
    "--logprobs=2",
];

#[test]
fn a_crawl_and_a_bare_loop_are_compared_over_tls() {
    let world = world();
    let output = world.command(&[&SMALL[..], &["--json"]].concat());
    assert_code(&output, 0);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(told["ratio"].as_f64().unwrap() > 0.0, "{told:#}");
    for side in ["crawl", "bare"] {
        let run = &told[side][0];
        for figure in ["cpu_ms_per_request", "requests_per_second", "peak_rss_mb"] {
            assert!(run[figure].as_f64().unwrap() > 0.0, "{figure}: {told:#}");
        }
    }
    assert!(told["crawl"][0]["latency_ms"]["p50"].as_f64().unwrap() >= 5.0);
    assert_eq!(told["settings"]["requests"], 1_000);
}

#[test]
fn a_ratio_above_the_limit_fails() {
    let world = world();
    let output = world.command(&[&SMALL[..], &["--at-most=0.001"]].concat());
    assert_code(&output, 1);
    assert!(text(&output).contains("is more than"), "{}", text(&output));
}

#[test]
fn a_family_tree_grows_and_every_model_answers() {
    let world = world();
    let output = world.command(&["bench", "family", "--models=10", "--json"]);
    assert_code(&output, 0);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&told["models"], &told["answered"]),
        (&json!(10), &json!(10))
    );
    assert!(told["peak_rss_mb"].as_f64().unwrap() > 0.0, "{told:#}");
}

#[test]
fn a_pace_is_measured_by_the_count_of_the_server() {
    let world = world();
    let arguments = ["bench", "pace", "--requests=100", "--rate=100", "--json"];
    let output = world.command(&arguments);
    assert_code(&output, 0);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&told["served"], &told["paid_twice"]),
        (&json!(100), &json!(0))
    );
    assert!(told["times_ideal"].as_f64().unwrap() > 0.5, "{told:#}");
}
