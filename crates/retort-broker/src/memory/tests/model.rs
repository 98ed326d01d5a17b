//! Random use of a queue against what must never happen, and use by many threads.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any};
use proptest::{prop_oneof, proptest};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::MemoryBroker;
use crate::{AckError, Broker, ConsumeOptions, Consumer, DELIVERY_LIMIT, DeadLetter, Delivery};
use crate::{Message, Queue};

const QUEUE: Queue = Queue::Receipts;

fn message(id: u32) -> Message {
    Message {
        id: id.to_string(),
        kind: "retort.test.v1".to_owned(),
        body: "".into(),
    }
}

fn id_of(message: &Message) -> u32 {
    message.id.parse().expect("ids are numbers")
}

fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing has to wait")
}

#[derive(Debug, Clone, Copy)]
enum How {
    Acknowledge,
    Reject,
    Requeue,
    Forget,
}

/// One step; the numbers choose among what there is at that moment.
#[derive(Debug, Clone)]
enum Step {
    Publish,
    Join { priority: i32, prefetch: u32 },
    Leave(usize),
    Next(usize),
    Settle(How, usize),
    Purge,
    Cut,
    Interrupt,
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<usize>;
    prop_oneof![
        8 => Just(Step::Publish),
        3 => (0..3, 1..5_u32).prop_map(|(priority, prefetch)| Step::Join { priority, prefetch }),
        2 => index().prop_map(Step::Leave),
        12 => index().prop_map(Step::Next),
        6 => index().prop_map(|index| Step::Settle(How::Acknowledge, index)),
        1 => index().prop_map(|index| Step::Settle(How::Reject, index)),
        2 => index().prop_map(|index| Step::Settle(How::Requeue, index)),
        1 => index().prop_map(|index| Step::Settle(How::Forget, index)),
        1 => Just(Step::Purge),
        1 => Just(Step::Cut),
        1 => Just(Step::Interrupt),
    ]
}

struct Member {
    consumer: Box<dyn Consumer>,
    options: ConsumeOptions,
    session: u32,
}

struct Held {
    delivery: Delivery,
    session: u32,
}

/// The same queue in the plainest terms: where each message is, and who is active.
struct Model {
    broker: MemoryBroker,
    sessions: u32,
    published: u32,
    members: Vec<Member>,
    active: Option<u32>,
    // By message: how often it came back.
    waiting: BTreeMap<u32, u32>,
    held: BTreeMap<u32, u32>,
    settled: BTreeSet<u32>,
    dead: BTreeSet<u32>,
    // Deliveries in the test's hands, of sessions past and present.
    hands: Vec<Held>,
}

impl Model {
    fn new() -> Self {
        let broker = MemoryBroker::new();
        at_once(broker.declare(&QUEUE)).expect("declares");
        Self {
            broker,
            sessions: 0,
            published: 0,
            members: Vec::new(),
            active: None,
            waiting: BTreeMap::new(),
            held: BTreeMap::new(),
            settled: BTreeSet::new(),
            dead: BTreeSet::new(),
            hands: Vec::new(),
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Publish => {
                at_once(self.broker.publish(&QUEUE, message(self.published))).expect("publishes");
                self.waiting.insert(self.published, 0);
                self.published += 1;
            }
            Step::Join { priority, prefetch } => self.join(priority, prefetch),
            Step::Leave(index) => self.leave(index),
            Step::Next(index) => self.next(index),
            Step::Settle(how, index) => self.settle(how, index),
            Step::Purge => {
                let purged = at_once(self.broker.purge(&QUEUE)).expect("purges");
                assert_eq!(purged, self.waiting.len() as u64);
                let purged = std::mem::take(&mut self.waiting);
                self.settled.extend(purged.into_keys());
            }
            Step::Cut => {
                self.broker.cut(&QUEUE);
                self.end_all();
            }
            Step::Interrupt => {
                self.broker.interrupt();
                self.broker.restore();
                self.end_all();
            }
        }
        self.check();
    }

    fn join(&mut self, priority: i32, prefetch: u32) {
        let prefetch = NonZeroU32::new(prefetch).expect("is not zero");
        let options = ConsumeOptions { prefetch, priority };
        let consumer = at_once(self.broker.consume(&QUEUE, options)).expect("consumes");
        self.sessions += 1;
        self.members.push(Member {
            consumer,
            options,
            session: self.sessions,
        });
        self.elect();
    }

    fn leave(&mut self, index: usize) {
        if self.members.is_empty() {
            return;
        }
        let member = self.members.remove(index % self.members.len());
        at_once(member.consumer.close());
        if self.active == Some(member.session) {
            self.active = None;
            self.return_held();
        }
        self.elect();
    }

    fn end_all(&mut self) {
        for mut member in self.members.drain(..) {
            assert!(!member.consumer.is_live());
            assert!(at_once(member.consumer.next()).is_none());
        }
        self.active = None;
        self.return_held();
    }

    fn return_held(&mut self) {
        for (id, returns) in std::mem::take(&mut self.held) {
            self.put_back(id, returns + 1);
        }
    }

    fn put_back(&mut self, id: u32, returns: u32) {
        if returns > DELIVERY_LIMIT {
            self.dead.insert(id);
        } else {
            self.waiting.insert(id, returns);
        }
    }

    fn elect(&mut self) {
        let active = self.active_member();
        if active.is_none() || self.held.is_empty() {
            self.active = self.best().map(|best| best.session);
        }
    }

    fn active_member(&self) -> Option<&Member> {
        let is_active = |member: &&Member| Some(member.session) == self.active;
        self.members.iter().find(is_active)
    }

    /// Ties go to the active one, then to the earliest.
    fn best(&self) -> Option<&Member> {
        self.members.iter().max_by_key(|member| {
            let is_active = Some(member.session) == self.active;
            (
                member.options.priority,
                is_active,
                std::cmp::Reverse(member.session),
            )
        })
    }

    fn next(&mut self, index: usize) {
        if self.members.is_empty() {
            return;
        }
        let index = index % self.members.len();
        let member = &self.members[index];
        let session = member.session;
        let room = self.held.len() < member.options.prefetch.get() as usize;
        let is_best = self.best().is_some_and(|best| best.session == session);
        let due = self.active == Some(session) && is_best && room && !self.waiting.is_empty();
        let delivery = self.members[index].consumer.next().now_or_never();
        assert_eq!(delivery.is_some(), due, "delivered {delivery:?}");
        let Some(delivery) = delivery else { return };
        let delivery = delivery.expect("the session stands");
        let (id, returns) = self.waiting.pop_first().expect("something waits");
        assert_eq!(id_of(&delivery.message), id, "out of order");
        assert_eq!(delivery.delivery_count, returns);
        assert_eq!(delivery.redelivered, returns > 0);
        self.held.insert(id, returns);
        self.hands.push(Held { delivery, session });
    }

    fn settle(&mut self, how: How, index: usize) {
        if self.hands.is_empty() {
            return;
        }
        let Held { delivery, session } = self.hands.swap_remove(index % self.hands.len());
        let id = id_of(&delivery.message);
        let settled = match how {
            How::Acknowledge => at_once(delivery.acknowledge()),
            How::Reject => at_once(delivery.reject("poison")),
            How::Requeue => at_once(delivery.requeue()),
            How::Forget => return drop(delivery),
        };
        // A session that ended may not settle, even though the message may be held again.
        if !self.members.iter().any(|member| member.session == session) {
            assert!(matches!(settled, Err(AckError::Stale)), "{settled:?}");
            return;
        }
        settled.expect("settles");
        let returns = self.held.remove(&id).expect("was held");
        match how {
            How::Acknowledge | How::Forget => _ = self.settled.insert(id),
            How::Reject => _ = self.dead.insert(id),
            How::Requeue => self.put_back(id, returns + 1),
        }
        self.elect();
    }

    /// Every message is in one place, and the broker counts the same.
    fn check(&self) {
        let places = [
            self.waiting.len(),
            self.held.len(),
            self.settled.len(),
            self.dead.len(),
        ];
        assert_eq!(places.iter().sum::<usize>(), self.published as usize);
        let waiting = at_once(self.broker.depth(&QUEUE)).expect("counts");
        assert_eq!(waiting, Some(self.waiting.len() as u64));
        let dead = at_once(self.broker.depth(&Queue::Dead)).expect("counts");
        assert_eq!(dead, Some(self.dead.len() as u64));
    }

    /// What was neither settled nor buried comes once more, and nothing else does.
    fn drain(mut self) {
        self.apply(&Step::Cut);
        let left: Vec<u32> = self.waiting.keys().copied().collect();
        let drained = drain(&self.broker, &QUEUE);
        assert_eq!(drained.iter().map(id_of).collect::<Vec<_>>(), left);
        let letters = drain(&self.broker, &Queue::Dead);
        let letters = letters.iter().map(|letter| {
            let letter = DeadLetter::from_message(letter).expect("is readable");
            assert_eq!(letter.queue, QUEUE);
            id_of(&letter.message)
        });
        let mut dead = letters.collect::<Vec<_>>();
        dead.sort_unstable();
        assert_eq!(dead, self.dead.into_iter().collect::<Vec<_>>());
    }
}

fn drain(broker: &MemoryBroker, queue: &Queue) -> Vec<Message> {
    let options = ConsumeOptions {
        prefetch: NonZeroU32::MIN,
        priority: 0,
    };
    let mut consumer = at_once(broker.consume(queue, options)).expect("consumes");
    let mut drained = Vec::new();
    while let Some(delivery) = consumer.next().now_or_never() {
        let delivery = delivery.expect("the session stands");
        drained.push(delivery.message.clone());
        at_once(delivery.acknowledge()).expect("acknowledges");
    }
    drained
}

proptest! {
    #[test]
    fn nothing_is_lost_doubled_or_served_twice(steps in vec(step(), 1..300)) {
        let mut model = Model::new();
        for step in &steps {
            model.apply(step);
        }
        model.drain();
    }
}

proptest! {
    // The ways to the limit are few; a case has 1 200 steps.
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Few messages and no acknowledgement: the delivery limit is reached along every way.
    #[test]
    fn what_nobody_acknowledges_ends_among_the_dead(ends in vec(0..4_u8, 200)) {
        let mut model = Model::new();
        model.apply(&Step::Publish);
        model.apply(&Step::Publish);
        for end in ends {
            model.apply(&Step::Join { priority: 0, prefetch: 2 });
            model.apply(&Step::Next(0));
            model.apply(&Step::Next(0));
            model.apply(&match end {
                0 => Step::Leave(0),
                1 => Step::Cut,
                2 => Step::Interrupt,
                _ => Step::Settle(How::Requeue, 0),
            });
            model.hands.clear();
            model.apply(&Step::Cut);
        }
        assert_eq!(model.dead.len(), 2);
        model.drain();
    }
}

const THREADED: u32 = 20_000;
// Fewer than the delivery limit, so that nothing dies of them.
const CUTS: u32 = 15;

type Counts = Arc<Mutex<BTreeMap<u32, u32>>>;

/// Consumes for ever, with a new session whenever one ends, and counts who was acknowledged.
async fn work(broker: MemoryBroker, acknowledged: Counts) {
    let options = ConsumeOptions {
        prefetch: NonZeroU32::MIN.saturating_add(63),
        priority: 0,
    };
    loop {
        let consumed = broker.consume(&QUEUE, options).await;
        let mut consumer = consumed.expect("the queue stays");
        let mut settling = JoinSet::new();
        while let Some(delivery) = consumer.next().await {
            let acknowledged = Arc::clone(&acknowledged);
            settling.spawn(async move {
                let id = id_of(&delivery.message);
                if delivery.acknowledge().await.is_ok() {
                    *lock(&acknowledged).entry(id).or_default() += 1;
                }
            });
        }
        settling.join_all().await;
    }
}

fn lock(counts: &Counts) -> MutexGuard<'_, BTreeMap<u32, u32>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_acknowledge_each_message_once() {
    let broker = MemoryBroker::new();
    broker.declare(&QUEUE).await.unwrap();
    let acknowledged = Counts::default();
    let mut workers = JoinSet::new();
    for _ in 0..4 {
        workers.spawn(work(broker.clone(), Arc::clone(&acknowledged)));
    }
    for id in 0..THREADED {
        broker.publish(&QUEUE, message(id)).await.unwrap();
        if id % (THREADED / CUTS) == 0 {
            broker.cut(&QUEUE);
        }
    }
    let done = async {
        while lock(&acknowledged).len() < THREADED as usize {
            tokio::task::yield_now().await;
        }
    };
    let done = timeout(Duration::from_mins(1), done).await;
    done.expect("all is acknowledged in time");
    workers.shutdown().await;
    assert_eq!(broker.depth(&QUEUE).await.unwrap(), Some(0));
    assert_eq!(broker.depth(&Queue::Dead).await.unwrap(), Some(0));
    assert!(lock(&acknowledged).values().all(|count| *count == 1));
}
