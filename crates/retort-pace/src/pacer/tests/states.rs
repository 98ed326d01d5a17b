//! States, status and settings as they are stored and read.

use super::*;

#[test]
fn a_state_of_another_domain_or_version_is_not_used() {
    let mut bench = Bench::new(&rate(60), &Limits::default());
    bench.pacer.park_domain("because");
    let good = bench.pacer.state(bench.now());
    for (schema, domain, parked) in [
        ("retort.pace.v1", "domain", true),
        ("retort.pace.v2", "domain", false),
        ("retort.pace.v1", "another", false),
    ] {
        let mut saved = good.clone();
        saved.schema = schema.to_owned();
        saved.domain = DomainId::new(domain).unwrap();
        let settings = PaceSettings::default();
        bench.pacer = Pacer::new(bench.spec.clone(), settings, Some(saved), bench.now());
        assert_eq!(bench.pacer.status(bench.now()).parked.is_some(), parked);
    }
}

#[test]
fn a_state_does_not_change_while_nothing_happens() {
    let mut bench = Bench::new(&rate(60), &rate(60));
    let permit = bench.start(&[0]);
    bench.refuse(permit, 100);
    let before = bench.pacer.state(bench.now());
    bench.pass(40_000);
    bench.wait_ms(&[0, 1, 2]);
    assert_eq!(bench.pacer.state(bench.now()), before);
}

#[test]
fn a_state_reads_as_it_was_released() {
    let mut bench = Bench::new(&rate(60), &rate(60));
    let permit = bench.start(&[0]);
    bench.refuse(permit, 100);
    bench.pacer.park_lane(2, "by hand");
    let state = serde_json::to_value(bench.pacer.state(bench.now())).unwrap();
    let day = serde_json::json!({
        "date": "2026-11-24", "requests": 1, "input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0
    });
    let blocked =
        serde_json::json!({ "until": "2026-11-24T10:01:40.000000Z", "reason": "rate_limited" });
    let expected = serde_json::json!({
        "schema": "retort.pace.v1",
        "domain": "domain",
        "whole": { "day": day, "blocked": blocked },
        "groups": { "both": { "day": day }, "c": {} },
        "lanes": { "c": { "parked": "by hand" } },
    });
    assert_eq!(state, expected);
}

#[test]
fn a_status_reads_as_it_was_released() {
    let mut bench = Bench::new(&rate(120), &rate(60));
    let answered = bench.start(&[0]);
    let refused = bench.start(&[0]);
    let mut settlement = Settlement::of(Outcome::Answered);
    settlement.input_tokens = Some(30);
    settlement.output_tokens = Some(12);
    settlement.cost_usd = Some(0.5);
    let now = bench.now();
    bench.pacer.settle(answered, &settlement, now);
    bench.refuse(refused, 10);
    bench.pacer.park_lane(2, "not_found");
    let status = bench.pacer.status(bench.now());
    let json = serde_json::to_value(&status).unwrap();
    let limit = serde_json::json!({ "requests_per_minute": 60.0, "source": "configured" });
    let expected = serde_json::json!({
        "domain": "domain",
        "requests_last_minute": 2,
        "tokens_last_minute": 42,
        "limit": { "requests_per_minute": 120.0, "source": "configured" },
        "in_flight": 0,
        "blocked": { "until": "2026-11-24T10:00:10.000000Z", "reason": "rate_limited" },
        "today": {
            "date": "2026-11-24", "requests": 2,
            "input_tokens": 30, "output_tokens": 12, "cost_usd": 0.5,
        },
        "lanes": [
            { "model": "a", "state": { "state": "open" }, "limit": limit, "in_flight": 0 },
            { "model": "b", "state": { "state": "open" }, "limit": limit, "in_flight": 0 },
            { "model": "c", "state": { "state": "parked", "reason": "not_found" }, "limit": limit, "in_flight": 0 },
        ],
    });
    assert_eq!(json, expected);
    let back: crate::DomainStatus = serde_json::from_value(json).unwrap();
    assert_eq!(back, status);
}

#[test]
fn settings_reject_what_they_do_not_know() {
    let read = |text: &str| serde_json::from_str::<PaceSettings>(text);
    assert_eq!(read("{}").unwrap(), PaceSettings::default());
    let some = read(r#"{"retry_after_max":"1h","breaker":{"failures_to_open":2}}"#).unwrap();
    assert_eq!(some.breaker.failures_to_open, 2);
    assert!(read(r#"{"retry_after":"1h"}"#).is_err());
    assert!(read(r#"{"breaker":{"failures":1}}"#).is_err());
}
