//! What acknowledging, requeueing, and doing neither, come to.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use super::trial::{self, Trial, acknowledge, check_quiet, finish, take};
use crate::{AckError, Acker, Delivery};

/// An acknowledged message is gone, whatever becomes of its consumer.
pub async fn acknowledged_never_returns(trial: &Trial) {
    let queue = trial.filled(4).await;
    let mut consumer = trial.consume(&queue, 10).await;
    let mut held = take(&mut consumer, 0..4).await;
    let kept = held.remove(1);
    acknowledge(held).await;
    consumer.close().await;
    drop(kept);
    let mut consumer = trial.consume(&queue, 10).await;
    finish(&mut consumer, [1]).await;
    check_quiet(&mut consumer).await;
    consumer.close().await;
    trial.check_empty(&queue).await;
}

/// Ackers work apart from their messages, in other tasks and in any order.
pub async fn any_task_settles_in_any_order(trial: &Trial) {
    let queue = trial.filled(50).await;
    let mut consumer = trial.consume(&queue, 50).await;
    let held = take(&mut consumer, 0..50).await;
    let mut ackers: Vec<_> = held.into_iter().map(|held| held.split().1).collect();
    let every_other: Vec<_> = (0..25).map(|index| ackers.remove(index)).collect();
    let forwards = tokio::spawn(async move {
        for acker in every_other {
            acker.acknowledge().await.expect("acknowledges");
        }
    });
    let backwards = tokio::spawn(async move {
        for acker in ackers.into_iter().rev() {
            acker.acknowledge().await.expect("acknowledges");
        }
    });
    forwards.await.expect("the task ends well");
    backwards.await.expect("the task ends well");
    check_quiet(&mut consumer).await;
    consumer.close().await;
    trial.check_empty(&queue).await;
}

/// Of several acknowledged at a time each has its own result, and those that fail harm nothing.
pub async fn many_are_acknowledged_at_a_time(trial: &Trial) {
    let queue = trial.filled(30).await;
    let mut consumer = trial.consume(&queue, 20).await;
    let split = |held: Vec<Delivery>| held.into_iter().map(|held| held.split().1).collect();
    let settled = Acker::acknowledge_all(split(take(&mut consumer, 0..20).await)).await;
    assert!(settled.iter().all(Result::is_ok), "{settled:?}");
    let late = split(take(&mut consumer, 20..30).await);
    consumer.close().await;
    let settled = Acker::acknowledge_all(late).await;
    assert_eq!(settled.len(), 10);
    let stale = |settled: &_| matches!(settled, &Err(AckError::Stale));
    assert!(settled.iter().all(stale), "{settled:?}");
    let mut consumer = trial.consume(&queue, 20).await;
    finish(&mut consumer, 20..30).await;
    consumer.close().await;
    trial.check_empty(&queue).await;
}

/// No more deliveries are held than were asked for; each settlement makes room for one.
pub async fn prefetch_is_respected(trial: &Trial) {
    let queue = trial.filled(6).await;
    let mut consumer = trial.consume(&queue, 3).await;
    let mut held = take(&mut consumer, 0..3).await;
    check_quiet(&mut consumer).await;
    acknowledge([held.remove(1)]).await;
    held.extend(take(&mut consumer, 3..4).await);
    check_quiet(&mut consumer).await;
    acknowledge(held).await;
    finish(&mut consumer, 4..6).await;
    consumer.close().await;
}

/// An acker that is dropped leaves its message held: it returns when the consumer ends.
pub async fn dropping_an_acker_settles_nothing(trial: &Trial) {
    let queue = trial.filled(2).await;
    let mut consumer = trial.consume(&queue, 1).await;
    drop(take(&mut consumer, 0..1).await);
    check_quiet(&mut consumer).await;
    consumer.close().await;
    let mut consumer = trial.consume(&queue, 2).await;
    finish(&mut consumer, 0..2).await;
    consumer.close().await;
}

/// After the end of a session its ackers fail, and harm nothing.
pub async fn late_settlements_are_stale(trial: &Trial) {
    let queue = trial.filled(3).await;
    let mut first = trial.consume(&queue, 10).await;
    let late = take(&mut first, 0..3).await;
    first.close().await;
    let mut second = trial.consume(&queue, 10).await;
    let held = take(&mut second, 0..3).await;
    for (number, late) in late.into_iter().enumerate() {
        let settled = match number {
            0 => late.acknowledge().await,
            1 => late.reject("too late").await,
            _ => late.requeue().await,
        };
        assert!(matches!(settled, Err(AckError::Stale)), "{settled:?}");
    }
    check_quiet(&mut second).await;
    acknowledge(held).await;
    second.close().await;
    trial.check_empty(&queue).await;
}

/// A requeued message comes again, before what was never delivered, and says so.
pub async fn requeued_messages_return(trial: &Trial) {
    let queue = trial.filled(2).await;
    let mut consumer = trial.consume(&queue, 1).await;
    for again in [false, true, true] {
        let mut held = take(&mut consumer, 0..1).await;
        let delivery = held.remove(0);
        assert_eq!(delivery.redelivered, again);
        delivery.requeue().await.expect("requeues");
    }
    finish(&mut consumer, 0..2).await;
    consumer.close().await;
    trial.check_empty(&queue).await;
}

/// A consumer that waits for room, or for something to do, is woken by whatever gives it that.
pub async fn waiting_ends_when_there_is_work(trial: &Trial) {
    let queue = trial.queue().await;
    let mut consumer = trial.consume(&queue, 1).await;
    // The first of the two is waiting by the time the second acts.
    let (delivery, ()) = tokio::join!(trial::next(&mut consumer), trial.publish(&queue, 0..2));
    assert_eq!(delivery.message, trial::message(0));
    let (again, requeued) = tokio::join!(trial::next(&mut consumer), delivery.requeue());
    requeued.expect("requeues");
    assert_eq!(again.message, trial::message(0));
    let (second, ()) = tokio::join!(trial::next(&mut consumer), acknowledge([again]));
    assert_eq!(second.message, trial::message(1));
    trial.publish(&queue, 2..3).await;
    let (third, rejected) = tokio::join!(trial::next(&mut consumer), second.reject("poison"));
    rejected.expect("rejects");
    assert_eq!(third.message, trial::message(2));
    acknowledge([third]).await;
    consumer.close().await;
}

/// A wait that is given up takes no delivery with it, not even one that was just coming.
pub async fn waiting_can_be_cancelled(trial: &Trial) {
    let queue = trial.queue().await;
    let mut consumer = trial.consume(&queue, 100).await;
    let mut held = Vec::new();
    for id in 0..20 {
        {
            let mut waiting = consumer.next();
            poll_fn(|context| {
                if let Poll::Ready(delivery) = waiting.as_mut().poll(context) {
                    held.extend(delivery);
                }
                Poll::Ready(())
            })
            .await;
            trial.publish(&queue, [id]).await;
        }
        if let Ok(delivery) = timeout(Duration::ZERO, consumer.next()).await {
            held.extend(delivery);
        }
    }
    while held.len() < 20 {
        held.push(trial::next(&mut consumer).await);
    }
    let ids: Vec<_> = held.iter().map(|held| held.message.id.clone()).collect();
    let expected: Vec<_> = (0..20).map(|id: u32| id.to_string()).collect();
    assert_eq!(ids, expected);
    acknowledge(held).await;
    consumer.close().await;
}

/// A fence is open while the session it came from stands, and never again.
pub async fn a_fence_opens_and_closes_with_its_session(trial: &Trial) {
    let queue = trial.filled(2).await;
    let mut consumer = trial.consume(&queue, 1).await;
    let fence = consumer.fence();
    assert!(fence.is_live(), "closed before the first delivery");
    let held = take(&mut consumer, 0..1).await;
    assert!(fence.is_live(), "closed at the first delivery");
    acknowledge(held).await;
    consumer.close().await;
    assert!(!fence.is_live(), "open after the end");
    let mut consumer = trial.consume(&queue, 1).await;
    finish(&mut consumer, 1..2).await;
    assert!(!fence.is_live(), "open for another session");
    consumer.close().await;
}
