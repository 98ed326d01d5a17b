//! The writer: flushes, failing stores and disks, restarts.

mod compaction;
mod outage;
mod when;

use object_store::memory::InMemory;
use retort_types::record::KeptExchange;
use retort_types::{CampaignId, Outcome};
use tokio::task::JoinHandle;

use super::*;
use crate::schema::Table;
use crate::segment::{SegmentName, Source, read};
use crate::testing::faults::Failing;
use crate::testing::{FaultyDisk, Standing, answer, attempt, cell, local_store, with_tokens};

/// A writer on the test's own runtime, so that its time is the test's.
struct Bench {
    writer: Writer,
    committed: mpsc::Receiver<Committed>,
    recovered: Recovered,
    work: JoinHandle<()>,
}

fn settings() -> WriterSettings {
    WriterSettings::default()
}

fn bench_on(disk: Box<dyn Disk>, dir: &Path, store: Store, settings: WriterSettings) -> Bench {
    let parts = Parts {
        store,
        worker_id: "worker-1".to_owned(),
        settings,
        clock: Arc::new(Standing),
        confirmations: Confirmations::default(),
    };
    let (writer, committed, recovered, work) = Writer::prepare(disk, dir, parts).expect("a writer");
    Bench {
        writer,
        committed,
        recovered,
        work: tokio::spawn(work.run()),
    }
}

fn bench(dir: &Path, store: Store) -> Bench {
    bench_on(Box::new(RealDisk), dir, store, settings())
}

fn memory(left: i64) -> (Failing, Store) {
    Failing::over(Arc::new(InMemory::new()), left)
}

impl Bench {
    async fn append(&self, record: AttemptRecord) {
        self.writer
            .append(Box::new(record))
            .await
            .expect("a confirmed record");
    }

    /// Ends the writer as a kill does.
    async fn kill(self) {
        self.work.abort();
        assert!(self.work.await.is_err_and(|error| error.is_cancelled()));
    }

    async fn indices(&mut self) -> Vec<u64> {
        let committed = self.committed.recv().await.expect("a commit");
        committed
            .records()
            .iter()
            .map(|record| record.index)
            .collect()
    }
}

async fn samples(store: &Store, table: Table) -> Vec<String> {
    let mut found = Vec::new();
    for path in store.list("campaigns").await.expect("a listing") {
        if SegmentName::parse(&path).is_some_and(|(_, of)| of == table) {
            let source = Source::open(store, &path).await.expect("a file");
            for batch in read(source, &path, table, &["sample_id"]).expect("a reader") {
                let batch = batch.expect("a batch");
                found.extend((0..batch.num_rows()).map(|row| cell(&batch, "sample_id", row)));
            }
        }
    }
    found.sort();
    found
}

fn ids(records: &[AttemptRecord]) -> Vec<String> {
    let mut ids: Vec<_> = records
        .iter()
        .map(|r| r.sample.sample_id.to_string())
        .collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn a_writer_with_its_thread_stores_reports_and_cleans_up() {
    let spool = tempfile::tempdir().unwrap();
    let (_dir, store) = local_store();
    let clock = Arc::new(Standing);
    let (writer, mut committed, recovered) =
        Writer::start(spool.path(), store.clone(), "w/1", settings(), clock).unwrap();
    assert_eq!(recovered, Recovered::default());
    let retry = attempt(1, 1, Outcome::Overloaded);
    let records = [
        answer(0, "zero"),
        retry,
        with_tokens(answer(2, "two"), &["t", "wo"]),
    ];
    let all = records
        .iter()
        .map(|record| writer.append(Box::new(record.clone())));
    for done in futures_util::future::join_all(all).await {
        done.unwrap();
    }
    writer.flush().await.unwrap();
    let commit = committed.recv().await.unwrap();
    assert_eq!(commit.records().len(), 3);
    assert_eq!(commit.records()[1].final_outcome, None);
    assert_eq!(commit.records()[0].cost_usd, Some(0.25));
    let tables: Vec<_> = commit
        .segments()
        .iter()
        .map(|s| (s.path.clone(), s.rows))
        .collect();
    for ((path, rows), (table, expected)) in
        tables
            .iter()
            .zip([("tokens", 2), ("attempts", 3), ("responses", 2)])
    {
        assert!(path.ends_with(&format!(".{table}.parquet")), "{path}");
        assert_eq!(*rows, expected, "{path}");
        assert!(
            path.starts_with("campaigns/test/segments/date=2026-11-24/w-1-"),
            "{path}"
        );
    }
    for segment in commit.segments() {
        let bytes = store.get(&segment.path).await.unwrap();
        assert_eq!(retort_types::Digest::of(&bytes), segment.sha256);
    }
    let status = writer.status();
    assert_eq!((status.stored_records, status.stored_segments), (3, 3));
    writer.clone().close().await.unwrap();
    let error = writer
        .append(Box::new(answer(3, "late")))
        .await
        .unwrap_err();
    assert!(matches!(error, SpoolError::Closed));
    assert!(matches!(
        writer.flush().await.unwrap_err(),
        DatasetError::Closed
    ));
    assert_eq!(samples(&store, Table::Attempts).await, ids(&records));
    assert_eq!(
        std::fs::read_dir(spool.path()).unwrap().count(),
        1,
        "the lock is left"
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_tried_until_it_works() {
    let spool = tempfile::tempdir().unwrap();
    let (failing, store) = memory(0);
    let mut bench = bench(spool.path(), store.clone());
    bench.append(answer(0, "x")).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    let status = bench.writer.status();
    let trouble = status.store_failing.unwrap();
    assert!(
        trouble.reason.contains("out of order"),
        "{}",
        trouble.reason
    );
    assert!(
        !bench.writer.is_stalled(),
        "the spool takes records meanwhile"
    );
    for n in 1..6 {
        bench.append(answer(n, "x")).await;
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
    assert_eq!(samples(&store, Table::Responses).await.len(), 0);
    failing.allow(i64::MAX);
    bench.writer.flush().await.unwrap();
    let mut reported = Vec::new();
    while let Ok(committed) = bench.committed.try_recv() {
        reported.extend(committed.records().iter().map(|record| record.index));
    }
    assert_eq!(reported, [0, 1, 2, 3, 4, 5]);
    assert_eq!(bench.writer.status().store_failing, None);
    assert_eq!(bench.writer.status().spool_bytes, 0);
    let expected: Vec<_> = (0..6).map(|n| answer(n, "x")).collect();
    assert_eq!(samples(&store, Table::Responses).await, ids(&expected));
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_is_waited_for() {
    for good in [0, 1, 2] {
        let spool = tempfile::tempdir().unwrap();
        let (_, store) = memory(i64::MAX);
        let disk = FaultyDisk::new(good);
        let mut bench = bench_on(Box::new(disk.clone()), spool.path(), store, settings());
        let writer = bench.writer.clone();
        let append = tokio::spawn(async move { writer.append(Box::new(answer(0, "x"))).await });
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(!append.is_finished());
        assert!(bench.writer.is_stalled());
        let trouble = bench.writer.status().stalled.unwrap();
        assert!(
            trouble.reason.starts_with("failed to"),
            "{}",
            trouble.reason
        );
        assert_eq!(bench.writer.status().waiting_records, 1);
        disk.allow(i64::MAX);
        append.await.unwrap().unwrap();
        assert!(!bench.writer.is_stalled());
        assert_eq!(bench.indices().await, [0]);
        assert!(
            bench.committed.try_recv().is_err(),
            "each record is reported once"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_spool_makes_appending_wait_for_the_store() {
    let spool = tempfile::tempdir().unwrap();
    let (failing, store) = memory(0);
    let settings = WriterSettings {
        spool_max_bytes: NonZeroU64::new(2_000).unwrap(),
        ..settings()
    };
    let mut bench = bench_on(Box::new(RealDisk), spool.path(), store, settings);
    bench.append(answer(0, "x")).await;
    let writers: Vec<_> = (1..4)
        .map(|n| {
            let writer = bench.writer.clone();
            tokio::spawn(async move { writer.append(Box::new(answer(n, "x"))).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert!(bench.writer.is_stalled());
    let trouble = bench.writer.status().stalled.unwrap();
    assert!(
        trouble.reason.contains("the spool is full"),
        "{}",
        trouble.reason
    );
    failing.allow(i64::MAX);
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    bench.writer.flush().await.unwrap();
    let mut reported = Vec::new();
    while let Ok(committed) = bench.committed.try_recv() {
        reported.extend(committed.records().iter().map(|record| record.index));
    }
    assert_eq!(reported, [0, 1, 2, 3]);
    assert!(!bench.writer.is_stalled());
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_writer_confirmed_is_stored_by_the_next() {
    let spool = tempfile::tempdir().unwrap();
    let (_, store) = memory(i64::MAX);
    let first = bench(spool.path(), store.clone());
    first.append(answer(0, "x")).await;
    first.append(answer(1, "y")).await;
    first.kill().await;
    assert_eq!(samples(&store, Table::Responses).await.len(), 0);
    let mut second = bench(spool.path(), store.clone());
    assert_eq!((second.recovered.files, second.recovered.records), (1, 2));
    assert_eq!(second.indices().await, [0, 1]);
    second.writer.flush().await.unwrap();
    second.kill().await;
    let third = bench(spool.path(), store.clone());
    assert_eq!(third.recovered, Recovered::default());
    assert_eq!(samples(&store, Table::Responses).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn closing_stores_what_is_there_or_leaves_it_in_the_spool() {
    let spool = tempfile::tempdir().unwrap();
    let (failing, store) = memory(0);
    let first = bench(spool.path(), store.clone());
    first.append(answer(0, "x")).await;
    let error = first.writer.close().await.unwrap_err();
    assert!(matches!(error, DatasetError::Store(_)), "{error}");
    first.work.await.unwrap();
    failing.allow(i64::MAX);
    let mut second = bench(spool.path(), store.clone());
    assert_eq!(second.recovered.records, 1);
    second.append(answer(1, "y")).await;
    second.writer.clone().close().await.unwrap();
    assert_eq!(second.indices().await, [0]);
    assert_eq!(second.indices().await, [1]);
    assert!(second.committed.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn dropping_every_handle_stores_what_is_there() {
    let spool = tempfile::tempdir().unwrap();
    let (_, store) = memory(i64::MAX);
    let bench = bench(spool.path(), store.clone());
    bench.append(answer(0, "x")).await;
    drop(bench.writer);
    drop(bench.committed);
    bench.work.await.unwrap();
    assert_eq!(samples(&store, Table::Responses).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn campaigns_have_segments_of_their_own() {
    let spool = tempfile::tempdir().unwrap();
    let (_, store) = memory(i64::MAX);
    let mut bench = bench(spool.path(), store.clone());
    let mut other = answer(1, "y");
    Arc::make_mut(&mut other.sample).campaign = CampaignId::new("other").unwrap();
    bench.append(answer(0, "x")).await;
    bench.append(other).await;
    bench.writer.flush().await.unwrap();
    assert_eq!(bench.indices().await, [0, 1]);
    for campaign in ["test", "other"] {
        let files = store
            .list(&format!("campaigns/{campaign}/segments"))
            .await
            .unwrap();
        assert_eq!(files.len(), 2, "{files:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn numbers_that_json_cannot_carry_are_kept_within_its_range() {
    let spool = tempfile::tempdir().unwrap();
    let (_, store) = memory(i64::MAX);
    let first = bench(spool.path(), store.clone());
    let mut record = with_tokens(answer(0, "x"), &["a", "b"]);
    record.reply.tokens[0].logprob = Some(f32::NEG_INFINITY);
    record.reply.tokens[1].logprob = Some(f32::NAN);
    record.reply.tokens[1].top = vec![retort_types::reply::TopToken {
        logprob: f32::NEG_INFINITY,
        ..retort_types::reply::TopToken::default()
    }];
    record.cost_usd = Some(f64::NAN);
    record.timing.itl_ms = vec![f32::INFINITY];
    first.append(record).await;
    first.kill().await;
    let second = bench(spool.path(), store.clone());
    assert_eq!(
        (second.recovered.records, second.recovered.damaged_bytes),
        (1, 0)
    );
    second.writer.flush().await.unwrap();
    let files = store.list("campaigns").await.unwrap();
    let path = files.iter().find(|path| path.contains(".tokens.")).unwrap();
    let source = Source::open(&store, path).await.unwrap();
    let batch = read(source, path, Table::Tokens, &[])
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(cell(&batch, "logprob", 0), format!("{:?}", f32::MIN));
    assert_eq!(cell(&batch, "logprob", 1), "null");
}

#[test]
fn settings_have_units_and_know_their_names() {
    let parsed: WriterSettings = serde_json::from_str(r#"{"flush_every":"2s"}"#).unwrap();
    assert_eq!(parsed.flush_every, HumanDuration(Duration::from_secs(2)));
    assert_eq!(parsed.flush_rows, settings().flush_rows);
    for wrong in [r#"{"flush_evry":"2s"}"#, r#"{"flush_rows":0}"#] {
        assert!(
            serde_json::from_str::<WriterSettings>(wrong).is_err(),
            "{wrong}"
        );
    }
}

/// Returns an answer with an exchange, and the records of that.
fn with_exchange(index: u64) -> (AttemptRecord, bytes::Bytes) {
    let mut record = answer(index, "an answer");
    let records = bytes::Bytes::from(format!("the records of exchange {index}"));
    record.exchange = Some(KeptExchange::Records(records.clone()));
    (record, records)
}

/// Reads the exchanges that the rows of `attempts` point to.
async fn exchanges(store: &Store) -> Vec<bytes::Bytes> {
    let mut found = Vec::new();
    for path in store.list("campaigns/test/segments").await.unwrap() {
        let Some((_, Table::Attempts)) = SegmentName::parse(&path) else {
            continue;
        };
        let source = Source::open(store, &path).await.unwrap();
        for batch in read(source, &path, Table::Attempts, &[]).unwrap() {
            let batch = batch.unwrap();
            for row in 0..batch.num_rows() {
                let number = |name: &str| cell(&batch, name, row).parse::<u64>().unwrap();
                let (from, length) = (number("exchange_offset"), number("exchange_length"));
                let file = format!("campaigns/test/{}", cell(&batch, "exchange_file", row));
                let bytes = store.get_range(&file, from..from + length).await.unwrap();
                let digest = retort_types::Digest::of(&bytes).to_string();
                assert_eq!(cell(&batch, "exchange_sha256", row), digest);
                found.push(bytes);
            }
        }
    }
    found.sort();
    found
}

#[tokio::test(start_paused = true)]
async fn rows_point_to_exchanges_that_are_stored_before_them() {
    let dir = tempfile::tempdir().unwrap();
    // The first write is the exchanges', and it is the only one that passes.
    let (failing, store) = memory(1);
    let mut bench = bench(dir.path(), store.clone());
    let (first, second) = (with_exchange(0), with_exchange(1));
    bench.append(first.0).await;
    bench.append(second.0).await;
    let flush = bench.writer.clone();
    let flush = tokio::spawn(async move { flush.flush().await });
    let stored = loop {
        let stored = store.list("campaigns/test").await.unwrap();
        if !stored.is_empty() {
            break stored;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert!(
        stored.iter().all(|path| path.ends_with(".warc.gz")),
        "{stored:?}"
    );
    failing.allow(i64::MAX);
    bench.indices().await;
    flush.await.unwrap().unwrap();
    assert_eq!(exchanges(&store).await, [first.1, second.1]);
}

#[tokio::test]
async fn a_kill_loses_no_confirmed_exchange() {
    let dir = tempfile::tempdir().unwrap();
    let (_, failing) = memory(0);
    let killed = bench(dir.path(), failing);
    let (record, records) = with_exchange(0);
    killed.append(record).await;
    killed.kill().await;
    let (_, store) = memory(i64::MAX);
    let mut bench = bench(dir.path(), store.clone());
    assert_eq!(bench.recovered.records, 1);
    assert_eq!(bench.indices().await, [0]);
    assert_eq!(exchanges(&store).await, [records]);
}
