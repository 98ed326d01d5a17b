//! Many publications at a time.

use super::*;
use crate::Acker;

/// Under load a returned message comes with the confirmation of another one. Each publisher must
/// still learn what became of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn returned_messages_are_told_apart_under_load() {
    let _peace = peace().await;
    let rabbit = Rabbit::shared().await;
    let url = rabbit.vhost("returned").await;
    let broker = connect(rabbit.settings(url)).await;
    let (queue, missing) = (probes("a"), probes("missing"));
    broker.declare(&queue).await.unwrap();
    let mut publishing = tokio::task::JoinSet::new();
    for id in 0..2_000 {
        let (broker, known) = (broker.clone(), id % 3 != 0);
        let queue = if known {
            queue.clone()
        } else {
            missing.clone()
        };
        publishing.spawn(async move {
            let published = broker.publish(&queue, message(id)).await;
            match published {
                Ok(()) => assert!(known, "{id} went nowhere and was called stored"),
                Err(BrokerError::UnknownQueue(_)) => assert!(!known, "{id} was called lost"),
                Err(error) => panic!("{error:?}"),
            }
        });
    }
    while let Some(ended) = in_time(publishing.join_next()).await {
        ended.unwrap();
    }
    let stored = (0..2_000).filter(|id| id % 3 != 0).count() as u64;
    assert_eq!(broker.depth(&queue).await.unwrap(), Some(stored));
}

/// A full queue refuses, and takes again when there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_queue_refuses_and_takes_again() {
    let _peace = peace().await;
    let rabbit = Rabbit::shared().await;
    let url = rabbit.vhost("full").await;
    let broker = connect(rabbit.settings(url)).await;
    let queue = probes("a");
    broker.declare(&queue).await.unwrap();
    let most = u32::try_from(crate::QUEUE_LENGTH_MAX).unwrap();
    // The broker counts late while publications come in a stream, so it takes some more than this.
    let messages = (0..=most).map(message).collect();
    for stored in broker.publish_many(&queue, messages).await {
        assert!(
            matches!(stored, Ok(()) | Err(BrokerError::Full(_))),
            "{stored:?}"
        );
    }
    let mut full = false;
    for _ in 0..100 {
        full = matches!(
            broker.publish(&queue, message(0)).await,
            Err(BrokerError::Full(_))
        );
        if full {
            break;
        }
    }
    assert!(full, "the fuse does not blow");
    broker.purge(&queue).await.unwrap();
    let mut again = broker.publish(&queue, message(1)).await;
    for _ in 0..100 {
        if again.is_ok() {
            break;
        }
        again = broker.publish(&queue, message(1)).await;
    }
    again.unwrap();
}

/// Not a test of speed, which belongs to the machine: it prints the figure and asks only that
/// publications share their round trips.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publications_share_round_trips() {
    const COUNT: u32 = 5_000;
    let _peace = peace().await;
    let broker = connect(plain()).await;
    let queue = probes(&format!("speed-{:016x}", crate::amqp::topics::unique()));
    broker.declare(&queue).await.unwrap();
    let kilobyte = |id: u32| Message {
        body: vec![b'x'; 1_024].into(),
        ..message(id)
    };
    let begun = std::time::Instant::now();
    for id in 0..COUNT / 50 {
        broker.publish(&queue, kilobyte(id)).await.unwrap();
    }
    let alone = begun.elapsed() * 50;
    let begun = std::time::Instant::now();
    for stored in broker
        .publish_many(&queue, (0..COUNT).map(kilobyte).collect())
        .await
    {
        stored.unwrap();
    }
    let together = begun.elapsed();
    println!(
        "{:.0} messages of 1 KiB per second together, {:.0} alone",
        f64::from(COUNT) / together.as_secs_f64(),
        f64::from(COUNT) / alone.as_secs_f64()
    );
    assert!(together < alone, "{together:?} together, {alone:?} alone");
    let mut consumer = consume(&broker, &queue, 500).await;
    let begun = std::time::Instant::now();
    for _ in 0..COUNT / 250 {
        let mut ackers = Vec::new();
        for _ in 0..250 {
            ackers.push(next(&mut consumer).await.split().1);
        }
        for settled in Acker::acknowledge_all(ackers).await {
            settled.unwrap();
        }
    }
    let consumed = begun.elapsed();
    println!(
        "{:.0} messages of 1 KiB per second consumed and acknowledged",
        f64::from(COUNT) / consumed.as_secs_f64()
    );
    consumer.close().await;
    broker.purge(&queue).await.unwrap();
}
