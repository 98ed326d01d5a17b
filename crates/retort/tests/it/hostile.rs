//! Hostile answers: every fault of the fleet gives a typed outcome within bounded time and memory.

use std::collections::BTreeMap;

use serde_json::json;

use crate::support::{World, assert_code};

/// What each fault must be called. A fault that is not listed here fails the test below.
const EXPECTED: &[(&str, &[&str])] = &[
    ("status", &["provider_error"]),
    ("hang", &["timeout"]),
    ("hang_mid_body", &["timeout"]),
    ("slow_drip", &["timeout"]),
    ("cut", &["cut", "undecodable"]),
    ("reset", &["cut", "connect_failed"]),
    ("garbage", &["cut", "undecodable"]),
    ("wrong_type", &["undecodable"]),
    ("json_wrong_shape", &["undecodable"]),
    ("error_in_200", &["provider_error"]),
    ("error_in_stream", &["provider_error"]),
    ("gzip_bomb", &["undecodable"]),
    ("bad_gzip", &["undecodable"]),
    ("endless_body", &["undecodable", "timeout"]),
    ("endless_headers", &["undecodable", "cut"]),
    ("endless_sse_line", &["undecodable", "timeout", "cut"]),
    ("lying_content_length", &["answered", "cut"]),
    ("empty_200", &["undecodable"]),
    ("invalid_utf8", &["answered", "undecodable"]),
    ("huge_numbers", &["answered", "undecodable"]),
    ("deep_json", &["undecodable", "answered"]),
    ("duplicate_done", &["answered"]),
    ("late_junk", &["answered"]),
    ("late_cut", &["answered", "cut"]),
    ("unasked_redirect", &["provider_error"]),
];

/// Most memory a run may take while a hundred such answers arrive, in KiB: the caps of a body and
/// its expansion, times the requests in the air, stay far below what the faults would send.
const PEAK_KIB_MAX: u64 = 700 * 1024;

fn crawl(stream: bool) {
    let world = faulty_world();
    let names: Vec<&str> = EXPECTED.iter().map(|(kind, _)| *kind).collect();
    world.campaign(
        &names,
        2,
        1,
        json!({ "params": { "max_tokens": 24, "stream": stream } }),
    );
    let output = world.run(&[
        "--set",
        "worker.max_attempts=1",
        "--set",
        "client.first_byte_timeout=1500ms",
        "--set",
        "client.idle_timeout=1500ms",
        "--set",
        "client.total_timeout=3s",
        "--set",
        "pace.breaker.failures_to_open=100",
    ]);
    assert_code(&output, 3);
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in world.table("attempts", &["model", "outcome"]) {
        let outcome = row["outcome"].as_str().unwrap().to_owned();
        seen.entry(row["model"].as_str().unwrap().to_owned())
            .or_default()
            .push(outcome);
    }
    for (kind, allowed) in EXPECTED {
        let outcomes = seen
            .get(*kind)
            .unwrap_or_else(|| panic!("no attempt met {kind}"));
        let typed = outcomes
            .iter()
            .all(|outcome| allowed.contains(&outcome.as_str()));
        assert!(typed, "{kind} was called {outcomes:?}");
    }
    assert_eq!(world.stats()["redirects_followed"], 0);
    // What was decoded while it arrived is decoded the same from the stored bytes.
    assert_code(&world.command(&["dataset", "verify", "test"]), 0);
}

/// One provider and one model per fault, each with its name.
fn faulty_world() -> World {
    let provider = |kind: &str| {
        let fault = match kind {
            "slow_drip" | "hang" | "hang_mid_body" => json!({ "kind": kind, "lasts": "20s" }),
            kind => json!({ "kind": kind }),
        };
        json!({ "name": format!("p-{kind}"), "faults": [fault], "models": [{ "name": kind }] })
    };
    let providers: Vec<_> = EXPECTED.iter().map(|(kind, _)| provider(kind)).collect();
    let world = World::new(json!({ "providers": providers }));
    let names: Vec<String> = EXPECTED
        .iter()
        .map(|(kind, _)| format!("p-{kind}"))
        .collect();
    let limits: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), json!({ "concurrency": 2 })))
        .collect();
    world.catalog(&limits);
    world
}

#[test]
fn every_fault_has_an_expectation() {
    let known: Vec<&str> = EXPECTED.iter().map(|(kind, _)| *kind).collect();
    for kind in retort_sim::FaultKind::ALL {
        assert!(
            known.contains(&kind.as_str()),
            "{} has no expectation",
            kind.as_str()
        );
    }
}

#[test]
fn plain_answers() {
    crawl(false);
}

#[test]
fn streamed_answers() {
    crawl(true);
}

#[test]
fn memory_stays_bounded_under_bombs_and_endless_bodies() {
    let world = World::new(json!({
        "providers": [{
            "name": "p",
            "faults": [{ "kind": "gzip_bomb", "every": 2 }, { "kind": "endless_body" }],
            "models": [{ "name": "m" }]
        }]
    }));
    world.catalog(&[("p", json!({ "concurrency": 4 }))]);
    world.campaign(&["m"], 16, 1, json!({}));
    let flags = [
        "--set",
        "worker.max_attempts=1",
        "--set",
        "pace.breaker.failures_to_open=100",
    ];
    let mut child = world.start(&flags);
    let mut peak = 0;
    let begun = std::time::Instant::now();
    while child.try_wait().expect("ours").is_none() {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap_or("0");
        peak = peak.max(
            line.trim()
                .trim_end_matches(" kB")
                .parse::<u64>()
                .unwrap_or(0),
        );
        assert!(begun.elapsed() < crate::support::PATIENCE, "it did not end");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_code(&crate::support::finish(child), 3);
    assert!(peak > 0 && peak < PEAK_KIB_MAX, "peak {peak} KiB");
}
