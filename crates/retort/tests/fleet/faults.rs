//! Processes that die or stand still, and brokers that forget. What is promised holds on the sealed
//! snapshot and by the provider's own count.

use std::time::Duration;

use serde_json::json;

use crate::processes::Fleet;
use crate::side_by_side::worlds;

/// Requests in the air at the same time, both domains together.
const IN_FLIGHT: u64 = 16;

fn fleet(vhost: &str) -> Fleet {
    Fleet::new(
        vhost,
        &[json!({ "concurrency": 8 }), json!({ "concurrency": 8 })],
        50,
    )
}

worlds! {
    fn kill_9_of_workers_loses_nothing_and_re_asks_little() {
        let fleet = fleet("kill");
        let _coordinator = fleet.coordinator("c1");
        let mut workers = vec![fleet.worker("w0"), fleet.worker("w1")];
        fleet.submit("test", 100, 6);
        for round in 1..=3_u64 {
            fleet.wait_for_served(round * 200);
            let killed = workers.remove(0);
            let name = killed.name.clone();
            killed.kill();
            workers.push(fleet.worker(&name));
        }
        let asked = fleet.sealed("test", 1_200);
        // In the air, and what was fetched within a flush interval and the time to store it.
        let again = fleet.paid_twice();
        let flushed_late = 16 * 20;
        assert!(
            again <= 3 * (IN_FLIGHT + flushed_late),
            "{again} samples were asked twice"
        );
        // Every reply that was stored in a spool reached the store, also when another worker had asked too.
        assert!(
            asked <= fleet.served() && fleet.served() - asked <= 3 * IN_FLIGHT,
            "{asked} of {}",
            fleet.served()
        );
    }

    fn sigterm_of_each_worker_in_turn_re_asks_nothing() {
        let fleet = fleet("term");
        let _coordinator = fleet.coordinator("c1");
        let mut workers = vec![fleet.worker("w0"), fleet.worker("w1")];
        fleet.submit("test", 100, 6);
        for round in 1..=4_u64 {
            fleet.wait_for_served(round * 150);
            workers.push(fleet.worker(&format!("w{}", round + 1)));
            let stopped = workers.remove(0);
            stopped.signal("TERM");
            assert_eq!(stopped.end(), Some(0), "{}", fleet.logs());
        }
        fleet.sealed("test", 1_200);
        fleet.assert_paid_once(1_200);
    }

    fn kill_9_of_the_coordinator_costs_no_request() {
        let fleet = fleet("coordinator");
        let mut coordinator = fleet.coordinator("c0");
        let _standing_by = fleet.coordinator("c1");
        let _worker = fleet.worker("w0");
        fleet.submit("test", 100, 6);
        for round in 1..=2_u64 {
            fleet.wait_for_served(round * 300);
            coordinator.kill();
            coordinator = fleet.coordinator("c0");
        }
        fleet.sealed("test", 1_200);
        fleet.assert_paid_once(1_200);
    }

    fn purge_of_every_queue_seals_complete_and_unique() {
        let mut fleet = fleet("purge");
        fleet.set("coordinator.lost_after=5s");
        let _coordinator = fleet.coordinator("c0");
        let _worker = fleet.worker("w0");
        fleet.submit("test", 100, 6);
        fleet.wait_for_served(200);
        fleet.purge_all();
        fleet.sealed("test", 1_200);
        fleet.assert_paid_once(1_200);
    }

    fn deletion_of_the_vhost_seals_complete_and_unique() {
        let mut fleet = fleet("vhost");
        fleet.set("worker.grace=1s");
        let _coordinator = fleet.coordinator("c0");
        let _worker = fleet.worker("w0");
        fleet.submit("test", 100, 6);
        fleet.wait_for_served(200);
        fleet.lose_vhost();
        fleet.sealed("test", 1_200);
        // One worker, whose requests in the air were not lost: it asks none of them again.
        fleet.assert_paid_once(1_200);
    }

    fn sigstop_and_sigcont_of_the_owner_never_overlap() {
        const PER_SECOND: u64 = 20;
        let mut fleet = Fleet::new(
            "stop",
            &[json!({ "requests_per_minute": PER_SECOND * 60 })],
            50,
        );
        fleet.set("broker.heartbeat=6s");
        let _coordinator = fleet.coordinator("c0");
        let owner = fleet.worker("w0");
        fleet.submit("test", 100, 8);
        fleet.wait_for_served(40);
        let _follower = fleet.worker("w1");
        std::thread::sleep(Duration::from_secs(3));
        owner.signal("STOP");
        let stopped_at = fleet.served();
        // The broker gives up a silent client after some heartbeats, then the follower waits its grace.
        fleet.wait_for_served(stopped_at + PER_SECOND * 2);
        owner.signal("CONT");
        let asked = fleet.sealed("test", 800);
        let stats = fleet.world.fleet.stats();
        let peak = stats.providers["p0"].peak_accepted_1s;
        // Two owners would ask twice as many; a busy machine counts some of one second in the next.
        assert!(
            peak <= PER_SECOND * 3 / 2 + 2,
            "{peak} requests within a second"
        );
        // What stood in the air or was not stored yet is asked again, and nothing else.
        let unstored = PER_SECOND * 3;
        assert!(
            fleet.paid_twice() <= unstored,
            "{} were asked twice",
            fleet.paid_twice()
        );
        assert!(asked <= fleet.served());
    }
}
