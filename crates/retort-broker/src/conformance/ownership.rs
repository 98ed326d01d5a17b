//! One consumer of a queue is active; when it ends, another one takes over.

use super::trial::{self, Trial, acknowledge, check_quiet, finish, take};

/// Only one of several consumers gets deliveries, however much it leaves to the others.
pub async fn one_consumer_is_active(trial: &Trial) {
    let queue = trial.filled(6).await;
    let mut first = trial.consume(&queue, 2).await;
    let mut second = trial.consume(&queue, 10).await;
    let held = take(&mut first, 0..2).await;
    check_quiet(&mut second).await;
    acknowledge(held).await;
    finish(&mut first, 2..6).await;
    check_quiet(&mut first).await;
    check_quiet(&mut second).await;
    trial.publish(&queue, 6..7).await;
    finish(&mut first, 6..7).await;
    first.close().await;
    trial.publish(&queue, 7..8).await;
    finish(&mut second, 7..8).await;
    second.close().await;
}

/// What an ended consumer held is delivered to the next one first, in order, as redelivered.
pub async fn held_messages_return_to_the_head(trial: &Trial) {
    let queue = trial.filled(8).await;
    let mut first = trial.consume(&queue, 4).await;
    let mut second = trial.consume(&queue, 10).await;
    let mut held = take(&mut first, 0..4).await;
    acknowledge([held.remove(1)]).await;
    first.close().await;
    for id in [0, 2, 3, 4, 5, 6, 7] {
        let mut taken = take(&mut second, [id]).await;
        let delivery = taken.remove(0);
        let count = delivery.delivery_count;
        // A server sends ahead: the acknowledgement made room for one that was not taken yet.
        let expected = match id {
            0..4 => count == 1,
            4 => count <= 1,
            _ => count == 0,
        };
        assert!(expected, "message {id} came back {count} times");
        assert_eq!(delivery.redelivered, count > 0, "of message {id}");
        acknowledge([delivery]).await;
    }
    check_quiet(&mut second).await;
    second.close().await;
    trial.check_empty(&queue).await;
}

/// A consumer that is dropped ends as one that is closed.
pub async fn dropping_a_consumer_ends_it(trial: &Trial) {
    let queue = trial.filled(2).await;
    let mut first = trial.consume(&queue, 10).await;
    let held = take(&mut first, 0..2).await;
    let mut second = trial.consume(&queue, 10).await;
    check_quiet(&mut second).await;
    drop(first);
    finish(&mut second, 0..2).await;
    drop(held);
    second.close().await;
}

/// Of consumers with one priority the earliest follows; joining later takes nothing over.
pub async fn equals_follow_in_order_of_registration(trial: &Trial) {
    let queue = trial.queue().await;
    let mut first = trial.consume(&queue, 10).await;
    let mut second = trial.consume(&queue, 10).await;
    let mut third = trial.consume(&queue, 10).await;
    trial.publish(&queue, 0..2).await;
    let held = take(&mut first, 0..2).await;
    check_quiet(&mut second).await;
    check_quiet(&mut third).await;
    first.close().await;
    drop(held);
    let held = take(&mut second, 0..2).await;
    check_quiet(&mut third).await;
    // One that waits can end without a trace.
    third.close().await;
    let mut fourth = trial.consume(&queue, 10).await;
    second.close().await;
    drop(held);
    finish(&mut fourth, 0..2).await;
    fourth.close().await;
}

/// A consumer that waits for its turn is woken when it comes.
pub async fn waiting_ends_with_promotion(trial: &Trial) {
    let queue = trial.filled(2).await;
    let mut first = trial.consume(&queue, 1).await;
    let mut second = trial.consume(&queue, 1).await;
    let held = take(&mut first, 0..1).await;
    // The first of the two is waiting by the time the second acts.
    let (delivery, ()) = tokio::join!(trial::next(&mut second), first.close());
    assert_eq!(delivery.message, trial::message(0));
    drop(held);
    // The active consumer holds nothing when it ends: only its going can wake the next one.
    acknowledge([delivery]).await;
    finish(&mut second, 1..2).await;
    let mut third = trial.consume(&queue, 1).await;
    let go = async {
        second.close().await;
        trial.publish(&queue, 2..3).await;
    };
    let (delivery, ()) = tokio::join!(trial::next(&mut third), go);
    assert_eq!(delivery.message, trial::message(2));
    acknowledge([delivery]).await;
    third.close().await;
}

/// Of those that wait the one with the highest priority follows, where priorities count.
pub async fn the_highest_priority_follows(trial: &Trial) {
    if !trial.broker.capabilities().priority_handoff {
        return;
    }
    let queue = trial.filled(2).await;
    let mut active = trial.consume_at(&queue, 10, 5).await;
    let held = take(&mut active, 0..2).await;
    let mut low = trial.consume_at(&queue, 10, -1).await;
    let mut high = trial.consume_at(&queue, 10, 3).await;
    let mut late = trial.consume_at(&queue, 10, 3).await;
    active.close().await;
    drop(held);
    finish(&mut high, 0..2).await;
    check_quiet(&mut low).await;
    check_quiet(&mut late).await;
    high.close().await;
    trial.publish(&queue, 2..3).await;
    finish(&mut late, 2..3).await;
    late.close().await;
    trial.publish(&queue, 3..4).await;
    finish(&mut low, 3..4).await;
    low.close().await;
}

/// A higher priority stops deliveries to the active consumer at once, and takes over when that
/// has settled everything: never do two hold deliveries. Where priorities count.
pub async fn a_higher_priority_waits_until_the_active_is_drained(trial: &Trial) {
    if !trial.broker.capabilities().priority_handoff {
        return;
    }
    let queue = trial.filled(8).await;
    let mut low = trial.consume_at(&queue, 3, 0).await;
    let mut held = take(&mut low, 0..3).await;
    let mut high = trial.consume_at(&queue, 10, 1).await;
    check_quiet(&mut high).await;
    let last = held.remove(0);
    acknowledge(held).await;
    check_quiet(&mut low).await;
    check_quiet(&mut high).await;
    // The first of the two is waiting by the time the second acts.
    let (handed, ()) = tokio::join!(trial::next(&mut high), acknowledge([last]));
    assert_eq!(handed.message, trial::message(3));
    let held = take(&mut high, 4..8).await;
    check_quiet(&mut low).await;
    high.close().await;
    drop((handed, held));
    for id in 3..8 {
        let delivery = trial::next(&mut low).await;
        assert_eq!(delivery.message, trial::message(id));
        assert!(delivery.redelivered);
        acknowledge([delivery]).await;
    }
    low.close().await;
}
