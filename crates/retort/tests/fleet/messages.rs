//! Messages come twice, are no samples, or are sent by whoever should not; campaigns are submitted
//! again, and coordinators die or stand still while they publish.

use std::net::TcpListener;
use std::num::NonZeroU32;
use std::time::Duration;

use retort_broker::{AmqpBroker, AmqpSettings, Broker as _, ConsumeOptions, Message, Queue};
use retort_types::DomainId;
use serde_json::{Value, json};

use crate::processes::Fleet;
use crate::side_by_side::worlds;
use crate::support::{assert_code, text};

/// Largest message that Retort publishes, in bytes.
const MESSAGE_BYTES: usize = retort_broker::MESSAGE_MAX_BYTES;

fn probes() -> Queue {
    Queue::Probes(DomainId::new("p0").unwrap())
}

/// Becomes a client of the broker, as anyone can who has the right to.
async fn client(fleet: &Fleet) -> AmqpBroker {
    let mut settings = AmqpSettings::default();
    settings.url = fleet.url.parse().unwrap();
    let broker = AmqpBroker::start(settings).unwrap();
    broker.connected().await.unwrap();
    broker
}

/// Returns the first messages of the queue of samples, which stay in it.
async fn look(broker: &AmqpBroker, count: u32) -> Vec<Message> {
    let options = ConsumeOptions {
        prefetch: NonZeroU32::new(count).unwrap(),
        priority: 0,
    };
    broker.declare(&probes()).await.unwrap();
    let mut consumer = broker.consume(&probes(), options).await.unwrap();
    let mut messages = Vec::new();
    for _ in 0..count {
        let delivery = consumer.next().await.unwrap();
        messages.push(delivery.message.clone());
    }
    consumer.close().await;
    messages
}

fn until_empty(fleet: &Fleet) {
    fleet.wait_for("the queue to empty", |fleet| {
        fleet.queue("probes.p0") == Some((0, 0))
    });
}

fn letters(fleet: &Fleet) -> Vec<Value> {
    let listed = fleet.command(&["dead", "list", "--json"]);
    assert_code(&listed, 0);
    serde_json::from_slice(&listed.stdout).unwrap()
}

/// Returns messages that no worker can use.
fn poison(sample: &Message) -> Vec<Message> {
    let body: Value = serde_json::from_slice(&sample.body.bytes()).unwrap();
    let message = |name: &str, body: Vec<u8>| Message {
        id: name.to_owned(),
        kind: sample.kind.clone(),
        body: body.into(),
    };
    let mut poison = vec![
        message("no json", b"{\"sample_id\": ".to_vec()),
        message("no text", vec![0xff; 64]),
        message("another shape", b"[1, 2, 3]".to_vec()),
        message("nothing", Vec::new()),
        message("deep", vec![b'['; 100_000]),
        message("huge", vec![b'x'; MESSAGE_BYTES]),
        message("huge and no text", vec![0xff; MESSAGE_BYTES]),
    ];
    let mut stranger = body;
    stranger["model"] = json!("stranger");
    poison.push(message("stranger", stranger.to_string().into_bytes()));
    poison
}

worlds! {
    fn samples_that_are_published_four_times_are_asked_once() {
        let fleet = Fleet::new("duplicates", &[json!({ "concurrency": 8 })], 20);
        let _coordinator = fleet.coordinator("c0");
        fleet.submit("test", 20, 5);
        let (broker, messages) = fleet.runtime.block_on(async {
            let broker = client(&fleet).await;
            let messages = look(&broker, 30).await;
            for message in messages.iter().cycle().take(90) {
                broker.publish(&probes(), message.clone()).await.unwrap();
            }
            (broker, messages)
        });
        let worker = fleet.worker("w0");
        fleet.sealed("test", 100);
        until_empty(&fleet);
        fleet.assert_paid_once(100);
        worker.signal("TERM");
        assert_eq!(worker.end(), Some(0), "{}", fleet.logs());
        // Another worker, which has finished none of them.
        let _other = fleet.worker("w1");
        fleet.runtime.block_on(async {
            for message in messages {
                broker.publish(&probes(), message).await.unwrap();
            }
            broker.close().await;
        });
        until_empty(&fleet);
        fleet.assert_paid_once(100);
        assert_eq!(letters(&fleet), Vec::<Value>::new());
    }

    fn a_campaign_that_is_submitted_three_times_is_carried_out_once() {
        let fleet = Fleet::new("again", &[json!({ "concurrency": 8 })], 20);
        let _coordinator = fleet.coordinator("c0");
        let _worker = fleet.worker("w0");
        for round in 0..3 {
            let told = fleet.submit("test", 40, 5);
            assert_eq!(told["accepted"]["existed"], round > 0, "{told}");
        }
        fleet.sealed("test", 200);
        assert_eq!(fleet.submit("test", 40, 5)["accepted"]["existed"], true);
        std::thread::sleep(Duration::from_secs(2));
        fleet.assert_paid_once(200);
    }

    fn a_campaign_id_with_other_content_is_refused_with_the_reason() {
        let fleet = Fleet::new("reused", &[json!({ "concurrency": 8 })], 20);
        let _coordinator = fleet.coordinator("c0");
        let _worker = fleet.worker("w0");
        fleet.submit("test", 10, 2);
        let kept = || std::fs::read(fleet.campaign("test").join("campaign.json")).unwrap();
        let before = kept();
        // While it is carried out, and when it is sealed.
        for round in 1..=2 {
            let other = fleet.try_submit("test", 10 + round, 2, json!({}));
            assert_code(&other, 1);
            let told: Value = serde_json::from_slice(&other.stdout).unwrap();
            assert_eq!(told["reason"], "campaign `test` exists with other content");
            fleet.sealed("test", 20);
        }
        assert_eq!(kept(), before);
        fleet.assert_paid_once(20);
        let letters = letters(&fleet);
        assert_eq!(letters.len(), 2);
        for letter in letters {
            assert_eq!(letter["queue"], "submissions");
            assert_eq!(
                letter["reason"],
                "campaign `test` exists with other content"
            );
        }
    }

    fn poison_among_the_samples_is_buried_with_its_reason() {
        let fleet = Fleet::new("poison", &[json!({ "concurrency": 8 })], 20);
        let _coordinator = fleet.coordinator("c0");
        fleet.submit("test", 20, 5);
        let names: Vec<String> = fleet.runtime.block_on(async {
            let broker = client(&fleet).await;
            let poison = poison(&look(&broker, 1).await[0]);
            let names = poison.iter().map(|message| message.id.clone()).collect();
            for message in poison {
                broker.publish(&probes(), message).await.unwrap();
            }
            broker.close().await;
            names
        });
        let _worker = fleet.worker("w0");
        fleet.sealed("test", 100);
        until_empty(&fleet);
        fleet.assert_paid_once(100);
        assert_eq!(fleet.world.fleet.stats().totals().requests, 100);
        let letters = letters(&fleet);
        let mut buried = Vec::new();
        for letter in &letters {
            let (name, reason) = (&letter["id"], letter["reason"].as_str().unwrap());
            let expected = match name.as_str().unwrap() {
                "stranger" => "the worker does not know this model",
                _ => "not a sample",
            };
            assert!(reason.starts_with(expected), "{name}: {reason}");
            assert_eq!(letter["queue"], "probes.p0");
            buried.push(name.as_str().unwrap().to_owned());
        }
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        assert_eq!(sorted(buried), sorted(names));
    }

    /// Fields that a sample does not have are left alone, so that versions can work together: nothing comes
    /// of a place that one of them names.
    fn a_sample_that_names_a_place_or_a_header_is_asked_where_the_catalog_says() {
        const KEYS: [&str; 5] = ["path", "url", "base_url", "headers", "file"];
        let fleet = Fleet::new("sample-places", &[json!({ "concurrency": 8 })], 20);
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        elsewhere.set_nonblocking(true).unwrap();
        let place = format!("http://{}/v1", elsewhere.local_addr().unwrap());
        let _coordinator = fleet.coordinator("c0");
        fleet.submit("test", 20, 5);
        fleet.runtime.block_on(async {
            let broker = client(&fleet).await;
            let options = ConsumeOptions {
                prefetch: NonZeroU32::new(10).unwrap(),
                priority: 0,
            };
            broker.declare(&probes()).await.unwrap();
            let mut consumer = broker.consume(&probes(), options).await.unwrap();
            for key in KEYS {
                let delivery = consumer.next().await.unwrap();
                let mut body: Value = serde_json::from_slice(&delivery.message.body.bytes()).unwrap();
                body[key] = json!(place);
                body["endpoint_url"] = json!(place);
                let message = Message {
                    body: body.to_string().into(),
                    ..delivery.message.clone()
                };
                delivery.acknowledge().await.unwrap();
                broker.publish(&probes(), message).await.unwrap();
            }
            consumer.close().await;
            broker.close().await;
        });
        let _worker = fleet.worker("w0");
        fleet.sealed("test", 100);
        until_empty(&fleet);
        fleet.assert_paid_once(100);
        let asked = elsewhere.accept().map(|_| ()).map_err(|error| error.kind());
        assert_eq!(asked, Err(std::io::ErrorKind::WouldBlock));
    }

    fn a_submission_that_names_a_place_or_a_header_is_buried_with_its_reason() {
        let fleet = Fleet::new("places", &[json!({ "concurrency": 8 })], 20);
        let _coordinator = fleet.coordinator("c0");
        let _worker = fleet.worker("w0");
        let campaign = |id: &str, suite: Value, extra: Value| {
            json!({ "id": id, "purpose": "a test", "models": ["m0"], "suites": [suite],
                    "params": { "max_tokens": 8, "extra": extra } })
        };
        let inline = || json!({ "inline": { "name": "objects", "prompts": ["Describe it."] } });
        let bad = [
            campaign("path", json!({ "file": "/etc/passwd" }), json!({})),
            campaign(
                "url",
                json!({ "url": "http://127.0.0.1:1/prompts" }),
                json!({}),
            ),
            campaign(
                "base-url",
                inline(),
                json!({ "base_url": "http://127.0.0.1:1/" }),
            ),
            campaign(
                "header",
                inline(),
                json!({ "headers": { "authorization": "x" } }),
            ),
        ];
        fleet.runtime.block_on(async {
            let broker = client(&fleet).await;
            broker.declare(&Queue::Submissions).await.unwrap();
            let mut bodies: Vec<(String, Vec<u8>)> = bad
                .iter()
                .map(|bad| {
                    (
                        bad["id"].as_str().unwrap().to_owned(),
                        bad.to_string().into(),
                    )
                })
                .collect();
            bodies.push(("no json".to_owned(), b"id: yaml\n".to_vec()));
            bodies.push(("huge".to_owned(), vec![b'x'; MESSAGE_BYTES]));
            for (id, body) in bodies {
                let message = Message {
                    id,
                    kind: "retort.campaign.v1".to_owned(),
                    body: body.into(),
                };
                broker.publish(&Queue::Submissions, message).await.unwrap();
            }
            broker.close().await;
        });
        // A neighbour is unharmed.
        fleet.submit("test", 10, 2);
        fleet.sealed("test", 20);
        fleet.assert_paid_once(20);
        let letters = letters(&fleet);
        assert_eq!(letters.len(), 6, "{letters:?}");
        for letter in letters {
            let (id, reason) = (letter["id"].as_str().unwrap(), &letter["reason"]);
            let told = reason.as_str().unwrap();
            let about = match id {
                "path" | "base-url" | "header" => "names no file, path, address or header",
                // It says nothing that there is.
                "url" => "url",
                _ => "",
            };
            assert!(told.contains(about) && !told.is_empty(), "{id}: {told}");
            assert_eq!(letter["queue"], "submissions");
        }
        for bad in bad {
            assert!(
                !fleet.campaign(bad["id"].as_str().unwrap()).exists(),
                "{bad}"
            );
        }
    }

    /// There is no cursor that could be lost: what is open is found in the store. Samples that were
    /// published before a kill are published again, and recognised.
    fn kill_9_of_a_coordinator_while_it_publishes_asks_nothing_twice() {
        const SAMPLES: u64 = 3_000;
        let mut fleet = Fleet::new("publishing", &[json!({ "concurrency": 32 })], 5);
        fleet.set("coordinator.window_min=5000");
        let mut coordinator = fleet.coordinator("c0");
        let broker = fleet.runtime.block_on(client(&fleet));
        let depth = || {
            let depth = fleet.runtime.block_on(broker.depth(&probes()));
            depth.ok().flatten().unwrap_or(0)
        };
        fleet.runtime.block_on(broker.declare(&probes())).unwrap();
        fleet.submit("test", 300, 10);
        for round in 0..3 {
            let before = depth();
            // The first one begins at once, later ones with what the store says is open.
            fleet.wait_for("samples to be published", |_| depth() > before + round);
            coordinator.kill();
            println!("killed when {} samples were published", depth());
            coordinator = fleet.coordinator("c0");
        }
        let _worker = fleet.worker("w0");
        fleet.sealed("test", usize::try_from(SAMPLES).unwrap());
        fleet.assert_paid_once(SAMPLES);
    }

    /// A coordinator that stood still takes itself for the active one when it wakes up: the broker has
    /// given its receipts to another by then.
    fn two_coordinators_that_think_they_are_active_ask_nothing_twice() {
        let mut fleet = Fleet::new("two", &[json!({ "requests_per_minute": 1_200 })], 20);
        fleet.set("broker.heartbeat=6s");
        let first = fleet.coordinator("c0");
        let is_active = |fleet: &Fleet, name: &str| {
            let log = fleet.log(name);
            log.contains("this coordinator is the active one")
        };
        fleet.wait_for("the first", |fleet| is_active(fleet, "c0"));
        let _second = fleet.coordinator("c1");
        let _worker = fleet.worker("w0");
        fleet.submit("test", 100, 8);
        fleet.wait_for_served(50);
        first.signal("STOP");
        fleet.wait_for("the second", |fleet| is_active(fleet, "c1"));
        first.signal("CONT");
        fleet.sealed("test", 800);
        fleet.assert_paid_once(800);
        let log = fleet.log("c0");
        assert!(log.contains("another coordinator may be active"), "{log}");
        let snapshots = std::fs::read_dir(fleet.campaign("test").join("snapshots")).unwrap();
        assert_eq!(snapshots.count(), 1, "one of them sealed");
        assert!(text(&fleet.command(&["dead", "list"])).contains("no dead letters"));
    }
}
