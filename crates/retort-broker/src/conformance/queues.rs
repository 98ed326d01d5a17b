//! What goes into a queue comes out of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::trial::{self, Trial, acknowledge, check_quiet, finish, take};
use crate::{
    Body, BrokerError, ConsumeOptions, MESSAGE_MAX_BYTES, Message, NAME_MAX_BYTES, Queue,
    RETRY_TIERS, Topic,
};

/// Declaring a queue that exists keeps its messages.
pub async fn declaring_again_changes_nothing(trial: &Trial) {
    let queue = trial.filled(2).await;
    trial.broker.declare(&queue).await.expect("declares again");
    let mut consumer = trial.consume(&queue, 2).await;
    let held = take(&mut consumer, 0..1).await;
    trial.broker.declare(&queue).await.expect("declares again");
    acknowledge(held).await;
    finish(&mut consumer, 1..2).await;
    consumer.close().await;
}

/// A queue that was not declared is an error to every call, not a place where messages vanish.
pub async fn undeclared_queues_are_errors(trial: &Trial) {
    let queue = trial.undeclared();
    let published = trial.broker.publish(&queue, trial::message(0)).await;
    check_unknown(&published, &queue);
    let options = ConsumeOptions {
        prefetch: std::num::NonZeroU32::MIN,
        priority: 0,
    };
    let consumed = trial.broker.consume(&queue, options).await;
    check_unknown(&consumed.map(drop), &queue);
    let purged = trial.broker.purge(&queue).await;
    check_unknown(&purged.map(drop), &queue);
    let counted = trial.broker.depth(&queue).await;
    check_unknown(&counted.map(drop), &queue);
    // The failures leave the broker usable.
    let queue = trial.filled(1).await;
    let mut consumer = trial.consume(&queue, 1).await;
    finish(&mut consumer, 0..1).await;
    consumer.close().await;
}

fn check_unknown(result: &Result<(), BrokerError>, queue: &Queue) {
    let unknown = matches!(result, Err(BrokerError::UnknownQueue(unknown)) if unknown == queue);
    assert!(unknown, "{result:?}");
}

/// Ids, kinds and bytes arrive as they were published, oldest first, not marked as redelivered; a
/// value arrives as the bytes that it is.
pub async fn messages_arrive_whole_and_in_order(trial: &Trial) {
    let queue = trial.queue().await;
    let bodies = [
        Body::from(""),
        b"\xff\x00\r\n".as_slice().into(),
        "{\"text\":\"\u{4f60}\u{597d}\"}".into(),
        vec![b'x'; 300_000].into(),
        Body::of(Arc::new(["a", "b"]), 16),
    ];
    let mut sent = Vec::new();
    for (id, body) in bodies.into_iter().enumerate() {
        let message = Message {
            id: format!("m-{id}"),
            kind: format!("retort.kind-{id}.v1"),
            body,
        };
        sent.push(message.clone());
        let published = trial.broker.publish(&queue, message).await;
        published.expect("publishes");
    }
    let mut consumer = trial.consume(&queue, 10).await;
    for message in sent {
        let delivery = trial::next(&mut consumer).await;
        assert_eq!(delivery.message, message);
        assert_eq!((delivery.redelivered, delivery.delivery_count), (false, 0));
        acknowledge([delivery]).await;
    }
    consumer.close().await;
}

/// Publishers at the same time lose nothing, and the messages of each stay in order.
pub async fn publishers_keep_their_order(trial: &Trial) {
    const EACH: u32 = 100;
    let queue = trial.queue().await;
    let mut publishers = JoinSet::new();
    for publisher in 0..4 {
        let broker = Arc::clone(&trial.broker);
        let queue = queue.clone();
        publishers.spawn(async move {
            for id in publisher * EACH..(publisher + 1) * EACH {
                let published = broker.publish(&queue, trial::message(id)).await;
                published.expect("publishes");
            }
        });
    }
    let mut consumer = trial.consume(&queue, 16).await;
    let mut last = BTreeMap::new();
    for _ in 0..4 * EACH {
        let delivery = trial::next(&mut consumer).await;
        let id: u32 = delivery.message.id.parse().expect("ids are numbers");
        let before = last.insert(id / EACH, id);
        let expected = before.map_or(id / EACH * EACH, |before| before + 1);
        assert_eq!(id, expected, "a message is lost, doubled or out of order");
        acknowledge([delivery]).await;
    }
    check_quiet(&mut consumer).await;
    consumer.close().await;
    while let Some(ended) = publishers.join_next().await {
        ended.expect("a publisher ends well");
    }
}

/// Messages published together arrive in their order, and each has its own result.
pub async fn many_at_once_keep_their_order(trial: &Trial) {
    const COUNT: u32 = 1_000;
    let queue = trial.queue().await;
    let mut messages: Vec<Message> = (0..COUNT).map(trial::message).collect();
    messages.insert(
        1,
        Message {
            id: String::new(),
            kind: "k".repeat(NAME_MAX_BYTES + 1),
            body: "".into(),
        },
    );
    let results = trial.broker.publish_many(&queue, messages).await;
    let failed: Vec<usize> = (0..results.len())
        .filter(|index| results.get(*index).is_some_and(Result::is_err))
        .collect();
    assert_eq!((results.len(), failed), (COUNT as usize + 1, vec![1]));
    let mut consumer = trial.consume(&queue, 100).await;
    finish(&mut consumer, 0..COUNT).await;
    consumer.close().await;
    let queue = trial.undeclared_other();
    let messages = (0..3).map(trial::message).collect();
    for result in trial.broker.publish_many(&queue, messages).await {
        check_unknown(&result, &queue);
    }
}

/// A message for later arrives whole, not before its time, at the tail, as one never delivered.
pub async fn later_messages_come_later(trial: &Trial) {
    let [tier, ..] = RETRY_TIERS;
    let queue = trial.queue().await;
    let mut consumer = trial.consume(&queue, 10).await;
    let begun = Instant::now();
    let later = trial
        .broker
        .publish_later(trial.domain(), trial::message(1), tier);
    later.await.expect("publishes for later");
    trial.publish(&queue, 2..3).await;
    finish(&mut consumer, 2..3).await;
    // A server counts in milliseconds of its own.
    let early = tier.saturating_sub(Duration::from_millis(100));
    let due = begun + early;
    tokio::select! {
        delivery = consumer.next() => panic!("came too early: {delivery:?}"),
        () = tokio::time::sleep_until(due) => {}
    }
    let delivery = trial::next(&mut consumer).await;
    assert_eq!(delivery.message, trial::message(1));
    assert_eq!((delivery.redelivered, delivery.delivery_count), (false, 0));
    acknowledge([delivery]).await;
    consumer.close().await;
}

/// A message is in the queue it was published to, and in no other.
pub async fn queues_do_not_mix(trial: &Trial) {
    let queues = [
        trial.queue().await,
        trial.other_queue().await,
        trial.empty(Queue::Receipts).await,
        trial.empty(Queue::Submissions).await,
        trial.empty(Queue::Dead).await,
    ];
    for (id, queue) in (0..).zip(&queues) {
        trial.publish(queue, [id]).await;
    }
    for (id, queue) in (0..).zip(&queues) {
        let mut consumer = trial.consume(queue, 10).await;
        finish(&mut consumer, [id]).await;
        check_quiet(&mut consumer).await;
        consumer.close().await;
    }
}

/// A body of the largest size passes; a larger one is refused without harm.
pub async fn oversized_messages_are_refused(trial: &Trial) {
    let queue = trial.queue().await;
    let sized = |bytes: usize| Message {
        id: "big".to_owned(),
        kind: "retort.big.v1".to_owned(),
        body: vec![b'x'; bytes].into(),
    };
    let too_large = sized(MESSAGE_MAX_BYTES + 1);
    let announced = trial.broker.announce(Topic::Events, too_large.clone());
    let announced = announced.await;
    assert!(
        matches!(announced, Err(BrokerError::TooLarge { .. })),
        "{announced:?}"
    );
    let published = trial.broker.publish(&queue, too_large).await;
    assert!(
        matches!(published, Err(BrokerError::TooLarge { .. })),
        "{published:?}"
    );
    let published = trial.broker.publish(&queue, sized(MESSAGE_MAX_BYTES)).await;
    published.expect("the largest size is taken");
    let mut consumer = trial.consume(&queue, 10).await;
    let delivery = trial::next(&mut consumer).await;
    assert_eq!(delivery.message.body.bytes().len(), MESSAGE_MAX_BYTES);
    acknowledge([delivery]).await;
    check_quiet(&mut consumer).await;
    consumer.close().await;
}

/// Purging deletes and counts what waits; what is held can still be acknowledged.
pub async fn purging_leaves_what_is_held(trial: &Trial) {
    let queue = trial.filled(5).await;
    let mut consumer = trial.consume(&queue, 2).await;
    let held = take(&mut consumer, 0..2).await;
    assert_eq!(trial.broker.purge(&queue).await.expect("purges"), 3);
    acknowledge(held).await;
    check_quiet(&mut consumer).await;
    trial.publish(&queue, 5..6).await;
    finish(&mut consumer, 5..6).await;
    consumer.close().await;
    assert_eq!(trial.broker.purge(&queue).await.expect("purges"), 0);
}

/// The depth of a queue that nobody consumes is the number of its messages, where it is known.
pub async fn depth_counts_what_waits(trial: &Trial) {
    let queue = trial.queue().await;
    for count in 0..3 {
        let depth = trial.broker.depth(&queue).await.expect("counts");
        assert!(
            depth.is_none_or(|depth| depth == u64::from(count)),
            "{depth:?} messages wait where {count} do"
        );
        trial.publish(&queue, [count]).await;
    }
}
