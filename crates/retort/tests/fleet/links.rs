//! The way to the broker is cut, silently lost, slow, or as good as lost. Two workers, one limit: no two
//! owners ask at the same time, and whoever was away comes back by itself.

use std::time::Duration;

use retort_broker::testkit::Mode;
use serde_json::json;

use crate::processes::{Fleet, broken_for};
use crate::side_by_side::worlds;

const PER_SECOND: u64 = 20;

const SAMPLES: usize = 600;

/// What an owner that loses its broker can no longer acknowledge: what it asked while its lease lasts and
/// until the broker finds out, what waits for a flush, what is in the air.
const UNACKNOWLEDGED_S: u64 = 5 + 2 + 1;

fn survives(mode: Mode, seconds: u64) {
    let mut fleet = Fleet::new(
        &format!("link-{mode:?}"),
        &[json!({ "requests_per_minute": PER_SECOND * 60 })],
        50,
    );
    fleet.set("broker.heartbeat=6s");
    let _coordinator = fleet.coordinator("c0");
    let (owner, proxy) = fleet.worker_behind("w0");
    fleet.submit("test", 100, 6);
    fleet.wait_for_served(40);
    let _next = fleet.worker("w1");
    std::thread::sleep(Duration::from_secs(2));
    let before = fleet.served();
    broken_for(&proxy, mode, Duration::from_secs(seconds));
    let meanwhile = fleet.served() - before;
    // A byte per second is enough for heartbeats, and not for a fresh lease.
    if !matches!(mode, Mode::Slow | Mode::Throttle) {
        fleet.wait_for("the worker to come back", |fleet| {
            let log = fleet.log("w0");
            log.matches("connected to the broker").count() >= 2
        });
    }
    let asked = fleet.sealed("test", SAMPLES);
    let (peak, twice) = (fleet.peak(), fleet.paid_twice());
    println!(
        "{mode:?}: {peak} requests within the busiest second, {asked} in all, {twice} twice, {meanwhile} while it lasted"
    );
    // Two owners would ask twice as many; a busy machine counts some of one second in the next.
    assert!(
        peak <= PER_SECOND * 3 / 2 + 3,
        "{peak} requests within a second\n{}",
        fleet.logs()
    );
    assert!(
        twice <= PER_SECOND * UNACKNOWLEDGED_S,
        "{twice} asked twice"
    );
    assert!(asked <= fleet.served(), "{asked} of {}", fleet.served());
    owner.signal("TERM");
    assert_eq!(owner.end(), Some(0), "{}", fleet.logs());
}

worlds! {
    fn a_cut_link_comes_back_and_overlaps_nobody() {
        survives(Mode::Cut, 1);
    }

    fn a_half_open_link_comes_back_and_overlaps_nobody() {
        survives(Mode::Blackhole, 20);
    }

    fn a_link_that_only_the_broker_gave_up_comes_back_and_overlaps_nobody() {
        survives(Mode::Orphan, 15);
    }

    fn a_slow_link_overlaps_nobody() {
        survives(Mode::Slow, 10);
    }

    fn a_link_of_one_byte_per_second_overlaps_nobody() {
        survives(Mode::Throttle, 20);
    }
}
