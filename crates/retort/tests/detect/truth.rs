//! Known truth: models made of each other are found, unrelated ones are left alone.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::family::{DOSES, Size, crawl, student};
use crate::{detect, is_supported, said};

/// 52 controls: p-values of 5 % with two candidates take 39.
const FULL: Size = Size {
    strangers: 40,
    pupils: 12,
    prompts: 64,
};

/// What was found in the tree of one seed.
#[derive(Debug, Default)]
struct Found {
    tuned: bool,
    taught: bool,
    doses_in_order: bool,
    accusations: Vec<String>,
}

fn look(seed: u64, size: Size) -> Found {
    let world = crawl(seed, size);
    let ask = |suspects: &[&str], candidates: &[&str]| -> Value {
        let mut arguments = vec!["test"];
        for suspect in suspects {
            arguments.extend(["--suspect", suspect]);
        }
        for candidate in candidates {
            arguments.extend(["--candidate", candidate]);
        }
        detect(&world, &arguments)
    };
    // What the campaign registered.
    let tuned = detect(&world, &["test"]);
    assert_eq!(
        tuned["registration"]["kind"], "confirmatory",
        "{}",
        tuned["registration"]
    );
    let names = DOSES.map(student);
    let full = names.last().unwrap();
    let taught = ask(&[full], &["atlas", "cirrus"]);
    assert_eq!(taught["registration"]["kind"], "exploratory");
    let students = ask(&names.each_ref().map(String::as_str), &["atlas", "cirrus"]);
    let effects = names.each_ref().map(|name| {
        said(&students, "teacher", name, "atlas")["statistic"]
            .as_f64()
            .expect("measured")
    });
    let strangers = ask(&["dune", "dune-taught"], &["atlas", "cirrus"]);
    let accusations = strangers["statements"].as_array().unwrap().iter();
    let accusations = accusations.filter(|statement| statement["finding"]["state"] == "supported");
    Found {
        tuned: is_supported(&tuned, "kin", "atlas-tuned", "atlas"),
        taught: is_supported(&taught, "teacher", full, "atlas"),
        doses_in_order: effects.windows(2).all(|pair| pair[0] < pair[1]),
        accusations: accusations
            .map(|s| format!("{}: {} and {}", s["detector"], s["suspect"], s["candidate"]))
            .collect(),
    }
}

/// Returns what was found in the trees of seeds 1 to `trees`, several grown at a time.
#[expect(clippy::print_stdout, reason = "a long check that is run by hand")]
fn look_at_all(trees: u64) -> Vec<Found> {
    let hands = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let next = AtomicU64::new(1);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..hands {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > trees {
                        return;
                    }
                    let seen = look(seed, FULL);
                    println!("seed {seed}: {seen:?}");
                    found.lock().unwrap().push(seen);
                }
            });
        }
    });
    found.into_inner().unwrap()
}

/// One tree, or as many as `LINEAGE_TREES` says; of the first one, everything must hold.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how many trees is said where the check is run"
)]
fn relatives_are_found_and_strangers_are_not() {
    let trees = std::env::var("LINEAGE_TREES").map_or(1, |trees| trees.parse().unwrap());
    let found = look_at_all(trees);
    let count = |is: fn(&Found) -> bool| found.iter().filter(|found| is(found)).count() as u64;
    let tuned = count(|found| found.tuned);
    let taught = count(|found| found.taught);
    let in_order = count(|found| found.doses_in_order);
    let accused = count(|found| !found.accusations.is_empty());
    // Of twenty: 19, 18, 16 and 2.
    let goals = (
        trees - trees / 20,
        trees - trees / 10,
        trees - trees / 5,
        trees / 10,
    );
    println!(
        "fine-tune against its base supported: {tuned} of {trees} (goal: {})",
        goals.0
    );
    println!(
        "student at dose 100 % supported: {taught} of {trees} (goal: {})",
        goals.1
    );
    println!("doses in order: {in_order} of {trees} (goal: {})", goals.2);
    println!(
        "trees with an accusation among unrelated pairs: {accused} (goal: at most {})",
        goals.3
    );
    assert!(tuned >= goals.0 && taught >= goals.1 && in_order >= goals.2 && accused <= goals.3);
}
