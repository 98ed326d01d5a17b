//! Messages that nobody could use.

use super::trial::{self, Trial, check_quiet, finish, next_dead, take};
use crate::{DELIVERY_LIMIT, DeadLetter, Message, Queue};

/// A rejected message leaves its queue for the dead letters, whole, with its origin and reason.
pub async fn rejected_messages_are_kept_with_their_reason(trial: &Trial) {
    let dead = trial.empty(Queue::Dead).await;
    let queue = trial.filled(1).await;
    let bytes = Message {
        id: "bytes".to_owned(),
        kind: "retort.bytes.v1".to_owned(),
        body: b"\xff\x00".as_slice().into(),
    };
    let published = trial.broker.publish(&queue, bytes.clone()).await;
    published.expect("publishes");
    let mut consumer = trial.consume(&queue, 10).await;
    for reason in ["not a sample", "line 1\n\u{4e0d}"] {
        let delivery = trial::next(&mut consumer).await;
        delivery.reject(reason).await.expect("rejects");
    }
    check_quiet(&mut consumer).await;
    consumer.close().await;
    let mut letters = trial.consume(&dead, 10).await;
    let first = DeadLetter::new(queue.clone(), "not a sample", trial::message(0));
    assert_eq!(next_dead(&mut letters).await, first);
    let second = DeadLetter::new(queue.clone(), "line 1\n\u{4e0d}", bytes);
    assert_eq!(next_dead(&mut letters).await, second);
    letters.close().await;
    trial.check_empty(&queue).await;
}

/// A message that ends every session it is given to dies of it; its neighbour does not.
pub async fn the_delivery_limit_ends_a_poison_message(trial: &Trial) {
    let dead = trial.empty(Queue::Dead).await;
    let queue = trial.filled(2).await;
    for count in 0..=DELIVERY_LIMIT {
        let mut consumer = trial.consume(&queue, 1).await;
        let held = take(&mut consumer, 0..1).await;
        assert!(held.iter().all(|held| held.delivery_count == count));
        consumer.close().await;
    }
    let mut letters = trial.consume(&dead, 10).await;
    let letter = next_dead(&mut letters).await;
    assert_eq!((&letter.queue, letter.message), (&queue, trial::message(0)));
    assert!(!letter.reason.is_empty());
    check_quiet(&mut letters).await;
    letters.close().await;
    let mut consumer = trial.consume(&queue, 1).await;
    finish(&mut consumer, 1..2).await;
    consumer.close().await;
}

/// Looking at dead letters, however often, and rejecting them changes nothing about them.
pub async fn dead_letters_do_not_die(trial: &Trial) {
    let dead = trial.empty(Queue::Dead).await;
    let queue = trial.filled(1).await;
    let mut consumer = trial.consume(&queue, 1).await;
    let delivery = trial::next(&mut consumer).await;
    delivery.reject("poison").await.expect("rejects");
    consumer.close().await;
    for _ in 0..DELIVERY_LIMIT + 2 {
        let mut letters = trial.consume(&dead, 10).await;
        drop(trial::next(&mut letters).await);
        letters.close().await;
    }
    let mut letters = trial.consume(&dead, 10).await;
    let delivery = trial::next(&mut letters).await;
    delivery.reject("again").await.expect("rejects");
    let letter = DeadLetter::new(queue, "poison", trial::message(0));
    assert_eq!(next_dead(&mut letters).await, letter);
    check_quiet(&mut letters).await;
    letters.close().await;
}
