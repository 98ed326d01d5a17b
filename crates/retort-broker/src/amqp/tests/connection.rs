//! Faults of the way to the broker.

use super::*;
use crate::testkit::{FaultProxy, Mode};

/// Two processes, of which the first reaches the broker through a proxy and works on what it is
/// given at some pace, like a worker does.
struct Partition {
    proxy: FaultProxy,
    first: AmqpBroker,
    second: AmqpBroker,
    queue: Queue,
}

impl Partition {
    async fn new(vhost: &str, fenced: bool) -> Self {
        let rabbit = Rabbit::shared().await;
        let url = rabbit.vhost(vhost).await;
        let proxy = FaultProxy::start(rabbit.address()).await.unwrap();
        let mut settings = rabbit.settings(rabbit.url_at(proxy.address(), vhost));
        // Shorter than by default, for a shorter test; well beyond the lease, for a busy machine.
        settings.heartbeat = HumanDuration(Duration::from_secs(8));
        if !fenced {
            settings = settings.without_fence();
        }
        let first = connect(settings).await;
        let second = connect(rabbit.settings(url)).await;
        let queue = probes("a");
        second.declare(&queue).await.unwrap();
        Self {
            proxy,
            first,
            second,
            queue,
        }
    }

    /// Works off the queue at 20 per second, as far as the fence allows, until the session ends;
    /// returns when work was begun last. Nothing is acknowledged.
    async fn work(mut consumer: Box<dyn Consumer>) -> Instant {
        let mut last = Instant::now();
        let mut held = Vec::new();
        while let Some(delivery) = consumer.next().await {
            held.push(delivery);
            tokio::time::sleep(Duration::from_millis(50)).await;
            if consumer.is_live() {
                last = Instant::now();
            }
        }
        last
    }

    /// Makes the first process's connections half-open while it works. Returns when it began work
    /// last, and when the second was given the same work.
    async fn run(self) -> (Instant, Instant) {
        let messages = (0..1_000).map(message).collect();
        for stored in self.second.publish_many(&self.queue, messages).await {
            stored.unwrap();
        }
        let first = consume(&self.first, &self.queue, 1_000).await;
        let mut second = consume(&self.second, &self.queue, 1).await;
        let working = tokio::spawn(Self::work(first));
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.proxy.set(Mode::Blackhole);
        let delivery = in_time(second.next()).await.unwrap();
        let given = Instant::now();
        assert!(delivery.redelivered);
        // Enough to show whether the first goes on.
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.first.close().await;
        (in_time(working).await.unwrap(), given)
    }
}

/// The second part, without the fence, shows that the first can fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_connection_overlaps_only_without_a_fence() {
    let _peace = peace().await;
    let fenced = async { Partition::new("half-open", true).await.run().await };
    let unfenced = async {
        Partition::new("half-open-unfenced", false)
            .await
            .run()
            .await
    };
    let ((last, given), (unfenced_last, unfenced_given)) = tokio::join!(fenced, unfenced);
    assert!(last < given, "overlap of {:?}", last - given);
    let gap = unfenced_given.saturating_duration_since(unfenced_last);
    assert!(gap.is_zero(), "no overlap without a fence either: {gap:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connection_ends_sessions_and_comes_back() {
    let _peace = peace().await;
    let rabbit = Rabbit::shared().await;
    let url = rabbit.vhost("cut").await;
    drop(url);
    let proxy = FaultProxy::start(rabbit.address()).await.unwrap();
    let broker = connect(rabbit.settings(rabbit.url_at(proxy.address(), "cut"))).await;
    let queue = probes("a");
    broker.declare(&queue).await.unwrap();
    publish(&broker, &queue, 0..3).await;
    let mut consumer = consume(&broker, &queue, 10).await;
    let mut subscription = broker.subscribe(Topic::Control).await.unwrap();
    let fence = consumer.fence();
    let done = next(&mut consumer).await;
    done.acknowledge().await.unwrap();
    let late = next(&mut consumer).await;
    // A round trip after the acknowledgement, so that it has arrived.
    publish(&broker, &queue, 3..4).await;
    proxy.cut_once().await;
    assert!(in_time(consumer.next()).await.is_none());
    assert!(in_time(consumer.next()).await.is_none());
    assert!(in_time(subscription.next()).await.is_none());
    assert!(!consumer.is_live() && !fence.is_live());
    assert!(matches!(late.acknowledge().await, Err(AckError::Stale)));
    // Calls wait for the next session by themselves.
    publish(&broker, &queue, 4..5).await;
    assert_eq!(broker.health(), Health::Up);
    let mut again = consume(&broker, &queue, 10).await;
    for id in 1..5 {
        let delivery = next(&mut again).await;
        assert_eq!(delivery.message, message(id));
        if id == 1 {
            assert!(delivery.redelivered);
        }
        delivery.acknowledge().await.unwrap();
    }
    assert!(!fence.is_live(), "the fence of a lost session opened again");
}

/// One byte per second: too slow to prove anything, so nothing is begun; and no call hangs for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttled_connection_closes_the_fence() {
    let _peace = peace().await;
    let rabbit = Rabbit::shared().await;
    rabbit.vhost("throttled").await;
    let proxy = FaultProxy::start(rabbit.address()).await.unwrap();
    let mut settings = rabbit.settings(rabbit.url_at(proxy.address(), "throttled"));
    settings.heartbeat = HumanDuration(Duration::from_secs(6));
    settings.patience = HumanDuration(Duration::from_mins(1));
    let broker = connect(settings).await;
    let queue = probes("a");
    broker.declare(&queue).await.unwrap();
    publish(&broker, &queue, 0..2).await;
    let mut consumer = consume(&broker, &queue, 10).await;
    let held = next(&mut consumer).await;
    assert!(consumer.is_live());
    proxy.set(Mode::Throttle);
    until(Duration::from_secs(30), || !consumer.is_live()).await;
    proxy.set(Mode::Pass);
    // Either the session survived or the next one takes over; the work is not lost.
    drop((held, consumer));
    publish(&broker, &queue, 2..3).await;
    let mut again = consume(&broker, &queue, 10).await;
    for id in 0..3 {
        let delivery = next(&mut again).await;
        assert_eq!(delivery.message, message(id));
        delivery.acknowledge().await.unwrap();
    }
}

/// A broker whose heartbeats arrive and whose answers do not: whoever waits for one hears that the
/// session is lost, and the next session goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mute_broker_is_given_up() {
    let _peace = peace().await;
    let rabbit = Rabbit::shared().await;
    rabbit.vhost("mute").await;
    let proxy = FaultProxy::start(rabbit.address()).await.unwrap();
    let queue = probes("a");
    let mut brokers = Vec::new();
    for _ in 0..4 {
        let broker = connect(rabbit.settings(rabbit.url_at(proxy.address(), "mute"))).await;
        broker.declare(&queue).await.unwrap();
        brokers.push(broker);
    }
    let [publishes, counts, consumes, listens] = &brokers[..] else {
        unreachable!("there are four");
    };
    // Exchanges are known to be there, so that nothing is asked but what is tried.
    publish(publishes, &queue, 0..1).await;
    drop(listens.subscribe(Topic::Control).await.unwrap());
    let before = proxy.accepted();
    proxy.set(Mode::Mute);
    let options = ConsumeOptions {
        prefetch: NonZeroU32::MIN,
        priority: 0,
    };
    let (published, counted, consumed, heard) = in_time(async {
        tokio::join!(
            publishes.publish(&queue, message(1)),
            counts.depth(&queue),
            consumes.consume(&queue, options),
            listens.subscribe(Topic::Control),
        )
    })
    .await;
    assert!(matches!(published, Err(BrokerError::Unavailable { .. })));
    assert!(matches!(counted, Err(BrokerError::Unavailable { .. })));
    assert!(matches!(consumed, Err(BrokerError::Unavailable { .. })));
    assert!(matches!(heard, Err(BrokerError::Unavailable { .. })));
    proxy.set(Mode::Pass);
    for broker in &brokers {
        until(Duration::from_secs(30), || broker.health() == Health::Up).await;
    }
    assert!(proxy.accepted() > before, "the sessions outlived it");
    // Stored twice or once: it was not confirmed.
    let mut consumer = consume(consumes, &queue, 10).await;
    for id in 0..2 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.message, message(id));
        delivery.acknowledge().await.unwrap();
    }
}

/// A process that was stopped learns at the first question that its lease is over, before it has
/// heard anything from the broker; and goes on once the broker has answered.
#[tokio::test(flavor = "current_thread")]
async fn stopped_process_finds_its_fence_closed() {
    let _peace = peace().await;
    let rabbit = Rabbit::shared().await;
    let url = rabbit.vhost("stopped").await;
    let broker = connect(rabbit.settings(url)).await;
    let queue = probes("a");
    broker.declare(&queue).await.unwrap();
    publish(&broker, &queue, 0..2).await;
    let mut consumer = consume(&broker, &queue, 1).await;
    let held = next(&mut consumer).await;
    assert!(consumer.is_live());
    // Nothing of this process's own tasks runs meanwhile: all of them are on this thread.
    std::thread::sleep(Duration::from_millis(5_500));
    assert!(!consumer.is_live());
    until(Duration::from_secs(10), || consumer.is_live()).await;
    held.acknowledge().await.unwrap();
    // With nothing held there is nothing to fence, and nothing is asked of the broker.
    let last = next(&mut consumer).await;
    last.acknowledge().await.unwrap();
    std::thread::sleep(Duration::from_millis(5_500));
    assert!(consumer.is_live());
    publish(&broker, &queue, 2..3).await;
    let delivery = next(&mut consumer).await;
    assert!(
        consumer.is_live(),
        "given work without a fresh sign of the broker"
    );
    delivery.acknowledge().await.unwrap();
}

/// A server that accepts and never speaks costs one connection per attempt, and no call hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_server_is_unavailable() {
    let rabbit = Rabbit::shared().await;
    let proxy = FaultProxy::start(rabbit.address()).await.unwrap();
    proxy.set(Mode::Blackhole);
    let mut settings = rabbit.settings(rabbit.url_at(proxy.address(), "silent"));
    settings.patience = HumanDuration(Duration::from_secs(7));
    let broker = AmqpBroker::start(settings).unwrap();
    let error = in_time(broker.connected()).await.unwrap_err();
    assert!(
        matches!(error, BrokerError::Unavailable { .. }),
        "{error:?}"
    );
    assert_eq!(broker.health(), Health::Down);
    assert!((1..=3).contains(&proxy.accepted()), "{}", proxy.accepted());
}

/// A fleet has many consumers of queues without work: they cost the broker nothing but heartbeats.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_consumers_that_hold_work_ask_for_signs() {
    let _peace = peace().await;
    let rabbit = Rabbit::shared().await;
    rabbit.vhost("signs").await;
    let proxy = FaultProxy::start(rabbit.address()).await.unwrap();
    let broker = connect(rabbit.settings(rabbit.url_at(proxy.address(), "signs"))).await;
    let mut consumers = Vec::new();
    for domain in 0..20 {
        let queue = probes(&format!("d{domain}"));
        broker.declare(&queue).await.unwrap();
        consumers.push(consume(&broker, &queue, 1).await);
    }
    let bytes = async || {
        let before = proxy.passed_bytes();
        tokio::time::sleep(Duration::from_secs(3)).await;
        proxy.passed_bytes() - before
    };
    let idle = bytes().await;
    // Two connections, two directions, 8 bytes every 5 s.
    assert!(idle <= 64, "{idle} bytes");
    publish(&broker, &probes("d0"), 0..1).await;
    let held = next(&mut consumers[0]).await;
    // A question and its answer are 31 bytes.
    let holding = bytes().await;
    assert!(holding >= 31, "{holding} bytes");
    held.acknowledge().await.unwrap();
    bytes().await;
    let idle = bytes().await;
    assert!(idle <= 64, "{idle} bytes");
}
