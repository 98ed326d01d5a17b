//! Injected faults, bounds and fairness.

use std::num::NonZeroU32;
use std::time::Duration;

use futures_util::FutureExt;

use super::MemoryBroker;
use crate::{
    AckError, Broker, BrokerError, ConsumeOptions, Consumer, DeadLetter, Delivery, Message,
    QUEUE_LENGTH_MAX, Queue, TOPIC_BACKLOG, Topic,
};

fn message(id: usize) -> Message {
    Message {
        id: id.to_string(),
        kind: "retort.test.v1".to_owned(),
        body: "secret text".into(),
    }
}

/// Nothing in memory has to wait, so whatever is due is there at the first look.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing has to wait")
}

/// With time paused this fails as soon as nothing can move any more.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(Duration::from_secs(10), future).await;
    done.expect("something moves")
}

fn declared(queue: &Queue) -> MemoryBroker {
    let broker = MemoryBroker::new();
    at_once(broker.declare(queue)).expect("declares");
    broker
}

fn publish(broker: &MemoryBroker, queue: &Queue, ids: std::ops::Range<usize>) {
    for id in ids {
        at_once(broker.publish(queue, message(id))).expect("publishes");
    }
}

fn consume(broker: &MemoryBroker, queue: &Queue) -> Box<dyn Consumer> {
    let options = ConsumeOptions {
        prefetch: NonZeroU32::new(100_000).expect("is not zero"),
        priority: 0,
    };
    at_once(broker.consume(queue, options)).expect("consumes")
}

fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    at_once(consumer.next()).expect("the session stands")
}

fn check_ended(consumer: &mut Box<dyn Consumer>) {
    assert!(!consumer.is_live());
    // For ever after, not once.
    for _ in 0..2 {
        assert!(at_once(consumer.next()).is_none());
    }
}

#[test]
fn a_cut_ends_every_session_of_the_queue_and_keeps_its_messages() {
    let broker = declared(&Queue::Receipts);
    at_once(broker.declare(&Queue::Submissions)).unwrap();
    publish(&broker, &Queue::Receipts, 0..3);
    let mut active = consume(&broker, &Queue::Receipts);
    let mut waiting = consume(&broker, &Queue::Receipts);
    let other = consume(&broker, &Queue::Submissions);
    let (acknowledged, late) = (next(&mut active), next(&mut active));
    at_once(acknowledged.acknowledge()).unwrap();
    broker.cut(&Queue::Receipts);
    check_ended(&mut active);
    check_ended(&mut waiting);
    assert!(other.is_live());
    let settled = at_once(late.acknowledge());
    assert!(matches!(settled, Err(AckError::Stale)), "{settled:?}");
    let mut again = consume(&broker, &Queue::Receipts);
    for (id, redelivered) in [(1, true), (2, false)] {
        let delivery = next(&mut again);
        assert_eq!(delivery.message, message(id));
        assert_eq!(delivery.redelivered, redelivered);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_wakes_consumers_that_wait() {
    let broker = declared(&Queue::Receipts);
    let mut active = consume(&broker, &Queue::Receipts);
    let mut waiting = consume(&broker, &Queue::Receipts);
    let mut both = std::pin::pin!(async { tokio::join!(active.next(), waiting.next()) });
    assert!(both.as_mut().now_or_never().is_none());
    broker.cut(&Queue::Receipts);
    let (active, waiting) = in_time(both).await;
    assert!(active.is_none() && waiting.is_none());
}

#[test]
fn an_interruption_keeps_messages_and_ends_sessions() {
    let queue = Queue::Receipts;
    let broker = declared(&queue);
    publish(&broker, &queue, 0..2);
    let mut consumer = consume(&broker, &queue);
    let mut subscription = at_once(broker.subscribe(Topic::Control)).unwrap();
    let late = next(&mut consumer);
    broker.interrupt();
    check_ended(&mut consumer);
    assert!(at_once(subscription.next()).is_none());
    assert!(matches!(at_once(late.requeue()), Err(AckError::Stale)));
    let options = ConsumeOptions {
        prefetch: NonZeroU32::MIN,
        priority: 0,
    };
    for failed in [
        at_once(broker.declare(&queue)),
        at_once(broker.publish(&queue, message(9))),
        at_once(broker.consume(&queue, options)).map(drop),
        at_once(broker.announce(Topic::Control, message(9))),
        at_once(broker.subscribe(Topic::Control)).map(drop),
        at_once(broker.purge(&queue)).map(drop),
        at_once(broker.depth(&queue)).map(drop),
    ] {
        let unavailable = matches!(failed, Err(BrokerError::Unavailable { .. }));
        assert!(unavailable, "{failed:?}");
    }
    broker.restore();
    assert_eq!(at_once(broker.depth(&queue)).unwrap(), Some(2));
    let mut consumer = consume(&broker, &queue);
    assert_eq!(next(&mut consumer).message, message(0));
}

#[test]
fn a_wipe_deletes_queues_until_they_are_declared_again() {
    let queue = Queue::Receipts;
    let broker = declared(&queue);
    publish(&broker, &queue, 0..3);
    let mut consumer = consume(&broker, &queue);
    let mut subscription = at_once(broker.subscribe(Topic::Events)).unwrap();
    at_once(next(&mut consumer).reject("poison")).unwrap();
    broker.wipe();
    check_ended(&mut consumer);
    assert!(at_once(subscription.next()).is_none());
    for gone in [&queue, &Queue::Dead] {
        let published = at_once(broker.publish(gone, message(3)));
        assert!(matches!(published, Err(BrokerError::UnknownQueue(name)) if name == *gone));
    }
    at_once(broker.declare(&queue)).unwrap();
    assert_eq!(at_once(broker.depth(&queue)).unwrap(), Some(0));
    assert_eq!(at_once(broker.depth(&Queue::Dead)).unwrap(), Some(0));
    publish(&broker, &queue, 3..4);
    let mut again = consume(&broker, &queue);
    assert_eq!(next(&mut again).message, message(3));
}

#[test]
fn nothing_from_before_a_wipe_fits_what_comes_after() {
    let queue = Queue::Receipts;
    let broker = declared(&queue);
    publish(&broker, &queue, 0..2);
    let mut before = consume(&broker, &queue);
    let late = next(&mut before);
    broker.wipe();
    // The same steps again, so that numbers counted anew would be equal.
    at_once(broker.declare(&queue)).unwrap();
    publish(&broker, &queue, 2..4);
    let mut after = consume(&broker, &queue);
    let fresh = next(&mut after);
    let settled = at_once(late.acknowledge());
    assert!(matches!(settled, Err(AckError::Stale)), "{settled:?}");
    check_ended(&mut before);
    drop(before);
    assert!(after.is_live());
    assert_eq!(fresh.message, message(2));
    at_once(fresh.acknowledge()).unwrap();
}

#[test]
fn the_fuse_counts_what_waits_and_what_is_held() {
    let queue = Queue::Receipts;
    let broker = declared(&queue);
    publish(&broker, &queue, 0..QUEUE_LENGTH_MAX);
    let mut consumer = consume(&broker, &queue);
    let held = next(&mut consumer);
    let full = at_once(broker.publish(&queue, message(0)));
    assert_eq!(
        full.unwrap_err().to_string(),
        "queue `receipts` holds 50000 messages and takes no more"
    );
    at_once(held.acknowledge()).unwrap();
    publish(&broker, &queue, 0..1);
    assert!(at_once(broker.publish(&queue, message(0))).is_err());
}

#[test]
fn too_many_dead_letters_push_out_the_oldest() {
    let queue = Queue::Receipts;
    let broker = declared(&queue);
    for id in 0..=QUEUE_LENGTH_MAX {
        publish(&broker, &queue, id..id + 1);
        let mut consumer = consume(&broker, &queue);
        at_once(next(&mut consumer).reject("poison")).unwrap();
    }
    let depth = at_once(broker.depth(&Queue::Dead)).unwrap();
    assert_eq!(depth, Some(QUEUE_LENGTH_MAX as u64));
    let mut letters = consume(&broker, &Queue::Dead);
    let letter = DeadLetter::from_message(&next(&mut letters).message).unwrap();
    assert_eq!(letter.message, message(1));
}

#[test]
fn a_backlog_of_announcements_is_kept_whole_up_to_its_bound() {
    for (announced, missed) in [(TOPIC_BACKLOG, 0), (TOPIC_BACKLOG + 3, 3)] {
        let broker = MemoryBroker::new();
        let mut subscription = at_once(broker.subscribe(Topic::Control)).unwrap();
        for id in 0..announced {
            at_once(broker.announce(Topic::Control, message(id))).unwrap();
        }
        assert_eq!(at_once(subscription.next()).unwrap(), message(missed));
        assert_eq!(subscription.take_missed(), missed as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn busy_loops_leave_time_for_other_tasks() {
    let queue = Queue::Receipts;
    let broker = declared(&queue);
    let other = tokio::spawn(async {});
    for id in 0..1_000 {
        broker.publish(&queue, message(id)).await.unwrap();
    }
    assert!(other.is_finished(), "publishing starves");
    let mut consumer = consume(&broker, &queue);
    let other = tokio::spawn(async {});
    for _ in 0..1_000 {
        let delivery = in_time(consumer.next()).await.unwrap();
        delivery.acknowledge().await.unwrap();
    }
    assert!(other.is_finished(), "consuming starves");
}

#[test]
fn debug_output_holds_no_bodies() {
    let broker = declared(&Queue::Receipts);
    publish(&broker, &Queue::Receipts, 0..2);
    let mut consumer = consume(&broker, &Queue::Receipts);
    let delivery = next(&mut consumer);
    let text = format!("{broker:?} {consumer:?} {delivery:?}");
    assert!(text.contains("waiting: 1, held: 1"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_is_due_waits_until_its_queue_is_declared() {
    let broker = MemoryBroker::new();
    let domain = retort_types::DomainId::new("a").unwrap();
    let queue = Queue::Probes(domain.clone());
    let [tier, ..] = crate::RETRY_TIERS;
    broker
        .publish_later(&domain, message(0), tier)
        .await
        .unwrap();
    tokio::time::sleep(tier * 2).await;
    broker.declare(&queue).await.unwrap();
    assert_eq!(broker.depth(&queue).await.unwrap(), Some(1));
    // What waits for its time is lost with everything else.
    broker
        .publish_later(&domain, message(1), tier)
        .await
        .unwrap();
    broker.wipe();
    tokio::time::sleep(tier * 2).await;
    broker.declare(&queue).await.unwrap();
    assert_eq!(broker.depth(&queue).await.unwrap(), Some(0));
}
