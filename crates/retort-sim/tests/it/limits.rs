//! Limits, counted.

use std::time::{Duration, Instant};

use retort_sim::{Fleet, HeaderFamily, LatencySpec, LimitKind, LimitSpec, RetryHint};
use serde_json::json;

use crate::client::{CHAT, Client, Reply, alpha, ask, chat, fleet, post, with};

async fn limited(limits: LimitSpec, latency_ms: u64) -> Fleet {
    let mut provider = alpha();
    provider.limits = limits;
    provider.latency = LatencySpec {
        ms: latency_ms,
        ..LatencySpec::default()
    };
    fleet(provider).await
}

async fn statuses(fleet: &Fleet, count: usize) -> Vec<u16> {
    let mut client = Client::connect(fleet.address()).await;
    let mut statuses = Vec::new();
    for _ in 0..count {
        let reply = client.ask(CHAT, "", &chat("hi")).await;
        statuses.push(reply.expect("a whole answer").status);
    }
    statuses
}

/// A bucket that does not refill while a test runs.
fn bucket(burst: u32) -> LimitSpec {
    LimitSpec {
        requests_per_second: Some(0.001),
        burst: Some(burst),
        ..LimitSpec::default()
    }
}

#[tokio::test]
async fn a_bucket_refuses_what_it_does_not_hold() {
    let fleet = limited(bucket(3), 0).await;
    assert_eq!(statuses(&fleet, 5).await, [200, 200, 200, 429, 429]);
    let stats = fleet.stats();
    let alpha = &stats.providers["alpha"];
    assert_eq!((alpha.totals.served, alpha.totals.refused_429), (3, 2));
    assert_eq!(alpha.statuses[&429], 2);
    // Exact unless this machine needs a second for five requests.
    assert!((1..=3).contains(&alpha.peak_accepted_1s));
    assert!((1..=5).contains(&alpha.peak_total_1s));
    assert_eq!((alpha.totals.requests, alpha.totals.in_flight), (5, 0));
}

#[tokio::test]
async fn a_bucket_refills_at_its_rate() {
    let limits = LimitSpec {
        requests_per_second: Some(50.0),
        burst: Some(1),
        ..LimitSpec::default()
    };
    let fleet = limited(limits, 0).await;
    let mut client = Client::connect(fleet.address()).await;
    let begun = Instant::now();
    while fleet.stats().totals().served < 6 {
        client.ask(CHAT, "", &chat("hi")).await.unwrap();
    }
    // The burst and five more, 20 ms apart.
    let fewest = Duration::from_millis(5 * 20);
    assert!(begun.elapsed() >= fewest, "{:?}", begun.elapsed());
    assert!(fleet.stats().totals().refused_429 > 0);
}

#[tokio::test]
async fn a_window_refuses_beyond_its_count() {
    let limits = LimitSpec {
        requests_per_minute: Some(2.0),
        kind: LimitKind::Window,
        ..LimitSpec::default()
    };
    let fleet = limited(limits, 0).await;
    assert_eq!(statuses(&fleet, 4).await, [200, 200, 429, 429]);
    let reply = ask(&fleet, CHAT, &chat("hi")).await;
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((30..=60).contains(&wait), "{wait}");
}

#[tokio::test]
async fn tokens_are_limited_by_usage() {
    let limits = LimitSpec {
        tokens_per_minute: Some(60),
        ..LimitSpec::default()
    };
    let fleet = limited(limits, 0).await;
    let body = with(chat("hi"), &json!({"max_tokens": 50}));
    // 5 tokens of prompt and 50 of answer leave 5 for one more prompt, and then nothing.
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(ask(&fleet, CHAT, &body).await);
    }
    let statuses: Vec<_> = seen.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(seen[2].json()["error"]["type"], "tokens");
    let totals = fleet.stats().totals();
    assert_eq!((totals.prompt_tokens, totals.completion_tokens), (10, 100));
}

#[tokio::test]
async fn concurrency_is_limited_and_counted() {
    let limits = LimitSpec {
        concurrency: Some(2),
        ..LimitSpec::default()
    };
    let fleet = limited(limits, 600_000).await;
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(fleet.address()).await;
        client.send(&post(CHAT, "", &chat("hi"))).await;
        busy.push(client);
    }
    while fleet.stats().totals().in_flight < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(statuses(&fleet, 3).await, [429, 429, 429]);
    let totals = fleet.stats().totals();
    assert_eq!((totals.in_flight_peak, totals.in_flight), (2, 2));
    assert_eq!((totals.requests, totals.refused_429), (5, 3));
    let reply = ask(&fleet, CHAT, &chat("hi")).await;
    assert_eq!(reply.json()["error"]["type"], "concurrency");
}

async fn refusal(hint: RetryHint) -> Reply {
    let limits = LimitSpec {
        retry_after: hint,
        announce: HeaderFamily::Openai,
        requests_per_second: Some(0.01),
        ..bucket(1)
    };
    let fleet = limited(limits, 0).await;
    assert_eq!(ask(&fleet, CHAT, &chat("hi")).await.status, 200);
    let reply = ask(&fleet, CHAT, &chat("hi")).await;
    assert_eq!(reply.status, 429);
    assert_eq!(reply.json()["error"]["code"], "rate_limit_exceeded");
    reply
}

#[tokio::test]
async fn hints_come_in_every_form() {
    // One request in 100 seconds; the tests allow a minute for the second request to arrive.
    let header = |reply: &Reply, name: &str| reply.header(name).unwrap_or("").to_owned();
    let reply = refusal(RetryHint::Seconds).await;
    let wait: u64 = header(&reply, "retry-after").parse().unwrap();
    assert!((40..=100).contains(&wait), "{wait}");
    assert_eq!(header(&reply, "x-ratelimit-limit-requests"), "1");
    assert_eq!(header(&reply, "x-ratelimit-remaining-requests"), "0");
    let reply = refusal(RetryHint::Float).await;
    let value = header(&reply, "retry-after");
    let wait: f64 = value.parse().unwrap();
    assert!(
        wait > 40.0 && wait <= 100.0 && value.contains('.'),
        "{value}"
    );
    let reply = refusal(RetryHint::Ms).await;
    let wait: u64 = header(&reply, "retry-after-ms").parse().unwrap();
    assert!((40_000..=100_000).contains(&wait), "{wait}");
    let reply = refusal(RetryHint::HttpDate).await;
    assert!(header(&reply, "retry-after").starts_with("Mon, 21 Sep 2026 14:1"));
    let reply = refusal(RetryHint::GoDurationHeaders).await;
    assert!(header(&reply, "x-ratelimit-reset-requests").ends_with('s'));
    assert_eq!(reply.head.matches("x-ratelimit-reset-requests").count(), 1);
    let reply = refusal(RetryHint::Rfc3339Headers).await;
    let reset = header(&reply, "anthropic-ratelimit-requests-reset");
    assert!(
        reset.starts_with("2026-09-21T14:1") && reset.ends_with('Z'),
        "{reset}"
    );
    let reply = refusal(RetryHint::BodyHint).await;
    let message = reply.json()["error"]["message"].to_string();
    assert!(message.contains("Please try again in 1m"), "{message}");
    let reply = refusal(RetryHint::RetryInfo).await;
    let delay = reply.json()["error"]["details"][0]["retryDelay"].to_string();
    assert!(delay.ends_with("s\""), "{delay}");
    assert_eq!(refusal(RetryHint::None).await.header("retry-after"), None);
}

#[tokio::test]
async fn early_returns_are_counted() {
    let fleet = limited(bucket(1), 0).await;
    assert_eq!(statuses(&fleet, 2).await, [200, 429]);
    assert_eq!(early(&fleet), 0);
    // Those that may have been on their way do not count, so it takes a while.
    while early(&fleet) < 3 {
        assert_eq!(statuses(&fleet, 1).await, [429]);
    }
    let totals = fleet.stats().totals();
    assert!(early(&fleet) < totals.refused_429 && totals.served == 1);
}

fn early(fleet: &Fleet) -> u64 {
    fleet.stats().providers["alpha"].early_returns
}
