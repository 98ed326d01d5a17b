//! A cluster of three brokers on this machine: the node that leads the queues dies, or stands still.
//! Clients are connected to another node, which goes on.

use std::time::{Duration, Instant};

use retort_broker::{AmqpBroker, AmqpSettings, Broker as _, Queue};
use retort_types::DomainId;
use serde_json::json;

use crate::processes::Fleet;
use crate::rabbit::Rabbit;
use crate::{peak_max, told};

const PER_SECOND: u64 = 30;

/// How long a node stands still.
const FROZEN: Duration = Duration::from_secs(30);

const QUEUE: &str = "probes.p0";

/// Declares queues through this node, which leads them from then on.
fn lead(fleet: &Fleet, node: &Rabbit) {
    let mut settings = AmqpSettings::default();
    settings.url = fleet.url_at(node.address).parse().unwrap();
    fleet.runtime.block_on(async {
        let broker = AmqpBroker::start(settings).unwrap();
        let probes = Queue::Probes(DomainId::new("p0").unwrap());
        for queue in [probes, Queue::Receipts, Queue::Submissions] {
            broker.declare(&queue).await.unwrap();
        }
        broker.close().await;
    });
    let leader = format!("retort-{}@localhost", node.address.port());
    assert!(
        leader_of(fleet).contains(&leader),
        "`{QUEUE}` is not led by {leader}: {}",
        leader_of(fleet)
    );
}

fn leader_of(fleet: &Fleet) -> String {
    let list = ["list_queues", "-p", &fleet.vhost, "--no-table-headers"];
    let listed = fleet
        .rabbit
        .ctl(&[&list[..], &["name", "leader", "members"][..]].concat());
    let line = listed.lines().find(|line| line.starts_with(QUEUE));
    line.unwrap_or_default()
        .split('\t')
        .nth(1)
        .unwrap_or_default()
        .to_owned()
}

/// Returns the longest time in which nothing was asked, within `time`.
fn gap(fleet: &Fleet, time: Duration) -> Duration {
    let (begun, mut since) = (Instant::now(), Instant::now());
    let (mut seen, mut longest) = (fleet.served(), Duration::ZERO);
    while begun.elapsed() < time {
        std::thread::sleep(Duration::from_millis(10));
        if fleet.served() != seen {
            longest = longest.max(since.elapsed());
            (seen, since) = (fleet.served(), Instant::now());
        }
    }
    longest.max(since.elapsed())
}

/// Carries out a campaign through one node while something happens to the one that leads.
fn survives(
    nodes: &[Rabbit; 3],
    vhost: &str,
    fault: &str,
    act: impl FnOnce(&Rabbit, &Fleet) -> Duration,
) {
    let leader = &nodes[1];
    let limits = json!({ "requests_per_minute": PER_SECOND * 60 });
    let fleet = Fleet::over(nodes[0].again(), vhost, &[limits], 50);
    lead(&fleet, leader);
    let _coordinator = fleet.coordinator("c0");
    let _workers = [fleet.worker("w0"), fleet.worker("w1")];
    fleet.submit("test", 150, 12);
    fleet.wait_for_served(200);
    let gap = act(leader, &fleet);
    fleet.sealed("test", 1_800);
    let (peak, twice) = (fleet.peak(), fleet.paid_twice());
    assert!(
        peak <= peak_max(PER_SECOND),
        "{peak} requests within a second"
    );
    fleet.assert_paid_once(1_800);
    told(
        fault,
        &format!(
            "1,800 of 1,800 rows, {twice} asked twice; nothing was asked for {gap:.1?} at most; \
             {peak} requests within the busiest second of {PER_SECOND}"
        ),
    );
}

#[test]
fn the_node_that_leads_dies_and_stands_still() {
    let first = Rabbit::own();
    let nodes = [first.again(), first.join(), first.join()];
    survives(
        &nodes,
        "leader-killed",
        "5 leader of three nodes killed",
        |leader, fleet| {
            leader.act("kill");
            let gap = gap(fleet, Duration::from_secs(15));
            leader.act("start");
            gap
        },
    );
    // Whatever it missed is its own again before the next fault.
    std::thread::sleep(Duration::from_secs(10));
    survives(
        &nodes,
        "leader-hung",
        "5 leader of three nodes stands still for 30 s",
        |leader, fleet| {
            leader.act("freeze");
            let gap = gap(fleet, FROZEN);
            leader.act("thaw");
            gap
        },
    );
    drop(nodes);
    drop(first);
}
