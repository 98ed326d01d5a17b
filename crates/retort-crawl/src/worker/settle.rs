//! Tells what became durable, then acknowledges it: never the other way round.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use retort_broker::{Broker, Message, Queue};
use retort_dataset::writer::{Committed, CommittedRecord};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::context::{Context, Phase};
use crate::message::{Receipt, message, receipt_message};
use crate::record::fresh_id;

/// Attempts told in one receipt: far below what a message may hold.
const RECEIPT_RECORDS: usize = 2_000;

/// How long to wait before a receipt that could not be sent is sent again.
const RECEIPT_PAUSE: Duration = Duration::from_secs(1);

/// How long a worker that was told to stop tries to send a receipt. Its rows are in the store, where
/// they are found without one.
const RECEIPT_PATIENCE: Duration = Duration::from_secs(20);

/// Publishes receipts for what became durable, then acknowledges it.
pub(super) async fn settle(
    context: Arc<Context>,
    broker: Arc<dyn Broker>,
    mut committed: mpsc::Receiver<Committed>,
) {
    while let Some(batch) = committed.recv().await {
        for records in batch.records().chunks(RECEIPT_RECORDS) {
            let receipt = Arc::new(Receipt {
                worker_id: context.attempter.maker.worker_id.to_string(),
                records: records.to_vec(),
            });
            deliver(&context, &*broker, &receipt).await;
        }
        let done = || {
            let records = batch.records().iter();
            records.filter(|record| record.final_outcome.is_some())
        };
        if !context.pace_store.is_locking() {
            let domains: BTreeSet<_> = done().map(|record| record.domain.clone()).collect();
            context.save_paces_of(domains).await;
        }
        acknowledge(&context, done()).await;
    }
}

async fn acknowledge(context: &Context, records: impl Iterator<Item = &CommittedRecord>) {
    for record in records {
        context.acknowledge_all(record.sample_id).await;
    }
}

/// Sends a receipt until it is taken.
async fn deliver(context: &Context, broker: &dyn Broker, receipt: &Arc<Receipt>) {
    let begun = Instant::now();
    loop {
        let id = fresh_id(context.clock()).to_string();
        let message = receipt_message(id, Arc::clone(receipt));
        if publish(broker, message).await {
            return;
        }
        let stopping = *context.phase.borrow() != Phase::Work;
        if stopping && begun.elapsed() > RECEIPT_PATIENCE {
            tracing::warn!("a receipt was given up; its rows are in the store");
            return;
        }
        tokio::time::sleep(RECEIPT_PAUSE).await;
    }
}

/// Sends a message to the coordinator; returns whether it was taken.
pub(super) async fn send<T: serde::Serialize>(
    context: &Context,
    broker: &dyn Broker,
    kind: &str,
    value: &T,
) -> bool {
    let id = fresh_id(context.clock()).to_string();
    match message(kind, id, value) {
        Ok(message) => publish(broker, message).await,
        Err(error) => {
            tracing::warn!(kind, error = %error, "a message to the coordinator was not sent");
            false
        }
    }
}

async fn publish(broker: &dyn Broker, message: Message) -> bool {
    let kind = message.kind.clone();
    let published = broker.publish(&Queue::Receipts, message).await;
    if let Err(error) = &published {
        tracing::warn!(kind, error = %error, "a message to the coordinator was not sent");
    }
    published.is_ok()
}
