//! Tests of the broker in memory: the common properties, its faults and its bounds.

mod faults;
mod model;

use std::sync::Arc;

use super::MemoryBroker;
use crate::{Broker, conformance};

fn shared(broker: &MemoryBroker) -> Arc<dyn Broker> {
    Arc::new(broker.clone())
}

#[tokio::test(start_paused = true)]
async fn conforms() {
    conformance::run_all("memory", async || shared(&MemoryBroker::new())).await;
}

/// A server outlives a run, so one property must leave nothing that disturbs the next.
#[tokio::test(start_paused = true)]
async fn conforms_again_on_one_broker() {
    let broker = MemoryBroker::new();
    conformance::run_all("first", async || shared(&broker)).await;
    conformance::run_all("second", async || shared(&broker)).await;
}
