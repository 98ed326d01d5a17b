//! One limit, many workers: counted by the provider.

use std::time::{Duration, Instant};

use retort_broker::testkit::Mode;
use serde_json::json;

use crate::processes::{Fleet, broken_for};
use crate::side_by_side::worlds;

pub(crate) const PER_SECOND: u64 = 50;

/// What may come at once beyond the rate, from a caller that was late.
pub(crate) const BURST: u64 = 10;

/// Returns how many requests a provider may count within a second: a busy machine counts some of one
/// second in the next, a second owner doubles them all.
pub(crate) fn peak_max() -> u64 {
    if strict().is_some() {
        PER_SECOND + BURST
    } else {
        PER_SECOND * 3 / 2 + BURST
    }
}

/// Returns how many requests an undisturbed machine is to make, when that is asked for.
fn strict() -> Option<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the long run is asked for by the environment"
    )]
    let long = std::env::var("RETORT_FLEET_REQUESTS").ok();
    long.and_then(|count| count.parse().ok())
}

fn fleet(vhost: &str) -> Fleet {
    Fleet::new(
        vhost,
        &[json!({ "requests_per_minute": PER_SECOND * 60 })],
        100,
    )
}

fn check(fleet: &Fleet) {
    let stats = fleet.world.fleet.stats();
    let provider = &stats.providers["p0"];
    let peak = provider.peak_total_1s;
    println!("{peak} requests within the busiest second");
    assert!(
        peak <= peak_max(),
        "{peak} requests within a second\n{}",
        fleet.logs()
    );
    assert_eq!(provider.totals.refused_429, 0);
}

#[test]
fn four_workers_together_are_as_fast_as_one() {
    let fleet = fleet("rate");
    let _coordinator = fleet.coordinator("c0");
    let _workers: Vec<_> = (0..4).map(|n| fleet.worker(&format!("w{n}"))).collect();
    std::thread::sleep(Duration::from_secs(4));
    // 20 s of them.
    let count = strict().unwrap_or(1_000);
    fleet.submit("test", usize::try_from(count / 10).unwrap(), 10);
    fleet.wait_for_served(1);
    let begun = Instant::now();
    fleet.wait_for_served(count);
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(fleet.sealed("test", usize::try_from(count).unwrap()), count);
    check(&fleet);
    assert_eq!((fleet.served(), fleet.paid_twice()), (count, 0));
    let least = count as f64 / PER_SECOND as f64 - 0.5;
    println!(
        "{count} requests took {took:.2} s; the limit makes it {:.1} s",
        least + 0.5
    );
    assert!(took >= least, "{count} requests took only {took:.2} s");
    if strict().is_some() {
        assert!(took <= least + 1.5, "{count} requests took {took:.2} s");
    }
}

worlds! {
    fn the_limit_holds_while_workers_join_and_leave() {
        let fleet = fleet("rate-turns");
        let _coordinator = fleet.coordinator("c0");
        let mut workers = vec![fleet.worker("w0"), fleet.worker("w1")];
        fleet.submit("test", 100, 10);
        for round in 1..=4_u64 {
            fleet.wait_for_served(round * 200);
            workers.push(fleet.worker(&format!("w{}", round + 1)));
            let stopped = workers.remove(0);
            stopped.signal("TERM");
            assert_eq!(stopped.end(), Some(0), "{}", fleet.logs());
        }
        assert_eq!(fleet.sealed("test", 1_000), 1_000);
        check(&fleet);
        assert_eq!((fleet.served(), fleet.paid_twice()), (1_000, 0));
    }

    fn the_limit_holds_when_the_owner_is_killed_cut_and_lost() {
        let mut fleet = fleet("rate-faults");
        fleet.set("broker.heartbeat=6s");
        let _coordinator = fleet.coordinator("c0");
        let (owner, proxy) = fleet.worker_behind("w0");
        fleet.submit("test", 100, 12);
        fleet.wait_for_served(100);
        let (_next, second) = fleet.worker_behind("w1");
        std::thread::sleep(Duration::from_secs(3));
        // Cut: the broker gives the domain to the next one at once.
        broken_for(&proxy, Mode::Cut, Duration::from_millis(500));
        let served = fleet.served();
        fleet.wait_for_served(served + 150);
        // Half-open: the broker finds out only after its heartbeats, the owner before.
        broken_for(&second, Mode::Blackhole, Duration::from_secs(20));
        let served = fleet.served();
        fleet.wait_for_served(served + 150);
        owner.kill();
        fleet.sealed("test", 1_200);
        check(&fleet);
        println!(
            "{} requests, {} of them a second time",
            fleet.served(),
            fleet.paid_twice()
        );
    }
}
