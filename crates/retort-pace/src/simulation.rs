//! A simulated provider in virtual time: what finding its limit costs.

mod adaptation;
mod auto;
mod promises;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU32;
use std::time::Duration;

use retort_types::{
    AnnouncedLimit, Counted, DomainId, DomainSpec, LaneSpec, Limits, ModelName, Outcome, Timestamp,
};
use tokio::time::Instant;

use crate::{Decision, LimitSource, Now, PaceSettings, Pacer, Permit, Settlement, Waiting};

/// Numbers that are the same in every run: splitmix64.
#[derive(Debug, Clone)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from + 1)
    }
}

/// From sending a request to hearing that it came too early; three tenths are the way there.
const TURNED_AWAY_MS: (u64, u64) = (20, 200);

/// How the provider limits.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limiter {
    /// So many a second flow into a bucket of this size.
    Bucket { rate: f64, size: f64 },
    /// So many in each fixed window of this many seconds.
    Window { limit: u32, seconds: f64 },
    /// So many at the same time.
    Concurrency(u32),
    /// So many tokens a second flow into a bucket of this size. The prompt must fit when a request
    /// arrives, the answer is charged when it is made.
    Tokens { rate: f64, size: f64 },
}

/// Tokens of every prompt, and what its answer is thought to have.
const PROMPT_TOKENS: u32 = 60;
const ANSWER_TOKENS: u32 = 40;

/// How it says when to come back.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RetryAfter {
    WholeSeconds,
    Milliseconds,
    Unsaid,
}

#[derive(Debug, Clone)]
pub(crate) struct Provider {
    pub(crate) limiter: Limiter,
    pub(crate) retry_after: RetryAfter,
    pub(crate) latency_ms: (u64, u64),
    /// Whether answers tell the limit.
    pub(crate) announces: bool,
    level: f64,
    at: f64,
    in_window: u32,
    busy: u32,
}

impl Provider {
    pub(crate) fn new(limiter: Limiter, retry_after: RetryAfter) -> Self {
        let level = match limiter {
            Limiter::Bucket { size, .. } | Limiter::Tokens { size, .. } => size,
            Limiter::Window { .. } | Limiter::Concurrency(_) => 0.0,
        };
        Self {
            limiter,
            retry_after,
            latency_ms: (20, 200),
            announces: false,
            level,
            at: 0.0,
            in_window: 0,
            busy: 0,
        }
    }

    /// Serves a request that arrives at `now`, or says in how many seconds to come back.
    fn arrive(&mut self, now: f64, answer_tokens: f64) -> Result<(), f64> {
        match self.limiter {
            Limiter::Tokens { rate, size } => {
                self.level = size.min(self.level + (now - self.at) * rate);
                self.at = now;
                let prompt = f64::from(PROMPT_TOKENS);
                if self.level < prompt {
                    return Err((prompt - self.level) / rate);
                }
                self.level -= prompt + answer_tokens;
            }
            Limiter::Bucket { rate, size } => {
                self.level = size.min(self.level + (now - self.at) * rate);
                self.at = now;
                if self.level < 1.0 {
                    return Err((1.0 - self.level) / rate);
                }
                self.level -= 1.0;
            }
            Limiter::Window { limit, seconds } => {
                let window = (now / seconds).floor();
                if window > self.at {
                    self.at = window;
                    self.in_window = 0;
                }
                if self.in_window >= limit {
                    return Err((window + 1.0) * seconds - now);
                }
                self.in_window += 1;
            }
            Limiter::Concurrency(most) => {
                if self.busy >= most {
                    return Err(0.5);
                }
                self.busy += 1;
            }
        }
        Ok(())
    }

    fn announcement(&self) -> Option<AnnouncedLimit> {
        let (counted, rate) = match self.limiter {
            Limiter::Bucket { rate, .. } => (Counted::Requests, rate),
            Limiter::Tokens { rate, .. } => (Counted::Tokens, rate),
            Limiter::Window { limit, seconds } => (Counted::Requests, f64::from(limit) / seconds),
            Limiter::Concurrency(_) => return None,
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is a small number"
        )]
        let (limit, remaining) = ((rate * 60.0) as u64, self.level.max(0.0) as u64);
        self.announces.then_some(AnnouncedLimit {
            counted,
            limit: Some(limit),
            remaining: Some(remaining),
            reset: None,
            window: Some(Duration::from_mins(1)),
        })
    }

    fn settlement(&self, answer: Result<(), f64>) -> Settlement {
        let Err(wait) = answer else {
            let mut settlement = Settlement::of(Outcome::Answered);
            settlement.limits.counts.extend(self.announcement());
            return settlement;
        };
        let mut settlement = Settlement::of(Outcome::RateLimited);
        settlement.limits.retry_after = match self.retry_after {
            RetryAfter::WholeSeconds => Some(Duration::from_secs_f64(wait.ceil().max(1.0))),
            RetryAfter::Milliseconds => Some(Duration::from_secs_f64((wait * 1e3).ceil() / 1e3)),
            RetryAfter::Unsaid => None,
        };
        settlement
    }
}

#[derive(Debug)]
enum Event {
    Arrive(usize),
    Answer(usize, Result<(), f64>),
    Wake,
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) served: u32,
    pub(crate) refused: u32,
    pub(crate) seconds: f64,
    pub(crate) starts: Vec<f64>,
    pub(crate) answers: Vec<f64>,
    /// When refusals were heard of.
    pub(crate) refusals: Vec<f64>,
    /// Requests in flight after each start.
    pub(crate) in_flight: Vec<u32>,
}

impl Report {
    /// Most starts in any window of `seconds`.
    pub(crate) fn most_in(&self, seconds: f64) -> usize {
        most_in(&self.starts, seconds)
    }

    pub(crate) fn served_between(&self, from: f64, to: f64) -> usize {
        let within = |at: &&f64| **at >= from && **at < to;
        self.answers.iter().filter(within).count()
    }
}

pub(crate) fn most_in(starts: &[f64], seconds: f64) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (last, at) in starts.iter().enumerate() {
        while at - starts[first] > seconds {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

/// Asks a provider as many requests as are wanted, as fast as the pace allows.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) pacer: Pacer,
    pub(crate) provider: Provider,
    pub(crate) report: Report,
    origin: Instant,
    numbers: Numbers,
    now_nanos: u64,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    by_order: Vec<Option<Event>>,
    flying: Vec<Option<Permit>>,
    wake: u64,
    wanted: u32,
    out: u32,
    limits: Limits,
}

const WALL: i64 = 1_795_500_000_000_000;

pub(crate) fn spec(limits: Limits) -> DomainSpec {
    let model = ModelName::new("model").expect("a good name");
    let lane = LaneSpec {
        group: "model".to_owned(),
        model,
        limits: Limits::default(),
    };
    DomainSpec {
        id: DomainId::new("domain").expect("a good name"),
        limits,
        lanes: vec![lane],
    }
}

pub(crate) fn per_minute(requests: u32) -> Limits {
    Limits {
        requests_per_minute: NonZeroU32::new(requests),
        ..Limits::default()
    }
}

impl World {
    pub(crate) fn new(configured_per_minute: u32, provider: Provider, seed: u64) -> Self {
        Self::limited(per_minute(configured_per_minute), provider, seed)
    }

    pub(crate) fn limited(limits: Limits, provider: Provider, seed: u64) -> Self {
        let origin = Instant::now();
        let now = Now {
            instant: origin,
            wall: Timestamp::from_micros(WALL),
        };
        Self {
            pacer: Pacer::new(spec(limits.clone()), PaceSettings::default(), None, now),
            provider,
            report: Report::default(),
            origin,
            numbers: Numbers(seed),
            now_nanos: 0,
            events: BinaryHeap::new(),
            by_order: Vec::new(),
            flying: Vec::new(),
            wake: u64::MAX,
            wanted: 0,
            out: 0,
            limits,
        }
    }

    pub(crate) fn now(&self) -> Now {
        let passed = Duration::from_nanos(self.now_nanos);
        Now {
            instant: self.origin + passed,
            wall: Timestamp::from_micros(WALL).after(passed),
        }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.now_nanos as f64 / 1e9
    }

    /// Lets the next owner begin with what this one saved.
    pub(crate) fn restart(&mut self) {
        let state = self.pacer.state(self.now());
        let json = serde_json::to_string(&state).expect("a state is words and numbers");
        let saved = serde_json::from_str(&json).expect("it was just written");
        let spec = spec(self.limits.clone());
        self.pacer = Pacer::new(spec, PaceSettings::default(), Some(saved), self.now());
        self.flying.clear();
        self.out = 0;
        self.events.clear();
        self.wake = u64::MAX;
    }

    fn at(&mut self, nanos: u64, event: Event) {
        self.events
            .push(Reverse((nanos, self.by_order.len() as u64)));
        self.by_order.push(Some(event));
    }

    /// Runs until `requests` more were served or `until` seconds have passed.
    pub(crate) fn run(&mut self, requests: u32, until: f64) {
        let goal = self.report.served + requests;
        self.wanted = requests;
        self.start_what_may();
        while self.report.served < goal && self.seconds() < until {
            let Some(Reverse((nanos, order))) = self.events.pop() else {
                break;
            };
            if nanos as f64 / 1e9 > until {
                self.events.push(Reverse((nanos, order)));
                let until = Duration::from_secs_f64(until).as_nanos();
                self.now_nanos = u64::try_from(until).expect("not so late");
                break;
            }
            self.now_nanos = nanos;
            match self.by_order[usize::try_from(order).expect("an index")].take() {
                Some(Event::Arrive(flight)) => self.arrive(flight),
                Some(Event::Answer(flight, answer)) => self.answer(flight, answer),
                Some(Event::Wake) if nanos == self.wake => self.wake = u64::MAX,
                Some(Event::Wake) | None => continue,
            }
            self.start_what_may();
        }
        self.report.seconds = self.seconds();
    }

    fn start_what_may(&mut self) {
        let waiting = Waiting {
            lane: 0,
            priority: 0,
            input_tokens: u64::from(PROMPT_TOKENS),
            output_tokens: u64::from(ANSWER_TOKENS),
        };
        loop {
            let list: &[Waiting] = if self.wanted > 0 { &[waiting] } else { &[] };
            match self.pacer.poll(self.now(), list) {
                Decision::Start(permit) => {
                    self.wanted -= 1;
                    self.report.starts.push(self.seconds());
                    self.out += 1;
                    self.report.in_flight.push(self.out);
                    self.flying.push(Some(permit));
                    let (from, to) = TURNED_AWAY_MS;
                    let out = self.numbers.between(from, to) * 300_000;
                    self.at(self.now_nanos + out, Event::Arrive(self.flying.len() - 1));
                }
                Decision::WaitUntil(at) => {
                    let nanos = u64::try_from((at - self.origin).as_nanos()).expect("not so late");
                    // Timers wake at the next millisecond, and sometimes later.
                    let late = self.numbers.between(0, 3) * 1_000_000;
                    let nanos = nanos.div_ceil(1_000_000) * 1_000_000 + late;
                    if self.wake != nanos {
                        self.wake = nanos.max(self.now_nanos + 1);
                        self.at(self.wake, Event::Wake);
                    }
                    return;
                }
                Decision::WaitForSettle | Decision::Parked => return,
            }
        }
    }

    fn arrive(&mut self, flight: usize) {
        let tokens = self.numbers.between(1, 2 * u64::from(ANSWER_TOKENS) - 1) as f64;
        let answer = self.provider.arrive(self.seconds(), tokens);
        let (from, to) = match answer {
            Ok(()) => self.provider.latency_ms,
            Err(_) => TURNED_AWAY_MS,
        };
        let back = self.numbers.between(from, to) * 700_000;
        self.at(self.now_nanos + back, Event::Answer(flight, answer));
    }

    fn answer(&mut self, flight: usize, answer: Result<(), f64>) {
        if answer.is_ok() {
            self.provider.busy = self.provider.busy.saturating_sub(1);
        }
        let Some(permit) = self.flying[flight].take() else {
            return;
        };
        self.out -= 1;
        let settlement = self.provider.settlement(answer);
        self.pacer.settle(permit, &settlement, self.now());
        if answer.is_ok() {
            self.report.served += 1;
            self.report.answers.push(self.seconds());
        } else {
            self.report.refused += 1;
            self.report.refusals.push(self.seconds());
            self.wanted += 1;
        }
    }
}
