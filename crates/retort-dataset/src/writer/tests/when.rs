//! When records are written, and when they are stored.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_record_is_stored_after_the_set_time_unasked() {
    let spool = tempfile::tempdir().unwrap();
    let (_, store) = memory(i64::MAX);
    let mut bench = bench(spool.path(), store.clone());
    let begun = tokio::time::Instant::now();
    bench.append(answer(0, "x")).await;
    assert_eq!(bench.writer.status().pending_records, 1);
    assert_eq!(bench.indices().await, [0]);
    let waited = begun.elapsed();
    assert!(
        waited >= Duration::from_secs(5) && waited < Duration::from_secs(6),
        "{waited:?}"
    );
    assert_eq!(samples(&store, Table::Responses).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_arrives_soon_after_a_write_shares_the_next_one() {
    let spool = tempfile::tempdir().unwrap();
    let (_, store) = memory(i64::MAX);
    let disk = FaultyDisk::new(100);
    let bench = bench_on(Box::new(disk.clone()), spool.path(), store, settings());
    let begun = tokio::time::Instant::now();
    bench.append(answer(0, "x")).await;
    assert_eq!(
        begun.elapsed(),
        Duration::ZERO,
        "nothing was written before"
    );
    let later = (1..4).map(|n| {
        let writer = bench.writer.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(n)).await;
            writer.append(Box::new(answer(n, "x"))).await
        })
    });
    for done in futures_util::future::join_all(later).await {
        done.unwrap().unwrap();
    }
    let waited = begun.elapsed();
    assert!(waited < Duration::from_millis(10), "{waited:?}");
    // The file was made; then there were two writes, each with its fsync.
    assert_eq!(100 - disk.left(), 5);
}

#[tokio::test(start_paused = true)]
async fn enough_rows_or_bytes_are_stored_at_once() {
    let few = WriterSettings {
        flush_rows: NonZeroUsize::new(2).unwrap(),
        ..settings()
    };
    let small = WriterSettings {
        flush_bytes: NonZeroU64::new(1_500).unwrap(),
        ..settings()
    };
    for settings in [few, small] {
        let spool = tempfile::tempdir().unwrap();
        let (_, store) = memory(i64::MAX);
        let mut bench = bench_on(Box::new(RealDisk), spool.path(), store, settings);
        let begun = tokio::time::Instant::now();
        bench.append(answer(0, "x")).await;
        bench.append(answer(1, "x")).await;
        assert_eq!(bench.indices().await, [0, 1]);
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}
