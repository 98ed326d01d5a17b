//! Nothing goes wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use retort_broker::testkit::{FaultProxy, Mode};
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
    // What it tells of a domain is half a second old.
    fleet.wait_for("a worker's page to tell of the last answer", |_| {
        let page = fetch(own, "/metrics").1;
        sum(&page, "retort_requests_total") == sum(&page, "retort_samples_total")
    });
    let page = fetch(own, "/metrics").1;
    assert_eq!(sum(&page, "retort_domains_configured"), 2, "{page}");
    assert_eq!(sum(&page, "retort_sessions_open"), 2, "{page}");
    assert_eq!(
        sum(&page, "retort_records_stored_total"),
        sum(&page, "retort_requests_total"),
        "{page}"
    );

    // A domain at rest costs the store nothing.
    let paces = || {
        let folders = std::fs::read_dir(fleet.world.path("data/domains")).unwrap();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
        let paths = files.map(|entry| entry.unwrap().path());
        paths.collect::<BTreeSet<_>>()
    };
    std::thread::sleep(Duration::from_secs(2));
    let saved = paces();
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(paces(), saved, "saved again, though nothing was asked");
    assert!((2..=6).contains(&saved.len()), "{saved:?}");

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
fn a_worker_that_comes_first_waits_for_what_it_may_not_make() {
    let fleet = Fleet::new("first", &[json!({ "concurrency": 8 })], 5);
    let listen = ["--listen", "127.0.0.1:0"];
    let worker = fleet.start("worker", "w1", &fleet.url_of("worker"), &listen);
    let port = port_of(&fleet, "w1");
    fleet.wait_for("the worker to wait", |_| {
        fetch(port, "/readyz")
            .1
            .contains("`receipts`: it is not there")
    });
    assert_eq!(fetch(port, "/readyz").0, 503);
    assert_eq!(fetch(port, "/livez").0, 200);
    let page = fetch(port, "/metrics").1;
    assert!(
        page.contains("retort_broker_health{state=\"up\"} 1"),
        "{page}"
    );
    let submitter = fleet.url_of("submitter");
    fleet.world.campaign(&["m0"], 10, 2, json!({}));
    let early = fleet.command_as(&submitter, &["submit", "campaign.yaml"]);
    assert_code(&early, 1);
    assert!(
        text(&early).contains("hint: start a coordinator"),
        "{}",
        text(&early)
    );

    let coordinator = fleet.start("coordinator", "c1", &fleet.url_of("coordinator"), &[]);
    fleet.wait_for("the worker", |fleet| fleet.log("w1").contains("is ready"));
    assert_eq!(fetch(port, "/readyz").0, 200, "{}", fleet.logs());
    let submitted = fleet.command_as(&submitter, &["submit", "campaign.yaml"]);
    assert_code(&submitted, 0);
    assert_eq!(fleet.sealed("test", 20), 20);
    for process in [worker, coordinator] {
        process.signal("TERM");
        assert_eq!(process.end(), Some(0), "{}", fleet.logs());
    }
    // What a broker refuses is asked for on purpose: it is no error for whoever reads logs.
    for name in ["w1", "c1"] {
        let log = fleet.log(name);
        assert!(!log.contains("ERROR"), "{log}");
    }
    let waits = "`receipts`: it is not there, and this user may not make it; it is tried again";
    assert_eq!(fleet.log("w1").matches(waits).count(), 1, "said once");
}

#[test]
fn services_live_while_their_broker_is_away() {
    let fleet = Fleet::new("away", &[json!({ "concurrency": 8 })], 5);
    let proxy = FaultProxy::start(fleet.rabbit.address);
    let proxy = fleet.runtime.block_on(proxy).unwrap();
    proxy.set(Mode::Cut);
    let url = format!("amqp://guest:guest@{}/{}", proxy.address(), fleet.vhost);
    let listen = ["--listen", "127.0.0.1:0"];
    let roles = [("worker", "w1"), ("coordinator", "c1")];
    let services = roles.map(|(role, name)| fleet.start(role, name, &url, &listen));
    let impatient = roles.map(|(role, _)| fleet.start(role, role, &url, &listen));
    let ports = roles.map(|(_, name)| port_of(&fleet, name));
    for port in ports {
        assert_eq!(fetch(port, "/livez").0, 200);
        let ready = fetch(port, "/readyz");
        assert_eq!(ready, (503, "the broker cannot be reached\n".to_owned()));
        let page = fetch(port, "/metrics").1;
        let down = "retort_broker_health{state=\"down\"} 1";
        assert!(page.contains(down), "{page}");
    }
    for (process, (role, _)) in impatient.into_iter().zip(roles) {
        port_of(&fleet, role);
        process.signal("TERM");
        assert_eq!(process.end(), Some(0), "{}", fleet.logs());
    }
    proxy.set(Mode::Pass);
    for port in ports {
        fleet.wait_for("the broker", |_| fetch(port, "/readyz").0 == 200);
    }
    fleet.submit("test", 10, 2);
    assert_eq!(fleet.sealed("test", 20), 20);
    drop(services);
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
