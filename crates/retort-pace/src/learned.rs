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
//! With `limits: auto` the first rate is one that nobody refused yet, see [`crate::ramp`].
//!
//! Afterwards the rate creeps up to below what was refused, is kept, and is tried higher from time
//! to time, in growing steps, so that a limit that was raised is found again.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::later;
use crate::ramp::{BELOW_ANNOUNCED, Margins, Ramp};
use crate::state::LearnedState;

/// The slowest rate that is learned, in requests a second: one a minute.
const RATE_MIN: f64 = 1.0 / 60.0;

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

/// Smallest step of the search, and largest of a try, as parts of the rate.
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
    margins: Margins,
    /// What the provider announces, in requests a second, less a margin: not tried above.
    announced: Option<f64>,
}

/// What a search for a rate begins with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search {
    /// Whether the rate is looked for from below, though nothing was refused.
    pub(crate) auto: bool,
    /// How long a rate is kept before a higher one is tried.
    pub(crate) probe_after: Duration,
}

/// What is being done about the rate.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// Nothing was refused: the configured rate is used.
    Configured,
    /// Nothing was refused yet: the rate grows.
    Ramp(Ramp),
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
    pub(crate) fn new(saved: &LearnedState, search: Search) -> Self {
        let Search { auto, probe_after } = search;
        let per_second = |rate: Option<f64>| {
            rate.filter(|rate| rate.is_finite() && *rate > 0.0)
                .map(|rate| (rate / 60.0).max(RATE_MIN))
        };
        let rate = per_second(saved.requests_per_minute);
        let refused = rate.and_then(|_| per_second(saved.refused_per_minute));
        let ramping = auto && (saved.ramping || rate.is_none());
        let phase = match (rate, refused) {
            _ if ramping => Phase::Ramp(Ramp::default()),
            (None, _) => Phase::Configured,
            (Some(_), Some(_)) => Phase::Search,
            (Some(_), None) => Phase::Keep(None),
        };
        Self {
            rate: rate.or(ramping.then_some(Ramp::START)),
            refused,
            phase,
            run: Run::default(),
            run_no: 0,
            shortest: None,
            used_since: None,
            used: 0,
            probe_after,
            probe_wait: probe_after,
            margins: Margins::of(auto),
            announced: None,
        }
    }

    /// Returns whether the rate still grows without anything having been refused.
    pub(crate) const fn is_ramping(&self) -> bool {
        matches!(self.phase, Phase::Ramp(_))
    }

    /// Returns whether the rate in use is the one that the provider announced.
    pub(crate) fn is_announced(&self) -> bool {
        self.announced.is_some() && self.announced == self.rate
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
            Phase::Configured | Phase::Ramp(_) | Phase::Search | Phase::Keep(_) => self.rate,
        };
        let refused = self.refused.filter(|_| self.phase == Phase::Search);
        LearnedState {
            requests_per_minute: rate.map(|rate| rate * 60.0),
            refused_per_minute: refused.map(|rate| rate * 60.0),
            concurrency: None,
            ramping: self.is_ramping(),
        }
    }

    /// Takes note that the provider announces `rate` requests a second. Returns whether the rate
    /// in use changed.
    pub(crate) fn announces(&mut self, now: Instant, rate: f64, configured: Option<f64>) -> bool {
        let most = configured.unwrap_or(f64::INFINITY);
        let announced = (rate * BELOW_ANNOUNCED).clamp(RATE_MIN, most);
        let news = self.announced != Some(announced);
        self.announced = Some(announced);
        let in_use = self.rate.unwrap_or(most);
        if in_use <= announced && !self.is_ramping() || !news {
            return false;
        }
        self.phase = Phase::Keep(Some(later(now, self.probe_wait)));
        self.refused = None;
        self.set(announced);
        true
    }

    /// Takes note that the provider says that nothing is left, though it refused nothing: a ramp
    /// ends as if it had. Returns whether the rate changed.
    pub(crate) fn used_up(&mut self) -> bool {
        let (true, Some(rate)) = (self.is_ramping(), self.rate) else {
            return false;
        };
        self.phase = Phase::Search;
        self.refused = Some(rate);
        self.set((rate / 2.0).max(RATE_MIN));
        true
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
        if let Phase::Ramp(ramp) = &mut self.phase {
            ramp.started(now);
        }
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
        // What is announced is nearly right, so that little is cut from it.
        let is_announced = self.is_announced();
        let (cut, held) = match self.phase {
            Phase::Probe { kept, .. } => (kept.min(refused * self.margins.refused), true),
            Phase::Configured | Phase::Ramp(_) | Phase::Search | Phase::Keep(_)
                if run.held > 0 || is_announced =>
            {
                (refused * self.margins.refused, true)
            }
            Phase::Configured | Phase::Ramp(_) | Phase::Search | Phase::Keep(_) => {
                (refused / 2.0, false)
            }
        };
        let surely_served = estimate.rate * self.margins.estimate;
        let rate = cut
            .max(surely_served)
            .min(refused * self.margins.refused)
            .max(RATE_MIN);
        let exact = surely_served >= cut && estimate.error <= EXACT;
        self.probe_wait = match self.phase {
            Phase::Probe { .. } => self
                .probe_wait
                .saturating_mul(2)
                .min(self.probe_after.saturating_mul(PROBE_WAIT_FACTOR_MAX)),
            Phase::Configured | Phase::Ramp(_) | Phase::Search | Phase::Keep(_) => self.probe_after,
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
        if let Phase::Ramp(ramp) = &mut self.phase {
            let Some(next) = ramp.grown(rate, now) else {
                return false;
            };
            self.raise(now, next, configured);
            return true;
        }
        if !self.hold(now, rate) {
            return false;
        }
        let next = match self.phase {
            Phase::Configured | Phase::Ramp(_) => return false,
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
        self.raise(now, next, configured);
        true
    }

    /// Uses the higher rate `next`, but none above what is announced and configured.
    fn raise(&mut self, now: Instant, next: f64, configured: Option<f64>) {
        let announced = self.announced.filter(|announced| next >= *announced);
        self.set(announced.unwrap_or(next));
        if announced.is_some() {
            self.refused = None;
            self.phase = Phase::Keep(Some(later(now, self.probe_wait)));
        }
        let Some(configured) = configured.filter(|configured| next >= *configured) else {
            return;
        };
        self.refused = None;
        self.probe_wait = self.probe_after;
        if self.margins.auto {
            // Remembered, so that the next owner need not look for it again.
            self.rate = Some(announced.unwrap_or(configured));
            self.phase = Phase::Keep(Some(later(now, self.probe_wait)));
        } else {
            self.rate = None;
            self.phase = Phase::Configured;
        }
    }

    fn search(&mut self, rate: f64, now: Instant) -> f64 {
        let refused = self.refused.unwrap_or(f64::INFINITY);
        let (part, most) = self.margins.step;
        let step = ((refused / rate - 1.0) * part).clamp(STEP_MIN, most);
        let next = rate * (1.0 + step);
        let goal = refused * self.margins.refused;
        if next <= goal {
            return next;
        }
        self.phase = Phase::Keep(Some(later(now, self.probe_wait)));
        if self.margins.auto {
            rate.max(goal)
        } else {
            rate
        }
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
mod tests;
