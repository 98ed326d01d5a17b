//! Compaction: the same rows in fewer files, whatever breaks off when, whoever reads meanwhile.

use std::collections::BTreeSet;

use super::super::compact::{Stored, Work, compact};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use super::super::flush::{Batch, ORDER, boxed};
use super::*;
use crate::segment::{Key, metadata, row_groups_with};
use crate::testing::faults::{Fault, faulty};
use crate::testing::{START, campaign_id, contents, plan_hash, seal_input};
use crate::{rebuild, seal};

const TOTAL: u64 = 8;

/// More steps than compacting, and than sealing, takes.
const STEPS_MAX: u64 = 200;

fn now(seconds: i64) -> retort_types::Timestamp {
    retort_types::Timestamp::from_micros(START + seconds * 1_000_000)
}

/// Stores a campaign in four flushes, one of them twice as after a crash, and returns what a
/// compactor knows of them.
async fn flushes(store: &Store) -> Work {
    let mut from = Vec::new();
    let mut group = None;
    for number in [0, 1, 2, 3, 1] {
        let retry = attempt(number * 2, 9, Outcome::Overloaded);
        let records = vec![
            with_tokens(answer(number * 2, "even"), &["a", "b"]),
            retry,
            answer(number * 2 + 1, "odd"),
        ];
        let seconds = i64::try_from(from.len()).unwrap();
        let batch = Batch::encode(boxed(records), "worker-1", now(seconds)).unwrap();
        batch.store(store).await.unwrap();
        for (of, stored) in batch.stored() {
            group = Some(of);
            from.push(stored);
        }
    }
    Work {
        group: group.unwrap(),
        from,
    }
}

fn again(work: &Work) -> Work {
    Work {
        group: work.group.clone(),
        from: work.from.clone(),
    }
}

fn memory_store() -> Store {
    Store::over(Arc::new(InMemory::new()), "memory:")
}

async fn root(store: &Store) -> retort_types::Digest {
    let sealed = seal(store, &seal_input(TOTAL), &|_| {}).await;
    sealed.unwrap_or_else(|error| panic!("{error}")).merkle_root
}

async fn ledger(store: &Store) -> Vec<(u64, Outcome)> {
    let mut rows = Vec::new();
    let mut note = |row: &crate::LedgerRow| rows.push((row.index, row.outcome));
    rebuild(store, &campaign_id(), plan_hash(), TOTAL, &mut note)
        .await
        .unwrap();
    rows
}

async fn done(store: &Store, work: &Work) -> Stored {
    compact(store, again(work), "worker-1", now(100))
        .await
        .unwrap()
}

#[tokio::test]
async fn the_same_rows_in_one_segment() {
    let store = memory_store();
    let work = flushes(&store).await;
    let (before, told) = (root(&store).await, ledger(&store).await);
    assert_eq!(
        samples(&store, Table::Responses).await.len(),
        10,
        "one flush twice"
    );
    let made = done(&store, &work).await;
    let left = contents(&store, "campaigns/test/segments").await;
    let names: BTreeSet<_> = left
        .keys()
        .filter_map(|path| SegmentName::parse(path))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        (left.len(), names),
        (3, BTreeSet::from([made.name.clone()]))
    );
    assert_eq!(
        samples(&store, Table::Responses).await.len(),
        8,
        "each attempt once"
    );
    assert_eq!(samples(&store, Table::Tokens).await.len(), 8);
    assert_eq!((root(&store).await, ledger(&store).await), (before, told));
    assert_eq!(
        made.bytes,
        left.values().map(|bytes| bytes.len() as u64).sum::<u64>()
    );
    assert!(
        made.name
            > work
                .from
                .iter()
                .map(|stored| stored.name.clone())
                .max()
                .unwrap()
    );
}

/// Returns every row of `table` in these files, one after another.
async fn rows_of(store: &Store, names: &[SegmentName], table: Table) -> RecordBatch {
    let mut batches = Vec::new();
    for name in names {
        let path = name.path(table);
        let source = Source::open(store, &path).await.unwrap();
        batches.extend(read(source, &path, table, &[]).unwrap().map(Result::unwrap));
    }
    concat_batches(&table.schema(), &batches).unwrap()
}

#[tokio::test]
async fn large_row_groups_are_taken_over_as_they_are() {
    const ROWS: u64 = 1_000;
    let store = memory_store();
    let (mut from, mut group) = (Vec::new(), None);
    for number in 0..2 {
        let records = (number * ROWS..(number + 1) * ROWS)
            .map(|index| with_tokens(answer(index, "text"), &["a"]))
            .collect();
        let seconds = i64::try_from(number).unwrap();
        let batch = Batch::encode(boxed(records), "worker-1", now(seconds)).unwrap();
        batch.store(&store).await.unwrap();
        for (of, stored) in batch.stored() {
            group = Some(of);
            from.push(stored);
        }
    }
    let work = Work {
        group: group.unwrap(),
        from,
    };
    let names: Vec<_> = work.from.iter().map(|stored| stored.name.clone()).collect();
    let mut before = Vec::new();
    for table in ORDER {
        before.push(rows_of(&store, &names, table).await);
    }
    let made = done(&store, &work).await;
    assert_eq!(made.rows, 6 * ROWS);
    for (table, before) in ORDER.into_iter().zip(before) {
        let path = made.name.path(table);
        let after = rows_of(&store, std::slice::from_ref(&made.name), table).await;
        assert_eq!(after, before, "{table}");
        let source = Source::open(&store, &path).await.unwrap();
        let metadata = metadata(&source, &path).unwrap();
        assert_eq!(metadata.num_row_groups(), 2, "{table}");
        let told = metadata.file_metadata().key_value_metadata().unwrap();
        let keys: Vec<_> = told.iter().map(|entry| entry.key.as_str()).collect();
        assert!(keys.contains(&"retort.plan_hash") && keys.contains(&"ARROW:schema"));
    }
    // Its filters still tell where a sample is.
    let path = made.name.path(Table::Responses);
    let source = Source::open(&store, &path).await.unwrap();
    let id = answer(ROWS, "").sample.sample_id.to_string();
    let (ranges, rows) = row_groups_with(source, &path, "sample_id", &Key::Text(id)).unwrap();
    let ranges: Vec<_> = ranges
        .iter()
        .map(|range| (range.start, range.end))
        .collect();
    assert_eq!((ranges, rows), (vec![(1_000, 2_000)], 2_000));
}

#[tokio::test]
async fn the_same_segments_make_the_same_bytes() {
    let mut made = Vec::new();
    let store = memory_store();
    let work = flushes(&store).await;
    let before = contents(&store, "campaigns").await;
    for order in [false, true] {
        let copy = memory_store();
        for (path, bytes) in &before {
            copy.put(path, bytes.clone()).await.unwrap();
        }
        let mut work = again(&work);
        if order {
            work.from.reverse();
        }
        compact(&copy, work, "worker-1", now(100)).await.unwrap();
        let bytes = contents(&copy, "campaigns").await;
        made.push(bytes.into_values().collect::<Vec<_>>());
    }
    assert_eq!(made[0], made[1]);
}

#[tokio::test]
async fn broken_off_at_every_step_nothing_is_lost_and_nothing_counts_twice() {
    let store = memory_store();
    let work = flushes(&store).await;
    let (expected, told) = (root(&store).await, ledger(&store).await);
    let before = contents(&store, "campaigns/test/segments").await;
    for step in 0..STEPS_MAX {
        let store = memory_store();
        for (path, bytes) in &before {
            store.put(path, bytes.clone()).await.unwrap();
        }
        let dead = faulty(&store, move |number, _| {
            if number >= step {
                Fault::Refused
            } else {
                Fault::None
            }
        });
        let done = compact(&dead, again(&work), "worker-1", now(100)).await;
        assert_eq!(ledger(&store).await, told, "step {step}");
        assert_eq!(root(&store).await, expected, "step {step}");
        if done.is_ok() {
            assert!(step > 20, "compacting takes more steps than {step}");
            return;
        }
    }
    panic!("compacting takes more than {STEPS_MAX} steps");
}

#[tokio::test]
async fn sealed_and_counted_while_segments_are_compacted_at_any_moment() {
    let store = memory_store();
    let work = flushes(&store).await;
    let (expected, told) = (root(&store).await, ledger(&store).await);
    let before = contents(&store, "campaigns/test/segments").await;
    for step in 0..STEPS_MAX {
        let store = memory_store();
        for (path, bytes) in &before {
            store.put(path, bytes.clone()).await.unwrap();
        }
        let (reached, mut at_step) = mpsc::channel(1);
        let (go_on, wait) = std::sync::mpsc::channel();
        let wait = std::sync::Mutex::new(wait);
        // Whoever seals stops at this step until the segments are compacted.
        let stopped = faulty(&store, move |number, _| {
            if number == step && reached.try_send(()).is_ok() {
                wait.lock().unwrap().recv().unwrap();
            }
            Fault::None
        });
        let sealing = tokio::spawn(async move { root(&stopped).await });
        let was_reached = at_step.recv().await.is_some();
        if was_reached {
            done(&store, &work).await;
            go_on.send(()).unwrap();
        }
        assert_eq!(sealing.await.unwrap(), expected, "step {step}");
        assert_eq!(ledger(&store).await, told, "step {step}");
        if !was_reached {
            assert!(step > 20, "sealing takes more steps than {step}");
            return;
        }
    }
    panic!("sealing takes more than {STEPS_MAX} steps");
}

#[tokio::test(start_paused = true)]
async fn a_writer_compacts_while_it_runs() {
    let spool = tempfile::tempdir().unwrap();
    let store = memory_store();
    let settings = WriterSettings {
        compact_files: NonZeroUsize::new(4).unwrap(),
        ..settings()
    };
    let mut bench = bench_on(Box::new(RealDisk), spool.path(), store.clone(), settings);
    let mut records = Vec::new();
    for index in 0..20 {
        let record = answer(index, "text");
        records.push(record.clone());
        bench.append(record).await;
        bench.writer.flush().await.unwrap();
        assert_eq!(bench.indices().await, [index]);
        // A compaction that was begun ends before the next flush.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let stems: BTreeSet<_> = store
        .list("campaigns")
        .await
        .unwrap()
        .iter()
        .filter_map(|path| SegmentName::parse(path))
        .map(|(name, _)| name)
        .collect();
    assert!(stems.len() <= 8, "{stems:?}");
    assert_eq!(samples(&store, Table::Responses).await, ids(&records));
    bench.writer.close().await.unwrap();
}
