//! Every fault, as a client sees it.

use std::time::{Duration, Instant};

use retort_sim::{FaultKind, FaultSpec, Fleet};
use retort_types::HumanDuration;
use serde_json::{Value, json};

use crate::client::{CHAT, Client, Reply, alpha, ask, chat, fleet, get, post, with};

async fn broken(fault: FaultSpec) -> Fleet {
    let mut provider = alpha();
    provider.faults = vec![fault];
    fleet(provider).await
}

/// Sends one request and returns everything until the connection ends, and whether by a reset.
async fn raw(fault: FaultSpec, stream: bool) -> (String, bool) {
    let fleet = broken(fault).await;
    let mut client = Client::connect(fleet.address()).await;
    let body = with(chat("Tell me about rivers."), &json!({"stream": stream}));
    client
        .send(&post(CHAT, "connection: close\r\n", &body))
        .await;
    let (bytes, reset) = client.rest().await;
    (String::from_utf8_lossy(&bytes).into_owned(), reset)
}

async fn reply(fault: FaultSpec) -> Reply {
    ask(&broken(fault).await, CHAT, &chat("Tell me about rivers.")).await
}

fn kind(kind: FaultKind) -> FaultSpec {
    FaultSpec::new(kind)
}

fn lasting(fault: FaultKind, ms: u64) -> FaultSpec {
    FaultSpec {
        lasts: Some(HumanDuration(Duration::from_millis(ms))),
        ..kind(fault)
    }
}

#[tokio::test]
async fn statuses_come_with_their_errors() {
    for (status, error_type, code) in [
        (400, "invalid_request_error", Value::Null),
        (401, "invalid_request_error", json!("invalid_api_key")),
        (402, "insufficient_quota", json!("insufficient_quota")),
        (403, "permission_error", json!("permission_denied")),
        (404, "invalid_request_error", json!("model_not_found")),
        (408, "timeout", Value::Null),
        (429, "requests", json!("rate_limit_exceeded")),
        (500, "server_error", Value::Null),
        (503, "server_error", json!("overloaded")),
        (529, "overloaded_error", Value::Null),
    ] {
        let reply = reply(FaultSpec::status(status)).await;
        assert_eq!(reply.status, status);
        let error = &reply.json()["error"];
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!(error_type), &code),
            "{status}"
        );
    }
    let gateway = reply(FaultSpec::status(502)).await;
    assert_eq!(
        (gateway.status, gateway.header("content-type")),
        (502, Some("text/html"))
    );
    let quota = FaultSpec {
        code: Some("insufficient_quota".to_owned()),
        retry_after_seconds: Some(9),
        ..FaultSpec::status(429)
    };
    let reply = reply(quota).await;
    assert_eq!(reply.json()["error"]["type"], "insufficient_quota");
    assert_eq!(reply.header("retry-after"), Some("9"));
}

#[tokio::test]
async fn silence_lasts_as_long_as_told() {
    let begun = Instant::now();
    let (text, _) = raw(lasting(FaultKind::Hang, 200), false).await;
    assert_eq!(text, "");
    assert!(begun.elapsed() >= Duration::from_millis(200));
    for stream in [false, true] {
        let begun = Instant::now();
        let (text, _) = raw(lasting(FaultKind::HangMidBody, 200), stream).await;
        assert!(
            text.contains("\r\n\r\n") && !text.contains("\"usage\""),
            "{text}"
        );
        assert!(!text.contains("[DONE]"));
        assert!(begun.elapsed() >= Duration::from_millis(200));
    }
}

#[tokio::test]
async fn drips_arrive_whole() {
    let begun = Instant::now();
    let reply = reply(lasting(FaultKind::SlowDrip, 200)).await;
    assert!(begun.elapsed() >= Duration::from_millis(190));
    assert!(reply.text().len() > 20);
}

#[tokio::test]
async fn cuts_resets_and_lies_break_the_connection() {
    let (text, reset) = raw(kind(FaultKind::Cut), false).await;
    assert!(text.contains("200 OK") && !text.contains("\"usage\"") && !reset);
    let (text, _) = raw(kind(FaultKind::Cut), true).await;
    assert!(text.contains("data: ") && !text.contains("[DONE]"));
    let (text, reset) = raw(kind(FaultKind::Reset), false).await;
    assert!(text.is_empty() && reset);
    let (text, _) = raw(kind(FaultKind::LyingContentLength), false).await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len() + 1_000)));
    assert!(serde_json::from_str::<Value>(body).is_ok());
    let (text, _) = raw(kind(FaultKind::LyingContentLength), true).await;
    assert!(text.contains("data: ") && !text.contains("[DONE]"));
    let (text, _) = raw(kind(FaultKind::Garbage), false).await;
    assert!(!text.starts_with("HTTP/") && text.contains("not hypertext"));
}

#[tokio::test]
async fn wrong_bodies_come_with_200() {
    let page = reply(kind(FaultKind::WrongType)).await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let shape = reply(kind(FaultKind::JsonWrongShape)).await;
    assert_eq!(shape.json()["choices"], "none");
    let error = reply(kind(FaultKind::ErrorIn200)).await;
    assert_eq!(error.json()["error"]["type"], "server_error");
    let empty = reply(kind(FaultKind::Empty200)).await;
    let utf8 = reply(kind(FaultKind::InvalidUtf8)).await;
    assert!(std::str::from_utf8(&utf8.body).is_err());
    let lossy = String::from_utf8_lossy(&utf8.body);
    assert!(serde_json::from_str::<Value>(&lossy).unwrap()["choices"].is_array());
    let huge = reply(kind(FaultKind::HugeNumbers)).await;
    assert!(String::from_utf8_lossy(&huge.body).contains("123456789012345678901234567890"));
    let deep = reply(kind(FaultKind::DeepJson)).await;
    assert!(deep.body.len() > 200_000);
    assert!(empty.body.is_empty());
    for reply in [page, shape, error, empty, utf8, huge, deep] {
        assert_eq!(reply.status, 200);
    }
}

#[tokio::test]
async fn compression_lies() {
    let bomb = reply(kind(FaultKind::GzipBomb)).await;
    assert_eq!(bomb.header("content-encoding"), Some("gzip"));
    assert!(bomb.body.starts_with(&[0x1f, 0x8b]) && bomb.body.len() < 2 << 20);
    let bad = reply(kind(FaultKind::BadGzip)).await;
    assert_eq!(bad.header("content-encoding"), Some("gzip"));
    let mut plain = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(bad.body.as_slice());
    assert!(std::io::Read::read_to_end(&mut decoder, &mut plain).is_err());
}

#[tokio::test]
async fn endless_things_go_far_and_end() {
    const FAR: usize = 1 << 20;
    for fault in [FaultKind::EndlessHeaders, FaultKind::EndlessSseLine] {
        let fleet = broken(kind(fault)).await;
        let mut client = Client::connect(fleet.address()).await;
        client.send(&post(CHAT, "", &chat("hi"))).await;
        let bytes = client.take(FAR).await;
        assert!(bytes.len() >= FAR);
        let text = String::from_utf8_lossy(&bytes);
        let ends = if fault == FaultKind::EndlessHeaders {
            "\r\n\r\n"
        } else {
            "\n\n"
        };
        assert!(!text.contains(ends), "{fault:?}");
    }
    let (text, _) = raw(kind(FaultKind::EndlessBody), false).await;
    assert!(
        text.len() > 64 << 20 && text.len() < 80 << 20,
        "{}",
        text.len()
    );
    assert!(!text.ends_with("0\r\n\r\n"));
}

#[tokio::test]
async fn streams_break_in_their_own_ways() {
    let stream = with(chat("Tell me about rivers."), &json!({"stream": true}));
    let error = ask(&broken(kind(FaultKind::ErrorInStream)).await, CHAT, &stream).await;
    let events = error.events();
    assert!(events.len() > 3 && events.last().unwrap().contains("\"error\""));
    let plain = reply(kind(FaultKind::ErrorInStream)).await;
    assert!(plain.json()["error"].is_object());
    let twice = ask(&broken(kind(FaultKind::DuplicateDone)).await, CHAT, &stream).await;
    let events = twice.events();
    assert_eq!(events.iter().filter(|event| *event == "[DONE]").count(), 2);
    let (text, _) = raw(kind(FaultKind::LateCut), true).await;
    assert!(text.contains("[DONE]") && !text.ends_with("0\r\n\r\n"));
    for stream in [false, true] {
        let (text, _) = raw(kind(FaultKind::LateJunk), stream).await;
        assert!(text.contains("\"stop\"") && text.ends_with("junk"));
    }
}

#[tokio::test]
async fn redirects_that_are_followed_are_counted() {
    let fleet = broken(kind(FaultKind::UnaskedRedirect)).await;
    let reply = ask(&fleet, CHAT, &chat("hi")).await;
    assert_eq!(
        (reply.status, reply.header("location")),
        (307, Some("/redirected"))
    );
    assert_eq!(fleet.stats().redirects_followed, 0);
    get(&fleet, "/redirected").await;
    assert_eq!(fleet.stats().redirects_followed, 1);
}

#[tokio::test]
async fn every_fault_is_counted_once_and_the_fleet_lives_on() {
    let quick = |fault: FaultKind| FaultSpec {
        first: Some(1),
        ..lasting(fault, 20)
    };
    let served = [
        FaultKind::SlowDrip,
        FaultKind::DuplicateDone,
        FaultKind::LateJunk,
        FaultKind::LateCut,
    ];
    let endless = [
        FaultKind::EndlessBody,
        FaultKind::EndlessHeaders,
        FaultKind::EndlessSseLine,
    ];
    let fleet = fleet(alpha()).await;
    for fault in FaultKind::ALL {
        fleet.set_faults("alpha", &[quick(*fault)]).unwrap();
        fleet.reset_stats();
        let mut client = Client::connect(fleet.address()).await;
        client
            .send(&post(CHAT, "connection: close\r\n", &chat("hi")))
            .await;
        if endless.contains(fault) {
            client.take(1 << 17).await;
        } else {
            client.rest().await;
        }
        let mut good = ask(&fleet, CHAT, &chat("hi")).await;
        while fleet.stats().totals().in_flight > 0 {
            good = ask(&fleet, CHAT, &chat("hi")).await;
        }
        assert_eq!(good.status, 200, "{fault:?}");
        let stats = fleet.stats();
        let alpha = &stats.providers["alpha"];
        assert_eq!(alpha.faults.get(fault.as_str()), Some(&1), "{fault:?}");
        let faulted = u64::from(!served.contains(fault));
        assert_eq!(alpha.totals.faulted, faulted, "{fault:?}");
        assert_eq!(
            alpha.totals.served,
            alpha.totals.requests - faulted,
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn faults_are_changed_over_http() {
    let fleet = fleet(alpha()).await;
    let order = json!({
        "provider": "alpha",
        "faults": [{"kind": "status", "status": 503, "prompts_containing": "hurt", "first": 2}],
    });
    assert_eq!(ask(&fleet, "/control/faults", &order).await.status, 200);
    let mut statuses = Vec::new();
    for prompt in ["hurt", "fine", "hurt me", "hurt"] {
        statuses.push(ask(&fleet, CHAT, &chat(prompt)).await.status);
    }
    assert_eq!(statuses, [503, 200, 503, 200]);
    let order = json!({"provider": "nobody", "faults": []});
    assert_eq!(ask(&fleet, "/control/faults", &order).await.status, 404);
    for bad in [
        json!({"faults": [{"kind": "explode"}]}),
        json!({"faults": [], "x": 1}),
    ] {
        assert_eq!(ask(&fleet, "/control/faults", &bad).await.status, 400);
    }
    assert!(fleet.set_faults("nobody", &[]).is_err());
}

#[tokio::test]
async fn shares_hit_the_same_requests_every_time() {
    let share = FaultSpec {
        share: Some(0.4),
        ..FaultSpec::status(500)
    };
    let mut runs = Vec::new();
    for _ in 0..2 {
        let fleet = broken(share.clone()).await;
        let mut client = Client::connect(fleet.address()).await;
        let mut statuses = Vec::new();
        for _ in 0..40 {
            statuses.push(client.ask(CHAT, "", &chat("hi")).await.unwrap().status);
        }
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    let hit = runs[0].iter().filter(|status| **status == 500).count();
    assert!((6..30).contains(&hit), "{hit}");
}
