//! Pause, resume, cancel, status, and two runs that share a quota.

use std::time::Duration;

use serde_json::json;

use crate::support::{World, assert_code, finish, text};

fn world() -> World {
    let world = World::new(json!({
        "providers": [{ "name": "p", "latency": { "ms": 40 }, "models": [{ "name": "m" }] }]
    }));
    world.catalog(&[("p", json!({ "concurrency": 4 }))]);
    world.campaign(&["m"], 150, 2, json!({}));
    world
}

fn served(world: &World) -> u64 {
    world.stats()["providers"]["p"]["served"].as_u64().unwrap()
}

#[test]
fn pause_holds_resume_goes_on() {
    let world = world();
    let child = world.start(&[]);
    world.wait_until("requests", |world| served(world) >= 20);
    assert_code(&world.command(&["pause", "test"]), 0);
    world.wait_until("the pause", |world| world.status()["state"] == "paused");
    world.wait_until("the air to clear", |world| {
        world.stats()["providers"]["p"]["in_flight"] == 0
    });
    let held = served(&world);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(served(&world), held, "a paused campaign asked");
    assert!(held < 300);
    assert_code(&world.command(&["resume", "test"]), 0);
    assert_code(&finish(child), 0);
    assert_eq!(served(&world), 300);
}

#[test]
fn cancel_ends_and_seals_and_resume_takes_it_back() {
    let world = world();
    let child = world.start(&[]);
    world.wait_until("requests", |world| served(world) >= 20);
    assert_code(&world.command(&["cancel", "test"]), 0);
    assert_code(&finish(child), 3);
    let outcomes = world.outcomes();
    assert_eq!(outcomes.values().sum::<usize>(), 300);
    assert!(outcomes["not_asked"] > 100, "{outcomes:?}");
    assert_eq!(world.status()["state"], "sealed");
    assert_code(&world.command(&["resume", "test"]), 0);
    assert_code(&world.run(&["--retry-missing"]), 0);
    assert_eq!(world.outcomes()["answered"], 300);
    assert_eq!(world.stats()["providers"]["p"]["paid_twice"], 0);
}

#[test]
fn the_same_campaign_twice_at_once_is_refused() {
    let world = world();
    let child = world.start(&[]);
    world.wait_until("requests", |world| served(world) >= 5);
    let second = world.run(&[]);
    assert_code(&second, 1);
    assert!(text(&second).contains("in use by"), "{}", text(&second));
    assert_code(&finish(child), 0);
    assert_eq!(served(&world), 300);
}

#[test]
fn two_campaigns_on_one_account_take_turns() {
    let world = world();
    let child = world.start(&[]);
    world.wait_until("requests", |world| served(world) >= 5);
    let mut other: serde_json::Value =
        serde_json::from_slice(&std::fs::read(world.path("campaign.yaml")).unwrap()).unwrap();
    other["id"] = json!("other");
    world.write("other.yaml", &other);
    let mut command = world.retort();
    // Another store, the same machine: a quota belongs to the account.
    let second = command
        .args(["run", "other.yaml", "--store", "elsewhere"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    world.wait_until("the second run to say what it waits for", |world| {
        let output = world.command(&["status", "other", "--store", "elsewhere"]);
        text(&output).contains("another run on this machine uses this quota")
    });
    assert_code(&finish(child), 0);
    assert_code(&finish(second), 0);
    assert_eq!(served(&world), 600);
    assert!(
        world.stats()["providers"]["p"]["in_flight_peak"]
            .as_u64()
            .unwrap()
            <= 4,
        "{}",
        world.stats()
    );
}

#[test]
fn another_campaign_under_the_same_id_is_refused() {
    let world = world();
    world.campaign(&["m"], 3, 1, json!({}));
    assert_code(&world.run(&[]), 0);
    world.campaign(&["m"], 4, 1, json!({}));
    let output = world.run(&[]);
    assert_code(&output, 1);
    assert!(
        text(&output).contains("exists with other content"),
        "{}",
        text(&output)
    );
    assert_eq!(served(&world), 3);
}

#[test]
fn a_catalog_that_means_another_model_is_refused_and_a_new_limit_is_not() {
    let world = world();
    world.campaign(&["m"], 3, 1, json!({}));
    assert_code(&world.run(&[]), 0);
    let mut catalog = world.catalog(&[("p", json!({ "concurrency": 2 }))]);
    assert_code(&world.run(&[]), 0);
    catalog["models"]["m"]["model"] = json!("another");
    world.write("models.yaml", &catalog);
    let output = world.run(&[]);
    assert_code(&output, 1);
    assert!(
        text(&output).contains("was planned with other catalog rows for `m`"),
        "{}",
        text(&output)
    );
}

#[test]
fn rounds_wait_for_their_time() {
    let world = world();
    world.campaign(
        &["m"],
        4,
        1,
        json!({ "schedule": { "rounds": 2, "every": "3s" } }),
    );
    let child = world.start(&[]);
    world.wait_until("the wait", |world| {
        world.path("data/campaigns/test/status.json").exists()
            && world.status()["state"] == "waiting"
    });
    let status = world.status();
    assert_eq!(
        (&status["reason"], &status["done"]),
        (&json!("the next round"), &json!(4)),
        "{status:#}"
    );
    assert_code(&finish(child), 0);
    let rounds: Vec<u64> = world
        .table("responses", &["round"])
        .iter()
        .filter_map(|row| row["round"].as_u64())
        .collect();
    assert_eq!(
        (
            rounds.len(),
            rounds.iter().filter(|round| **round == 1).count()
        ),
        (8, 4)
    );
}

#[test]
fn a_run_that_waits_for_a_quota_can_be_cancelled() {
    let world = world();
    let first = world.start(&[]);
    world.wait_until("requests", |world| served(world) >= 5);
    assert_code(&world.command(&["pause", "test"]), 0);
    let campaign = std::fs::read_to_string(world.path("campaign.yaml")).unwrap();
    std::fs::write(
        world.path("two.yaml"),
        campaign.replace("\"test\"", "\"two\""),
    )
    .unwrap();
    let mut command = world.retort();
    command
        .args(["run", "two.yaml"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let second = command.spawn().unwrap();
    world.wait_until("the second run to wait", |world| {
        text(&world.command(&["status", "two"])).contains("another run")
    });
    assert_code(&world.command(&["cancel", "two"]), 0);
    assert_code(&finish(second), 3);
    assert_code(&world.command(&["resume", "test"]), 0);
    assert_code(&finish(first), 0);
    assert_eq!(served(&world), 300);
}

#[test]
fn rounds_keep_their_times_over_restarts() {
    let world = world();
    world.campaign(
        &["m"],
        4,
        1,
        json!({ "schedule": { "rounds": 2, "every": "6s" } }),
    );
    let begun = std::time::Instant::now();
    let mut child = world.start(&[]);
    while begun.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(1_500));
        crate::support::signal(&child, "INT");
        assert_code(&finish(child), 130);
        child = world.start(&[]);
    }
    assert_code(&finish(child), 0);
    assert!(begun.elapsed() >= Duration::from_secs(6));
    assert!(
        begun.elapsed() < Duration::from_secs(12),
        "the clock of the rounds began again"
    );
    assert_eq!(served(&world), 8);
}
