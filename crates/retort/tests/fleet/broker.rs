//! The broker itself is short of memory or disk, stops, dies, gives up consumers, or loses a queue. But
//! for the last each of these happens to a broker of its own.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::processes::{Fleet, fetch, port_of};
use crate::rabbit::Rabbit;
use crate::side_by_side::worlds;

const PER_SECOND: u64 = 40;

/// Waits until nothing is served for a while; returns how much was.
fn until_quiet(fleet: &Fleet) -> u64 {
    const QUIET: Duration = Duration::from_secs(3);
    let (mut served, mut since) = (fleet.served(), Instant::now());
    fleet.wait_for("starts to pause", |fleet| {
        if fleet.served() != served {
            (served, since) = (fleet.served(), Instant::now());
        }
        since.elapsed() >= QUIET
    });
    served
}

/// While the broker takes nothing new nothing is begun, what is in the air is stored and acknowledged,
/// services stay ready, and all goes on when the alarm ends.
fn alarm(vhost: &str, raise: [&str; 2], clear: [&str; 2]) {
    let limits = json!({ "requests_per_minute": PER_SECOND * 60 });
    let fleet = Fleet::over(Rabbit::own(), vhost, &[limits], 50);
    let listen = ["--listen", "127.0.0.1:0"];
    let _coordinator = fleet.start("coordinator", "c0", &fleet.url, &listen);
    let _worker = fleet.start("worker", "w0", &fleet.url, &listen);
    fleet.submit("test", 60, 10);
    fleet.wait_for_served(100);
    let held = || fleet.queue("probes.p0").unwrap_or_default();
    fleet.rabbit.ctl(&raise);
    let raised = Instant::now();
    let served = until_quiet(&fleet);
    assert!(served < 600, "the alarm came too late");
    println!(
        "{vhost} alarm: the last request ended {:.1?} after it",
        raised.elapsed().saturating_sub(Duration::from_secs(3))
    );
    // Everything that was asked is acknowledged: the rest is what has not been asked.
    fleet.wait_for("acknowledgements to flow", |_| {
        let (ready, unacknowledged) = held();
        ready + unacknowledged == 600 - served
    });
    for name in ["c0", "w0"] {
        let port = port_of(&fleet, name);
        assert_eq!(fetch(port, "/livez").0, 200, "{name}");
        assert_eq!(fetch(port, "/readyz").0, 200, "{name}");
    }
    assert_eq!(fleet.served(), served, "something was begun in an alarm");
    fleet.rabbit.ctl(&clear);
    let cleared = Instant::now();
    fleet.wait_for_served(served + 1);
    println!(
        "{vhost} alarm: asked again {:.1?} after its end",
        cleared.elapsed()
    );
    fleet.sealed("test", 600);
    fleet.assert_paid_once(600);
}

fn restart(vhost: &str, fault: impl FnOnce(&Rabbit)) {
    let limits = [json!({ "concurrency": 8 }), json!({ "concurrency": 8 })];
    let mut fleet = Fleet::over(Rabbit::own(), vhost, &limits, 50);
    fleet.set("worker.grace=1s");
    let _coordinator = fleet.coordinator("c0");
    let _worker = fleet.worker("w0");
    fleet.submit("test", 100, 6);
    fleet.wait_for_served(200);
    fault(&fleet.rabbit);
    fleet.sealed("test", 1_200);
    // What was in the air or fetched already is recognised when it is delivered again.
    fleet.assert_paid_once(1_200);
}

fn consumer_timeout() {
    let rabbit = Rabbit::own();
    let eval = "application:set_env(rabbit, consumer_timeout, 4000), \
                application:set_env(rabbit, channel_tick_interval, 1000).";
    rabbit.ctl(&["eval", eval]);
    let slow = json!([{ "kind": "slow_drip", "lasts": "10s", "every": 50 }]);
    let spec = json!({ "providers": [
        { "name": "p0", "latency": { "ms": 50 }, "faults": slow, "models": [{ "name": "m0", "words_max": 30 }] },
        { "name": "p1", "latency": { "ms": 50 }, "models": [{ "name": "m1", "words_max": 30 }] },
    ]});
    let limits = [json!({ "concurrency": 4 }), json!({ "concurrency": 1 })];
    let mut fleet = Fleet::of(rabbit, "consumer-timeout", spec, &limits);
    fleet.set("worker.grace=1s");
    // Few are held ahead: only slow answers take longer than the broker waits.
    fleet.set("worker.prefetch_max=8");
    let _coordinator = fleet.coordinator("c0");
    let _worker = fleet.worker("w0");
    fleet.submit("test", 10, 10);
    fleet.sealed("test", 200);
    fleet.assert_paid_once(200);
    let lost = fleet
        .log("w0")
        .matches("the session of a domain ended")
        .count();
    println!("consumer timeout: {lost} sessions ended");
    assert!(lost >= 1, "the broker closed no channel\n{}", fleet.logs());
}

worlds! {
    fn a_memory_alarm_pauses_starts_and_nothing_else() {
        let command = "set_vm_memory_high_watermark";
        alarm("memory", [command, "0.000001"], [command, "0.6"]);
    }

    fn a_disk_alarm_pauses_starts_and_nothing_else() {
        let command = "set_disk_free_limit";
        alarm("disk", [command, "999999GB"], [command, "50MB"]);
    }

    fn a_restart_of_the_broker_costs_no_request() {
        restart("stop-app", |rabbit| {
            rabbit.ctl(&["stop_app"]);
            rabbit.ctl(&["start_app"]);
        });
    }

    fn kill_9_of_the_broker_costs_no_request() {
        restart("crash", Rabbit::crash);
    }

    /// A delivery that is held for too long makes the broker close its consumer's channel.
    fn a_consumer_timeout_costs_no_request() {
        consumer_timeout();
    }

    /// The broker cancels the consumers of a queue that is deleted.
    fn a_consumer_that_the_broker_cancels_begins_again() {
        let limits = [json!({ "concurrency": 8 }), json!({ "concurrency": 8 })];
        let mut fleet = Fleet::new("cancelled", &limits, 50);
        fleet.set("coordinator.lost_after=5s");
        let _coordinator = fleet.coordinator("c0");
        let _worker = fleet.worker("w0");
        fleet.submit("test", 100, 6);
        fleet.wait_for_served(200);
        fleet
            .rabbit
            .ctl(&["delete_queue", "-p", &fleet.vhost, "probes.p0"]);
        fleet.sealed("test", 1_200);
        fleet.assert_paid_once(1_200);
        let log = fleet.log("w0");
        assert!(log.contains("the session of a domain ended"), "{log}");
    }
}
