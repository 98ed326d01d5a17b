//! Services that nothing happens to: campaigns, workers and coordinators side by side.

use retort_broker::{Broker as _, DeadLetter, Queue, Topic};
use retort_crawl::State;
use retort_crawl::control::{self, Wish};
use retort_types::CampaignId;
use serde_json::json;

use crate::world::{Clock, World, answered, attempts};

fn quick(domains: usize) -> World {
    World::new(&vec![json!({ "concurrency": 8 }); domains], 5)
}

#[tokio::test]
async fn campaigns_share_workers_and_each_is_complete_and_unique() {
    let world = quick(3);
    let coordinator = world.coordinate("c1");
    let (first, second) = (world.work("w1").await, world.work("w2").await);
    for id in ["one", "two", "three"] {
        world.submit(&world.campaign(id, 10, 4)).await;
    }
    for id in ["one", "two", "three"] {
        let models = world.sealed(id, 120).await;
        assert_eq!((answered(&models), attempts(&models)), (120, 120));
    }
    assert_eq!((world.served(), world.paid_twice()), (360, 0));
    assert_eq!(coordinator.statuses.submissions(), (3, 0));
    assert_eq!(coordinator.statuses.sealed(), 3);
    for worker in [first, second] {
        worker.stop().await.unwrap();
    }
    coordinator.stop().await;
}

#[tokio::test]
async fn one_coordinator_is_active_and_another_follows() {
    let world = quick(1);
    let (first, second) = (world.coordinate("c1"), world.coordinate("c2"));
    world
        .until("one active", |_| {
            first.statuses.is_active() || second.statuses.is_active()
        })
        .await;
    let (active, waiting) = if first.statuses.is_active() {
        (first, second)
    } else {
        (second, first)
    };
    let worker = world.work("w1").await;
    world.submit(&world.campaign("one", 40, 10)).await;
    world.until("requests", |world| world.served() > 100).await;
    assert!(!waiting.statuses.is_active(), "both are active");
    active.kill();
    world.sealed("one", 400).await;
    assert!(waiting.statuses.is_active());
    // What was out when the first was killed was published again, and not asked again.
    assert_eq!((world.served(), world.paid_twice()), (400, 0));
    worker.stop().await.unwrap();
    waiting.stop().await;
}

#[tokio::test]
async fn submissions_are_judged_and_answered() {
    let world = quick(1);
    let mut news = world.broker.subscribe(Topic::Events).await.unwrap();
    let coordinator = world.coordinate("c1");
    let worker = world.work("w1").await;
    assert_eq!(
        news.next().await.unwrap().kind,
        "retort.coordinator-active.v1"
    );
    let good = world.campaign("one", 2, 1);
    world.submit(&good).await;
    world.sealed("one", 2).await;
    world.submit(&good).await;
    let mut other = good.clone();
    other["purpose"] = json!("another");
    world.submit(&other).await;
    let mut file = world.campaign("two", 1, 1);
    file["suites"][0] = json!({ "file": "/etc/passwd" });
    world.submit(&file).await;
    let mut unknown = world.campaign("three", 1, 1);
    unknown["models"] = json!(["nobody"]);
    world.submit(&unknown).await;
    world.submit(&json!("not a campaign")).await;
    world
        .until("answers", |_| coordinator.statuses.submissions() == (2, 4))
        .await;
    assert_eq!(world.served(), 2, "the same campaign again asks nobody");
    let mut kinds = Vec::new();
    while kinds.len() < 7 {
        kinds.push(news.next().await.unwrap().kind);
    }
    let count = |kind: &str| kinds.iter().filter(|own| *own == kind).count();
    let counts = [
        "retort.accepted.v1",
        "retort.sealed.v1",
        "retort.rejected.v1",
    ]
    .map(count);
    assert_eq!(counts, [2, 1, 4]);
    let options = retort_broker::ConsumeOptions {
        prefetch: 10.try_into().unwrap(),
        priority: 0,
    };
    let mut dead = world.broker.consume(&Queue::Dead, options).await.unwrap();
    let mut reasons = Vec::new();
    for _ in 0..4 {
        let delivery = dead.next().await.unwrap();
        let letter = DeadLetter::from_message(&delivery.message).unwrap();
        assert_eq!(letter.queue, Queue::Submissions);
        reasons.push(letter.reason);
        delivery.acknowledge().await.unwrap();
    }
    for (reason, expected) in reasons.iter().zip([
        "campaign `one` exists with other content",
        "`suites[0].file`: a message names no file",
        "unknown model `nobody`",
        "",
    ]) {
        assert!(reason.contains(expected), "{reason}");
    }
    worker.stop().await.unwrap();
    coordinator.stop().await;
}

#[tokio::test]
async fn a_campaign_is_paused_resumed_and_cancelled_from_anywhere() {
    let world = quick(1);
    let coordinator = world.coordinate("c1");
    let worker = world.work("w1").await;
    let id = CampaignId::new("one").unwrap();
    world.submit(&world.campaign("one", 100, 40)).await;
    world.until("requests", |world| world.served() > 100).await;
    control::wish(&world.store, &Clock, &id, Wish::Pause)
        .await
        .unwrap();
    world.until_state("one", State::Paused).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let paused = world.served();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(world.served(), paused, "asked while paused");
    control::wish(&world.store, &Clock, &id, Wish::Resume)
        .await
        .unwrap();
    world
        .until("requests", |world| world.served() > paused + 100)
        .await;
    control::wish(&world.store, &Clock, &id, Wish::Cancel)
        .await
        .unwrap();
    let models = world.sealed("one", 4_000).await;
    assert_eq!(answered(&models), world.served());
    assert!(world.served() < 4_000, "nothing was left to cancel");
    worker.stop().await.unwrap();
    coordinator.stop().await;
}

#[tokio::test]
async fn one_limit_holds_over_workers_that_come_and_go() {
    let world = World::new(&[json!({ "requests_per_minute": 3_000 })], 20);
    let coordinator = world.coordinate("c1");
    let mut workers = vec![world.work("w0").await, world.work("w1").await];
    world.submit(&world.campaign("one", 80, 5)).await;
    for (number, served) in [(2, 80), (3, 200), (4, 300)] {
        world
            .until("requests", |world| world.served() > served)
            .await;
        workers.push(world.work(&format!("w{number}")).await);
        workers.remove(0).stop().await.unwrap();
    }
    let models = world.sealed("one", 400).await;
    assert_eq!(answered(&models), 400);
    assert_eq!((world.served(), world.paid_twice()), (400, 0));
    let stats = world.sim.stats();
    let peak = stats.providers["p0"].peak_accepted_1s;
    // 50 a second and what may be caught up at once after a late timer.
    assert!(peak <= 60, "{peak} requests within a second");
    for worker in workers {
        worker.stop().await.unwrap();
    }
    coordinator.stop().await;
}

#[tokio::test]
async fn campaigns_share_a_domain_by_their_weights() {
    let mut world = World::new(&[json!({ "requests_per_minute": 6_000 })], 5);
    world.coordinator.window_min = 64;
    world.coordinator.window_max = 64;
    let coordinator = world.coordinate("c1");
    let worker = world.work("w1").await;
    let mut heavy = world.campaign("heavy", 100, 10);
    heavy["schedule"] = json!({ "weight": 3 });
    world.submit(&world.campaign("light", 100, 10)).await;
    world.submit(&heavy).await;
    world.until("requests", |world| world.served() > 600).await;
    let mut done = Vec::new();
    for id in ["light", "heavy"] {
        let campaign = CampaignId::new(id).unwrap();
        let status = retort_crawl::status::read(&world.store, &campaign)
            .await
            .unwrap()
            .unwrap();
        done.push(status.done);
    }
    assert!(done[1] > done[0] * 2 && done[0] > 60, "{done:?}");
    world.sealed("heavy", 1_000).await;
    world.sealed("light", 1_000).await;
    assert_eq!((world.served(), world.paid_twice()), (2_000, 0));
    worker.stop().await.unwrap();
    coordinator.stop().await;
}

#[tokio::test]
async fn a_sealed_campaign_is_not_asked_again_by_a_worker_that_was_not_there() {
    let world = quick(1);
    let coordinator = world.coordinate("c1");
    let worker = world.work("w1").await;
    world.submit(&world.campaign("one", 5, 2)).await;
    world.sealed("one", 10).await;
    worker.stop().await.unwrap();
    let campaign = CampaignId::new("one").unwrap();
    let plan = retort_crawl::submit::load_plan(&world.store, &campaign)
        .await
        .unwrap();
    let queue = Queue::Probes("p0".parse().unwrap());
    for index in 0..plan.len() {
        let sample = plan.sample(index).unwrap();
        let message = retort_crawl::message::sample_message(sample, false);
        world.broker.publish(&queue, message).await.unwrap();
    }
    let late = world.work("w2").await;
    world.submit(&world.campaign("two", 5, 2)).await;
    world.sealed("two", 10).await;
    assert_eq!((world.served(), world.paid_twice()), (20, 0));
    assert_eq!(world.broker.depth(&queue).await.unwrap(), Some(0));
    late.stop().await.unwrap();
    coordinator.stop().await;
}
