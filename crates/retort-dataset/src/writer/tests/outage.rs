//! A store that fails in every way and is then gone for an hour: nothing is lost, nothing half is
//! seen, and nothing new is started once the spool is as full as it may be.

use std::collections::BTreeSet;

use super::*;
use crate::testing::faults::{Fault, Operation, faulty};

/// How long each kind of trouble lasts; the last one is the hour.
const TROUBLE: Duration = Duration::from_secs(20);

/// What the store does at a time: fails, does it without saying so, is slow, is gone, works.
fn weather(since: Duration) -> Fault {
    let hour = Duration::from_hours(1);
    if since < TROUBLE {
        Fault::Refused
    } else if since < TROUBLE * 2 {
        Fault::Unheard
    } else if since < TROUBLE * 3 {
        Fault::Slow(Duration::from_secs(3))
    } else if since < TROUBLE * 3 + hour {
        Fault::Refused
    } else {
        Fault::None
    }
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_the_store_loses_nothing_and_pauses_new_starts() {
    let spool = tempfile::tempdir().unwrap();
    let memory = Store::over(Arc::new(InMemory::new()), "memory:");
    let begun = tokio::time::Instant::now();
    let store = faulty(&memory, move |_, operation| match operation {
        Operation::Put => weather(begun.elapsed()),
        Operation::Get | Operation::List | Operation::Delete | Operation::Copy => Fault::None,
    });
    let limit = 256 << 10;
    let settings = WriterSettings {
        spool_max_bytes: NonZeroU64::new(limit).unwrap(),
        flush_every: HumanDuration(Duration::from_secs(2)),
        ..settings()
    };
    let mut bench = bench_on(Box::new(RealDisk), spool.path(), store, settings);
    let (mut asked, mut stalled_since, mut committed) = (0, None, BTreeSet::new());
    let text = "x".repeat(1_000);
    while begun.elapsed() < TROUBLE * 3 + Duration::from_mins(50) {
        if bench.writer.is_stalled() {
            stalled_since.get_or_insert(asked);
        } else {
            // What a worker does with every reply.
            bench.append(answer(asked, &text)).await;
            asked += 1;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        while let Ok(commit) = bench.committed.try_recv() {
            committed.extend(commit.records().iter().map(|record| record.index));
        }
        let status = bench.writer.status();
        assert!(status.spool_bytes <= limit, "{status:?}");
    }
    assert_eq!(stalled_since, Some(asked), "nothing was started any more");
    assert!(asked > 100, "{asked}");
    let status = bench.writer.status();
    assert!(
        status.store_failing.is_some() && status.stalled.is_none(),
        "{status:?}"
    );

    // Room for what was in the air is left: these are spooled although nothing new is started.
    for _ in 0..4 {
        bench.append(answer(asked, &text)).await;
        asked += 1;
    }
    bench.writer.flush().await.unwrap();
    assert!(begun.elapsed() > TROUBLE * 3 + Duration::from_hours(1));
    assert!(!bench.writer.is_stalled());
    while let Ok(commit) = bench.committed.try_recv() {
        committed.extend(commit.records().iter().map(|record| record.index));
    }
    assert_eq!(committed, (0..asked).collect());
    // Every object is whole, and every reply is in one.
    let found: BTreeSet<_> = samples(&memory, Table::Responses)
        .await
        .into_iter()
        .collect();
    assert_eq!(found.len() as u64, asked);
    bench.writer.close().await.unwrap();
    assert_eq!(
        std::fs::read_dir(spool.path()).unwrap().count(),
        1,
        "only the lock"
    );
}
