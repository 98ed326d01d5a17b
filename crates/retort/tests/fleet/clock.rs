//! The time of day jumps, as a machine's does that was set wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use retort_types::{Timestamp, WallClock};
use serde_json::json;

use crate::processes::Fleet;
use crate::side_by_side::worlds;
use crate::support::{TestClock, read_table};

const HOUR_US: i64 = 3_600_000_000;

#[derive(Debug, Default)]
struct Jumping {
    ahead_us: AtomicI64,
}

impl WallClock for Jumping {
    fn now(&self) -> Timestamp {
        let ahead = self.ahead_us.load(Ordering::Relaxed);
        Timestamp::from_micros(TestClock.now().as_micros() + ahead)
    }
}

worlds! {
    fn a_clock_that_jumps_an_hour_either_way_changes_no_rate() {
        const PER_SECOND: u64 = 20;
        let limits = json!({ "requests_per_minute": PER_SECOND * 60 });
        let fleet = Fleet::new("clock", &[limits], 50);
        let clock = Arc::<Jumping>::default();
        let _coordinator = fleet.coordinator("c0");
        let _worker = fleet.worker_with("w0", Arc::clone(&clock) as Arc<dyn WallClock>);
        fleet.submit("test", 50, 6);
        for (served, ahead_us) in [(50, HOUR_US), (120, -HOUR_US), (190, 0)] {
            fleet.wait_for_served(served);
            clock.ahead_us.store(ahead_us, Ordering::Relaxed);
            // It goes on at once, neither faster nor an hour later.
            fleet.wait_for_served(served + PER_SECOND);
        }
        fleet.sealed("test", 300);
        fleet.assert_paid_once(300);
        let peak = fleet.peak();
        assert!(
            peak <= PER_SECOND * 3 / 2 + 3,
            "{peak} requests within a second"
        );
        // Lengths of time are of the clock that does not jump.
        let folder = fleet.snapshot("test").join("attempts");
        let most_ms = Duration::from_mins(3).as_millis() as f64;
        for row in read_table(&folder, &["ttfb_ms"]) {
            let took = row["ttfb_ms"].as_f64().unwrap();
            assert!((0.0..most_ms).contains(&took), "{took} ms");
        }
    }
}
