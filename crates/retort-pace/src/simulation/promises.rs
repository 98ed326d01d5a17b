//! What is promised whatever happens: rates, concurrency, days, and that everything gets its turn.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};

use proptest::prelude::*;
use retort_types::LaneSpec;

use super::*;
use crate::bucket::burst;

/// Something that happens.
#[derive(Debug, Clone)]
enum Step {
    /// Time passes, in milliseconds.
    Pass(u32),
    /// Everything that may start now starts.
    Start(Vec<usize>),
    /// A request in flight ends: which, how, and the wait that is asked for in milliseconds.
    Settle(usize, Outcome, Option<u32>),
    /// A request that was let start never did.
    Release(usize),
    /// Another owner begins from what was saved.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        6 => Just(Outcome::Answered),
        3 => Just(Outcome::RateLimited),
        1 => Just(Outcome::Overloaded),
        1 => Just(Outcome::ConnectFailed),
        1 => Just(Outcome::InvalidRequest),
    ];
    let wait = proptest::option::of(0_u32..5_000);
    prop_oneof![
        3 => (0_u32..400).prop_map(Step::Pass),
        1 => (0_u32..120_000).prop_map(Step::Pass),
        6 => proptest::collection::vec(0_usize..3, 1..4).prop_map(Step::Start),
        4 => (0_usize..64, outcome, wait).prop_map(|(which, how, wait)| Step::Settle(which, how, wait)),
        1 => (0_usize..64).prop_map(Step::Release),
        1 => Just(Step::Restart),
    ]
}

fn three_lanes(whole: u32, group: u32, concurrency: u32, day: u32) -> DomainSpec {
    let limits = |rate: u32, concurrency: u32| Limits {
        requests_per_minute: NonZeroU32::new(rate),
        concurrency: NonZeroU32::new(concurrency),
        ..Limits::default()
    };
    // Two lanes share a group, one is alone.
    let lane = |name: &str, group_name: &str| LaneSpec {
        model: ModelName::new(name).expect("a good name"),
        group: group_name.to_owned(),
        limits: limits(group, concurrency / 2),
    };
    let lanes = vec![lane("a", "both"), lane("b", "both"), lane("c", "c")];
    DomainSpec {
        id: DomainId::new("domain").expect("a good name"),
        limits: Limits {
            requests_per_day: NonZeroU32::new(day),
            ..limits(whole, concurrency)
        },
        lanes,
    }
}

/// A start: when, in nanoseconds; on which lane; whether it really happened.
#[derive(Debug, Clone, Copy)]
struct Started {
    nanos: u64,
    lane: usize,
    released: bool,
}

/// Plays steps against a pacer and keeps what it let start.
struct Play {
    spec: DomainSpec,
    pacer: Pacer,
    origin: Instant,
    nanos: u64,
    flying: Vec<(usize, Permit)>,
    started: Vec<Started>,
}

impl Play {
    fn new(spec: DomainSpec) -> Self {
        let origin = Instant::now();
        let now = Now {
            instant: origin,
            wall: Timestamp::from_micros(WALL),
        };
        Self {
            pacer: Pacer::new(spec.clone(), PaceSettings::default(), None, now),
            spec,
            origin,
            nanos: 0,
            flying: Vec::new(),
            started: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        let passed = Duration::from_nanos(self.nanos);
        Now {
            instant: self.origin + passed,
            wall: Timestamp::from_micros(WALL).after(passed),
        }
    }

    fn play(&mut self, step: Step) {
        let now = self.now();
        match step {
            Step::Pass(millis) => self.nanos += u64::from(millis) * 1_000_000,
            Step::Start(lanes) => self.start(&lanes),
            Step::Settle(which, outcome, wait) => {
                if let Some((_, permit)) = self.fly_down(which) {
                    let mut settlement = Settlement::of(outcome);
                    let wait = wait.map(|millis| Duration::from_millis(u64::from(millis)));
                    settlement.limits.retry_after = wait;
                    self.pacer.settle(permit, &settlement, now);
                }
            }
            Step::Release(which) => {
                if let Some((index, permit)) = self.fly_down(which) {
                    self.started[index].released = true;
                    self.pacer.release(permit, now);
                }
            }
            Step::Restart => {
                let json = serde_json::to_string(&self.pacer.state(now)).expect("it is plain");
                let saved = serde_json::from_str(&json).expect("it was just written");
                let settings = PaceSettings::default();
                self.pacer = Pacer::new(self.spec.clone(), settings, Some(saved), now);
                self.flying.clear();
            }
        }
    }

    fn fly_down(&mut self, which: usize) -> Option<(usize, Permit)> {
        (!self.flying.is_empty()).then(|| self.flying.swap_remove(which % self.flying.len()))
    }

    fn start(&mut self, lanes: &[usize]) {
        let waiting: Vec<Waiting> = (0..3)
            .filter(|lane| lanes.contains(lane))
            .map(|lane| Waiting {
                lane,
                priority: u64::from(lane == 1),
                input_tokens: 1,
                output_tokens: 1,
            })
            .collect();
        loop {
            let now = self.now();
            match self.pacer.poll(now, &waiting) {
                Decision::Start(permit) => {
                    assert!(permit.due() <= now.instant);
                    assert!(lanes.contains(&permit.lane()));
                    self.started.push(Started {
                        nanos: self.nanos,
                        lane: permit.lane(),
                        released: false,
                    });
                    self.flying.push((self.started.len() - 1, permit));
                }
                Decision::WaitUntil(at) => {
                    assert!(at > now.instant, "a wait that is over is no wait");
                    return;
                }
                Decision::WaitForSettle | Decision::Parked => return,
            }
        }
    }

    fn in_flight(&self, lanes: &[usize]) -> usize {
        let on = |(index, _): &&(usize, Permit)| lanes.contains(&self.started[*index].lane);
        self.flying.iter().filter(on).count()
    }

    fn check_rate(&self, lanes: &[usize], per_minute: u32) {
        let rate = f64::from(per_minute) / 60.0;
        let burst = f64::from(burst(rate, Duration::from_millis(40)).get());
        let real = self.started.iter().filter(|start| !start.released);
        let times: Vec<f64> = real
            .filter(|start| lanes.contains(&start.lane))
            .map(|start| start.nanos as f64 / 1e9)
            .collect();
        for (first, from) in times.iter().enumerate() {
            for (last, to) in times.iter().enumerate().skip(first) {
                let (count, most) = ((last + 1 - first) as f64, burst + rate * (to - from));
                assert!(
                    count <= most + 1e-6,
                    "{count} from {from} to {to}, not {most}"
                );
            }
        }
    }

    fn check_days(&self, per_day: u32) {
        let mut days: BTreeMap<String, u32> = BTreeMap::new();
        for start in self.started.iter().filter(|start| !start.released) {
            let at = Timestamp::from_micros(WALL).after(Duration::from_nanos(start.nanos));
            *days.entry(at.date()).or_default() += 1;
        }
        assert!(days.values().all(|count| *count <= per_day), "{days:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_faster_than_told(
        (whole, group) in (prop_oneof![20_u32..200, 1_000_u32..6_000], prop_oneof![10_u32..100, 500_u32..4_000]),
        steps in proptest::collection::vec(step(), 1..250),
    ) {
        let mut play = Play::new(three_lanes(whole, group, 0, 0));
        for step in steps {
            play.play(step);
        }
        play.check_rate(&[0, 1, 2], whole);
        play.check_rate(&[0, 1], group);
        play.check_rate(&[2], group);
    }

    #[test]
    fn never_more_at_once_than_told(
        concurrency in 2_u32..12,
        steps in proptest::collection::vec(step(), 1..250),
    ) {
        let mut play = Play::new(three_lanes(6_000, 0, concurrency, 0));
        for step in steps {
            play.play(step);
            let half = (concurrency / 2) as usize;
            prop_assert!(play.in_flight(&[0, 1, 2]) <= concurrency as usize);
            prop_assert!(play.in_flight(&[0, 1]) <= half);
            prop_assert!(play.in_flight(&[2]) <= half);
        }
    }

    #[test]
    fn never_more_a_day_than_told(
        per_day in 1_u32..30,
        mut steps in proptest::collection::vec(step(), 1..200),
        long in proptest::collection::vec(0_usize..200, 0..8),
    ) {
        for at in long {
            let at = at.min(steps.len());
            steps.insert(at, Step::Pass(9 * 3_600_000));
        }
        let mut play = Play::new(three_lanes(6_000, 0, 0, per_day));
        for step in steps {
            play.play(step);
        }
        play.check_days(per_day);
    }

    #[test]
    fn everything_gets_its_turn(
        tokens_per_minute in 600_u64..60_000,
        sizes in proptest::collection::vec((0_usize..3, 0_u64..20_000, 0_u64..20_000), 1..40),
        latency_ms in 1_u64..20_000,
        concurrency in 2_u32..6,
    ) {
        everyone_is_served(tokens_per_minute, &sizes, latency_ms, concurrency);
    }
}

/// Serves requests of these lanes and sizes, each lane in order, and counts on every one ending.
fn everyone_is_served(per_minute: u64, sizes: &[(usize, u64, u64)], latency_ms: u64, most: u32) {
    let mut spec = three_lanes(600, 300, most, 0);
    spec.limits.tokens_per_minute = NonZeroU64::new(per_minute);
    spec.lanes[2].limits.output_tokens_per_minute = NonZeroU64::new(per_minute / 2);
    let mut play = Play::new(spec);
    let mut left: Vec<Waiting> = (0_u64..)
        .zip(sizes)
        .map(|(priority, (lane, input_tokens, output_tokens))| Waiting {
            lane: *lane,
            priority,
            input_tokens: *input_tokens,
            output_tokens: *output_tokens,
        })
        .collect();
    let mut flying: Vec<(u64, Permit)> = Vec::new();
    let mut turns = 0;
    loop {
        turns += 1;
        assert!(turns < 10_000, "{} of {} are left", left.len(), sizes.len());
        let now = play.now();
        while let Some(ended) = flying.iter().position(|(ends, _)| *ends <= play.nanos) {
            let (_, permit) = flying.swap_remove(ended);
            play.pacer
                .settle(permit, &Settlement::of(Outcome::Answered), now);
        }
        let first = |lane| left.iter().find(|waiting| waiting.lane == lane).copied();
        let heads: Vec<Waiting> = (0..3).filter_map(first).collect();
        if heads.is_empty() && flying.is_empty() {
            break;
        }
        let ends = flying.iter().map(|(ends, _)| *ends).min();
        match play.pacer.poll(now, &heads) {
            Decision::Start(permit) => {
                let at = left.iter().position(|w| w.lane == permit.lane());
                left.remove(at.expect("the lane has something waiting"));
                flying.push((play.nanos + latency_ms * 1_000_000, permit));
            }
            Decision::WaitUntil(at) => {
                let at = u64::try_from((at - play.origin).as_nanos()).expect("not so late");
                play.nanos = ends.map_or(at, |ends| ends.min(at));
            }
            Decision::WaitForSettle => play.nanos = ends.expect("something is in flight"),
            Decision::Parked => unreachable!("nothing parks"),
        }
    }
    assert!(play.nanos < 100 * 3_600 * 1_000_000_000);
}
