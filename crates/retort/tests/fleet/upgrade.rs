//! Services that are one version of the messages apart finish a campaign together, whichever of them is
//! the later one.

use retort_broker::testkit::Version;
use serde_json::{Value, json};

use crate::processes::Fleet;
use crate::side_by_side::worlds;

fn fleet(vhost: &str) -> Fleet {
    Fleet::new(
        vhost,
        &[
            json!({ "concurrency": 4 }),
            json!({ "requests_per_minute": 1_200 }),
        ],
        50,
    )
}

/// Asserts that a campaign ends, that nothing was paid twice and that each message was understood: none
/// among the dead letters, no receipt that could not be read, nothing repaired from the store instead.
fn ends(fleet: &Fleet) {
    fleet.submit("test", 50, 2);
    assert_eq!(fleet.sealed("test", 200), 200);
    assert_eq!((fleet.served(), fleet.paid_twice()), (200, 0));
    let dead = fleet.command(&["dead", "list", "--json"]);
    let dead: Value = serde_json::from_slice(&dead.stdout).unwrap();
    assert_eq!(dead, json!([]));
    let logs = fleet.logs();
    for sign in ["a message of a worker is unreadable", "samples are gone"] {
        assert!(!logs.contains(sign), "{logs}");
    }
}

fn workers(vhost: &str, version: Version) {
    let fleet = fleet(vhost);
    let _coordinator = fleet.coordinator("c0");
    let _worker = fleet.worker_speaking("w0", version);
    ends(&fleet);
    let beside = fleet.logs().contains("a message of unknown kind");
    assert_eq!(beside, version == Version::Later, "{}", fleet.logs());
}

fn coordinators(vhost: &str, version: Version) {
    let fleet = fleet(vhost);
    let (_stop, statuses) = fleet.coordinator_speaking("c0", version);
    let _worker = fleet.worker("w0");
    ends(&fleet);
    assert_eq!((statuses.sealed(), statuses.repairs()), (1, 0));
}

worlds! {
    fn a_later_worker_works_for_a_coordinator() {
        workers("upgrade-later-worker", Version::Later);
    }

    fn an_earlier_worker_works_for_a_coordinator() {
        workers("upgrade-earlier-worker", Version::Earlier);
    }

    fn a_worker_works_for_a_later_coordinator() {
        coordinators("upgrade-later-coordinator", Version::Later);
    }

    fn a_worker_works_for_an_earlier_coordinator() {
        coordinators("upgrade-earlier-coordinator", Version::Earlier);
    }
}
