//! One fault that lasts.

use std::time::Duration;

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
