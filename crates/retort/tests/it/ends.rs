//! Everything ends: each cause finishes samples or parks lanes with its reason, neighbours unharmed,
//! exit code 3, and `--retry-missing` completes the campaign once the cause is gone.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{World, assert_code, text};

/// Settings that make patience short: the logic is the same, a test has no minutes.
const HASTY: &[&str] = &[
    "--set",
    "pace.breaker.failures_to_open=3",
    "--set",
    "pace.breaker.first_wait=100ms",
    "--set",
    "pace.breaker.max_wait=300ms",
    "--set",
    "pace.breaker.park_after=2s",
    "--set",
    "worker.retry_wait=20ms",
    "--set",
    "worker.retry_wait_max=100ms",
    "--set",
    "worker.max_attempts=3",
];

/// Two providers: `sick`, which has the faults, and `well`, which has none.
fn world(faults: &Value) -> World {
    let world = World::new(json!({
        "providers": [
            { "name": "sick", "latency": { "ms": 5 }, "faults": faults, "models": [{ "name": "a" }] },
            { "name": "well", "latency": { "ms": 5 }, "models": [{ "name": "b" }] },
        ]
    }));
    world.catalog(&[
        ("sick", json!({ "concurrency": 8 })),
        ("well", json!({ "concurrency": 8 })),
    ]);
    world.campaign(&["a", "b"], 40, 1, json!({}));
    world
}

fn by_model(world: &World) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    for row in world.table("responses", &["model", "outcome"]) {
        let key = (
            row["model"].as_str().unwrap().to_owned(),
            row["outcome"].as_str().unwrap().to_owned(),
        );
        *counts.entry(key).or_default() += 1;
    }
    counts
}

fn count(world: &World, model: &str, outcome: &str) -> usize {
    by_model(world)
        .get(&(model.to_owned(), outcome.to_owned()))
        .copied()
        .unwrap_or(0)
}

/// The neighbour is unharmed, and the campaign completes once the cause is gone.
fn assert_heals(world: &World, heal: impl FnOnce(&World)) {
    assert_eq!(
        count(world, "b", "answered"),
        40,
        "the neighbour was harmed: {:?}",
        by_model(world)
    );
    let before = world.stats()["providers"]["well"]["served"]
        .as_u64()
        .unwrap();
    heal(world);
    let mut flags = HASTY.to_vec();
    flags.push("--retry-missing");
    assert_code(&world.run(&flags), 0);
    assert_eq!(count(world, "a", "answered"), 40, "{:?}", by_model(world));
    assert_eq!(count(world, "b", "answered"), 40);
    assert_eq!(
        world.stats()["providers"]["well"]["served"]
            .as_u64()
            .unwrap(),
        before,
        "answers were asked for again"
    );
}

fn healthy(world: &World) {
    world
        .fleet
        .set_faults("sick", &[])
        .expect("the provider exists");
}

fn reasons(world: &World, model: &str) -> Vec<String> {
    let rows = world.table("responses", &["model", "reason"]);
    let mut reasons: Vec<String> = rows
        .iter()
        .filter(|row| row["model"] == model)
        .filter_map(|row| row["reason"].as_str().map(str::to_owned))
        .collect();
    reasons.sort();
    reasons.dedup();
    reasons
}

#[test]
fn poison_prompts_give_up_and_the_others_are_answered() {
    let world =
        world(&json!([{ "kind": "status", "status": 500, "prompts_containing": "number 1" }]));
    // Once the others are answered, failures follow each other for as long as the waits between them
    // take; that must not look like a dead endpoint here.
    let patient = [HASTY, &["--set", "pace.breaker.park_after=2m"]].concat();
    let output = world.run(&patient);
    assert_code(&output, 3);
    // Numbers 1 and 10 to 19.
    assert_eq!(count(&world, "a", "gave_up"), 11, "{:?}", by_model(&world));
    assert_eq!(count(&world, "a", "answered"), 29);
    assert_eq!(reasons(&world, "a"), ["provider_error after 3 attempts"]);
    let attempts = world.table("attempts", &["model", "outcome"]);
    let failed = attempts
        .iter()
        .filter(|row| row["model"] == "a" && row["outcome"] == "provider_error")
        .count();
    assert_eq!(failed, 33, "three attempts each");
    assert_heals(&world, healthy);
}

#[test]
fn a_revoked_key_parks_its_domain() {
    let mut world = World::new(json!({
        "providers": [
            { "name": "sick", "latency": { "ms": 5 }, "api_keys": ["good-key"], "models": [{ "name": "a" }] },
            { "name": "well", "latency": { "ms": 5 }, "models": [{ "name": "b" }] },
        ]
    }));
    let mut catalog = world.catalog(&[
        ("sick", json!({ "concurrency": 4 })),
        ("well", json!({ "concurrency": 8 })),
    ]);
    catalog["providers"]["sick"]["auth"] = json!({ "env": "SICK_KEY" });
    world.write("models.yaml", &catalog);
    world.campaign(&["a", "b"], 40, 1, json!({}));
    world
        .env
        .push(("SICK_KEY".to_owned(), "revoked-key".to_owned()));
    assert_code(&world.run(HASTY), 3);
    let asked = world
        .table("attempts", &["model", "outcome"])
        .iter()
        .filter(|row| row["outcome"] == "unauthorized")
        .count();
    assert!((1..=4).contains(&asked), "{asked} requests with a dead key");
    assert_eq!(
        count(&world, "a", "unauthorized") + count(&world, "a", "not_asked"),
        40
    );
    assert_eq!(reasons(&world, "a"), ["parked: unauthorized"]);
    let status = world.status();
    assert_eq!(status["models"][0]["parked"], "unauthorized", "{status:#}");
    world.env[0].1 = "good-key".to_owned();
    assert_heals(&world, |_| {});
}

#[test]
fn an_exhausted_quota_parks_its_domain() {
    let world = world(&json!([{ "kind": "status", "status": 429, "code": "insufficient_quota" }]));
    assert_code(&world.run(HASTY), 3);
    assert!(count(&world, "a", "quota_exhausted") >= 1);
    assert_eq!(
        count(&world, "a", "quota_exhausted") + count(&world, "a", "not_asked"),
        40
    );
    assert_eq!(reasons(&world, "a"), ["parked: quota_exhausted"]);
    assert_heals(&world, healthy);
}

#[test]
fn an_unreachable_host_parks_its_lane() {
    let world = world(&json!([]));
    let mut catalog = world.catalog(&[
        ("sick", json!({ "concurrency": 8 })),
        ("well", json!({ "concurrency": 8 })),
    ]);
    let real = catalog["providers"]["sick"]["base_url"].clone();
    // A port of loopback that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let path = real
        .as_str()
        .unwrap()
        .splitn(4, '/')
        .nth(3)
        .unwrap()
        .to_owned();
    catalog["providers"]["sick"]["base_url"] = json!(format!("http://127.0.0.1:{port}/{path}"));
    world.write("models.yaml", &catalog);
    assert_code(&world.run(HASTY), 3);
    assert_eq!(
        count(&world, "a", "gave_up") + count(&world, "a", "not_asked"),
        40,
        "{:?}",
        by_model(&world)
    );
    assert!(
        reasons(&world, "a")
            .iter()
            .any(|reason| reason.contains("connect_failed")),
        "{:?}",
        reasons(&world, "a")
    );
    assert_heals(&world, |world| {
        catalog["providers"]["sick"]["base_url"] = real;
        world.write("models.yaml", &catalog);
    });
}

#[test]
fn a_server_that_hangs_times_out_and_parks() {
    let world = world(&json!([{ "kind": "hang" }]));
    let mut flags = HASTY.to_vec();
    flags.extend(["--set", "client.first_byte_timeout=200ms"]);
    assert_code(&world.run(&flags), 3);
    assert_eq!(
        count(&world, "a", "gave_up") + count(&world, "a", "not_asked"),
        40,
        "{:?}",
        by_model(&world)
    );
    assert!(
        reasons(&world, "a")
            .iter()
            .any(|reason| reason.contains("timeout")),
        "{:?}",
        reasons(&world, "a")
    );
    assert_heals(&world, healthy);
}

#[test]
fn an_unknown_model_parks_its_lane_alone() {
    let world = world(&json!([{ "kind": "status", "status": 404, "code": "model_not_found" }]));
    assert_code(&world.run(HASTY), 3);
    assert_eq!(
        count(&world, "a", "not_found") + count(&world, "a", "not_asked"),
        40,
        "{:?}",
        by_model(&world)
    );
    assert_heals(&world, healthy);
}

#[test]
fn a_budget_of_requests_is_never_exceeded() {
    let world = world(&json!([]));
    world.campaign(&["a", "b"], 40, 1, json!({ "budget": { "requests": 30 } }));
    let output = world.run(HASTY);
    assert_code(&output, 3);
    let stats = world.stats();
    let served = |name: &str| stats["providers"][name]["served"].as_u64().unwrap();
    assert_eq!(served("sick") + served("well"), 30, "{stats}");
    assert_eq!(
        world.outcomes(),
        BTreeMap::from([("answered".to_owned(), 30), ("not_asked".to_owned(), 50)])
    );
    assert!(
        reasons(&world, "a")
            .iter()
            .all(|reason| reason == "the budget of 30 requests is used up")
    );
    assert!(
        world.status()["reason"]
            .as_str()
            .unwrap()
            .contains("budget"),
        "{:#}",
        world.status()
    );
}

#[test]
fn a_budget_of_dollars_is_never_exceeded() {
    let world = world(&json!([]));
    let mut catalog = world.catalog(&[
        ("sick", json!({ "concurrency": 8 })),
        ("well", json!({ "concurrency": 8 })),
    ]);
    for model in ["a", "b"] {
        catalog["models"][model]["price"] =
            json!({ "input": 10.0, "output": 1000.0, "as_of": "2026-01-01", "source": "made up" });
    }
    world.write("models.yaml", &catalog);
    world.campaign(&["a", "b"], 40, 1, json!({ "budget": { "usd": 0.5 } }));
    assert_code(&world.run(HASTY), 3);
    let spent: f64 = world
        .table("attempts", &["cost_usd"])
        .iter()
        .filter_map(|row| row["cost_usd"].as_f64())
        .sum();
    assert!(spent > 0.2 && spent <= 0.5, "spent {spent}");
    assert!(
        reasons(&world, "a")
            .iter()
            .all(|reason| reason == "the budget of 0.5 USD is used up")
    );
}

#[test]
fn a_deadline_ends_what_is_open() {
    let world = World::new(json!({
        "providers": [{ "name": "p", "latency": { "ms": 100 }, "models": [{ "name": "a" }] }]
    }));
    world.catalog(&[("p", json!({ "concurrency": 1 }))]);
    let deadline = retort_types::WallClock::now(&crate::support::TestClock)
        .after(std::time::Duration::from_secs(4));
    world.campaign(
        &["a"],
        200,
        1,
        json!({ "budget": { "deadline": deadline } }),
    );
    assert_code(&world.run(&[]), 3);
    assert!(
        count(&world, "a", "answered") >= 1 && count(&world, "a", "not_asked") >= 100,
        "{:?}",
        by_model(&world)
    );
    assert_eq!(reasons(&world, "a"), ["the campaign's deadline passed"]);
}

#[test]
fn a_missing_key_is_told_before_anything_is_asked() {
    let world = world(&json!([]));
    let mut catalog = world.catalog(&[]);
    catalog["providers"]["sick"]["auth"] = json!({ "env": "NO_SUCH_KEY" });
    world.write("models.yaml", &catalog);
    let output = world.run(&[]);
    assert_code(&output, 2);
    assert!(
        text(&output).contains("NO_SUCH_KEY is not set"),
        "{}",
        text(&output)
    );
    assert_eq!(world.stats()["providers"]["well"]["served"], 0);
}

#[test]
fn retries_do_not_overrun_a_budget_of_requests() {
    let world = world(&json!([{ "kind": "status", "status": 500 }]));
    world.campaign(&["a"], 40, 1, json!({ "budget": { "requests": 60 } }));
    // Slow retries, so that the budget ends while most samples are still to be asked again.
    let flags = [
        "--set",
        "worker.retry_wait=2s",
        "--set",
        "pace.breaker.failures_to_open=1000",
    ];
    assert_code(&world.run(&flags), 3);
    let requests = world.stats()["providers"]["sick"]["requests"]
        .as_u64()
        .unwrap();
    // At most what was in the air when the budget ended, and what half a second lets out.
    assert!(
        (60..=80).contains(&requests),
        "{requests} requests for a budget of 60"
    );
    let rows = world.table("responses", &["outcome", "attempts"]);
    let told: u64 = rows.iter().filter_map(|row| row["attempts"].as_u64()).sum();
    assert_eq!(
        told, requests,
        "the rows tell how often each sample was asked"
    );
}

#[test]
fn a_sick_model_does_not_hold_up_its_neighbour_on_the_same_account() {
    let world = World::new(json!({
        "providers": [{ "name": "p", "latency": { "ms": 5 }, "models": [{ "name": "a" }, { "name": "b" }],
                        "faults": [{ "kind": "status", "status": 500, "models": ["a"] }] }]
    }));
    world.catalog(&[("p", json!({ "concurrency": 8 }))]);
    world.campaign(&["a", "b"], 150, 1, json!({}));
    let mut flags = HASTY.to_vec();
    flags.extend([
        "--set",
        "coordinator.window_min=20",
        "--set",
        "coordinator.window_max=20",
    ]);
    assert_code(&world.run(&flags), 3);
    assert_eq!(
        count(&world, "b", "answered"),
        150,
        "{:?}",
        by_model(&world)
    );
    assert_eq!(
        count(&world, "a", "gave_up") + count(&world, "a", "not_asked"),
        150
    );
}
