//! The store is away, or the disk under a spool is full.

use std::time::Duration;

use serde_json::json;

use crate::outage::outage;
use crate::processes::{Fleet, fetch, port_of, sum};
use crate::side_by_side::worlds;

worlds! {
    fn a_store_outage_pauses_starts_and_acknowledges_nothing() {
        let seen = outage("outage", Duration::from_secs(3));
        println!("{seen}");
    }

    fn a_full_disk_under_a_spool_pauses_and_loses_nothing() {
        let mut fleet = Fleet::new("disk-full", &[json!({ "concurrency": 8 })], 20);
        fleet.set("writer.flush_every=1h");
        let _coordinator = fleet.coordinator("c0");
        let worker = fleet.worker_on_small_disk("w0");
        let port = port_of(&fleet, "w0");
        fleet.submit("test", 100, 4);
        fleet.wait_for_served(50);
        let metric = |name: &str| sum(&fetch(port, "/metrics").1, name);
        // Room for what there is and little more.
        worker.limit_files("16384");
        fleet.wait_for("the spool to stall", |_| {
            metric("retort_spool_stalled") == 1
        });
        let (mut served, mut looks) = (fleet.served(), 0);
        fleet.wait_for("starts to pause", |fleet| {
            looks = if fleet.served() == served {
                looks + 1
            } else {
                0
            };
            served = fleet.served();
            std::thread::sleep(Duration::from_millis(100));
            looks > 20
        });
        assert!(served < 400, "the disk took everything");
        worker.limit_files("unlimited");
        fleet.sealed("test", 400);
        fleet.assert_paid_once(400);
    }
}
