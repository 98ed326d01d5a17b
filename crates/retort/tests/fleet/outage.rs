//! A fleet over an S3 server that fails, goes away and comes back.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::processes::{Fleet, fetch, port_of, sum};
use crate::s3::{BUCKET, Fault, S3Server};
use crate::support::read_table;

/// Room for some two hundred replies.
const SPOOL_BYTES: u64 = 1024 * 1024;

/// Takes the store away until the worker's spool is full, and `longer`; says what was seen.
pub(crate) fn outage(vhost: &str, longer: Duration) -> String {
    const SAMPLES: u64 = 1_000;
    let mut fleet = Fleet::new(vhost, &[json!({ "concurrency": 8 })], 20);
    let server = S3Server::start(&fleet.world.path("s3"));
    fleet.world.env.extend(server.environment());
    let prefix = "a/prefix";
    let data = server.bucket().join(prefix);
    fleet.keep_in(&format!("s3://{BUCKET}/{prefix}"), data);
    fleet.set("store_access.retries=1");
    fleet.set(&format!("writer.spool_max_bytes={SPOOL_BYTES}"));
    let _coordinator = fleet.coordinator("c0");
    let listen = ["--listen", "127.0.0.1:0"];
    let _worker = fleet.start("worker", "w0", &fleet.url, &listen);
    fleet.submit("test", 100, 10);
    fleet.wait_for_served(100);
    server.inject([
        Fault::Status(500),
        Fault::CutRequest,
        Fault::Status(503),
        Fault::CutAnswer,
        Fault::Slow(Duration::from_secs(1)),
    ]);
    fleet.wait_for("the faults to pass", |_| server.faults_left() == 0);
    server.set_down(true);
    let begun = Instant::now();
    // What was stored before may still be told and acknowledged.
    std::thread::sleep(Duration::from_secs(2));
    let open = || {
        let (ready, unacknowledged) = fleet.queue("probes.p0").unwrap();
        ready + unacknowledged
    };
    // A broker counts its queues some seconds late.
    let mut before = 0;
    fleet.wait_for("the broker to have counted", |_| {
        std::thread::sleep(Duration::from_secs(2));
        let last = std::mem::replace(&mut before, open());
        before > 0 && before == last
    });
    let (mut served, mut looks) = (fleet.served(), 0);
    fleet.wait_for("the spool to fill", |fleet| {
        looks = if fleet.served() == served {
            looks + 1
        } else {
            0
        };
        served = fleet.served();
        std::thread::sleep(Duration::from_millis(100));
        looks > 30
    });
    std::thread::sleep(longer);
    assert!(served < SAMPLES, "the spool took everything");
    assert_eq!(fleet.served(), served, "asked with a full spool");
    assert_eq!(open(), before, "acknowledged before it was stored");
    assert!(before > SAMPLES - served, "nothing waited in the spool");
    let page = fetch(port_of(&fleet, "w0"), "/metrics").1;
    let waiting = sum(&page, "retort_spool_pending_records");
    assert_eq!(waiting, served + before - SAMPLES, "{page}");
    server.set_down(false);
    let took = begun.elapsed();
    fleet.sealed("test", usize::try_from(SAMPLES).unwrap());
    fleet.assert_paid_once(SAMPLES);
    // No half object is visible: each one is whole.
    let rows = read_table(&fleet.campaign("test").join("segments"), &["sample_id"]);
    assert!(rows.len() as u64 >= SAMPLES, "{} rows", rows.len());
    format!(
        "{served} of {SAMPLES} asked until the spool was full with {waiting} replies, none acknowledged \
         in {took:.0?}; each asked once"
    )
}
