//! What is written and fsynced together, and how those who wait learn of it.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_arrives_one_after_the_other_shares_writes_and_waits_no_longer_for_it() {
    const RECORDS: i64 = 200;
    let (spool, (_dir, store)) = (tempfile::tempdir().unwrap(), local_store());
    let disk = FaultyDisk::new(1 << 30);
    let bench = bench_on(Box::new(disk.clone()), spool.path(), store, settings());
    let begun = tokio::time::Instant::now();
    let before = disk.left();
    let mut appends = Vec::new();
    for index in 0..RECORDS {
        let writer = bench.writer.clone();
        let record = Box::new(answer(u64::try_from(index).unwrap(), "text"));
        appends.push(tokio::spawn(async move { writer.append(record).await }));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for append in appends {
        append.await.unwrap().unwrap();
    }
    let writes = (before - disk.left()) / 2;
    assert!((2..=RECORDS / 3).contains(&writes), "{writes} writes");
    let longest = begun.elapsed().saturating_sub(Duration::from_millis(200));
    assert!(longest <= Duration::from_millis(10), "{longest:?}");
    // One that comes alone is written at once.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = tokio::time::Instant::now();
    bench.append(answer(999, "text")).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[test]
fn those_who_wait_learn_of_it_with_and_without_a_runtime() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    let group = || {
        let pairs = (0..3).map(|_| oneshot::channel());
        pairs.unzip::<_, _, Vec<_>, Vec<_>>()
    };
    let alone = Confirmations::through_this_runtime();
    let own = runtime();
    let within = own.block_on(async { Confirmations::through_this_runtime() });
    for confirmations in [&alone, &within] {
        let (done, waiting) = group();
        confirmations.tell(done);
        for told in waiting {
            assert!(own.block_on(told).unwrap().is_ok());
        }
    }
    // Its runtime is gone: they are told all the same.
    drop(own);
    let (done, waiting) = group();
    within.tell(done);
    for told in waiting {
        assert!(runtime().block_on(told).unwrap().is_ok());
    }
}
