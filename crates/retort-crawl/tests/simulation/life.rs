//! A world from its beginning to its end.

use std::collections::BTreeMap;
use std::time::Duration;

use retort_broker::testkit::Version;
use retort_crawl::State;
use retort_crawl::worker::Rules;
use tokio::time::Instant;

use crate::chance::Chance;
use crate::check;
use crate::faults::{Fault, schedule};
use crate::journal::Lines;
use crate::world::{Shape, World};

/// By when every campaign must be sealed: faults end within two minutes, and the longest wait of a
/// service that tries again is half a minute.
const END: Duration = Duration::from_mins(20);

/// How long nothing is heard of a submission before it is made again.
const AGAIN: Duration = Duration::from_mins(1);

/// How often it is looked whether everything is sealed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What came of a world.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    /// What was broken.
    pub(crate) broken: Vec<String>,
    /// Of everything that happened, in order.
    pub(crate) digest: u64,
    pub(crate) lines: String,
    pub(crate) requests: usize,
    /// Samples that were answered more than once.
    pub(crate) again: usize,
    pub(crate) changes: u64,
    /// How often each kind of thing went wrong.
    pub(crate) mishaps: BTreeMap<&'static str, u64>,
    pub(crate) took: Duration,
}

/// Returns the shape of the world with this seed.
pub(crate) fn shape(seed: u64, rules: Rules) -> Shape {
    let mut chance = Chance::of(seed, "shape");
    let domains = chance.within(2, 3);
    // Most worlds have 20 to 48 samples.
    let campaigns = if chance.percent(10) { 2 } else { 1 };
    Shape {
        seed,
        rules,
        rates: (0..domains)
            .map(|_| [50, 90, 120, 240][usize::try_from(chance.below(4)).unwrap()])
            .collect(),
        workers: chance.within(2, 3),
        campaigns: (0..campaigns).map(|_| 2 * chance.within(5, 8)).collect(),
        handoff: chance.percent(60),
        calm: chance.percent(12),
        trouble: [0, 5, 20][usize::try_from(chance.below(3)).unwrap()],
        flush: chance.millis(1_500, 7_000),
        // A window that starves is flushed more often.
        window_min: if chance.percent(20) { 6 } else { 30 },
        // Files of many columns are what a world costs most, so that few are compacted.
        compact_files: if chance.percent(10) { 5 } else { 48 },
        keeps_exchanges: chance.percent(10),
        version: |_| Version::Present,
        lines: Lines::Forgotten,
    }
}

/// Lives a world of this shape through.
pub(crate) fn live(shape: Shape) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        // What other threads finish comes when nothing else is left to do at that moment.
        .global_queue_interval(1 << 30)
        .build()
        .unwrap();
    let report = runtime.block_on(Box::pin(lived(shape)));
    runtime.shutdown_background();
    report
}

async fn lived(shape: Shape) -> Report {
    let begun = Instant::now();
    let mut world = World::new(shape);
    let mut to_come: BTreeMap<(Instant, usize), Fault> = BTreeMap::new();
    for (number, (at, fault)) in schedule(&world.shape).into_iter().enumerate() {
        to_come.insert((begun + at, number), fault);
    }
    let mut broken = Vec::new();
    let mut again = 0;
    let campaigns = world.shape.campaigns.len();
    let mut open: Vec<usize> = (0..campaigns).collect();
    while !(open.is_empty() && to_come.is_empty()) {
        let look_at = Instant::now() + LOOK_EVERY;
        let next = to_come.first_key_value().map(|((at, _), _)| *at);
        tokio::time::sleep_until(next.map_or(look_at, |at| at.min(look_at))).await;
        while let Some(entry) = to_come
            .first_entry()
            .filter(|entry| entry.key().0 <= Instant::now())
        {
            let ((_, number), fault) = entry.remove_entry();
            if let Err(again) = world.suffer(&fault).await {
                to_come.insert((Instant::now() + Duration::from_secs(1), number), again);
            }
        }
        let mut left = Vec::new();
        for number in open {
            let state = world.state(number).await;
            if state != Some(State::Sealed) {
                left.push(number);
            }
            // Who hears nothing submits again: a broker may forget what nobody took up.
            if state.is_none() && begun.elapsed() > AGAIN * (again + 1) {
                again += 1;
                to_come.insert((Instant::now(), usize::MAX - number), Fault::Submit(number));
            }
        }
        open = left;
        if begun.elapsed() > END {
            broken.push(format!(
                "campaigns {open:?} do not end; to come: {to_come:?}"
            ));
            break;
        }
    }
    for number in (0..campaigns).filter(|number| !open.contains(number)) {
        broken.extend(check::complete_and_unique(&world, number).await);
    }
    judged(world, broken, begun.elapsed()).await
}

/// Ends a world and returns what came of it, beside what is already known to be broken.
async fn judged(mut world: World, mut broken: Vec<String>, took: Duration) -> Report {
    for name in world.names() {
        if !world.stop(&name).await {
            broken.push(format!("{name} does not stop"));
        }
    }
    let told = world.journal.take();
    let durable = check::durable(&told.stored);
    broken.extend(check::acknowledged_after_durable(&told, &durable));
    broken.extend(check::never_faster(&told, &world.shape.rates));
    broken.extend(check::asked_once_per_life(&told));
    broken.extend(check::published_only_open(&told, &durable));
    broken.extend(check::paid_once(&told, world.shape.calm));
    if told.rejected > 0 {
        broken.push(format!("{} messages were rejected", told.rejected));
    }
    let mut answered = std::collections::BTreeSet::new();
    let complete = told
        .requests
        .iter()
        .filter(|request| request.answered.is_some());
    Report {
        seed: world.shape.seed,
        broken,
        digest: told.digest(),
        lines: told.lines().to_owned(),
        requests: told.requests.len(),
        again: complete
            .filter(|request| !answered.insert(request.sample))
            .count(),
        changes: told.changes,
        mishaps: told.mishaps,
        took,
    }
}
