//! Faults of the broker itself.

use super::*;

/// Holds one of three messages while something happens to the broker, which loses nothing, and
/// works on afterwards over the same `AmqpBroker`.
async fn check_survives(vhost: &str, fault: impl AsyncFnOnce(&Rabbit)) {
    let rabbit = Rabbit::shared().await;
    let url = rabbit.vhost(vhost).await;
    let mut settings = rabbit.settings(url);
    settings.patience = HumanDuration(Duration::from_mins(1));
    let broker = connect(settings).await;
    let queue = probes("a");
    broker.declare(&queue).await.unwrap();
    publish(&broker, &queue, 0..3).await;
    let mut consumer = consume(&broker, &queue, 1).await;
    let held = next(&mut consumer).await;
    fault(&rabbit).await;
    assert!(in_time(consumer.next()).await.is_none());
    assert!(!consumer.is_live());
    assert!(matches!(held.acknowledge().await, Err(AckError::Stale)));
    publish(&broker, &queue, 3..4).await;
    let mut again = consume(&broker, &queue, 10).await;
    for id in 0..4 {
        let delivery = next(&mut again).await;
        assert_eq!(delivery.message, message(id));
        if id == 0 {
            assert!(delivery.redelivered);
        }
        delivery.acknowledge().await.unwrap();
    }
    broker.close().await;
    assert_eq!(broker.health(), Health::Down);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_broker_comes_back_with_everything() {
    let _alone = alone().await;
    // A name that was never used: of a virtual host that is deleted and made again the broker may,
    // after a crash, remember the queues that are gone.
    let vhost = format!("killed-{:016x}", crate::amqp::topics::unique());
    check_survives(&vhost, async |rabbit| {
        // A crash right after the creation of a quorum queue can leave it without a leader for good:
        // the broker writes down what queues it has only now and then.
        tokio::time::sleep(Duration::from_secs(3)).await;
        rabbit.kill().await;
        rabbit.start().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_broker_comes_back_with_everything() {
    let _alone = alone().await;
    check_survives("stopped-app", async |rabbit| {
        rabbit.ctl(&["stop_app"]).await;
        rabbit.ctl(&["start_app"]).await;
    })
    .await;
}

/// While the broker takes nothing new: acknowledgements flow, work under way ends, nothing is
/// begun; and all goes on when the alarm ends.
async fn check_alarm(vhost: &str, raise: [&str; 2], clear: [&str; 2]) {
    let rabbit = Rabbit::shared().await;
    let url = rabbit.vhost(vhost).await;
    let broker = connect(rabbit.settings(url)).await;
    let queue = probes("a");
    broker.declare(&queue).await.unwrap();
    broker.declare(&Queue::Receipts).await.unwrap();
    publish(&broker, &queue, 0..20).await;
    let mut consumer = consume(&broker, &queue, 2).await;
    let first = next(&mut consumer).await;
    assert!(consumer.is_live());
    rabbit.ctl(&raise).await;
    let publishing = {
        let broker = broker.clone();
        tokio::spawn(async move { broker.publish(&Queue::Receipts, message(0)).await })
    };
    until(Duration::from_secs(30), || {
        broker.health() == Health::Blocked
    })
    .await;
    assert!(!consumer.is_live());
    first.acknowledge().await.unwrap();
    // Prefetch is 2: the queue empties only if acknowledgements arrive.
    for id in 1..20 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.message, message(id));
        delivery.acknowledge().await.unwrap();
    }
    assert!(!publishing.is_finished(), "published into an alarm");
    rabbit.ctl(&clear).await;
    in_time(publishing).await.unwrap().unwrap();
    until(Duration::from_secs(30), || consumer.is_live()).await;
    assert_eq!(broker.health(), Health::Up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_alarm_stops_publications_alone() {
    let _alone = alone().await;
    let command = "set_vm_memory_high_watermark";
    check_alarm("memory", [command, "0.000001"], [command, "0.6"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_alarm_stops_publications_alone() {
    let _alone = alone().await;
    let command = "set_disk_free_limit";
    check_alarm("disk", [command, "999999GB"], [command, "50MB"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purged_queue_leaves_sessions_and_held_work_alone() {
    let _peace = peace().await;
    let rabbit = Rabbit::shared().await;
    let url = rabbit.vhost("purged").await;
    let broker = connect(rabbit.settings(url)).await;
    let queue = probes("a");
    broker.declare(&queue).await.unwrap();
    publish(&broker, &queue, 0..5).await;
    let mut consumer = consume(&broker, &queue, 2).await;
    let held = [next(&mut consumer).await, next(&mut consumer).await];
    rabbit
        .ctl(&["purge_queue", "-p", "purged", "probes.a"])
        .await;
    assert!(consumer.is_live());
    for held in held {
        held.acknowledge().await.unwrap();
    }
    publish(&broker, &queue, 5..6).await;
    assert_eq!(next(&mut consumer).await.message, message(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_virtual_host_ends_sessions_and_is_set_up_again() {
    let _peace = peace().await;
    let rabbit = Rabbit::shared().await;
    let url = rabbit.vhost("deleted").await;
    let mut settings = rabbit.settings(url);
    settings.patience = HumanDuration(Duration::from_secs(1));
    let broker = connect(settings).await;
    let queue = probes("a");
    broker.declare(&queue).await.unwrap();
    publish(&broker, &queue, 0..2).await;
    let mut consumer = consume(&broker, &queue, 10).await;
    let held = next(&mut consumer).await;
    rabbit.ctl(&["delete_vhost", "deleted"]).await;
    assert!(in_time(consumer.next()).await.is_none());
    assert!(matches!(held.reject("late").await, Err(AckError::Stale)));
    until(Duration::from_secs(30), || {
        broker.health() == Health::Refused
    })
    .await;
    // It was there before, so it may come back: a service must not take this for its end.
    let error = broker.publish(&queue, message(2)).await.unwrap_err();
    assert!(
        matches!(error, BrokerError::Unavailable { .. }),
        "{error:?}"
    );
    rabbit.vhost("deleted").await;
    until(Duration::from_secs(30), || broker.health() == Health::Up).await;
    // What was declared is declared again, and empty.
    publish(&broker, &queue, 2..3).await;
    let mut again = consume(&broker, &queue, 10).await;
    assert_eq!(next(&mut again).await.message, message(2));
}

/// Deleting a queue makes the broker cancel its consumers, as running into a time limit does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_consumer_ends_and_its_queue_is_unknown() {
    let _peace = peace().await;
    let rabbit = Rabbit::shared().await;
    let url = rabbit.vhost("cancelled").await;
    let broker = connect(rabbit.settings(url)).await;
    let (queue, other) = (probes("a"), probes("b"));
    broker.declare(&queue).await.unwrap();
    broker.declare(&other).await.unwrap();
    publish(&broker, &queue, 0..2).await;
    let mut consumer = consume(&broker, &queue, 10).await;
    let unharmed = consume(&broker, &other, 10).await;
    let held = next(&mut consumer).await;
    rabbit
        .ctl(&["delete_queue", "-p", "cancelled", "probes.a"])
        .await;
    // What was delivered before comes first.
    while in_time(consumer.next()).await.is_some() {}
    assert!(!consumer.is_live());
    assert!(matches!(held.acknowledge().await, Err(AckError::Stale)));
    let error = broker.publish(&queue, message(2)).await.unwrap_err();
    assert!(matches!(error, BrokerError::UnknownQueue(name) if name == queue));
    assert!(unharmed.is_live());
    broker.declare(&queue).await.unwrap();
    publish(&broker, &queue, 3..4).await;
    let mut again = consume(&broker, &queue, 10).await;
    assert_eq!(next(&mut again).await.message, message(3));
}
