//! What `limits: auto` costs with a cap of ten times the true limit, over 3,000 requests.
//!
//! Ideal is what the limit allows from the first moment on, plus the latency of the last answer.

use super::*;

const LATENCIES_MS: [(u64, u64); 4] = [(20, 200), (200, 200), (500, 1_500), (2_000, 4_000)];
const HINTS: [RetryAfter; 3] = [
    RetryAfter::WholeSeconds,
    RetryAfter::Milliseconds,
    RetryAfter::Unsaid,
];
const SEEDS: u64 = 2;

/// A limit to be found, and how far its search may go.
#[derive(Debug, Clone)]
struct Case {
    cap: Limits,
    limiter: Limiter,
    /// The limit that comes after half of the requests.
    then: Option<Limiter>,
    announces: bool,
    latency_ms: (u64, u64),
    retry_after: RetryAfter,
}

/// A bucket that holds a fifth of a second, ten requests at least.
fn bucket(rate: f64) -> Limiter {
    let size = (rate / 5.0).max(10.0);
    Limiter::Bucket { rate, size }
}

fn case(cap: &Limits, limiter: Limiter) -> Case {
    Case {
        cap: Limits {
            auto: true,
            ..cap.clone()
        },
        limiter,
        then: None,
        announces: false,
        latency_ms: LATENCIES_MS[0],
        retry_after: RetryAfter::WholeSeconds,
    }
}

fn of_requests(rate: u32) -> Case {
    case(&per_minute(600 * rate), bucket(f64::from(rate)))
}

fn of_concurrency(most: u32) -> Case {
    let cap = Limits {
        concurrency: NonZeroU32::new(10 * most),
        ..Limits::default()
    };
    case(&cap, Limiter::Concurrency(most))
}

fn of_tokens() -> Case {
    let cap = Limits {
        tokens_per_minute: std::num::NonZeroU64::new(600_000),
        ..Limits::default()
    };
    let limiter = Limiter::Tokens {
        rate: 1_000.0,
        size: 60_000.0,
    };
    case(&cap, limiter)
}

impl Case {
    /// Seconds that `requests` take at the limit, after the burst that it lets through at first.
    fn seconds(&self, limiter: Limiter, requests: f64) -> f64 {
        match limiter {
            Limiter::Bucket { rate, .. } => requests / rate,
            Limiter::Window { limit, seconds } => requests / f64::from(limit) * seconds,
            Limiter::Concurrency(most) => requests / f64::from(most) * self.latency_s(),
            Limiter::Tokens { rate, size } => {
                (requests * f64::from(PROMPT_TOKENS + ANSWER_TOKENS) - size) / rate
            }
        }
    }

    /// The mean time that a request keeps its place at the provider, without the way there.
    fn latency_s(&self) -> f64 {
        (self.latency_ms.0 + self.latency_ms.1) as f64 / 2e3 * 0.7
    }

    fn ideal(&self) -> f64 {
        let parts = match self.then {
            None => self.seconds(self.limiter, 3_000.0),
            Some(then) => self.seconds(self.limiter, 1_500.0) + self.seconds(then, 1_500.0),
        };
        parts + self.latency_ms.1 as f64 / 1e3
    }

    fn run(&self, seed: u64) -> World {
        let mut provider = Provider::new(self.limiter, self.retry_after);
        provider.latency_ms = self.latency_ms;
        provider.announces = self.announces;
        let mut world = World::limited(self.cap.clone(), provider, seed);
        world.run(1_500, 10_000.0);
        world.provider.limiter = self.then.unwrap_or(self.limiter);
        world.run(1_500, 10_000.0);
        world
    }

    /// Most of what was started after the first refusal, in times of the first limit: in its own
    /// window, which is a minute for tokens and a second for requests.
    fn burst(&self, report: &Report) -> f64 {
        let Some(first) = report.refusals.first() else {
            return 0.0;
        };
        let after = report.starts.iter().zip(&report.in_flight);
        let after = after.filter(|(at, _)| *at > first);
        let at_once = after.clone().map(|(_, in_flight)| *in_flight).max();
        let starts: Vec<f64> = after.map(|(at, _)| *at).collect();
        match self.limiter {
            Limiter::Bucket { rate, .. } => most_in(&starts, 1.0) as f64 / rate,
            Limiter::Window { limit, seconds } => {
                most_in(&starts, seconds) as f64 / f64::from(limit)
            }
            Limiter::Concurrency(most) => f64::from(at_once.unwrap_or(0)) / f64::from(most),
            Limiter::Tokens { rate, .. } => {
                let tokens = f64::from(PROMPT_TOKENS + ANSWER_TOKENS);
                most_in(&starts, 60.0) as f64 * tokens / (60.0 * rate)
            }
        }
    }

    fn check_cap(&self, report: &Report, said: &str) {
        if let Some(most) = self.cap.concurrency {
            let at_once = report.in_flight.iter().max();
            assert!(
                at_once.is_none_or(|at_once| *at_once <= most.get()),
                "{said}"
            );
        }
        if let Some(cap) = self.cap.requests_per_minute {
            let rate = f64::from(cap.get()) / 60.0;
            let burst = f64::from(crate::bucket::burst(rate, Duration::from_millis(40)).get());
            assert!(report.most_in(1.0) as f64 <= rate + burst, "{said}");
        }
        if let Some(cap) = self.cap.tokens_per_minute {
            // A minute of the cap, and the ten seconds of it that may be used at once.
            let most = cap.get() as f64 * 70.0 / 60.0;
            let tokens = report.most_in(60.0) as f64 * f64::from(PROMPT_TOKENS);
            assert!(tokens <= most, "{said}");
        }
    }

    fn check(&self, times_ideal: f64) {
        for seed in 0..SEEDS {
            let world = self.run(seed);
            let report = &world.report;
            let took = report.seconds / self.ideal();
            let burst = self.burst(report);
            let said = format!(
                "{self:?} seed {seed}: {} served, {} refused, {:.1} s = {took:.3} of ideal, burst {burst:.2}",
                report.served, report.refused, report.seconds
            );
            assert_eq!(report.served, 3_000, "{said}");
            assert!(report.refused * 20 <= 3_000 + report.refused, "{said}");
            assert!(took <= times_ideal, "{said}");
            assert!(burst <= 2.0, "{said}");
            self.check_cap(report, &said);
        }
    }
}

fn check_all(case: &Case, times_ideal: f64) {
    for latency_ms in LATENCIES_MS {
        for retry_after in HINTS {
            let case = Case {
                latency_ms,
                retry_after,
                ..case.clone()
            };
            // Below a minute of work, the ramp alone is more than a quarter: see `crate::ramp`.
            if case.ideal() >= 60.0 {
                case.check(times_ideal);
            }
        }
    }
}

#[test]
fn a_rate_is_found() {
    check_all(&of_requests(50), 1.25);
    check_all(&of_requests(10), 1.25);
}

#[test]
fn a_rate_that_is_halved_midway_is_found_again() {
    let halved = Case {
        then: Some(bucket(25.0)),
        ..of_requests(50)
    };
    check_all(&halved, 1.25);
}

#[test]
fn a_limit_on_concurrency_is_found_and_found_again_when_halved() {
    check_all(&of_concurrency(20), 1.25);
    let halved = Case {
        then: Some(Limiter::Concurrency(10)),
        ..of_concurrency(20)
    };
    check_all(&halved, 1.25);
}

#[test]
fn a_limit_on_tokens_is_found() {
    check_all(&of_tokens(), 1.25);
}

#[test]
fn windows_of_a_second_are_found_a_little_later() {
    // What a window has left when a pause ends is lost, and a pause is a whole second.
    let limiter = Limiter::Window {
        limit: 50,
        seconds: 1.0,
    };
    check_all(&case(&per_minute(30_000), limiter), 1.4);
}

#[test]
fn what_is_announced_is_used_at_once_and_next_to_nothing_is_refused() {
    for (case, requests_in_time) in [
        (of_requests(50), 1.1),
        (of_requests(500), 1.25),
        (of_tokens(), 1.25),
    ] {
        for latency_ms in LATENCIES_MS {
            let case = Case {
                announces: true,
                latency_ms,
                ..case.clone()
            };
            let world = case.run(7);
            let report = &world.report;
            assert_eq!(report.served, 3_000, "{case:?}");
            assert!(report.refused * 1_000 <= report.served, "{case:?}");
            let took = report.seconds / (case.ideal() + case.latency_ms.1 as f64 / 1e3);
            assert!(took <= requests_in_time, "{case:?}: {took:.3}");
            let status = world.pacer.status(world.now());
            match case.limiter {
                Limiter::Tokens { .. } => {
                    assert_eq!(status.announced_tokens_per_minute, Some(57_000));
                }
                Limiter::Bucket { .. } | Limiter::Window { .. } | Limiter::Concurrency(_) => {
                    let source = status.limit.map(|limit| limit.source);
                    assert_eq!(source, Some(LimitSource::Announced));
                }
            }
        }
    }
}

#[test]
fn what_was_found_survives_a_restart() {
    let case = of_requests(50);
    let provider = Provider::new(case.limiter, case.retry_after);
    let mut world = World::limited(case.cap.clone(), provider, 3);
    // The next owner goes on growing from where the last one was.
    world.run(20, 100.0);
    let status = world.pacer.status(world.now());
    assert_eq!(status.limit.map(|l| l.source), Some(LimitSource::Growing));
    world.restart();
    let status = world.pacer.status(world.now()).limit.expect("a limit");
    assert_eq!(status.source, LimitSource::Growing);
    assert!(status.requests_per_minute > 120.0, "{status:?}");

    world.run(1_500, 100.0);
    let (refused, began) = (world.report.refused, world.seconds());
    world.restart();
    world.run(900, 200.0);
    assert!(world.report.refused <= refused + 5);
    assert!(world.seconds() - began < 23.0);
    let limit = world.pacer.status(world.now()).limit;
    assert_eq!(limit.map(|l| l.source), Some(LimitSource::Learned));
}

#[test]
fn without_a_limit_the_cap_is_reached_and_remembered() {
    let case = case(&per_minute(6_000), bucket(10_000.0));
    let mut world = case.run(1);
    let limit = world.pacer.status(world.now()).limit;
    assert_eq!(limit.map(|l| l.source), Some(LimitSource::Configured));
    assert_eq!(world.report.refused, 0);
    world.restart();
    let limit = world.pacer.status(world.now()).limit;
    assert_eq!(limit.map(|l| l.source), Some(LimitSource::Configured));
}
