//! The properties every twin has.

use super::*;
use crate::amqp::topics::unique;
use crate::conformance;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let _peace = peace().await;
    let broker: Arc<dyn Broker> = Arc::new(connect(plain()).await);
    let capabilities = broker.capabilities();
    println!("the broker has {capabilities:?}");
    let run = format!("amqp-{:016x}", unique());
    conformance::run_all(&run, async || Arc::clone(&broker)).await;
}

/// What a server can do is read from its first words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn priorities_count_from_version_4() {
    let _peace = peace().await;
    let rabbit = Rabbit::shared().await;
    let url = rabbit.vhost("version").await;
    let version = rabbit.ctl(&["version"]).await;
    let major: u32 = version.split('.').next().unwrap().trim().parse().unwrap();
    let broker = AmqpBroker::start(rabbit.settings(url)).unwrap();
    assert!(
        !broker.capabilities().priority_handoff,
        "known before it can be"
    );
    broker.connected().await.unwrap();
    assert_eq!(broker.capabilities().priority_handoff, major >= 4);
}
