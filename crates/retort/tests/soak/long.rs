//! One fault that lasts.

use std::time::{Duration, Instant};

use retort_broker::testkit::Mode;
use serde_json::json;

use crate::outage::outage;
use crate::processes::Fleet;
use crate::rabbit::Rabbit;
use crate::{peak_max, told};

#[test]
fn an_owner_stands_still_for_a_minute() {
    const PER_SECOND: u64 = 20;
    let limits = json!({ "requests_per_minute": PER_SECOND * 60 });
    let fleet = Fleet::new("still", &[limits], 50);
    let _coordinator = fleet.coordinator("c0");
    let owner = fleet.worker("w0");
    fleet.submit("test", 150, 12);
    fleet.wait_for_served(100);
    let _follower = fleet.worker("w1");
    std::thread::sleep(Duration::from_secs(3));
    let before = fleet.served();
    owner.signal("STOP");
    std::thread::sleep(Duration::from_secs(60));
    let meanwhile = fleet.served() - before;
    owner.signal("CONT");
    fleet.sealed("test", 1_800);
    let (peak, twice) = (fleet.peak(), fleet.paid_twice());
    assert!(meanwhile > 0, "nobody followed");
    assert!(
        peak <= peak_max(PER_SECOND),
        "{peak} requests within a second"
    );
    assert!(twice <= PER_SECOND * 3, "{twice} asked twice");
    told(
        "3 owner stands still for 60 s",
        &format!(
            "1,800 of 1,800 rows, {twice} asked twice; {meanwhile} asked by the follower meanwhile; {peak} \
             requests within the busiest second of {PER_SECOND}"
        ),
    );
}

/// A connection that carries a byte per second does not end by itself: heartbeats pass.
#[test]
fn a_link_of_one_byte_per_second_loses_its_domain() {
    const PER_SECOND: u64 = 20;
    const LASTS: Duration = Duration::from_mins(4);
    let limits = json!({ "requests_per_minute": PER_SECOND * 60 });
    let fleet = Fleet::new("byte", &[limits], 50);
    let _coordinator = fleet.coordinator("c0");
    let (_owner, proxy) = fleet.worker_behind("w0");
    fleet.submit("test", 120, 10);
    fleet.wait_for_served(100);
    let _follower = fleet.worker("w1");
    std::thread::sleep(Duration::from_secs(3));
    let (before, begun) = (fleet.served(), Instant::now());
    proxy.set(Mode::Throttle);
    // The owner goes on for as long as its lease.
    let own = PER_SECOND * 8;
    while fleet.served() < before + own && begun.elapsed() < LASTS {
        std::thread::sleep(Duration::from_millis(100));
    }
    let followed = begun.elapsed();
    assert!(followed < LASTS, "nobody followed\n{}", fleet.logs());
    proxy.set(Mode::Pass);
    fleet.sealed("test", 1_200);
    let (peak, twice) = (fleet.peak(), fleet.paid_twice());
    assert!(
        peak <= peak_max(PER_SECOND),
        "{peak} requests within a second"
    );
    assert!(twice <= PER_SECOND * 8, "{twice} asked twice");
    told(
        "6 one byte per second",
        &format!(
            "1,200 of 1,200 rows, {twice} asked twice; another worker had the domain after {followed:.0?}; \
             {peak} requests within the busiest second of {PER_SECOND}"
        ),
    );
}

#[test]
fn the_store_is_away_for_minutes() {
    let seen = outage("outage-long", Duration::from_secs(150));
    told("11 store away for minutes", &seen);
}

/// As the broker is shipped it looks for deliveries held too long once a minute.
#[test]
fn a_delivery_is_held_for_longer_than_the_broker_waits() {
    let rabbit = Rabbit::own();
    rabbit.ctl(&[
        "eval",
        "application:set_env(rabbit, consumer_timeout, 20000).",
    ]);
    let slow = json!([{ "kind": "slow_drip", "lasts": "100s", "every": 60 }]);
    let spec = json!({ "providers": [
        { "name": "p0", "latency": { "ms": 50 }, "faults": slow, "models": [{ "name": "m0", "words_max": 30 }] },
    ]});
    let mut fleet = Fleet::of(rabbit, "held", spec, &[json!({ "concurrency": 4 })]);
    fleet.set("worker.prefetch_max=8");
    let _coordinator = fleet.coordinator("c0");
    let _worker = fleet.worker("w0");
    fleet.submit("test", 15, 10);
    fleet.sealed("test", 150);
    let (log, lost) = (fleet.log("w0"), "the session of a domain ended");
    let lost = log.matches(lost).count();
    assert!(lost >= 1, "the broker closed no channel\n{}", fleet.logs());
    fleet.assert_paid_once(150);
    told(
        "21 consumer timeout, looked for once a minute",
        &format!("150 of 150 rows, none asked twice; {lost} sessions ended by the broker"),
    );
}
