//! What the fence of an owner and the grace of its successor are for. The broker gives up an owner
//! that cannot hear of it: its side of the connections ends, the owner's stays silently open. With
//! both rules the limit holds; with either one switched off the provider counts more.
//!
//! When a connection is cut, the owner hears of it at once, and a silence is noticed by its client
//! before the broker does: there the rules are the second line.

use std::time::Duration;

use retort_broker::testkit::Mode;
use serde_json::json;

use crate::inside::Kept;
use crate::limits::{BURST, PER_SECOND, peak_max};
use crate::processes::Fleet;
use crate::side_by_side::worlds;
use crate::support::{assert_code, text};

/// How long the owner is left alone: its client notices after two heartbeats.
const ALONE: Duration = Duration::from_secs(15);

const SAMPLES: u64 = 1_000;

fn exceeds(vhost: &str, kept: Kept) {
    let peak = orphan(vhost, kept);
    assert!(
        peak > peak_max() && peak > PER_SECOND + BURST,
        "only {peak} requests within a second: {kept:?} breaks nothing"
    );
}

/// Returns the most requests within one second that the provider counted.
fn orphan(vhost: &str, kept: Kept) -> u64 {
    let fleet = Fleet::new(
        vhost,
        &[json!({ "requests_per_minute": PER_SECOND * 60 })],
        100,
    );
    let _coordinator = fleet.coordinator("c0");
    let proxy = fleet.proxy();
    let _owner = fleet.worker_inside("w0", proxy.address(), kept);
    fleet.submit("test", 100, 10);
    fleet.wait_for_served(PER_SECOND);
    let _next = fleet.worker_inside("w1", fleet.rabbit.address, kept);
    std::thread::sleep(Duration::from_secs(2));
    let begun = fleet.served();
    proxy.set(Mode::Orphan);
    std::thread::sleep(ALONE);
    proxy.set(Mode::Pass);
    assert!(begun < SAMPLES, "the fault came too late");
    let asked = fleet.sealed("test", usize::try_from(SAMPLES).unwrap());
    let peak = fleet.peak();
    println!(
        "{kept:?}: {peak} requests within the busiest second, the limit is {PER_SECOND}; {asked} \
         requests, {} of them a second time",
        fleet.paid_twice()
    );
    peak
}

worlds! {
    fn fence_and_grace_hold_the_limit_of_an_orphaned_owner() {
        let kept = Kept { fence: true, grace: true };
        let peak = orphan("rules-kept", kept);
        assert!(peak <= peak_max(), "{peak} requests within a second");
    }

    fn without_the_fence_the_limit_is_exceeded() {
        exceeds("rules-no-fence", Kept { fence: false, grace: true });
    }

    fn without_the_grace_the_limit_is_exceeded() {
        exceeds("rules-no-grace", Kept { fence: true, grace: false });
    }

    fn with_neither_fence_nor_grace_the_limit_is_exceeded() {
        exceeds("rules-neither", Kept { fence: false, grace: false });
    }
}

#[test]
fn no_setting_of_the_binary_switches_a_rule_off() {
    let fleet = Fleet::new("rules-settings", &[json!({ "concurrency": 1 })], 5);
    for setting in [
        "broker.unfenced=true",
        "broker.fence=false",
        "worker.rules.grace=false",
        "worker.fence=false",
    ] {
        let output = fleet.command(&["worker", "--catalog", "models.yaml", "--set", setting]);
        assert_code(&output, 2);
        assert!(text(&output).contains("unknown"), "{}", text(&output));
    }
}
