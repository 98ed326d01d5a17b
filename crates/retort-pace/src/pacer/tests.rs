//! What a pacer decides, step by step in virtual time.

mod states;
mod troubles;

use std::num::NonZeroU32;
use std::time::Duration;

use retort_types::{
    AnnouncedLimit, Counted, DomainId, DomainSpec, HumanDuration, LaneSpec, Limits, ModelName,
    Outcome, Timestamp,
};
use tokio::time::Instant;

use crate::{
    BreakerSettings, Decision, DomainState, Effect, LaneState, Now, PaceSettings, Pacer, Permit,
    Settlement, Waiting,
};

/// A pacer and its time.
struct Bench {
    spec: DomainSpec,
    settings: PaceSettings,
    pacer: Pacer,
    origin: Instant,
    passed: Duration,
    wall: Timestamp,
}

fn rate(per_minute: u32) -> Limits {
    Limits {
        requests_per_minute: NonZeroU32::new(per_minute),
        ..Limits::default()
    }
}

/// A domain of the lanes `a`, `b` in one group and `c` alone.
fn spec(whole: &Limits, group: &Limits) -> DomainSpec {
    let lane = |name: &str, group_name: &str| LaneSpec {
        model: ModelName::new(name).expect("a good name"),
        group: group_name.to_owned(),
        limits: group.clone(),
    };
    DomainSpec {
        id: DomainId::new("domain").expect("a good name"),
        limits: whole.clone(),
        lanes: vec![lane("a", "both"), lane("b", "both"), lane("c", "c")],
    }
}

impl Bench {
    fn new(whole: &Limits, group: &Limits) -> Self {
        let spec = spec(whole, group);
        let origin = Instant::now();
        let wall = "2026-11-24T10:00:00Z".parse().expect("a good time");
        let now = Now {
            instant: origin,
            wall,
        };
        Self {
            pacer: Pacer::new(spec.clone(), PaceSettings::default(), None, now),
            spec,
            settings: PaceSettings::default(),
            origin,
            passed: Duration::ZERO,
            wall,
        }
    }

    fn now(&self) -> Now {
        Now {
            instant: self.origin + self.passed,
            wall: self.wall.after(self.passed),
        }
    }

    fn pass(&mut self, milliseconds: u64) {
        self.passed += Duration::from_millis(milliseconds);
    }

    fn poll(&mut self, lanes: &[usize]) -> Decision {
        let waiting: Vec<Waiting> = (0_u64..)
            .zip(lanes)
            .map(|(priority, lane)| Waiting {
                lane: *lane,
                priority,
                input_tokens: 100,
                output_tokens: 100,
            })
            .collect();
        self.pacer.poll(self.now(), &waiting)
    }

    fn start(&mut self, lanes: &[usize]) -> Permit {
        match self.poll(lanes) {
            Decision::Start(permit) => permit,
            other @ (Decision::WaitUntil(_) | Decision::WaitForSettle | Decision::Parked) => {
                panic!("{other:?}")
            }
        }
    }

    /// Returns in how many milliseconds, rounded up, the lanes may go on.
    fn wait_ms(&mut self, lanes: &[usize]) -> u128 {
        let now = self.now().instant;
        match self.poll(lanes) {
            Decision::WaitUntil(at) => (at - now).as_nanos().div_ceil(1_000_000),
            other @ (Decision::Start(_) | Decision::WaitForSettle | Decision::Parked) => {
                panic!("{other:?}")
            }
        }
    }

    fn settle(&mut self, permit: Permit, outcome: Outcome) -> Effect {
        let now = self.now();
        self.pacer.settle(permit, &Settlement::of(outcome), now)
    }

    fn refuse(&mut self, permit: Permit, seconds: u64) -> Effect {
        let mut settlement = Settlement::of(Outcome::RateLimited);
        settlement.limits.retry_after = Some(Duration::from_secs(seconds));
        let now = self.now();
        self.pacer.settle(permit, &settlement, now)
    }

    /// Lets another owner begin with what was saved.
    fn restart(&mut self) -> DomainState {
        let state = self.pacer.state(self.now());
        let json = serde_json::to_string(&state).expect("it is plain");
        let saved: DomainState = serde_json::from_str(&json).expect("it was just written");
        assert_eq!(saved, state);
        let (spec, settings) = (self.spec.clone(), self.settings.clone());
        self.pacer = Pacer::new(spec, settings, Some(saved), self.now());
        assert_eq!(self.pacer.state(self.now()), state);
        state
    }

    fn lane_state(&self, lane: usize) -> LaneState {
        self.pacer.status(self.now()).lanes[lane].state.clone()
    }
}

#[test]
fn lower_priorities_go_first_and_equals_take_turns() {
    let mut bench = Bench::new(&Limits::default(), &Limits::default());
    assert_eq!(bench.start(&[2, 0, 1]).lane(), 2);
    let same = [0, 1, 2].map(|lane| Waiting {
        lane,
        priority: 7,
        input_tokens: 0,
        output_tokens: 0,
    });
    let now = bench.now();
    let order: Vec<usize> = (0..6)
        .map(|_| match bench.pacer.poll(now, &same) {
            Decision::Start(permit) => permit.lane(),
            other @ (Decision::WaitUntil(_) | Decision::WaitForSettle | Decision::Parked) => {
                panic!("{other:?}")
            }
        })
        .collect();
    assert_eq!(order, [0, 1, 2, 0, 1, 2]);
    assert!(matches!(bench.poll(&[]), Decision::WaitForSettle));
    assert!(matches!(bench.poll(&[99]), Decision::WaitForSettle));
}

#[test]
fn a_group_that_waits_takes_nothing_from_the_domain() {
    let mut bench = Bench::new(&rate(600), &rate(6));
    let first = bench.start(&[0]);
    assert_eq!(bench.wait_ms(&[0, 1]), 10_000);
    for _ in 0..50 {
        assert_eq!(bench.wait_ms(&[1]), 10_000, "polling takes nothing");
    }
    let other = bench.start(&[0, 1, 2]);
    assert_eq!(other.lane(), 2, "the other group goes on");
    bench.settle(first, Outcome::Answered);
    bench.pass(10_000);
    assert_eq!(bench.start(&[1]).lane(), 1);
}

#[test]
fn due_is_when_pace_allowed_it_and_something_waited() {
    let mut bench = Bench::new(&rate(60), &Limits::default());
    bench.pass(60_000);
    let idle = bench.start(&[0]);
    assert_eq!(idle.due(), bench.now().instant);
    let second = bench.start(&[0]);
    assert_eq!(second.due(), bench.now().instant);
    let allowed = bench.now().instant + Duration::from_secs(1);
    assert_eq!(bench.wait_ms(&[0]), 1_000);
    bench.pass(1_250);
    assert_eq!(bench.start(&[0]).due(), allowed, "a quarter second late");
}

#[test]
fn a_refusal_blocks_the_group_and_it_comes_back_evenly() {
    let mut bench = Bench::new(&Limits::default(), &rate(3_000));
    let permits: Vec<Permit> = (0..3).map(|_| bench.start(&[0])).collect();
    let mut effects = Vec::new();
    for permit in permits {
        effects.push(bench.refuse(permit, 30));
    }
    let until = bench.now().instant + Duration::from_secs(30);
    let reason = "rate_limited".to_owned();
    assert_eq!(effects, vec![Effect::Blocked { until, reason }; 3]);
    assert_eq!(bench.wait_ms(&[0, 1]), 30_000);
    assert_eq!(bench.start(&[2]).lane(), 2, "another group is not meant");
    let LaneState::Blocked { until, reason } = bench.lane_state(1) else {
        panic!("{:?}", bench.lane_state(1));
    };
    assert_eq!(until.to_string(), "2026-11-24T10:00:30.000000Z");
    assert_eq!(reason, "rate_limited");

    bench.pass(30_000);
    let first = bench.start(&[0, 1]);
    assert!(matches!(bench.poll(&[0, 1]), Decision::WaitForSettle));
    bench.settle(first, Outcome::Answered);
    assert_eq!(bench.wait_ms(&[0, 1]), 20, "evenly, without a burst");
}

#[test]
fn after_a_restart_the_first_request_tries_what_a_block_was_about() {
    let mut bench = Bench::new(&rate(3_000), &Limits::default());
    let permit = bench.start(&[0]);
    bench.refuse(permit, 30);
    bench.pass(10_000);
    bench.restart();
    assert_eq!(bench.wait_ms(&[0]), 20_000);
    bench.pass(21_000);
    let first = bench.start(&[0]);
    bench.pass(1_000);
    assert!(matches!(bench.poll(&[0]), Decision::WaitForSettle));
    bench.settle(first, Outcome::Answered);
    assert_eq!(bench.start(&[1]).lane(), 1);
}

#[test]
fn a_refusal_blocks_the_domain_when_the_account_is_limited() {
    let mut bench = Bench::new(&rate(3_000), &Limits::default());
    let permit = bench.start(&[0]);
    bench.refuse(permit, 5);
    assert_eq!(bench.wait_ms(&[0, 1, 2]), 5_000);
    let blocked = bench.pacer.status(bench.now()).blocked;
    assert_eq!(blocked.map(|b| b.reason).as_deref(), Some("rate_limited"));
}

#[test]
fn refusals_without_a_wait_back_off_and_those_of_one_pause_count_once() {
    let mut bench = Bench::new(&rate(6_000), &Limits::default());
    let together: Vec<Permit> = (0..4).map(|_| bench.start(&[0])).collect();
    for permit in together {
        bench.settle(permit, Outcome::RateLimited);
    }
    let mut waits = Vec::new();
    for _ in 0..8 {
        let wait = bench.wait_ms(&[0]);
        waits.push(wait / 1_000);
        bench.pass(u64::try_from(wait).expect("it is short"));
        let permit = bench.start(&[0]);
        bench.settle(permit, Outcome::RateLimited);
    }
    // Up to a tenth is added.
    let least = [1, 2, 4, 8, 16, 32, 60, 60];
    let near = |(wait, least): (&u128, u128)| (least..=least * 11 / 10).contains(wait);
    assert!(waits.iter().zip(least).all(near), "{waits:?}");
    bench.pass(100_000);
    let permit = bench.start(&[0]);
    bench.settle(permit, Outcome::Answered);
    bench.pass(1_000);
    let permit = bench.start(&[0]);
    bench.settle(permit, Outcome::RateLimited);
    assert!(
        (1_000..1_101).contains(&bench.wait_ms(&[0])),
        "it began anew"
    );
}

#[test]
fn what_is_used_up_says_when_it_comes_back() {
    let mut bench = Bench::new(&rate(6_000), &Limits::default());
    let permit = bench.start(&[0]);
    let mut settlement = Settlement::of(Outcome::RateLimited);
    let count = |remaining, seconds| AnnouncedLimit {
        counted: Counted::Tokens,
        limit: Some(100),
        remaining: Some(remaining),
        reset: Some(Duration::from_secs(seconds)),
        window: None,
    };
    settlement.limits.counts = vec![count(5, 500), count(0, 7)];
    let now = bench.now();
    bench.pacer.settle(permit, &settlement, now);
    assert_eq!(bench.wait_ms(&[0]), 7_000);
}

#[test]
fn waits_are_cut_and_too_short_ones_do_not_spin() {
    let mut bench = Bench::new(&rate(6_000), &Limits::default());
    let permit = bench.start(&[0]);
    bench.refuse(permit, u64::MAX);
    assert_eq!(bench.wait_ms(&[0]), 86_400_000);

    let mut bench = Bench::new(&rate(6_000), &Limits::default());
    let mut tries = 0;
    while bench.passed < Duration::from_mins(10) {
        let permit = bench.start(&[0]);
        bench.refuse(permit, 0);
        tries += 1;
        let wait = bench.wait_ms(&[0]);
        bench.pass(u64::try_from(wait).expect("it is short"));
    }
    assert!((10..30).contains(&tries), "{tries}");
}

#[test]
fn a_late_refusal_lengthens_the_pause_only_when_it_says_so() {
    let mut bench = Bench::new(&rate(6_000), &Limits::default());
    let (early, late, later) = (bench.start(&[0]), bench.start(&[0]), bench.start(&[0]));
    bench.refuse(early, 2);
    bench.pass(2_000);
    let next = bench.start(&[0]);
    assert_eq!(bench.settle(late, Outcome::RateLimited), Effect::None);
    bench.settle(next, Outcome::Answered);
    bench.refuse(later, 9);
    assert_eq!(bench.wait_ms(&[0]), 9_000);
}

#[test]
fn the_day_ends_at_midnight_across_restarts() {
    let limits = Limits {
        requests_per_day: NonZeroU32::new(3),
        ..rate(6_000)
    };
    let mut bench = Bench::new(&limits, &Limits::default());
    for _ in 0..2 {
        let permit = bench.start(&[0]);
        bench.settle(permit, Outcome::Answered);
    }
    bench.restart();
    bench.pass(1_000);
    let permit = bench.start(&[0]);
    bench.settle(permit, Outcome::Answered);
    let to_midnight = 14 * 3_600_000 - 1_000;
    assert_eq!(bench.wait_ms(&[0]), to_midnight);
    let status = bench.pacer.status(bench.now());
    let blocked = status.blocked.unwrap();
    assert_eq!(blocked.until.to_string(), "2026-11-25T00:00:00.000000Z");
    assert_eq!(blocked.reason, "the requests of this UTC day are used up");
    assert_eq!(
        (status.today.requests, status.today.requests_limit),
        (3, Some(3))
    );
    bench.restart();
    assert_eq!(bench.wait_ms(&[0]), to_midnight);
    bench.pass(u64::try_from(to_midnight).unwrap());
    assert_eq!(bench.start(&[0]).lane(), 0);
    assert_eq!(bench.pacer.status(bench.now()).today.requests, 1);
}

#[test]
fn a_released_permit_gives_everything_back() {
    let limits = Limits {
        requests_per_day: NonZeroU32::new(1),
        concurrency: NonZeroU32::new(1),
        ..rate(6)
    };
    let mut bench = Bench::new(&limits, &Limits::default());
    for _ in 0..3 {
        let permit = bench.start(&[0]);
        assert!(matches!(bench.poll(&[0]), Decision::WaitForSettle));
        let now = bench.now();
        bench.pacer.release(permit, now);
    }
    assert_eq!(bench.pacer.status(bench.now()).today.requests, 0);
}

#[test]
fn tokens_are_charged_by_estimate_and_corrected_by_what_was_told() {
    let limits = Limits {
        tokens_per_minute: std::num::NonZeroU64::new(6_000),
        ..Limits::default()
    };
    let mut bench = Bench::new(&limits, &Limits::default());
    // A bucket of ten seconds holds 1,000 tokens: five estimates.
    let mut permits: Vec<Permit> = (0..5).map(|_| bench.start(&[0])).collect();
    assert_eq!(bench.wait_ms(&[0]), 2_001);
    let mut settlement = Settlement::of(Outcome::Answered);
    settlement.input_tokens = Some(100);
    settlement.output_tokens = Some(1_100);
    settlement.cost_usd = Some(0.25);
    let now = bench.now();
    let permit = permits.pop().unwrap();
    bench.pacer.settle(permit, &settlement, now);
    assert_eq!(bench.wait_ms(&[0]), 12_001, "it used 1,000 more");
    let permit = permits.pop().unwrap();
    bench.settle(permit, Outcome::ConnectFailed);
    assert_eq!(bench.wait_ms(&[0]), 10_001, "it used nothing");
    let permit = permits.pop().unwrap();
    bench.settle(permit, Outcome::Answered);
    assert_eq!(bench.wait_ms(&[0]), 10_001, "untold, the estimate stands");
    let today = bench.pacer.status(bench.now()).today;
    assert_eq!((today.input_tokens, today.output_tokens), (100, 1_100));
    assert!((today.cost_usd - 0.25).abs() < 1e-12);
}

#[test]
fn absurd_numbers_do_no_harm() {
    let limits = Limits {
        requests_per_minute: Some(NonZeroU32::MAX),
        requests_per_day: Some(NonZeroU32::MAX),
        concurrency: Some(NonZeroU32::MAX),
        tokens_per_minute: Some(std::num::NonZeroU64::MAX),
        input_tokens_per_minute: Some(std::num::NonZeroU64::MIN),
        output_tokens_per_minute: Some(std::num::NonZeroU64::MAX),
        auto: false,
    };
    let huge = HumanDuration(Duration::MAX);
    let settings = PaceSettings {
        retry_after_max: huge,
        backoff_first: huge,
        backoff_max: huge,
        burst_window: huge,
        token_window: huge,
        probe_after: huge,
        breaker: BreakerSettings {
            failures_to_open: 0,
            first_wait: huge,
            max_wait: huge,
            park_after: huge,
        },
    };
    let mut bench = Bench::new(&limits, &limits);
    bench.settings = settings.clone();
    let now = bench.now();
    let waiting = [Waiting {
        lane: 0,
        priority: u64::MAX,
        input_tokens: u64::MAX,
        output_tokens: u64::MAX,
    }];
    for outcome in Outcome::ALL {
        bench.pacer = Pacer::new(bench.spec.clone(), settings.clone(), None, now);
        let Decision::Start(permit) = bench.pacer.poll(now, &waiting) else {
            panic!("nothing was used yet");
        };
        let mut settlement = Settlement::of(*outcome);
        settlement.limits.retry_after = Some(Duration::MAX);
        settlement.input_tokens = Some(u64::MAX);
        settlement.output_tokens = Some(u64::MAX);
        settlement.cost_usd = Some(f64::INFINITY);
        bench.pacer.settle(permit, &settlement, now);
        let decision = bench.pacer.poll(now, &waiting);
        assert!(
            !matches!(decision, Decision::Start(_)),
            "{outcome}: {decision:?}"
        );
        bench.restart();
    }
}

#[test]
fn a_large_request_is_not_overtaken_by_small_ones_it_shares_tokens_with() {
    let tokens = Limits {
        tokens_per_minute: std::num::NonZeroU64::new(6_000),
        ..Limits::default()
    };
    let none = Limits::default();
    for (whole, group, small) in [(&tokens, &none, 2), (&none, &tokens, 1)] {
        let mut bench = Bench::new(whole, group);
        let first = bench.start(&[0]);
        bench.settle(first, Outcome::Answered);
        // 800 of 1,000 tokens are left: too few for the first, plenty for the second.
        let large_first =
            [(0, 0, 900), (small, 1, 1)].map(|(lane, priority, output_tokens)| Waiting {
                lane,
                priority,
                input_tokens: 0,
                output_tokens,
            });
        let now = bench.now();
        let Decision::WaitUntil(at) = bench.pacer.poll(now, &large_first) else {
            panic!("the small request overtook");
        };
        assert_eq!((at - now.instant).as_millis(), 1_000);
        bench.pass(1_001);
        let now = bench.now();
        let Decision::Start(permit) = bench.pacer.poll(now, &large_first) else {
            panic!("the large request may start");
        };
        assert_eq!(permit.lane(), 0);
    }
}
