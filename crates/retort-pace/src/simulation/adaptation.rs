//! What finding a limit costs that is a fifth of the configured one.

use super::*;

const BUCKET: Limiter = Limiter::Bucket {
    rate: 50.0,
    size: 10.0,
};

const EVERY_SECOND: Limiter = Limiter::Window {
    limit: 50,
    seconds: 1.0,
};

/// Asks 3,000 requests of a provider that serves 50 a second, configured as 250 a second.
fn check(limiter: Limiter, retry_after: RetryAfter, seconds_max: f64, refused_max: u32) {
    for seed in 0..12 {
        let mut world = World::new(15_000, Provider::new(limiter, retry_after), seed);
        world.run(3_000, 600.0);
        let report = &world.report;
        let said = format!(
            "{limiter:?} {retry_after:?} seed {seed}: {} served, {} refused, {:.1} s",
            report.served, report.refused, report.seconds
        );
        assert_eq!(report.served, 3_000, "{said}");
        assert!(report.refused <= refused_max, "{said}");
        assert!(report.seconds <= seconds_max, "{said}");
        let limit = world
            .pacer
            .status(world.now())
            .limit
            .expect("it is limited");
        assert_eq!(limit.source, LimitSource::Learned, "{said}");
    }
}

#[test]
fn a_bucket_is_found() {
    // 59.8 s are the least; three percent are 90 requests.
    check(BUCKET, RetryAfter::WholeSeconds, 69.0, 60);
    check(BUCKET, RetryAfter::Milliseconds, 66.0, 60);
    check(BUCKET, RetryAfter::Unsaid, 69.0, 60);
}

#[test]
fn a_large_bucket_is_found() {
    let large = Limiter::Bucket {
        rate: 50.0,
        size: 100.0,
    };
    check(large, RetryAfter::WholeSeconds, 66.0, 90);
    check(large, RetryAfter::Unsaid, 66.0, 90);
}

#[test]
fn windows_of_a_second_are_found() {
    check(EVERY_SECOND, RetryAfter::WholeSeconds, 75.0, 90);
    check(EVERY_SECOND, RetryAfter::Milliseconds, 70.0, 90);
    check(EVERY_SECOND, RetryAfter::Unsaid, 75.0, 90);
}

#[test]
fn windows_of_a_minute_are_used_up_one_after_another() {
    let every_minute = Limiter::Window {
        limit: 1_500,
        seconds: 60.0,
    };
    for (retry_after, seconds_max) in [
        (RetryAfter::WholeSeconds, 130.0),
        (RetryAfter::Milliseconds, 130.0),
        (RetryAfter::Unsaid, 190.0),
    ] {
        let mut world = World::new(15_000, Provider::new(every_minute, retry_after), 1);
        world.run(3_000, 600.0);
        assert_eq!(world.report.served, 3_000);
        assert!(world.report.refused <= 90, "{}", world.report.refused);
        assert!(
            world.report.seconds <= seconds_max,
            "{}",
            world.report.seconds
        );
    }
}

#[test]
fn slow_limits_are_found_too() {
    for (configured, rate, requests, seconds_max) in
        [(1_500, 5.0, 300, 68.0), (15_000, 4.0, 600, 180.0)]
    {
        let limiter = Limiter::Bucket { rate, size: 5.0 };
        let provider = Provider::new(limiter, RetryAfter::WholeSeconds);
        let mut world = World::new(configured, provider, 9);
        world.run(requests, 1_000.0);
        assert_eq!(world.report.served, requests);
        assert!(world.report.refused <= 60, "{}", world.report.refused);
        assert!(
            world.report.seconds <= seconds_max,
            "{}",
            world.report.seconds
        );
    }
}

#[test]
fn a_limit_on_concurrency_is_found() {
    for (most, retry_after) in [
        (8, RetryAfter::WholeSeconds),
        (20, RetryAfter::WholeSeconds),
        (8, RetryAfter::Unsaid),
    ] {
        let mut provider = Provider::new(Limiter::Concurrency(most), retry_after);
        provider.latency_ms = (5_000, 15_000);
        let mut world = World::new(15_000, provider, 5);
        world.run(300, 2_000.0);
        let status = world.pacer.status(world.now());
        assert_eq!(world.report.served, 300);
        assert!(world.report.refused <= 60, "{}", world.report.refused);
        let found = status.concurrency.expect("a limit was learned");
        assert!((most..=most + 2).contains(&found), "{found}");
    }
}

#[test]
fn the_right_limit_is_kept_evenly_without_a_refusal() {
    for seed in 0..3 {
        let provider = Provider::new(BUCKET, RetryAfter::WholeSeconds);
        let mut world = World::new(3_000, provider, seed);
        world.run(3_000, 600.0);
        let last = world.report.starts.last().copied().expect("it started");
        assert_eq!((world.report.served, world.report.refused), (3_000, 0));
        assert!((59.7..=60.6).contains(&last), "{last}");
        assert!(world.report.most_in(1.0) <= 55);
    }
}

#[test]
fn a_learned_limit_survives_a_restart() {
    let provider = Provider::new(BUCKET, RetryAfter::WholeSeconds);
    let mut world = World::new(15_000, provider, 4);
    world.run(1_500, 600.0);
    let (refused, began) = (world.report.refused, world.seconds());
    world.restart();
    world.run(1_000, 600.0);
    assert!(
        world.report.refused <= refused + 5,
        "{}",
        world.report.refused
    );
    assert!(
        world.seconds() - began < 24.0,
        "{}",
        world.seconds() - began
    );
    let limit = world.pacer.status(world.now()).limit;
    assert_eq!(limit.map(|limit| limit.source), Some(LimitSource::Learned));
}

#[test]
fn a_limit_that_rises_is_found_again_and_one_that_falls_too() {
    let provider = Provider::new(BUCKET, RetryAfter::WholeSeconds);
    let mut world = World::new(15_000, provider, 3);
    world.run(4_000, 400.0);
    world.provider.limiter = Limiter::Bucket {
        rate: 400.0,
        size: 10.0,
    };
    let (began, refused) = (world.seconds(), world.report.refused);
    world.run(1_000_000, began + 300.0);
    let limit = world.pacer.status(world.now()).limit;
    assert_eq!(limit.map(|l| l.source), Some(LimitSource::Configured));
    assert!(world.report.refused <= refused + 5);

    world.provider.limiter = Limiter::Bucket {
        rate: 20.0,
        size: 10.0,
    };
    let (began, refused) = (world.seconds(), world.report.refused);
    world.run(1_000_000, began + 60.0);
    assert!(world.report.refused <= refused + 120);
    let settled = world.report.served_between(began + 20.0, began + 60.0);
    assert!(settled >= 40 * 17, "{settled}");
}

#[test]
fn refusals_for_an_hour_cost_one_request_an_hour() {
    let nothing = Limiter::Window {
        limit: 0,
        seconds: 3_600.0,
    };
    let provider = Provider::new(nothing, RetryAfter::WholeSeconds);
    let mut world = World::new(15_000, provider, 2);
    world.run(1_000, 24.5 * 3_600.0);
    assert_eq!(world.report.served, 0);
    let at_first = world.report.starts.iter().filter(|at| **at < 60.0).count();
    assert!(at_first <= 60, "{at_first}");
    let later = world.report.starts.len() - at_first;
    assert_eq!(later, 24);
    // Then it serves again: nothing was lost, and nothing was learned about the rate.
    world.provider.limiter = Limiter::Bucket {
        rate: 1_000.0,
        size: 1_000.0,
    };
    let now = world.seconds();
    world.run(1_000, now + 3_700.0);
    assert_eq!(world.report.served, 1_000);
}
