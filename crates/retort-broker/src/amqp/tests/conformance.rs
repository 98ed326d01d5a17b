//! The properties every twin has.

use super::*;
use crate::amqp::topics::unique;
use crate::conformance;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let _peace = peace().await;
    let broker: Arc<dyn Broker> = Arc::new(connect(plain()).await);
    let run = format!("amqp-{:016x}", unique());
    conformance::run_all(&run, async || Arc::clone(&broker)).await;
}
