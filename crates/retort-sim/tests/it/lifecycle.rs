//! Starting, stopping, clients that leave, samples that are paid twice, replay.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use retort_sim::{
    Ask, CannotAnswer, Fleet, FleetSpec, Generation, LatencySpec, ModelKind, ModelSpec,
    ProviderSpec, ReplayModels, SimModel,
};
use serde_json::json;
use tokio::net::TcpListener;

use crate::client::{CHAT, Client, alpha, ask, chat, clock, fleet, post, with};

#[tokio::test]
async fn a_shutdown_frees_the_port_and_ends_connections() {
    let fleet = fleet(alpha()).await;
    let address = fleet.address();
    let mut idle = Client::connect(address).await;
    assert_eq!(idle.ask(CHAT, "", &chat("hi")).await.unwrap().status, 200);
    assert_eq!(fleet.stats().connections, 1);
    let stats = fleet.shutdown().await;
    assert_eq!((stats.totals().served, stats.connections), (1, 0));
    let (rest, _) = idle.rest().await;
    assert!(rest.is_empty());
    TcpListener::bind(address).await.unwrap();
}

#[test]
fn a_fleet_lives_on_a_thread_of_its_own() {
    let setup = || retort_sim::Setup::new(clock());
    let thread = Fleet::start_in_thread(FleetSpec::new(vec![alpha()]), setup()).unwrap();
    let address = thread.address();
    let base = thread.base_url("alpha").unwrap();
    assert_eq!(base, format!("http://{address}/p/alpha/v1"));
    assert!(thread.base_url("beta").is_err());
    let catalog = thread.catalog().unwrap();
    assert_eq!(catalog.providers["alpha"].base_url, base);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let status = runtime.block_on(async {
        let mut client = Client::connect(address).await;
        client.ask(CHAT, "", &chat("hi")).await.unwrap().status
    });
    assert_eq!(status, 200);
    runtime.block_on(async {
        let mut client = Client::connect(address).await;
        for served in 2..200 {
            client.ask(CHAT, "", &chat("hi")).await.unwrap();
            assert_eq!(thread.stats().totals().served, served);
        }
    });
    // The port is taken, which the caller is told.
    let mut taken = FleetSpec::new(vec![alpha()]);
    taken.port = address.port();
    let error = Fleet::start_in_thread(taken, setup()).unwrap_err();
    assert_eq!(error.to_string(), format!("failed to listen on {address}"));
    assert_eq!(thread.shutdown().totals().served, 199);
    std::net::TcpListener::bind(address).unwrap();
}

#[tokio::test]
async fn clients_that_leave_are_not_served() {
    let mut provider = alpha();
    provider.latency = LatencySpec {
        ms: 600_000,
        ..LatencySpec::default()
    };
    provider.limits.concurrency = Some(1);
    let fleet = fleet(provider).await;
    for round in 1..=3 {
        let mut client = Client::connect(fleet.address()).await;
        client.send(&post(CHAT, "", &chat("hi"))).await;
        wait_for(&fleet, |totals| totals.in_flight == 1).await;
        drop(client);
        // The only place is free again, or the next round would be refused.
        wait_for(&fleet, |totals| totals.aborted == round).await;
    }
    let totals = fleet.stats().totals();
    assert_eq!(
        (totals.requests, totals.served, totals.in_flight),
        (3, 0, 0)
    );
}

/// Polls, because only the fleet knows when it noticed.
async fn wait_for(fleet: &Fleet, done: impl Fn(&retort_sim::Counts) -> bool) {
    let mut polls = 0;
    while !done(&fleet.stats().totals()) {
        polls += 1;
        assert!(polls < 2_000, "it never happened: {:?}", fleet.stats());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn requests_at_work_are_counted_when_the_fleet_stops() {
    let mut provider = alpha();
    provider.latency.ms = 600_000;
    let fleet = fleet(provider).await;
    let mut client = Client::connect(fleet.address()).await;
    client.send(&post(CHAT, "", &chat("hi"))).await;
    wait_for(&fleet, |totals| totals.in_flight == 1).await;
    let totals = fleet.shutdown().await.totals();
    assert_eq!((totals.aborted, totals.in_flight), (1, 0));
}

#[tokio::test]
async fn samples_paid_twice_are_found() {
    let fleet = fleet(alpha()).await;
    let mut client = Client::connect(fleet.address()).await;
    for id in ["s1", "s2", "s1", "s3"] {
        let header = format!("x-retort-sample-id: {id}\r\n");
        client.ask(CHAT, &header, &chat("hi")).await.unwrap();
    }
    client.ask(CHAT, "", &chat("hi")).await.unwrap();
    let alpha = &fleet.stats().providers["alpha"];
    assert_eq!((alpha.samples_served, alpha.paid_twice), (3, 1));
    assert_eq!(alpha.paid_twice_ids, ["s1"]);
    assert_eq!(alpha.totals.served, 5);
}

#[tokio::test]
async fn latency_is_kept_per_answer_and_token() {
    let mut provider = alpha();
    provider.latency = LatencySpec {
        ms: 20,
        jitter_ms: 5,
        per_token_ms: 10,
    };
    let fleet = fleet(provider).await;
    let body = with(chat("Tell me about rivers."), &json!({"max_tokens": 10}));
    for stream in [false, true] {
        let begun = std::time::Instant::now();
        let body = with(body.clone(), &json!({"stream": stream}));
        let reply = ask(&fleet, CHAT, &body).await;
        assert_eq!(reply.status, 200);
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(120));
        // What the provider tells of it: all, or all until a stream begins.
        let held: u64 = reply
            .header("openai-processing-ms")
            .unwrap()
            .parse()
            .unwrap();
        let least = if stream { 20 } else { 120 };
        assert!(
            (least..=took.as_millis().try_into().unwrap()).contains(&held),
            "{held} ms"
        );
    }
}

#[tokio::test]
async fn recordings_are_replayed_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recorded.parquet");
    let column = |texts: [&str; 3]| Arc::new(StringArray::from(texts.to_vec())) as ArrayRef;
    let batch = RecordBatch::try_from_iter([
        ("model", column(["gpt-x", "gpt-x", "gpt-y"])),
        ("prompt", column(["hi", "hi", "hi"])),
        ("output", column(["one", "two", "Ünïcode 你好"])),
    ])
    .unwrap();
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();

    let replay = Arc::new(ReplayModels::open(&path).unwrap());
    let mut setup = retort_sim::Setup::new(clock());
    let spec = replay.spec();
    let missing = Fleet::start_with(spec.clone(), setup.clone()).await;
    assert!(
        missing
            .unwrap_err()
            .to_string()
            .contains("no recording of `gpt-x`")
    );
    setup.replay = Some(Arc::clone(&replay));
    let fleet = Fleet::start_with(spec, setup).await.unwrap();
    let path = "/p/replay/v1/chat/completions";
    let body = |model: &str| with(chat("hi"), &json!({"model": model}));
    for expected in ["one", "two", "one"] {
        assert_eq!(ask(&fleet, path, &body("gpt-x")).await.text(), expected);
    }
    let logprobs = with(body("gpt-y"), &json!({"logprobs": true, "top_logprobs": 2}));
    let reply = ask(&fleet, path, &logprobs).await;
    assert_eq!(reply.text(), "Ünïcode 你好");
    let json = reply.json();
    let entries = json["choices"][0]["logprobs"]["content"]
        .as_array()
        .unwrap();
    let joined: String = entries.iter().filter_map(|e| e["token"].as_str()).collect();
    assert_eq!(joined, reply.text());
    let unknown = with(chat("never asked"), &json!({"model": "gpt-y"}));
    let reply = ask(&fleet, path, &unknown).await;
    assert_eq!(reply.status, 422);
    assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
    assert_eq!(reply.json()["error"]["code"], "no_recorded_reply");
    assert_eq!(fleet.catalog().unwrap().models.len(), 2);
}

#[derive(Debug)]
struct Parrot;

impl SimModel for Parrot {
    fn answer(&self, ask: &Ask) -> Result<Generation, CannotAnswer> {
        let token = retort_sim::Token {
            text: ask.last_text().to_owned(),
            logprob: 0.0,
            alternatives: Vec::new(),
        };
        Ok(Generation::new(vec![token]))
    }
}

#[tokio::test]
async fn callers_bring_models_of_their_own() {
    let model = ModelSpec {
        kind: ModelKind::Custom,
        source: Some("parrot".to_owned()),
        ..ModelSpec::canned("m")
    };
    let spec = FleetSpec::new(vec![ProviderSpec::new("alpha", vec![model])]);
    let mut setup = retort_sim::Setup::new(clock());
    setup.models.insert("parrot".to_owned(), Arc::new(Parrot));
    let fleet = Fleet::start_with(spec, setup).await.unwrap();
    assert_eq!(
        ask(&fleet, CHAT, &chat("say this")).await.text(),
        "say this"
    );
}
