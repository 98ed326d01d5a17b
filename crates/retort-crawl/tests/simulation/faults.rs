//! What happens to a world, and when: drawn from its seed before it begins.

use std::time::Duration;

use retort_broker::{Broker as _, Queue};
use retort_crawl::control::Wish;
use retort_types::DomainId;
use tokio::time::Instant;

use crate::chance::Chance;
use crate::world::{Shape, World};

/// One thing that happens.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// A process is killed; the broker notices after `noticed`.
    Kill { name: String, noticed: Duration },
    /// A process is told to stop.
    Stop { name: String },
    /// A process is started.
    Start { name: String },
    /// A process loses its connection silently.
    Lose {
        name: String,
        by_broker: Duration,
        by_process: Duration,
        healed: Duration,
    },
    /// Every session of a queue ends.
    Cut(Queue),
    /// The broker is gone.
    Interrupt,
    /// The broker is back.
    Restore,
    /// The broker forgets everything.
    Wipe,
    /// What waits in a queue is deleted.
    Purge(Queue),
    /// The store fails.
    StoreFails(Duration),
    /// The store is slow.
    StoreSlow(Duration),
    /// Every provider fails.
    ProvidersFail(Duration),
    /// A campaign is submitted, perhaps again.
    Submit(usize),
    /// A person wishes something of a campaign.
    Wish(usize, Wish),
}

/// What happens, in order of time since the beginning.
pub(crate) type Schedule = Vec<(Duration, Fault)>;

fn queue(chance: &mut Chance, shape: &Shape, with_receipts: bool) -> Queue {
    let domains = shape.rates.len() as u64;
    let number = chance.below(domains + u64::from(with_receipts));
    if number == domains {
        return Queue::Receipts;
    }
    Queue::Probes(DomainId::new(&format!("p{number}")).unwrap())
}

/// Returns what happens to a world of this shape.
pub(crate) fn schedule(shape: &Shape) -> Schedule {
    let mut chance = Chance::of(shape.seed, "faults");
    let mut schedule = Schedule::new();
    for name in ["c1".to_owned(), "c2".to_owned()]
        .into_iter()
        .chain((0..shape.workers).map(worker))
    {
        schedule.push((chance.millis(0, 2_500), Fault::Start { name }));
    }
    for number in 0..shape.campaigns.len() {
        schedule.push((chance.millis(100, 4_000), Fault::Submit(number)));
        if chance.percent(20) {
            schedule.push((chance.millis(100, 30_000), Fault::Submit(number)));
        }
    }
    let faults = if shape.calm {
        chance.within(1, 3)
    } else {
        chance.below(6)
    };
    for _ in 0..faults {
        let at = chance.millis(2_000, 26_000);
        if shape.calm {
            let name = worker(chance.below(shape.workers));
            schedule.push((at, Fault::Stop { name: name.clone() }));
            schedule.push((at + chance.millis(100, 15_000), Fault::Start { name }));
        } else {
            draw(&mut chance, shape, at, &mut schedule);
        }
    }
    schedule.sort_by_key(|(at, _)| *at);
    schedule
}

fn worker(number: u64) -> String {
    format!("w{number}")
}

fn draw(chance: &mut Chance, shape: &Shape, at: Duration, schedule: &mut Schedule) {
    let process = |chance: &mut Chance| {
        if chance.percent(25) {
            format!("c{}", chance.within(1, 2))
        } else {
            worker(chance.below(shape.workers))
        }
    };
    let kind = chance.below(15);
    match kind {
        0..=2 => {
            let name = process(chance);
            let late = chance.percent(50);
            let noticed = if late {
                chance.millis(1_000, 12_000)
            } else {
                Duration::ZERO
            };
            schedule.push((
                at,
                Fault::Kill {
                    name: name.clone(),
                    noticed,
                },
            ));
            schedule.push((at + chance.millis(100, 15_000), Fault::Start { name }));
        }
        3 => {
            let name = process(chance);
            schedule.push((at, Fault::Stop { name: name.clone() }));
            schedule.push((at + chance.millis(100, 15_000), Fault::Start { name }));
        }
        4..=6 => {
            let name = process(chance);
            schedule.push((at, lost(chance, name)));
        }
        _ => draw_around(kind, chance, shape, at, schedule),
    }
}

/// Draws how a connection is lost. Half of the time its broker notices almost at once and its process
/// late: meanwhile there is another owner, and the former one does not know of it.
fn lost(chance: &mut Chance, name: String) -> Fault {
    if chance.percent(50) {
        return Fault::Lose {
            name,
            by_broker: chance.millis(0, 1_000),
            by_process: chance.millis(8_000, 12_000),
            healed: chance.millis(12_000, 20_000),
        };
    }
    Fault::Lose {
        name,
        by_broker: chance.millis(0, 12_000),
        by_process: chance.millis(4_000, 20_000),
        healed: chance.millis(500, 30_000),
    }
}

/// Draws what happens to what lies between processes.
fn draw_around(
    kind: u64,
    chance: &mut Chance,
    shape: &Shape,
    at: Duration,
    schedule: &mut Schedule,
) {
    match kind {
        7 => schedule.push((at, Fault::Cut(queue(chance, shape, true)))),
        8 => {
            schedule.push((at, Fault::Interrupt));
            schedule.push((at + chance.millis(200, 15_000), Fault::Restore));
        }
        9 => schedule.push((at, Fault::Wipe)),
        10 => {
            for _ in 0..chance.within(1, 3) {
                schedule.push((at, Fault::Purge(queue(chance, shape, true))));
            }
        }
        11 => {
            let fails = chance.percent(50);
            let time = chance.millis(500, 15_000);
            let fault = if fails {
                Fault::StoreFails(time)
            } else {
                Fault::StoreSlow(time)
            };
            schedule.push((at, fault));
        }
        12 => {
            let number = usize::try_from(chance.below(shape.campaigns.len() as u64)).unwrap();
            schedule.push((at, Fault::Wish(number, Wish::Pause)));
            schedule.push((
                at + chance.millis(500, 20_000),
                Fault::Wish(number, Wish::Resume),
            ));
        }
        13 if chance.percent(30) => {
            let number = usize::try_from(chance.below(shape.campaigns.len() as u64)).unwrap();
            schedule.push((at, Fault::Wish(number, Wish::Cancel)));
        }
        _ => schedule.push((at, Fault::ProvidersFail(chance.millis(500, 6_000)))),
    }
}

impl Fault {
    /// Returns what goes wrong, unless nothing does.
    const fn kind(&self) -> Option<&'static str> {
        Some(match self {
            Self::Kill { noticed, .. } if noticed.is_zero() => "process killed",
            Self::Kill { .. } => "process killed, noticed late",
            Self::Stop { .. } => "process told to stop",
            Self::Lose { .. } => "connection lost silently",
            Self::Cut(_) => "sessions of a queue ended",
            Self::Interrupt => "broker away",
            Self::Wipe => "broker forgets everything",
            Self::Purge(_) => "queue purged",
            Self::StoreFails(_) => "store fails",
            Self::StoreSlow(_) => "store slow",
            Self::ProvidersFail(_) => "providers fail",
            Self::Wish(_, Wish::Pause) => "campaign paused",
            Self::Wish(_, Wish::Cancel) => "campaign cancelled",
            Self::Start { .. } | Self::Restore | Self::Submit(_) | Self::Wish(..) => return None,
        })
    }
}

impl World {
    /// Lets something happen; returns what must be tried again.
    pub(crate) async fn suffer(&mut self, fault: &Fault) -> Result<(), Fault> {
        self.journal.note(format_args!("{fault:?}"));
        if let Some(kind) = fault.kind() {
            self.journal.mishap(kind);
        }
        match fault {
            Fault::Kill { name, noticed } => self.kill(name, *noticed).await,
            Fault::Stop { name } => {
                let stopped = self.stop(name).await;
                assert!(stopped, "{name} did not stop within five minutes");
            }
            Fault::Start { name } => {
                if !self.start(name).await {
                    return Err(fault.clone());
                }
            }
            Fault::Lose {
                name,
                by_broker,
                by_process,
                healed,
            } => {
                if let Some(link) = self.link(name).filter(|link| !link.is_lost()) {
                    link.lose(*by_broker, *by_process, *healed);
                }
            }
            Fault::Cut(queue) => self.net.broker.cut(queue),
            Fault::Interrupt => self.net.broker.interrupt(),
            Fault::Restore => self.net.broker.restore(),
            Fault::Wipe => self.net.broker.wipe(),
            // What is not there now cannot be purged.
            Fault::Purge(queue) => drop(self.net.broker.purge(queue).await),
            Fault::StoreFails(time) => {
                self.weather(|weather| weather.failing_until = Some(Instant::now() + *time));
            }
            Fault::StoreSlow(time) => {
                self.weather(|weather| weather.slow_until = Some(Instant::now() + *time));
            }
            Fault::ProvidersFail(time) => self.providers.fail_for(*time),
            Fault::Wish(number, wish) => self.wish(*number, *wish).await,
            Fault::Submit(number) => {
                if !self.submit(*number).await {
                    return Err(fault.clone());
                }
            }
        }
        Ok(())
    }
}
