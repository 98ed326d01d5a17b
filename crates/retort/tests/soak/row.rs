//! Faults in a row, on whoever owns the domain just then.

use std::time::{Duration, Instant};

use retort_broker::testkit::{FaultProxy, Mode};
use serde_json::json;

use crate::processes::{Fleet, Process, broken_for, fetch, port_of, sum};
use crate::{peak_max, told};

/// Wait between the end of a fault and the next one.
const EVERY: Duration = Duration::from_secs(15);

/// A worker behind a proxy, with its pages.
struct Crew {
    worker: Process,
    proxy: FaultProxy,
}

fn hire(fleet: &Fleet, name: &str, proxy: FaultProxy) -> Crew {
    let listen = ["--listen", "127.0.0.1:0"];
    // The port that an earlier life of this name told is not its own.
    drop(std::fs::remove_file(
        fleet.world.path(&format!("{name}.log")),
    ));
    let url = fleet.url_at(proxy.address());
    let worker = fleet.start("worker", name, &url, &listen);
    Crew { worker, proxy }
}

/// Returns who owns the domain.
fn owner(fleet: &Fleet, crew: &[Crew]) -> usize {
    let mut found = 0;
    fleet.wait_for("an owner", |fleet| {
        let owns = |one: &Crew| {
            let page = fetch(port_of(fleet, &one.worker.name), "/metrics").1;
            sum(&page, "retort_domain_owned") > 0
        };
        let owner = crew.iter().position(owns);
        found = owner.unwrap_or(0);
        owner.is_some()
    });
    found
}

#[test]
fn three_thousand_requests_with_a_fault_every_15_s() {
    const PER_SECOND: u64 = 20;
    const SAMPLES: u64 = 3_000;
    /// Faults after which another worker cannot know what was asked last.
    const UNKNOWN: u64 = 5;
    let mut fleet = Fleet::new(
        "row",
        &[json!({ "requests_per_minute": PER_SECOND * 60 })],
        50,
    );
    fleet.set("broker.heartbeat=6s");
    fleet.set("coordinator.lost_after=10s");
    let mut coordinators = vec![fleet.coordinator("c0"), fleet.coordinator("c1")];
    let mut crew: Vec<Crew> = (0..3)
        .map(|n| hire(&fleet, &format!("w{n}"), fleet.proxy()))
        .collect();
    fleet.submit("test", 300, 10);
    let mut faults = Vec::new();
    for fault in 0.. {
        std::thread::sleep(EVERY);
        if fleet.served() + 2 * PER_SECOND > SAMPLES {
            break;
        }
        let own = owner(&fleet, &crew);
        let seconds = Duration::from_secs;
        let name = match fault % 8 {
            0 => {
                broken_for(&crew[own].proxy, Mode::Cut, seconds(1));
                "cut"
            }
            1 => {
                let Crew { worker, proxy } = crew.remove(own);
                let name = worker.name.clone();
                worker.kill();
                crew.push(hire(&fleet, &name, proxy));
                "kill -9"
            }
            2 => {
                broken_for(&crew[own].proxy, Mode::Orphan, seconds(10));
                "given up by the broker alone"
            }
            3 => {
                fleet.purge_all();
                "purge"
            }
            4 => {
                let Crew { worker, proxy } = crew.remove(own);
                let name = worker.name.clone();
                worker.signal("TERM");
                assert_eq!(worker.end(), Some(0), "{}", fleet.logs());
                crew.push(hire(&fleet, &name, proxy));
                "SIGTERM"
            }
            5 => {
                broken_for(&crew[own].proxy, Mode::Blackhole, seconds(20));
                "half-open"
            }
            6 => {
                let killed = coordinators.remove(0);
                let name = killed.name.clone();
                killed.kill();
                coordinators.push(fleet.coordinator(&name));
                "kill -9 of a coordinator"
            }
            _ => {
                crew[own].worker.signal("STOP");
                std::thread::sleep(seconds(20));
                crew[own].worker.signal("CONT");
                "SIGSTOP"
            }
        };
        faults.push(name);
    }
    fleet.sealed("test", usize::try_from(SAMPLES).unwrap());
    let (peak, twice) = (fleet.peak(), fleet.paid_twice());
    assert!(
        peak <= peak_max(PER_SECOND),
        "{peak} requests within a second"
    );
    let most = UNKNOWN * faults.len().div_ceil(8) as u64 * PER_SECOND * 8;
    assert!(twice <= most, "{twice} asked twice");
    assert!(faults.len() >= 5, "only {faults:?}");
    told(
        "1-7, 18 a fault every 15 s",
        &format!(
            "3,000 of 3,000 rows, {twice} asked twice; {peak} requests within the busiest second of \
             {PER_SECOND}; {}: {}",
            faults.len(),
            faults.join(", ")
        ),
    );
}

#[test]
fn kill_9_again_and_again() {
    const KILLS: u64 = 15;
    let limits = || json!({ "concurrency": 8 });
    let fleet = Fleet::new("kills", &[limits(), limits()], 100);
    let _coordinator = fleet.coordinator("c0");
    let mut workers: Vec<Process> = (0..3).map(|n| fleet.worker(&format!("w{n}"))).collect();
    fleet.submit("test", 150, 12);
    let begun = Instant::now();
    for round in 1..=KILLS {
        fleet.wait_for_served(round * 200);
        let killed = workers.remove(0);
        let name = killed.name.clone();
        killed.kill();
        workers.push(fleet.worker(&name));
    }
    let took = begun.elapsed();
    fleet.sealed("test", 3_600);
    let twice = fleet.paid_twice();
    // In the air, and what was fetched within a flush interval and the time to put a segment.
    let most = KILLS * (16 + 16 * 10);
    assert!(twice <= most, "{twice} asked twice");
    told(
        "1 worker killed again and again",
        &format!("3,600 of 3,600 rows; {KILLS} kills in {took:.0?}, {twice} asked twice"),
    );
}
