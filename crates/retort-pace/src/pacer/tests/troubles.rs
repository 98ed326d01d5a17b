//! Dead keys and endpoints: parking, the breaker, overload.

use super::*;

#[test]
fn what_a_key_or_a_path_says_parks() {
    for (outcome, whole) in [
        (Outcome::NotFound, false),
        (Outcome::Unauthorized, true),
        (Outcome::QuotaExhausted, true),
    ] {
        let mut bench = Bench::new(&rate(6_000), &Limits::default());
        let (permit, beside) = (bench.start(&[0]), bench.start(&[0]));
        let reason = outcome.as_str().to_owned();
        let parked = LaneState::Parked {
            reason: reason.clone(),
        };
        let effect = bench.settle(permit, outcome);
        if whole {
            assert_eq!(effect, Effect::DomainParked { reason });
            assert!(matches!(bench.poll(&[1, 2]), Decision::Parked));
            assert_eq!(bench.lane_state(2), parked);
        } else {
            assert_eq!(effect, Effect::LaneParked { lane: 0, reason });
            assert!(matches!(bench.poll(&[0]), Decision::Parked));
            assert_eq!(bench.start(&[0, 1]).lane(), 1);
        }
        assert_eq!(bench.settle(beside, Outcome::Answered), Effect::None);
        bench.restart();
        assert_eq!(bench.lane_state(0), parked, "it stays over a restart");
        assert!(matches!(bench.poll(&[0]), Decision::Parked));
        bench.pacer.unpark_all();
        bench.pass(1_000);
        assert_eq!(bench.start(&[0]).lane(), 0);
    }
}

#[test]
fn a_dead_endpoint_is_tried_ever_more_rarely_and_then_parked() {
    let mut bench = Bench::new(&Limits::default(), &Limits::default());
    let mut starts = 0_u32;
    let mut waits = Vec::new();
    let parked = loop {
        match bench.poll(&[0]) {
            Decision::Start(permit) => {
                starts += 1;
                bench.pass(10);
                let effect = bench.settle(permit, Outcome::ConnectFailed);
                if let Effect::LaneParked { reason, .. } = effect {
                    break reason;
                }
            }
            Decision::WaitUntil(at) => {
                let wait = at - bench.now().instant;
                waits.push(wait.as_secs());
                bench.passed += wait;
            }
            other @ (Decision::WaitForSettle | Decision::Parked) => panic!("{other:?}"),
        }
    };
    assert_eq!(waits.first_chunk(), Some(&[1, 2, 4, 8, 16, 32, 60, 60]));
    assert!((16..24).contains(&starts), "{starts}");
    let passed = bench.passed.as_secs();
    assert!((600..661).contains(&passed), "{passed}");
    assert_eq!(
        parked,
        "no answer since 2026-11-24T10:00:00.010000Z: connect_failed"
    );
    assert_eq!(bench.start(&[0, 1]).lane(), 1, "its neighbours go on");
    bench.pacer.unpark_all();
    assert_eq!(bench.start(&[0]).lane(), 0);
}

#[test]
fn an_open_breaker_lets_one_through_and_closes_on_an_answer() {
    let mut bench = Bench::new(&Limits::default(), &Limits::default());
    let burst: Vec<Permit> = (0..9).map(|_| bench.start(&[0])).collect();
    for permit in burst {
        bench.settle(permit, Outcome::Timeout);
    }
    assert_eq!(bench.wait_ms(&[0]), 1_000, "those in the air count once");
    let LaneState::Blocked { reason, .. } = bench.lane_state(0) else {
        panic!("{:?}", bench.lane_state(0));
    };
    assert_eq!(reason, "9 failures in a row: timeout");
    bench.pass(1_000);
    let trial = bench.start(&[0]);
    assert!(matches!(bench.poll(&[0]), Decision::WaitForSettle));
    bench.settle(trial, Outcome::RateLimited);
    bench.pass(2_000);
    let trial = bench.start(&[0]);
    assert!(matches!(bench.poll(&[0]), Decision::WaitForSettle));
    bench.settle(trial, Outcome::Answered);
    bench.pass(1_000);
    let first = bench.start(&[0]);
    bench.pass(1_000);
    assert_eq!(first.lane(), bench.start(&[0]).lane(), "closed again");
}

#[test]
fn one_poisonous_prompt_among_answers_opens_nothing() {
    let mut bench = Bench::new(&Limits::default(), &Limits::default());
    for _ in 0..200 {
        for outcome in [Outcome::Timeout, Outcome::Cut, Outcome::Undecodable] {
            let permit = bench.start(&[0]);
            assert_eq!(bench.settle(permit, outcome), Effect::None);
        }
        let permit = bench.start(&[0]);
        bench.settle(permit, Outcome::Answered);
        bench.pass(10_000);
    }
}

#[test]
fn an_overloaded_provider_may_ask_for_a_wait_of_its_lane() {
    let mut bench = Bench::new(&rate(6_000), &Limits::default());
    let permit = bench.start(&[0]);
    let mut settlement = Settlement::of(Outcome::Overloaded);
    settlement.limits.retry_after = Some(Duration::from_secs(20));
    let now = bench.now();
    let effect = bench.pacer.settle(permit, &settlement, now);
    assert!(matches!(effect, Effect::Blocked { .. }), "{effect:?}");
    assert_eq!(bench.wait_ms(&[0]), 20_000);
    let state = bench.restart();
    assert_eq!(state.lanes.len(), 1);
    bench.pass(100);
    assert_eq!(bench.start(&[1]).lane(), 1);
    assert_eq!(bench.wait_ms(&[0]), 19_900);
}
