//! A fleet in a world of its own, where time, chance and faults follow from a seed.
//!
//! Coordinators, workers, writers and ledgers are the real ones. Broker links, store, clock and
//! providers are simulated. `RETORT_SIM_SEED=<n>` lives one seed through and tells every step;
//! `RETORT_SIM_SEEDS=<n>` changes how many are, `RETORT_SIM_FROM=<n>` which is the first.

#![expect(clippy::unwrap_used, reason = "a test ends where its world breaks")]

mod chance;
mod check;
mod faults;
mod journal;
mod life;
mod net;
mod provider;
mod session;
mod shelf;
mod world;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use retort_broker::testkit::Version;
use retort_crawl::worker::Rules;

use journal::Lines;
use life::{Report, live, shape};
use world::Shape;

/// Worlds that are lived through unless `RETORT_SIM_SEEDS` says otherwise: some two and a half minutes of CPU,
/// most of it for reading and writing small files of many columns.
const SEEDS: u64 = 2_000;

/// Worlds within which a broken rule must show.
const SEEDS_OF_MUTANTS: u64 = 200;

/// Threads that live worlds.
const THREADS: usize = 2;

#[expect(clippy::disallowed_methods, reason = "a person chooses what is run")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Lives seeds through, on all threads, until `enough` says so of a report.
fn live_all(
    seeds: Range<u64>,
    shape: impl Fn(u64) -> Shape + Sync,
    enough: impl Fn(&Report) -> bool + Sync,
) -> Vec<Report> {
    let next = AtomicU64::new(seeds.start);
    let reports = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let report = live(shape(seed));
                    if enough(&report) {
                        next.store(seeds.end, Ordering::Relaxed);
                    }
                    reports.lock().unwrap().push(report);
                }
            });
        }
    });
    let mut reports = reports.into_inner().unwrap();
    reports.sort_by_key(|report| report.seed);
    reports
}

/// Returns how often each kind of thing went wrong, and in how many worlds.
fn mishaps(reports: &[Report]) -> BTreeMap<&'static str, (u64, u64)> {
    let mut mishaps = BTreeMap::new();
    for (kind, times) in reports.iter().flat_map(|report| &report.mishaps) {
        let (all, worlds) = mishaps.entry(*kind).or_default();
        *all += times;
        *worlds += 1;
    }
    mishaps
}

#[expect(clippy::print_stderr, reason = "somebody wants to read it")]
fn tell(seed: u64) {
    let mut shape = shape(seed, Rules::default());
    shape.lines = Lines::Told;
    eprintln!("{shape:?}");
    let report = live(shape);
    eprintln!(
        "digest {:016x}, {} requests, {:?}",
        report.digest, report.requests, report.took
    );
    assert!(
        report.broken.is_empty(),
        "seed {seed}: {:#?}",
        report.broken
    );
}

#[test]
fn promises_hold_in_every_world() {
    if let Some(seed) = number("RETORT_SIM_SEED") {
        return tell(seed);
    }
    let seeds = number("RETORT_SIM_SEEDS").unwrap_or(SEEDS);
    let from = number("RETORT_SIM_FROM").unwrap_or(0);
    let begun = std::time::Instant::now();
    let reports = live_all(
        from..from + seeds,
        |seed| shape(seed, Rules::default()),
        |report| !report.broken.is_empty(),
    );
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    eprintln!(
        "{} worlds in {:.1?}: {} requests, {} of them again, {} changes of owner, {:.0} virtual seconds each",
        reports.len(),
        begun.elapsed(),
        sum(|report| report.requests as u64),
        sum(|report| report.again as u64),
        sum(|report| report.changes),
        sum(|report| report.took.as_secs()) as f64 / reports.len() as f64,
    );
    for (kind, (times, worlds)) in mishaps(&reports) {
        eprintln!("{times:>7} times in {worlds:>5} worlds: {kind}");
    }
    for report in &reports {
        assert!(
            report.broken.is_empty(),
            "seed {0}: {1:#?}\nhint: RETORT_SIM_SEED={0} repeats it and tells every step",
            report.seed,
            report.broken,
        );
    }
}

#[test]
fn a_seed_repeats_exactly() {
    for seed in 0..12 {
        let mut shape = shape(seed, Rules::default());
        shape.lines = Lines::Kept;
        let (first, second) = (live(shape.clone()), live(shape));
        let differs = first
            .lines
            .lines()
            .zip(second.lines.lines())
            .find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.digest, second.digest, "seed {seed}");
    }
}

/// Worlds of each mixture of versions.
const SEEDS_OF_VERSIONS: u64 = 6;

/// Asserts that fleets of these versions keep every promise.
fn together(version: fn(&str) -> Version) {
    for seed in 0..SEEDS_OF_VERSIONS {
        let mut shape = shape(seed, Rules::default());
        shape.version = version;
        let report = live(shape);
        assert!(
            report.broken.is_empty(),
            "seed {seed}: {:#?}",
            report.broken
        );
    }
}

fn is_coordinator(name: &str) -> bool {
    name.starts_with('c')
}

#[test]
fn workers_of_a_later_version_finish_campaigns() {
    together(|name| {
        if is_coordinator(name) {
            Version::Present
        } else {
            Version::Later
        }
    });
}

#[test]
fn workers_of_an_earlier_version_finish_campaigns() {
    together(|name| {
        if is_coordinator(name) {
            Version::Present
        } else {
            Version::Earlier
        }
    });
}

#[test]
fn coordinators_of_a_later_version_finish_campaigns() {
    together(|name| {
        if is_coordinator(name) {
            Version::Later
        } else {
            Version::Present
        }
    });
}

#[test]
fn coordinators_of_an_earlier_version_finish_campaigns() {
    together(|name| {
        if is_coordinator(name) {
            Version::Earlier
        } else {
            Version::Present
        }
    });
}

#[test]
fn every_version_finishes_campaigns_while_processes_are_exchanged_one_by_one() {
    together(|name| match name {
        "c1" | "w0" => Version::Later,
        "w1" => Version::Earlier,
        _ => Version::Present,
    });
}

#[test]
fn what_a_worker_does_not_know_how_to_ask_is_not_asked() {
    let mut shape = shape(0, Rules::default());
    shape.version = |name| {
        if is_coordinator(name) {
            Version::Stranger
        } else {
            Version::Present
        }
    };
    let report = live(shape);
    assert_eq!(report.requests, 0);
    // Each message goes to the dead letters; each sample ends, with a row that says why.
    let [broken] = &report.broken[..] else {
        panic!("{:#?}", report.broken)
    };
    assert!(broken.ends_with("messages were rejected"), "{broken}");
}

/// Asserts that breaking a rule shows within the first worlds, as `sign`.
#[expect(clippy::print_stderr, reason = "somebody wants to read it")]
fn caught(shape: impl Fn(u64) -> Shape + Sync, sign: &str) {
    let shows = |report: &Report| report.broken.iter().any(|broken| broken.contains(sign));
    let reports = live_all(0..SEEDS_OF_MUTANTS, shape, shows);
    let found = reports.iter().find(|report| shows(report));
    let seed = found.map(|report| report.seed);
    assert!(seed.is_some(), "nothing showed in {} worlds", reports.len());
    eprintln!("\"{sign}\": first in the world of seed {}", seed.unwrap());
}

#[test]
fn acknowledging_before_rows_are_durable_shows() {
    let rules = Rules {
        durable_first: false,
        ..Rules::default()
    };
    caught(
        |seed| shape(seed, rules),
        "acknowledged before it was durable",
    );
}

#[test]
fn asking_what_is_held_or_finished_shows() {
    let rules = Rules {
        dedupe: false,
        ..Rules::default()
    };
    caught(|seed| shape(seed, rules), "again after a complete answer");
}

#[test]
fn beginning_without_grace_shows() {
    let rules = Rules {
        grace: false,
        ..Rules::default()
    };
    caught(|seed| shape(seed, rules), "beyond its rate");
}
