//! Traces over OTLP: the real binary, built with the feature, and a collector on this machine.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test ends where its world breaks"
)]

mod protobuf;
#[expect(dead_code, reason = "this binary uses a part of the world")]
#[path = "../support/world.rs"]
mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::json;

use protobuf::{Span, spans};
use support::{World, assert_code, text};

const KEY: &str = "sk-canary-4f1d0c9b7a6e";
const SECRET_OF_COLLECTOR: &str = "collector-token-81";

/// Connections a collector takes at most: each brings one batch.
const CONNECTIONS_MAX: usize = 1_000;

/// One batch as it arrived.
#[derive(Debug, Clone)]
struct Posted {
    head: String,
    body: Vec<u8>,
}

/// A collector that keeps what it is sent.
#[derive(Debug)]
struct Collector {
    port: u16,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let posted: Arc<Mutex<Vec<Posted>>> = Arc::default();
        let kept = Arc::clone(&posted);
        std::thread::spawn(move || {
            for stream in listener.incoming().take(CONNECTIONS_MAX) {
                let mut stream = stream.unwrap();
                kept.lock().unwrap().push(receive(&mut stream));
                let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n\
                              content-length: 0\r\nconnection: close\r\n\r\n";
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { port, posted }
    }

    fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }

    fn spans(&self) -> Vec<Span> {
        self.posted()
            .iter()
            .flat_map(|posted| spans(&posted.body))
            .collect()
    }
}

fn receive(stream: &mut TcpStream) -> Posted {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 65_536]);
    loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.split("content-length:").nth(1).unwrap();
            let length: usize = length.lines().next().unwrap().trim().parse().unwrap();
            if bytes.len() >= end + 4 + length {
                let body = bytes[end + 4..].to_vec();
                return Posted { head, body };
            }
        }
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "a request ends");
        bytes.extend_from_slice(&buffer[..count]);
    }
}

/// Serves one provider that answers and one that always fails, and names `collector`.
fn world(collector: &str) -> World {
    let mut world = World::new(json!({
        "providers": [
            { "name": "good", "api_keys": [KEY], "latency": { "ms": 5 }, "models": [{ "name": "a" }] },
            { "name": "sick", "latency": { "ms": 5 }, "models": [{ "name": "b" }],
              "faults": [{ "kind": "status", "status": 500 }] },
        ]
    }));
    let mut catalog = world.catalog(&[
        ("good", json!({ "concurrency": 4 })),
        ("sick", json!({ "concurrency": 4 })),
    ]);
    catalog["providers"]["good"]["auth"] = json!({ "env": "CANARY_KEY" });
    world.write("models.yaml", &catalog);
    world.campaign(&["a", "b"], 6, 2, json!({}));
    let of_test = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    world.env.extend([
        of_test("CANARY_KEY", KEY),
        of_test("OTEL_EXPORTER_OTLP_ENDPOINT", collector),
        of_test(
            "OTEL_EXPORTER_OTLP_HEADERS",
            &format!("authorization=Bearer {SECRET_OF_COLLECTOR}"),
        ),
    ]);
    world.flags = [
        "--set",
        "worker.retry_wait=10ms",
        "--set",
        "worker.max_attempts=2",
    ]
    .map(str::to_owned)
    .to_vec();
    world
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

#[track_caller]
fn check(span: &Span, name: &str, expected: &str) {
    let found = span.attributes.get(name).map(String::as_str);
    assert_eq!(found, Some(expected), "{name} of {span:#?}");
}

fn check_answered(spans: &[Span], output: &str) {
    let answered = named(spans, "chat a");
    assert_eq!(answered.len(), 12, "{output}");
    for span in &answered {
        assert_eq!((span.kind, span.status), (3, 0), "{span:#?}");
        assert!(span.ended > span.started);
        check(span, "gen_ai.operation.name", "chat");
        check(span, "gen_ai.provider.name", "good");
        check(span, "gen_ai.request.model", "a");
        check(span, "server.address", "127.0.0.1");
        check(span, "http.response.status_code", "200");
        check(span, "retort.outcome", "answered");
        check(span, "retort.campaign.id", "test");
        check(span, "retort.attempt", "1");
        let tokens = |name: &str| span.attributes[name].parse::<u64>().unwrap();
        assert!(tokens("gen_ai.usage.input_tokens") > 0);
        assert!(tokens("gen_ai.usage.output_tokens") > 0);
        assert!(!span.attributes.contains_key("error.type"), "{span:#?}");
    }
    let ids: std::collections::BTreeSet<&String> = answered
        .iter()
        .map(|span| &span.attributes["retort.sample.id"])
        .collect();
    assert_eq!(ids.len(), 12);
}

#[test]
fn a_collector_gets_every_attempt_and_what_is_done_with_it() {
    let collector = Collector::start();
    let address = format!("http://127.0.0.1:{}", collector.port);
    let world = world(&address);
    let output = world.run(&[]);
    // The samples of the model that fails are missing.
    assert_code(&output, 3);
    let posted = collector.posted();
    for posted in &posted {
        assert!(
            posted.head.starts_with("post /v1/traces "),
            "{}",
            posted.head
        );
        assert!(posted.head.contains("content-type: application/x-protobuf"));
        assert!(
            posted
                .head
                .contains(&format!("bearer {SECRET_OF_COLLECTOR}"))
        );
    }
    let spans = collector.spans();

    check_answered(&spans, &text(&output));

    // Each of these samples is asked twice.
    let failed = named(&spans, "chat b");
    assert_eq!(failed.len(), 24);
    for span in &failed {
        assert_eq!((span.kind, span.status), (3, 2), "{span:#?}");
        check(span, "error.type", "provider_error");
        check(span, "http.response.status_code", "500");
    }
    let ends = failed.iter().filter(|span| {
        span.attributes
            .get("retort.final_outcome")
            .is_some_and(|end| end == "gave_up")
    });
    assert_eq!(ends.count(), 12);

    let stored = named(&spans, "flush");
    let records: u64 = stored
        .iter()
        .map(|span| span.attributes["retort.records"].parse::<u64>().unwrap())
        .sum();
    assert_eq!(records, 36);
    let published: u64 = named(&spans, "publish window")
        .iter()
        .map(|span| span.attributes["retort.samples"].parse::<u64>().unwrap())
        .sum();
    assert!(published >= 24, "{published}");
    let sealed = named(&spans, "seal");
    assert_eq!(sealed.len(), 1);
    check(sealed[0], "retort.campaign.id", "test");
    check(sealed[0], "retort.samples", "24");
    for span in &spans {
        assert_eq!(span.resource["service.name"], "retort");
        assert_eq!(span.events, 0, "{span:#?}");
    }
}

#[test]
fn no_prompt_answer_or_key_reaches_a_collector() {
    let collector = Collector::start();
    let mut world = world("http://127.0.0.1:9");
    // The variable of traces alone is the whole address, and wins.
    let address = format!("http://127.0.0.1:{}/custom", collector.port);
    let more = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", address.as_str()),
        ("OTEL_SERVICE_NAME", "probe-fleet"),
        // What is logged must not matter to what is sent.
        ("RETORT_LOG", "trace"),
    ];
    let more = more.map(|(name, value)| (name.to_owned(), value.to_owned()));
    world.env.extend(more);
    let output = world.run(&[]);
    assert_code(&output, 3);
    let answers = world.table("responses", &["response_text"]);
    let answers: Vec<String> = answers
        .iter()
        .filter_map(|row| row["response_text"].as_str())
        .map(|answer| answer.chars().take(24).collect())
        .collect();
    assert_eq!(answers.len(), 12);
    let posted = collector.posted();
    assert!(!posted.is_empty(), "{}", text(&output));
    for posted in posted {
        assert!(posted.head.starts_with("post /custom "), "{}", posted.head);
        let body = String::from_utf8_lossy(&posted.body);
        let secrets = [
            KEY,
            SECRET_OF_COLLECTOR,
            "Describe object number",
            "bearer",
            "Bearer",
        ];
        for secret in secrets
            .into_iter()
            .chain(answers.iter().map(String::as_str))
        {
            assert!(!body.contains(secret), "`{secret}` is in what was sent");
        }
    }
    for span in collector.spans() {
        assert_eq!(span.resource["service.name"], "probe-fleet");
    }
}

#[test]
fn a_sampler_decides_what_is_sent() {
    let collector = Collector::start();
    let mut world = world(&format!("http://127.0.0.1:{}", collector.port));
    world
        .env
        .push(("OTEL_TRACES_SAMPLER".to_owned(), "always_off".to_owned()));
    assert_code(&world.run(&[]), 3);
    assert_eq!(collector.spans().len(), 0);
}

#[test]
fn a_collector_that_does_not_answer_holds_nothing_up() {
    // One that takes connections and says nothing, and an address where nobody listens.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [&silent, &gone].map(|listener| {
        let port = listener.local_addr().unwrap().port();
        format!("http://127.0.0.1:{port}")
    });
    drop(gone);
    for address in addresses {
        let world = world(&address);
        let output = world.run(&[]);
        assert_code(&output, 3);
        assert_eq!(world.outcomes()["answered"], 12);
        let told = text(&output);
        assert!(
            told.contains("some traces did not reach the collector"),
            "{told}"
        );
        assert!(!told.contains(SECRET_OF_COLLECTOR), "{told}");
    }
    drop(silent);
}

#[test]
fn a_protocol_that_is_not_spoken_is_told() {
    let mut world = world("http://127.0.0.1:9");
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL".to_owned(), "grpc".to_owned());
    world.env.push(grpc);
    let output = world.run(&[]);
    assert_code(&output, 3);
    let told = text(&output);
    assert!(
        told.contains("traces are sent as `http/protobuf` only, and not as `grpc`"),
        "{told}"
    );
}
