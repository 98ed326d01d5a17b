//! Pace by the server's own count. These tests take a minute each by their nature: the promise is
//! about a minute. They run beside each other and need little of the machine.

#![expect(
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test ends where its world breaks"
)]

#[expect(dead_code, reason = "this binary uses a part of the world")]
#[path = "../support/world.rs"]
mod support;

use std::time::Instant;

use serde_json::{Value, json};

use support::{World, assert_code, finish};

/// Serves one model behind a bucket of 50/s, burst 10, that tells whole seconds to wait.
fn world() -> World {
    World::new(json!({
        "providers": [{
            "name": "p",
            "latency": { "ms": 50 },
            "limits": { "requests_per_second": 50, "burst": 10, "retry_after": "seconds" },
            "models": [{ "name": "m", "words_min": 5, "words_max": 12 }]
        }]
    }))
}

fn number(stats: &Value, name: &str) -> u64 {
    stats["providers"]["p"][name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {stats:#}"))
}

/// Runs the campaign and returns the seconds from the first request's arrival to the last answer,
/// by the server's count.
fn timed_run(world: &World) -> f64 {
    let child = world.start(&[]);
    world.wait_until("the first request", |world| {
        world.fleet.stats().totals().requests > 0
    });
    let begun = Instant::now();
    world.wait_until("the last answer", |world| {
        world.fleet.stats().totals().served == 3_000
    });
    let seconds = begun.elapsed().as_secs_f64();
    assert_code(&finish(child), 0);
    seconds
}

#[test]
fn three_thousand_requests_at_three_thousand_a_minute() {
    let world = world();
    world.catalog(&[("p", json!({ "requests_per_minute": 3000 }))]);
    world.campaign(&["m"], 300, 10, json!({ "params": { "max_tokens": 8 } }));
    let seconds = timed_run(&world);
    let stats = world.stats();
    assert_eq!(number(&stats, "refused_429"), 0, "{stats:#}");
    assert_eq!(number(&stats, "served"), 3_000);
    let peak = number(&stats, "peak_total_1s");
    assert!(peak <= 55, "{peak} requests in one second");
    assert!((59.7..=60.6).contains(&seconds), "took {seconds} s");
    println!(
        "paced: {seconds:.2} s for 3,000 requests, at most {peak} in one second, none refused"
    );
}

/// Asks 3,000 requests under limits that are not the server's; returns the seconds and how many
/// were refused, none of them lost or paid twice.
fn asked_under(limits: Value) -> (f64, u64) {
    let world = world();
    world.catalog(&[("p", limits)]);
    world.campaign(&["m"], 300, 10, json!({ "params": { "max_tokens": 8 } }));
    let seconds = timed_run(&world);
    let stats = world.stats();
    assert_eq!(number(&stats, "served"), 3_000, "{stats:#}");
    assert_eq!(number(&stats, "paid_twice"), 0);
    let refused = number(&stats, "refused_429");
    assert!(
        refused * 20 <= 3_000 + refused,
        "{refused} requests were refused"
    );
    (seconds, refused)
}

#[test]
fn configured_five_times_too_fast() {
    let (seconds, refused) = asked_under(json!({ "requests_per_minute": 15_000 }));
    assert!(seconds <= 70.0, "took {seconds} s");
    println!("five times too fast: {seconds:.1} s for 3,000 requests, {refused} refused");
}

#[test]
fn the_limit_is_found_below_a_cap_of_ten_times_as_much() {
    let cap = json!({ "auto": true, "requests_per_minute": 30_000 });
    let (seconds, refused) = asked_under(cap);
    let ideal = 3_000.0 / 50.0;
    assert!(seconds <= 1.25 * ideal, "took {seconds} s");
    println!("found: {seconds:.1} s for 3,000 requests, {refused} refused");
}
