//! Finds the request rate that a provider serves when the configured one is too high.
//!
//! Time is cut into *runs*: what is sent between two pauses that the provider asked for. All
//! refusals of a run are one event. At the end of its pause a run is looked at:
//!
//! - A bucket that was empty before the last pause and is empty now served at most what flowed in
//!   since, so `served / (run + pause before it)` is a rate that is surely served.
//! - Two runs differ in length and in what they were served, and what the bucket held in the
//!   beginning cancels out: `(served₂ − served₁) / (run₂ − run₁)` is another. It is the exact one
//!   when the pauses fill the bucket, the first when they do not.
//! - Without either the rate is halved; when it had held for a while, it is cut by a twentieth.
//!
//! Afterwards the rate creeps up to below what was refused, is kept, and is tried higher from time
//! to time, in growing steps, so that a limit that was raised is found again.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::later;
use crate::state::LearnedState;

/// The slowest rate that is learned, in requests a second: one a minute.
const RATE_MIN: f64 = 1.0 / 60.0;

/// Distance kept below an estimate and below a rate that held for a while and was then refused.
const BELOW_ESTIMATE: f64 = 0.97;
const BELOW_REFUSED: f64 = 0.95;

/// Requests by which two runs must differ before their difference is an estimate: it is uncertain
/// by about [`COUNT_ERROR`].
const DIFFERENCE_MIN: f64 = 16.0;

/// By how many requests a count of what was served is wrong: some cross on their way.
const COUNT_ERROR: f64 = 2.0;

/// An estimate this exact is kept; below it the search goes on.
const EXACT: f64 = 0.05;

/// A rate counts as held after this long, and after this many requests.
const HELD_FOR: Duration = Duration::from_secs(2);
const HELD_REQUESTS: f64 = 30.0;

/// Part of a rate that must be used for it to count as held.
const HELD_USED: f64 = 0.8;

/// Steps of the search, as parts of the rate: a quarter of the way to what was refused.
const STEP_MIN: f64 = 0.02;
const STEP_MAX: f64 = 0.25;

/// First step above a rate that is kept; doubles up to [`STEP_MAX`] while it is served.
const PROBE_STEP: f64 = 0.03;

/// The most that the wait between tries grows to, in times of the first.
const PROBE_WAIT_FACTOR_MAX: u32 = 4;

/// Starts that the rate just before a refusal is taken from.
const RECENT: usize = 16;

/// Finds the request rate that a provider serves.
#[derive(Debug)]
pub(crate) struct Learned {
    /// Requests a second, while below the configured ones.
    rate: Option<f64>,
    /// Lowest rate refused, while the search goes on below it.
    refused: Option<f64>,
    phase: Phase,
    run: Run,
    run_no: u64,
    /// The shortest run that ended in a refusal: what it was served, and its length in seconds.
    shortest: Option<(f64, f64)>,
    /// Since when the present rate is used, and how many requests started since.
    used_since: Option<Instant>,
    used: u32,
    probe_after: Duration,
    probe_wait: Duration,
}

/// What is being done about the rate.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// Nothing was refused: the configured rate is used.
    Configured,
    /// A served rate is looked for.
    Search,
    /// A served rate is kept until then.
    Keep(Option<Instant>),
    /// A higher rate is tried: the one that was kept, and the next step.
    Probe { kept: f64, step: f64 },
}

/// What was sent since the last pause.
#[derive(Debug, Default)]
struct Run {
    last: Option<Instant>,
    /// Seconds in which requests followed one another as fast as they might.
    length: f64,
    sent: u32,
    refused: u32,
    /// Seconds from the last request before the pause to the first of this run.
    pause: Option<f64>,
    recent: VecDeque<Instant>,
    /// How many rates of it were held.
    held: u32,
}

impl Learned {
    /// Begins with nothing learned, or with what was learned before.
    pub(crate) fn new(saved: &LearnedState, probe_after: Duration) -> Self {
        let per_second = |rate: Option<f64>| {
            rate.filter(|rate| rate.is_finite() && *rate > 0.0)
                .map(|rate| (rate / 60.0).max(RATE_MIN))
        };
        let rate = per_second(saved.requests_per_minute);
        let refused = rate.and_then(|_| per_second(saved.refused_per_minute));
        let phase = match (rate, refused) {
            (None, _) => Phase::Configured,
            (Some(_), Some(_)) => Phase::Search,
            (Some(_), None) => Phase::Keep(None),
        };
        Self {
            rate,
            refused,
            phase,
            run: Run::default(),
            run_no: 0,
            shortest: None,
            used_since: None,
            used: 0,
            probe_after,
            probe_wait: probe_after,
        }
    }

    /// Returns the learned rate in requests a second, if there is one.
    pub(crate) const fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// Returns the number of the present run.
    pub(crate) const fn run_no(&self) -> u64 {
        self.run_no
    }

    /// Returns requests of the present run that were sent and not refused.
    pub(crate) const fn served(&self) -> u32 {
        self.run.sent.saturating_sub(self.run.refused)
    }

    /// Returns what is kept for the next owner.
    pub(crate) fn saved(&self) -> LearnedState {
        // A rate that is only tried is not learned yet.
        let rate = match self.phase {
            Phase::Probe { kept, .. } => Some(kept),
            Phase::Configured | Phase::Search | Phase::Keep(_) => self.rate,
        };
        let refused = self.refused.filter(|_| self.phase == Phase::Search);
        LearnedState {
            requests_per_minute: rate.map(|rate| rate * 60.0),
            refused_per_minute: refused.map(|rate| rate * 60.0),
            concurrency: None,
        }
    }

    /// Takes note that a request starts.
    pub(crate) fn started(&mut self, now: Instant) {
        let slowest_gap = 2.0 / self.rate.unwrap_or(RATE_MIN);
        let run = &mut self.run;
        if let Some(last) = run.last {
            let gap = now.saturating_duration_since(last).as_secs_f64();
            run.length += gap.min(slowest_gap);
            if run.sent == 0 {
                run.pause = Some(gap);
                run.length = 0.0;
            }
        }
        run.last = Some(now);
        run.sent = run.sent.saturating_add(1);
        if run.recent.len() == RECENT {
            run.recent.pop_front();
        }
        run.recent.push_back(now);
        self.used = self.used.saturating_add(1);
        self.used_since.get_or_insert(now);
    }

    /// Takes back that a request of run `run_no` started.
    pub(crate) fn released(&mut self, run_no: u64) {
        if run_no == self.run_no {
            self.run.sent = self.run.sent.saturating_sub(1);
            self.used = self.used.saturating_sub(1);
        }
    }

    /// Takes note that a request of the present run was refused.
    pub(crate) fn refused(&mut self) {
        self.run.refused = self.run.refused.saturating_add(1);
    }

    /// Ends a run whose pause is over without learning from it: something else explains it.
    pub(crate) fn pass_over(&mut self) {
        self.next_run();
    }

    /// Ends a run whose pause is over, and sets the rate of the next; `configured` in requests a second.
    pub(crate) fn conclude(&mut self, now: Instant, configured: Option<f64>) {
        let served = f64::from(self.served());
        let run = self.next_run();
        if served == 0.0 {
            // It asks for a pause, not for another rate.
            return;
        }
        let in_force = self.rate.or(configured);
        let refused = run.rate_before_end(in_force);
        let estimate = self.estimate(served, &run, refused);
        let (cut, held) = match self.phase {
            Phase::Probe { kept, .. } => (kept.min(refused * BELOW_REFUSED), true),
            Phase::Configured | Phase::Search | Phase::Keep(_) if run.held > 0 => {
                (refused * BELOW_REFUSED, true)
            }
            Phase::Configured | Phase::Search | Phase::Keep(_) => (refused / 2.0, false),
        };
        let surely_served = estimate.rate * BELOW_ESTIMATE;
        let rate = cut
            .max(surely_served)
            .min(refused * BELOW_REFUSED)
            .max(RATE_MIN);
        let exact = surely_served >= cut && estimate.error <= EXACT;
        self.probe_wait = match self.phase {
            Phase::Probe { .. } => self
                .probe_wait
                .saturating_mul(2)
                .min(self.probe_after.saturating_mul(PROBE_WAIT_FACTOR_MAX)),
            Phase::Configured | Phase::Search | Phase::Keep(_) => self.probe_after,
        };
        self.phase = if held || exact {
            Phase::Keep(Some(later(now, self.probe_wait)))
        } else {
            Phase::Search
        };
        self.refused = Some(refused);
        if self.shortest.is_none_or(|(_, length)| run.length < length) {
            self.shortest = Some((served, run.length));
        }
        self.set(rate);
        tracing::debug!(
            requests_per_minute = rate * 60.0,
            refused_per_minute = refused * 60.0,
            "learned a lower request rate"
        );
    }

    /// Returns a rate that is surely served, and how uncertain it is.
    fn estimate(&self, served: f64, run: &Run, refused: f64) -> Estimate {
        let flowed = run.pause.map_or(0.0, |pause| served / (run.length + pause));
        let flowed = Estimate {
            rate: flowed,
            error: run.pause.map_or(1.0, |pause| pause / (run.length + pause)),
        };
        let Some((served_before, length_before)) = self.shortest else {
            return flowed;
        };
        let (more, longer) = (served - served_before, run.length - length_before);
        if more < DIFFERENCE_MIN || longer <= 0.0 {
            return flowed;
        }
        let difference = Estimate {
            rate: more / longer,
            error: COUNT_ERROR / more,
        };
        if difference.rate > flowed.rate && difference.rate < refused {
            difference
        } else {
            flowed
        }
    }

    fn next_run(&mut self) -> Run {
        self.run_no += 1;
        let next = Run {
            last: self.run.last,
            ..Run::default()
        };
        self.used_since = None;
        self.used = 0;
        std::mem::replace(&mut self.run, next)
    }

    fn set(&mut self, rate: f64) {
        self.rate = Some(rate);
        self.used_since = None;
        self.used = 0;
    }

    /// Raises the rate when it is time to; `configured` in requests a second ends the search.
    /// Returns whether the rate changed.
    pub(crate) fn advance(&mut self, now: Instant, configured: Option<f64>) -> bool {
        let Some(rate) = self.rate else {
            self.hold(now, configured.unwrap_or(RATE_MIN));
            return false;
        };
        if !self.hold(now, rate) {
            return false;
        }
        let next = match self.phase {
            Phase::Configured => return false,
            Phase::Search => self.search(rate, now),
            Phase::Keep(None) => {
                self.phase = Phase::Keep(Some(later(now, self.probe_wait)));
                return false;
            }
            Phase::Keep(Some(until)) if now < until => return false,
            Phase::Keep(Some(_)) => {
                let step = PROBE_STEP;
                self.phase = Phase::Probe { kept: rate, step };
                rate * (1.0 + step)
            }
            Phase::Probe { step, .. } => {
                let step = (step * 2.0).min(STEP_MAX);
                self.phase = Phase::Probe { kept: rate, step };
                rate * (1.0 + step)
            }
        };
        self.set(next);
        if configured.is_some_and(|configured| next >= configured) {
            self.rate = None;
            self.refused = None;
            self.phase = Phase::Configured;
            self.probe_wait = self.probe_after;
        }
        true
    }

    fn search(&mut self, rate: f64, now: Instant) -> f64 {
        let refused = self.refused.unwrap_or(f64::INFINITY);
        let step = ((refused / rate - 1.0) / 4.0).clamp(STEP_MIN, STEP_MAX);
        let next = rate * (1.0 + step);
        if next <= refused * BELOW_REFUSED {
            return next;
        }
        self.phase = Phase::Keep(Some(later(now, self.probe_wait)));
        rate
    }

    /// Returns whether `rate` was used to the full for long enough, and if so counts anew.
    fn hold(&mut self, now: Instant, rate: f64) -> bool {
        let Some(since) = self.used_since else {
            return false;
        };
        let passed = now.saturating_duration_since(since).as_secs_f64();
        if passed < HELD_FOR.as_secs_f64().max(HELD_REQUESTS / rate) {
            return false;
        }
        let used_to_the_full = f64::from(self.used) >= HELD_USED * rate * passed;
        self.used_since = None;
        self.used = 0;
        if used_to_the_full {
            self.run.held = self.run.held.saturating_add(1);
        }
        used_to_the_full
    }
}

/// A rate that is surely served.
struct Estimate {
    /// Requests a second; zero when nothing is known.
    rate: f64,
    /// How uncertain, as a part of it.
    error: f64,
}

impl Run {
    /// Returns the rate just before the run ended: what was really sent, if that was slower than
    /// what was allowed.
    fn rate_before_end(&self, in_force: Option<f64>) -> f64 {
        let allowed = in_force.unwrap_or(f64::INFINITY);
        let span = match (self.recent.front(), self.recent.back()) {
            (Some(first), Some(last)) => last.saturating_duration_since(*first).as_secs_f64(),
            _ => 0.0,
        };
        let sent = if span > 0.0 {
            (self.recent.len() - 1) as f64 / span
        } else {
            f64::INFINITY
        };
        let rate = allowed.min(sent);
        if rate.is_finite() { rate } else { RATE_MIN }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE_AFTER: Duration = Duration::from_mins(1);

    /// Sends at `rate` for `seconds` as far as what was learned allows, then lets the last
    /// `refused` be refused and `pause` seconds pass.
    struct Sender {
        learned: Learned,
        configured: Option<f64>,
        origin: Instant,
        at: f64,
    }

    impl Sender {
        fn new(saved: &LearnedState) -> Self {
            Self {
                learned: Learned::new(saved, PROBE_AFTER),
                configured: Some(250.0),
                origin: Instant::now(),
                at: 0.0,
            }
        }

        fn now(&self) -> Instant {
            self.origin + Duration::from_secs_f64(self.at)
        }

        fn send(&mut self, rate: f64, seconds: f64) {
            let until = self.at + seconds;
            while self.at < until {
                let now = self.now();
                self.learned.advance(now, self.configured);
                self.learned.started(now);
                self.at += 1.0 / rate.min(self.learned.rate().unwrap_or(rate));
            }
        }

        fn refuse(&mut self, refused: u32, pause: f64) {
            for _ in 0..refused {
                self.learned.refused();
            }
            self.at += pause;
            let now = self.now();
            self.learned.conclude(now, self.configured);
        }

        fn rate(&self) -> f64 {
            self.learned.rate().expect("a rate was learned")
        }
    }

    fn check(is: f64, expected: f64) {
        assert!((is / expected - 1.0).abs() < 0.02, "{is}, not {expected}");
    }

    #[test]
    fn without_anything_known_the_rate_is_halved() {
        let mut sender = Sender::new(&LearnedState::default());
        sender.send(250.0, 0.1);
        sender.refuse(10, 1.0);
        check(sender.rate(), 125.0);
    }

    #[test]
    fn a_slow_sender_is_slowed_from_what_it_sent() {
        let mut sender = Sender::new(&LearnedState::default());
        sender.send(4.0, 3.0);
        sender.refuse(1, 1.0);
        check(sender.rate(), 2.0);
    }

    #[test]
    fn when_nothing_is_served_nothing_is_learned() {
        let mut sender = Sender::new(&LearnedState::default());
        sender.send(250.0, 0.1);
        sender.refuse(100, 1.0);
        assert_eq!(sender.learned.rate(), None);
    }

    #[test]
    fn what_flowed_in_is_surely_served() {
        let mut sender = Sender::new(&LearnedState::default());
        // 1,500 in each minute.
        sender.send(250.0, 6.0);
        sender.refuse(1, 54.0);
        let first = sender.rate();
        sender.send(250.0, 1_500.0 / first);
        sender.refuse(1, 10.0);
        assert!(sender.rate() >= 0.95 * 1_500.0 / (54.0 + 1_500.0 / first));
        assert!(sender.rate() < first);
    }

    #[test]
    fn the_difference_of_two_runs_is_exact() {
        let mut sender = Sender::new(&LearnedState::default());
        // 10 at once and 50 a second; full again after each pause.
        sender.send(250.0, 0.1);
        sender.refuse(10, 1.0);
        sender.send(250.0, 10.0 / 75.0);
        sender.refuse(1, 1.0);
        check(sender.rate(), 62.5);
        let run = 10.0 / 12.5;
        sender.send(250.0, run);
        sender.refuse(1, 1.0);
        assert!((46.0..53.0).contains(&sender.rate()), "{}", sender.rate());
    }

    #[test]
    fn a_rate_that_held_is_cut_by_little() {
        let mut sender = Sender::new(&LearnedState::default());
        sender.send(250.0, 30.0);
        sender.refuse(1, 1.0);
        check(sender.rate(), 0.95 * 250.0);
    }

    fn kept(per_second: f64) -> LearnedState {
        LearnedState {
            requests_per_minute: Some(per_second * 60.0),
            ..LearnedState::default()
        }
    }

    #[test]
    fn a_kept_rate_is_tried_higher_and_ends_at_the_configured_one() {
        let mut sender = Sender::new(&kept(50.0));
        sender.send(250.0, 55.0);
        check(sender.rate(), 50.0);
        sender.send(250.0, 11.0);
        assert!(sender.rate() > 51.0);
        assert!(!sender.learned.saved().is_empty());
        sender.send(250.0, 60.0);
        assert_eq!(sender.learned.rate(), None);
        assert!(sender.learned.saved().is_empty());
    }

    #[test]
    fn a_try_that_is_refused_is_taken_back_and_the_next_is_rarer() {
        let mut sender = Sender::new(&kept(50.0));
        let mut waits = Vec::new();
        for _ in 0..5 {
            let began = sender.at;
            let before = sender.rate();
            while sender.rate() <= before {
                sender.send(250.0, 1.0);
            }
            check(
                sender.learned.saved().requests_per_minute.unwrap(),
                60.0 * before,
            );
            waits.push(sender.at - began);
            sender.refuse(1, 1.0);
            assert!(sender.rate() <= before);
        }
        assert!((60.0..70.0).contains(&waits[0]), "{waits:?}");
        assert!((120.0..130.0).contains(&waits[1]), "{waits:?}");
        assert!((240.0..250.0).contains(&waits[2]), "{waits:?}");
        assert!((240.0..250.0).contains(&waits[4]), "{waits:?}");
    }

    #[test]
    fn a_rate_that_is_not_used_is_not_raised() {
        let mut sender = Sender::new(&kept(50.0));
        sender.send(20.0, 600.0);
        check(sender.rate(), 50.0);
    }

    #[test]
    fn a_search_goes_on_after_a_restart() {
        let mut sender = Sender::new(&LearnedState::default());
        sender.send(250.0, 0.1);
        sender.refuse(10, 1.0);
        let saved = sender.learned.saved();
        check(saved.refused_per_minute.unwrap(), 250.0 * 60.0);
        let mut next = Sender::new(&saved);
        next.send(250.0, 10.0);
        assert!(
            next.rate() > 130.0 && next.rate() < 250.0,
            "{}",
            next.rate()
        );
    }

    #[test]
    fn absurd_states_are_nothing() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let learned = Learned::new(&kept(rate), PROBE_AFTER);
            assert_eq!(learned.rate(), None);
        }
        let tiny = Learned::new(&kept(1e-300), PROBE_AFTER);
        check(tiny.rate().unwrap(), RATE_MIN);
    }
}
