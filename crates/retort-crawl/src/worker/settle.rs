//! Tells what became durable, then acknowledges it: nothing is acknowledged before it is durable.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use retort_broker::{Broker, Health, Message, Queue};
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

/// How often a broker that takes no publications is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Publishes receipts for what became durable, then acknowledges it. While the broker takes no
/// publications the receipts wait and the acknowledgements do not: what a receipt tells is found in the
/// store too, and a broker short of memory or disk frees what is acknowledged.
pub(super) async fn settle(
    context: Arc<Context>,
    broker: Arc<dyn Broker>,
    mut committed: mpsc::Receiver<Committed>,
) {
    let mut teller = Teller {
        context: &context,
        broker: &*broker,
        untold: VecDeque::new(),
    };
    while let Some(batch) = teller.next(&mut committed).await {
        for records in batch.records().chunks(RECEIPT_RECORDS) {
            let receipt = Arc::new(Receipt {
                worker_id: context.attempter.maker.worker_id.to_string(),
                records: records.to_vec(),
            });
            teller.tell(receipt).await;
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
    let telling = tokio::time::timeout(RECEIPT_PATIENCE, teller.tell_rest());
    if telling.await.is_err() {
        tracing::warn!("receipts were given up; their rows are in the store");
    }
}

async fn acknowledge(context: &Context, records: impl Iterator<Item = &CommittedRecord>) {
    for record in records {
        context.acknowledge_all(record.sample_id).await;
    }
}

/// Sends receipts in order.
struct Teller<'a> {
    context: &'a Context,
    broker: &'a dyn Broker,
    /// Those that the broker does not take just now: no more than what was in the air, since nothing is
    /// begun meanwhile.
    untold: VecDeque<Arc<Receipt>>,
}

impl Teller<'_> {
    /// Returns what became durable next, and sends meanwhile what could not be sent.
    async fn next(&mut self, committed: &mut mpsc::Receiver<Committed>) -> Option<Committed> {
        if !self.untold.is_empty() {
            tokio::select! {
                biased;
                batch = committed.recv() => return batch,
                () = self.tell_rest() => {}
            }
        }
        committed.recv().await
    }

    async fn tell(&mut self, receipt: Arc<Receipt>) {
        if !self.untold.is_empty() || !self.deliver(&receipt).await {
            self.untold.push_back(receipt);
        }
    }

    /// Cancel safe: a receipt leaves the list when it was taken.
    async fn tell_rest(&mut self) {
        while let Some(receipt) = self.untold.front() {
            while self.broker.health() == Health::Blocked {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            if self.deliver(receipt).await {
                self.untold.pop_front();
            }
        }
    }

    /// Sends a receipt until it is taken; returns false when the broker takes no publications. One that
    /// was under way then may arrive twice, which is harmless.
    async fn deliver(&self, receipt: &Arc<Receipt>) -> bool {
        tokio::select! {
            biased;
            () = self.send(receipt) => true,
            () = self.blocked() => false,
        }
    }

    async fn send(&self, receipt: &Arc<Receipt>) {
        let begun = Instant::now();
        loop {
            let id = fresh_id(self.context.clock()).to_string();
            if publish(self.broker, receipt_message(id, Arc::clone(receipt))).await {
                return;
            }
            let stopping = *self.context.phase.borrow() != Phase::Work;
            if stopping && begun.elapsed() > RECEIPT_PATIENCE {
                tracing::warn!("a receipt was given up; its rows are in the store");
                return;
            }
            tokio::time::sleep(RECEIPT_PAUSE).await;
        }
    }

    async fn blocked(&self) {
        while self.broker.health() != Health::Blocked {
            tokio::time::sleep(LOOK_EVERY).await;
        }
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
