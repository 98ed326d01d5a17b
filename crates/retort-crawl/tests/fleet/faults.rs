//! Brokers that forget, sessions that end, services that die: complete and unique all the same.

use retort_broker::{Broker as _, Queue};
use retort_types::DomainId;
use serde_json::json;

use crate::world::{World, answered};

const PLANNED: usize = 400;

fn world() -> World {
    World::new(
        &[json!({ "concurrency": 8 }), json!({ "concurrency": 8 })],
        20,
    )
}

fn queue(number: usize) -> Queue {
    Queue::Probes(DomainId::new(&format!("p{number}")).unwrap())
}

async fn begun(world: &World) {
    world.submit(&world.campaign("one", 50, 4)).await;
    world.until("requests", |world| world.served() > 60).await;
}

#[tokio::test]
async fn a_cut_session_asks_nobody_twice_when_its_owner_comes_back() {
    let world = world();
    let coordinator = world.coordinate("c1");
    let worker = world.work("w1").await;
    begun(&world).await;
    for _ in 0..3 {
        world.broker.cut(&queue(0));
        world.broker.cut(&queue(1));
        let served = world.served();
        world
            .until("requests", |world| world.served() > served + 30)
            .await;
    }
    assert_eq!(answered(&world.sealed("one", PLANNED).await), 400);
    assert_eq!((world.served(), world.paid_twice()), (400, 0));
    worker.stop().await.unwrap();
    coordinator.stop().await;
}

#[tokio::test]
async fn a_broker_that_restarts_costs_no_request() {
    let world = world();
    let coordinator = world.coordinate("c1");
    let worker = world.work("w1").await;
    begun(&world).await;
    world.broker.interrupt();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let served = world.served();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(world.served(), served, "asked without a broker");
    world.broker.restore();
    assert_eq!(answered(&world.sealed("one", PLANNED).await), 400);
    assert_eq!((world.served(), world.paid_twice()), (400, 0));
    worker.stop().await.unwrap();
    coordinator.stop().await;
}

#[tokio::test]
async fn a_wiped_broker_is_repaired_from_the_store() {
    let world = world();
    let coordinator = world.coordinate("c1");
    let worker = world.work("w1").await;
    begun(&world).await;
    world.broker.wipe();
    assert_eq!(answered(&world.sealed("one", PLANNED).await), 400);
    assert_eq!((world.served(), world.paid_twice()), (400, 0));
    worker.stop().await.unwrap();
    coordinator.stop().await;
}

#[tokio::test]
async fn purged_queues_are_repaired_from_the_store() {
    let world = world();
    let coordinator = world.coordinate("c1");
    let worker = world.work("w1").await;
    begun(&world).await;
    let mut purged = 0;
    for queue in [queue(0), queue(1), Queue::Receipts] {
        purged += world.broker.purge(&queue).await.unwrap();
    }
    assert_eq!(answered(&world.sealed("one", PLANNED).await), 400);
    assert_eq!((world.served(), world.paid_twice()), (400, 0));
    assert!(purged == 0 || coordinator.statuses.repairs() > 0);
    worker.stop().await.unwrap();
    coordinator.stop().await;
}

#[tokio::test]
async fn a_worker_that_dies_is_followed_by_another() {
    let world = world();
    let coordinator = world.coordinate("c1");
    let dying = world.work("w1").await;
    begun(&world).await;
    // Dropping it gives up what is in the air and what is not yet in the store.
    drop(dying);
    let worker = world.work("w2").await;
    world.sealed("one", PLANNED).await;
    // At most what was in the air and what was not flushed is asked again.
    let again = world.served() - 400;
    assert!(again <= 16 + 80, "{again} samples were asked again");
    worker.stop().await.unwrap();
    coordinator.stop().await;
}

#[tokio::test]
async fn a_message_that_is_no_sample_harms_no_neighbour() {
    let world = world();
    let coordinator = world.coordinate("c1");
    let worker = world.work("w1").await;
    begun(&world).await;
    for body in ["", "{}", "[1]", "{\"sample_id\":7}"] {
        let message = retort_broker::Message {
            id: "poison".to_owned(),
            kind: "retort.sample.v1".to_owned(),
            body: body.into(),
        };
        world.broker.publish(&queue(0), message).await.unwrap();
    }
    assert_eq!(answered(&world.sealed("one", PLANNED).await), 400);
    assert_eq!(world.broker.depth(&Queue::Dead).await.unwrap(), Some(4));
    worker.stop().await.unwrap();
    coordinator.stop().await;
}
