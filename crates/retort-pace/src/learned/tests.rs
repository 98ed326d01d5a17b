//! What is learned from refusals, without a pacer around it.

use super::*;

const SEARCH: super::Search = super::Search {
    auto: false,
    probe_after: Duration::from_mins(1),
};

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
            learned: Learned::new(saved, SEARCH),
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
        let learned = Learned::new(&kept(rate), SEARCH);
        assert_eq!(learned.rate(), None);
    }
    let tiny = Learned::new(&kept(1e-300), SEARCH);
    check(tiny.rate().unwrap(), RATE_MIN);
}
