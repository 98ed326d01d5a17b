//! Nothing goes wrong.

use std::time::Duration;

use serde_json::{Value, json};

use crate::processes::{Fleet, fetch, port_of, sum};
use crate::support::{assert_code, text};

#[test]
fn a_campaign_goes_from_submission_to_snapshot() {
    let fleet = Fleet::new(
        "plain",
        &[json!({ "concurrency": 8 }), json!({ "concurrency": 8 })],
        20,
    );
    let listen = ["--listen", "127.0.0.1:0"];
    let mut coordinator = fleet.start("coordinator", "c1", &fleet.url, &listen);
    let worker = fleet.start("worker", "w1", &fleet.url, &listen);
    let other = fleet.worker("w2");
    let told = fleet.submit("test", 40, 5);
    assert_eq!(told["result"], "accepted", "{told}");
    assert_eq!(told["accepted"]["planned"], 400);
    assert_eq!(fleet.sealed("test", 400), 400);
    assert_eq!((fleet.served(), fleet.paid_twice()), (400, 0));

    let status = fleet.command(&["status", "test", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(
        (&status["state"], &status["done"]),
        (&json!("sealed"), &json!(400))
    );
    let again = fleet.submit("test", 40, 5);
    assert_eq!(again["accepted"]["existed"], true, "{again}");

    let (port, own) = (port_of(&fleet, "c1"), port_of(&fleet, "w1"));
    for port in [port, own] {
        assert_eq!(fetch(port, "/livez").0, 200);
        assert_eq!(fetch(port, "/readyz").0, 200);
        assert_eq!(fetch(port, "/else").0, 404);
    }
    let page = fetch(port, "/metrics").1;
    assert_eq!(sum(&page, "retort_coordinator_active"), 1, "{page}");
    assert_eq!(sum(&page, "retort_campaigns_sealed_total"), 1, "{page}");
    assert_eq!(sum(&page, "retort_submissions_total"), 2, "{page}");
    let page = fetch(own, "/metrics").1;
    assert_eq!(sum(&page, "retort_domains_configured"), 2, "{page}");
    assert_eq!(sum(&page, "retort_sessions_open"), 2, "{page}");
    assert_eq!(
        sum(&page, "retort_requests_total"),
        sum(&page, "retort_samples_total"),
        "{page}"
    );
    assert_eq!(
        sum(&page, "retort_records_stored_total"),
        sum(&page, "retort_requests_total"),
        "{page}"
    );

    assert!(coordinator.is_running());
    for process in [worker, other, coordinator] {
        process.signal("TERM");
        assert_eq!(process.end(), Some(0), "{}", fleet.logs());
    }
    assert_eq!(fleet.served(), 400);
}

#[test]
fn several_submissions_are_one_campaign_and_bad_ones_are_told_why() {
    let fleet = Fleet::new("submissions", &[json!({ "concurrency": 8 })], 5);
    let early = fleet.command(&["dead", "list"]);
    assert_code(&early, 0);
    let _coordinator = fleet.coordinator("c1");
    let _worker = fleet.worker("w1");
    for _ in 0..3 {
        assert_eq!(fleet.submit("test", 10, 2)["result"], "accepted");
    }
    assert_eq!(fleet.sealed("test", 20), 20);
    let other = fleet.try_submit("test", 11, 2, json!({}));
    assert_code(&other, 1);
    let told: Value = serde_json::from_slice(&other.stdout).unwrap();
    assert_eq!(told["reason"], "campaign `test` exists with other content");
    let place = fleet.try_submit(
        "two",
        1,
        1,
        json!({ "params": { "extra": { "base_url": "http://127.0.0.1/" } } }),
    );
    assert_code(&place, 1);
    assert!(
        text(&place).contains("names no file, path, address or header"),
        "{}",
        text(&place)
    );
    assert_eq!(fleet.served(), 20);

    let listed = fleet.command(&["dead", "list", "--json"]);
    assert_code(&listed, 0);
    let letters: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert!(
        letters
            .iter()
            .all(|letter| letter["queue"] == "submissions")
    );
    let first = letters[0]["id"].as_str().unwrap();
    assert_code(&fleet.command(&["dead", "requeue", first]), 0);
    // The same fault brings it back.
    fleet.wait_for("it to die again", |fleet| {
        let listed = fleet.command(&["dead", "list", "--json"]);
        let letters: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap_or_default();
        letters.len() == 2
    });
    assert_code(&fleet.command(&["dead", "drop", "nobody"]), 1);
    assert_code(&fleet.command(&["dead", "drop", "--all"]), 0);
    let listed = fleet.command(&["dead", "list"]);
    assert!(
        text(&listed).contains("no dead letters"),
        "{}",
        text(&listed)
    );
}

#[test]
fn wishes_reach_workers() {
    let fleet = Fleet::new("wishes", &[json!({ "concurrency": 8 })], 20);
    let _coordinator = fleet.coordinator("c1");
    let _worker = fleet.worker("w1");
    fleet.submit("test", 100, 40);
    fleet.wait_for_served(50);
    assert_code(&fleet.command(&["pause", "test"]), 0);
    fleet.wait_for("the pause", |fleet| {
        fleet.state("test").as_deref() == Some("paused")
    });
    std::thread::sleep(Duration::from_secs(2));
    let paused = fleet.served();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(fleet.served(), paused);
    assert_code(&fleet.command(&["resume", "test"]), 0);
    fleet.wait_for_served(paused + 50);
    assert_code(&fleet.command(&["cancel", "test"]), 0);
    let asked = fleet.sealed("test", 4_000);
    assert_eq!(asked, fleet.served());
    assert!(asked < 4_000);
}

#[test]
fn wrong_credentials_end_a_service_with_a_clear_error() {
    let fleet = Fleet::new("credentials", &[json!({ "concurrency": 1 })], 5);
    let url = fleet.url.replace("guest:guest", "guest:wrong");
    for role in ["worker", "coordinator"] {
        let process = fleet.start(role, role, &url, &[]);
        assert_eq!(process.end(), Some(1));
        let log = fleet.log(role);
        assert!(log.contains("error: ") && log.contains("refuses"), "{log}");
        assert!(log.contains("hint: check user, password"), "{log}");
        assert!(!log.contains("wrong"), "a password is told: {log}");
    }
}
