//! What the fence of an owner and the grace of its successor are for. The broker gives up an owner
//! that cannot hear of it: its side of the connections ends, the owner's stays silently open. With
//! both rules the limit holds; with either one switched off the provider counts more.
//!
//! When a connection is cut, the owner hears of it at once, and a silence is noticed by its client
//! before the broker does: there the rules are the second line.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

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

/// Several seconds, in which two owners show on a busy machine, too.
const WINDOW: Duration = Duration::from_secs(3);

/// What the provider counted while the owner was alone.
#[derive(Debug)]
struct Counted {
    /// The most requests within one second, of the whole campaign.
    second: u64,
    /// The most requests within [`WINDOW`].
    window: u64,
}

/// Returns how many requests a window may hold: what a busy machine counts of one second in the next
/// weighs less in it than in a single second.
fn window_max() -> u64 {
    PER_SECOND * WINDOW.as_secs() + PER_SECOND / 2 + BURST
}

/// Asserts that the limit is broken. A busy machine may not reach twice the rate, so that there are
/// several tries: to be seen once is enough.
fn exceeds(vhost: &str, kept: Kept) {
    let mut tries = Vec::new();
    for number in 0..3 {
        let counted = orphan(&format!("{vhost}-{number}"), kept);
        if counted.second > PER_SECOND + BURST && counted.window > window_max() {
            return;
        }
        tries.push(counted);
    }
    panic!("{tries:?}: {kept:?} breaks nothing");
}

/// Returns what the provider counted.
fn orphan(vhost: &str, kept: Kept) -> Counted {
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
    assert!(fleet.served() < SAMPLES / 2, "the fault came too late");
    proxy.set(Mode::Orphan);
    let window = busiest(&fleet);
    proxy.set(Mode::Pass);
    let asked = fleet.sealed("test", usize::try_from(SAMPLES).unwrap());
    let counted = Counted {
        second: fleet.peak(),
        window,
    };
    println!(
        "{kept:?}: {counted:?}, the limit is {PER_SECOND} per second; {asked} requests, {} of them a \
         second time",
        fleet.paid_twice()
    );
    counted
}

/// Returns the most requests within [`WINDOW`] while the owner is left alone.
fn busiest(fleet: &Fleet) -> u64 {
    let begun = Instant::now();
    let mut seen: VecDeque<(Instant, u64)> = VecDeque::new();
    let mut most = 0;
    while begun.elapsed() < ALONE {
        let now = Instant::now();
        let count = fleet.world.fleet.stats().totals().requests;
        seen.push_back((now, count));
        while now - seen[0].0 > WINDOW {
            seen.pop_front();
        }
        most = most.max(count - seen[0].1);
        std::thread::sleep(Duration::from_millis(50));
    }
    most
}

worlds! {
    fn fence_and_grace_hold_the_limit_of_an_orphaned_owner() {
        let kept = Kept { fence: true, grace: true };
        let counted = orphan("rules-kept", kept);
        assert!(
            counted.second <= peak_max() && counted.window <= window_max(),
            "{counted:?}"
        );
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
