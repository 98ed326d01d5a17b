//! Sealing: the same bytes whatever the order, refusals, precedence, two sealers.

mod kills;
mod reading;
mod verification;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use object_store::ObjectStore as _;
use object_store::memory::InMemory;
use retort_types::{AttemptRecord, Timestamp};

use super::*;
use crate::schema::Table;
use crate::segment::{SegmentName, encode};
use crate::snapshot::{self, Found, Search, Snapshot, summarize};
use crate::testing::faults::Failing;
use crate::testing::{
    START, Standing, answer, attempt, campaign_id, cell, contents, full, local_store, plan_hash,
    seal_input, with_tokens,
};
use crate::{Writer, WriterSettings, rows};

/// Stores one flush of `records`, as number `number`.
async fn put(store: &Store, number: u128, records: &[AttemptRecord]) -> Vec<String> {
    let id = uuid::Uuid::from_u128(number);
    let name = SegmentName::new(&campaign_id(), "w", Timestamp::from_micros(START), id);
    let mut paths = Vec::new();
    for (table, batch) in [
        (Table::Tokens, rows::tokens(records)),
        (Table::Attempts, rows::attempts(records)),
        (Table::Responses, rows::responses(records)),
    ] {
        let batch = batch.expect("rows");
        if batch.num_rows() > 0 {
            let file = encode(table, &batch, &campaign_id(), plan_hash()).expect("a file");
            store
                .put(&name.path(table), file.bytes)
                .await
                .expect("a stored file");
            paths.push(name.path(table));
        }
    }
    paths
}

async fn seal_all(store: &Store, total: u64) -> Result<Sealed, SealError> {
    seal(store, &seal_input(total), &|_| {}).await
}

/// Returns records of every kind for `total` samples.
fn campaign(total: u64) -> Vec<AttemptRecord> {
    let mut records = Vec::new();
    for index in 0..total {
        match index % 5 {
            0 => records.push(with_tokens(answer(index, "zero"), &["z", "e", "ro"])),
            1 => {
                let mut retried = attempt(index, 1, Outcome::Overloaded);
                retried.cost_usd = Some(0.5);
                let mut last = answer(index, &format!("answer {index}"));
                last.attempt_no = 2;
                last.attempt_id.push('b');
                records.extend([retried, last]);
            }
            2 => records.push(attempt(index, 0, Outcome::NotAsked)),
            3 => records.push(attempt(index, 1, Outcome::Refused)),
            _ => records.push(answer(index, "")),
        }
    }
    records
}

async fn snapshot_of(store: &Store) -> Snapshot {
    let found = snapshot::latest(store, &campaign_id())
        .await
        .expect("a listing");
    found.expect("a snapshot")
}

async fn column(snapshot: &Snapshot, table: Table, column: &str) -> Vec<String> {
    let batches = snapshot
        .rows(table, &[column])
        .collect()
        .await
        .expect("rows");
    let cells = batches
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(|row| cell(batch, column, row)));
    cells.collect()
}

#[tokio::test]
async fn a_snapshot_holds_one_row_per_sample_and_every_attempt() {
    let (_dir, store) = local_store();
    put(&store, 1, &campaign(20)).await;
    let notes = Mutex::new(Vec::new());
    let note = |progress| notes.lock().expect("no panic").push(progress);
    let sealed = seal(&store, &seal_input(20), &note).await.unwrap();
    assert_eq!((sealed.seq, sealed.rows, sealed.existed), (1, 20, false));
    let short = sealed.merkle_root.short();
    assert_eq!(
        sealed.path,
        format!("campaigns/test/snapshots/0001-{short}")
    );
    let stages: Vec<_> = notes
        .into_inner()
        .unwrap()
        .iter()
        .map(|n: &SealProgress| n.stage)
        .collect();
    assert_eq!(stages.first(), Some(&SealStage::Reading));
    assert_eq!(stages.last(), Some(&SealStage::Attempts));

    let snapshot = snapshot_of(&store).await;
    let files: Vec<&str> = snapshot
        .manifest
        .files
        .iter()
        .map(|f| f.path.as_str())
        .collect();
    insta::assert_snapshot!(files.join("\n"));
    let mut indices: Vec<u64> = column(&snapshot, Table::Responses, "plan_index")
        .await
        .iter()
        .map(|n| n.parse().unwrap())
        .collect();
    indices.sort_unstable();
    assert_eq!(indices, (0..20).collect::<Vec<_>>());
    assert_eq!(
        column(&snapshot, Table::Attempts, "attempt_id").await.len(),
        20
    );
    let positions = column(&snapshot, Table::Tokens, "position").await;
    assert_eq!(positions, ["0", "1", "2"].repeat(4));
    assert_eq!(sealed.outcomes[&Outcome::Answered], 12);
    assert_eq!(snapshot.manifest.outcomes, sealed.outcomes);
    assert_eq!(
        snapshot.verify().await.unwrap().merkle_root,
        sealed.merkle_root
    );
    assert_eq!(
        store.list("campaigns/test/snapshots").await.unwrap().len(),
        files.len() + 2,
        "no staging is left"
    );
}

#[tokio::test]
async fn rows_are_sorted_within_each_model() {
    let (_dir, store) = local_store();
    put(&store, 1, &campaign(30)).await;
    seal_all(&store, 30).await.unwrap();
    let snapshot = snapshot_of(&store).await;
    let batches = snapshot
        .responses(&["model", "prompt_id"])
        .collect()
        .await
        .unwrap();
    let mut keys = Vec::new();
    for batch in &batches {
        keys.extend(
            (0..batch.num_rows())
                .map(|row| (cell(batch, "model", row), cell(batch, "prompt_id", row))),
        );
    }
    assert_eq!(keys.len(), 30);
    let mut models: Vec<&String> = keys.iter().map(|(model, _)| model).collect();
    models.dedup();
    assert_eq!(models.len(), 3);
    for pair in keys.windows(2) {
        assert!(pair[0].0 != pair[1].0 || pair[0].1 <= pair[1].1, "{pair:?}");
    }
}

#[tokio::test]
async fn sealing_again_returns_what_is_there_and_new_rows_make_a_new_one() {
    let (_dir, store) = local_store();
    let missing = attempt(1, 3, Outcome::GaveUp);
    put(&store, 1, &[answer(0, "x"), missing, answer(2, "z")]).await;
    let first = seal_all(&store, 3).await.unwrap();
    let before = contents(&store, &first.path).await;
    let again = seal_all(&store, 3).await.unwrap();
    assert_eq!(
        again,
        Sealed {
            existed: true,
            ..first.clone()
        }
    );
    // A measurement replaces the lack of one although its number is higher.
    let mut late = answer(1, "late");
    late.attempt_no = 9;
    put(&store, 2, &[late]).await;
    let second = seal_all(&store, 3).await.unwrap();
    assert_eq!((second.seq, second.existed), (2, false));
    let snapshot = snapshot_of(&store).await;
    assert_eq!(snapshot.path, second.path);
    assert_eq!(
        column(&snapshot, Table::Responses, "outcome").await,
        ["answered"; 3]
    );
    assert_eq!(
        column(&snapshot, Table::Attempts, "attempt_no").await,
        ["1", "3", "9", "1"]
    );
    // Another row without a measurement changes nothing but the attempts.
    put(&store, 3, &[attempt(1, 1, Outcome::NotFound)]).await;
    let third = seal_all(&store, 3).await.unwrap();
    assert_eq!(third.outcomes[&Outcome::Answered], 3);
    assert_eq!(
        contents(&store, &first.path).await,
        before,
        "a snapshot never changes"
    );
}

#[tokio::test]
async fn among_measurements_the_lowest_attempt_is_kept_whatever_it_says() {
    let mut twice = [answer(0, "zzz"), answer(0, "aaa"), answer(0, "")];
    twice[1].attempt_id.push('b');
    twice[2].timing.finished_at = Timestamp::from_micros(START + 50_000);
    twice[2].attempt_id = "0".to_owned();
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let (_dir, store) = local_store();
        for (number, which) in (0..).zip(order) {
            put(&store, number, &[twice[which].clone()]).await;
        }
        seal_all(&store, 1).await.unwrap();
        let snapshot = snapshot_of(&store).await;
        assert_eq!(
            column(&snapshot, Table::Responses, "response_text").await,
            ["zzz"]
        );
        assert_eq!(
            column(&snapshot, Table::Attempts, "attempt_id").await.len(),
            3
        );
    }
}

/// Returns the files of the snapshot that `flushes` make, without the manifest and its sums.
async fn sealed_bytes(
    flushes: &[Vec<AttemptRecord>],
    total: u64,
) -> (Digest, Vec<(String, Digest)>) {
    let (_dir, store) = local_store();
    for (number, records) in (1..).zip(flushes) {
        put(&store, number, records).await;
    }
    let sealed = seal_all(&store, total).await.expect("a snapshot");
    let files = snapshot_of(&store).await.manifest.files;
    let digests = files
        .into_iter()
        .map(|file| (file.path, file.sha256))
        .collect();
    (sealed.merkle_root, digests)
}

#[tokio::test]
async fn bytes_do_not_depend_on_how_rows_were_spread_over_segments() {
    // More than one slice per model, with borders that differ from those of every segment.
    let total = 3_300;
    let mut records: Vec<AttemptRecord> = (0..total).map(|index| answer(index, "text")).collect();
    for index in (0..total).step_by(97) {
        let index = usize::try_from(index).unwrap();
        records[index] = with_tokens(records[index].clone(), &["a", "b"]);
    }
    let whole = sealed_bytes(std::slice::from_ref(&records), total).await;
    let mut reversed: Vec<Vec<AttemptRecord>> = records
        .chunks(701)
        .map(|chunk| {
            let mut chunk = chunk.to_vec();
            chunk.reverse();
            chunk
        })
        .collect();
    reversed.reverse();
    // A flush that came back from the spool: the same attempts once more.
    reversed.push(records[100..400].to_vec());
    let spread = sealed_bytes(&reversed, total).await;
    assert_eq!(whole, spread);
    let parts = whole
        .1
        .iter()
        .filter(|(path, _)| path.ends_with("part-00001.parquet"));
    assert!(parts.count() >= 3, "{:?}", whole.1);
}

#[tokio::test]
async fn incomplete_campaigns_are_refused() {
    let (_dir, store) = local_store();
    let error = seal_all(&store, 3).await.unwrap_err();
    assert!(
        matches!(
            error,
            SealError::Incomplete {
                missing: 3,
                first: 0
            }
        ),
        "{error}"
    );
    put(
        &store,
        1,
        &[
            answer(0, "x"),
            answer(3, "x"),
            attempt(1, 1, Outcome::Overloaded),
        ],
    )
    .await;
    let error = seal_all(&store, 5).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "3 samples have no final row, the first is number 1"
    );
    assert_eq!(
        store.list("campaigns/test/snapshots").await.unwrap(),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn damage_is_named_never_skipped() {
    let message = async |store: &Store| seal_all(store, 1).await.expect_err("damage").to_string();
    let (_dir, store) = local_store();
    let mut foreign = answer(0, "x");
    Arc::make_mut(&mut foreign.sample).plan_hash = Digest::of(b"another");
    let paths = put(&store, 1, &[foreign]).await;
    let text = message(&store).await;
    assert!(
        text.contains(&paths[0]) && text.contains("of plan"),
        "{text}"
    );

    let (_dir, store) = local_store();
    let paths = put(&store, 1, &[with_tokens(answer(0, "x"), &["x"])]).await;
    store.delete(&paths[0]).await.unwrap();
    let text = message(&store).await;
    assert!(text.contains("log probabilities"), "{text}");
    let bytes = store.get(&paths[2]).await.unwrap();
    store
        .put(&paths[2], bytes.slice(..bytes.len() / 2))
        .await
        .unwrap();
    let text = message(&store).await;
    assert!(text.contains(&paths[2]), "{text}");

    let (_dir, store) = local_store();
    let mut other = answer(1, "x");
    Arc::make_mut(&mut other.sample).index = 0;
    put(&store, 1, &[answer(0, "x"), other]).await;
    let text = message(&store).await;
    assert!(text.contains("another identity"), "{text}");
}

#[tokio::test]
async fn a_store_that_is_no_folder_gets_the_same_snapshot() {
    let memory = Arc::new(InMemory::new());
    let remote = Store::over(Arc::<InMemory>::clone(&memory) as _, "memory:");
    let (_dir, local) = local_store();
    for store in [&remote, &local] {
        put(store, 1, &campaign(10)).await;
    }
    let there = seal_all(&remote, 10).await.unwrap();
    let here = seal_all(&local, 10).await.unwrap();
    assert_eq!(there, here);
    assert_eq!(
        contents(&remote, "campaigns").await,
        contents(&local, "campaigns").await
    );
    assert!(seal_all(&remote, 10).await.unwrap().existed);
    // What was left behind without a manifest is no snapshot, and is completed.
    let manifest = format!("{}/{MANIFEST_FILE}", there.path);
    memory
        .delete_stream(Box::pin(futures_util::stream::iter([Ok(manifest.into())])))
        .count_all()
        .await;
    assert!(
        snapshot::latest(&remote, &campaign_id())
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(seal_all(&remote, 10).await.unwrap(), there);
}

/// Drains a stream of deletions.
trait CountAll {
    async fn count_all(self) -> usize;
}

impl<S: futures_util::Stream> CountAll for S {
    async fn count_all(self) -> usize {
        futures_util::StreamExt::count(self).await
    }
}

#[tokio::test]
async fn two_sealers_at_once_make_one_snapshot() {
    let (_dir, store) = local_store();
    put(&store, 1, &campaign(10)).await;
    let input = seal_input(10);
    let (one, two) = tokio::join!(seal(&store, &input, &|_| {}), seal(&store, &input, &|_| {}));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.path, two.path);
    assert_eq!(
        snapshot::list(&store, &campaign_id()).await.unwrap().len(),
        1
    );
    snapshot_of(&store).await.verify().await.unwrap();
}

#[tokio::test]
async fn the_card_says_what_it_is_and_how_to_read_it() {
    let (_dir, store) = local_store();
    put(&store, 1, &campaign(10)).await;
    seal_all(&store, 10).await.unwrap();
    let card = snapshot_of(&store).await.file("README.md").await.unwrap();
    insta::assert_snapshot!(std::str::from_utf8(&card).unwrap());
}

#[tokio::test]
async fn a_crash_between_any_two_files_of_a_flush_changes_nothing() {
    let records = campaign(10);
    let (_dir, calm) = local_store();
    put(&calm, 1, &records).await;
    let expected = seal_all(&calm, 10).await.unwrap().merkle_root;
    for stored in 0..=3 {
        let spool = tempfile::tempdir().unwrap();
        let memory = Arc::new(InMemory::new());
        let (_, failing) = Failing::over(Arc::<InMemory>::clone(&memory) as _, stored);
        let start = |store: Store| {
            let settings = WriterSettings::default();
            Writer::start(
                spool.path(),
                store,
                "worker-1",
                settings,
                Arc::new(Standing),
            )
            .expect("a writer")
        };
        let (writer, committed, _) = start(failing);
        let appends = records
            .iter()
            .map(|record| writer.append(Box::new(record.clone())));
        futures_util::future::try_join_all(appends).await.unwrap();
        let closed = writer.close().await;
        assert_eq!(closed.is_ok(), stored == 3);
        drop(committed);
        let store = Store::over(memory, "memory:");
        let (writer, committed, recovered) = start(store.clone());
        assert_eq!(
            recovered.records,
            if stored == 3 { 0 } else { records.len() as u64 }
        );
        writer.close().await.unwrap();
        drop(committed);
        assert_eq!(
            seal_all(&store, 10).await.unwrap().merkle_root,
            expected,
            "{stored} files"
        );
    }
}

#[tokio::test]
async fn a_campaign_without_any_attempt_is_sealed_too() {
    let (_dir, store) = local_store();
    put(&store, 1, &[attempt(0, 0, Outcome::NotAsked)]).await;
    let sealed = seal_all(&store, 1).await.unwrap();
    assert_eq!(sealed.outcomes, BTreeMap::from([(Outcome::NotAsked, 1)]));
    let snapshot = snapshot_of(&store).await;
    assert_eq!(
        column(&snapshot, Table::Attempts, "attempt_id").await,
        Vec::<String>::new()
    );
    assert_eq!(summarize(&snapshot).await.unwrap()[0].attempts, 0);
}
