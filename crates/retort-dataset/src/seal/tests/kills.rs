//! Sealing killed, refused and unheard at every step, and raced by a second sealer, on every kind
//! of store: one snapshot, the same bytes, nothing left behind.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::testing::faults::{Fault, faulty};
use crate::testing::s3_store;

/// Samples of the campaign: of the first models, with and without log probabilities.
const TOTAL: u64 = 2;

const SNAPSHOTS: &str = "campaigns/test/snapshots";

/// More steps than sealing takes.
const STEPS_MAX: u64 = 200;

type Contents = BTreeMap<String, bytes::Bytes>;

async fn fill(store: &Store) {
    put(store, 1, &campaign(TOTAL)).await;
}

/// Returns what sealing leaves when nothing goes wrong.
async fn expected() -> Contents {
    let (_dir, store) = local_store();
    fill(&store).await;
    seal_all(&store, TOTAL).await.expect("a snapshot");
    contents(&store, SNAPSHOTS).await
}

/// Takes every snapshot and what is left of sealing away.
async fn clear(store: &Store) {
    if let Some(folder) = store.local_path(SNAPSHOTS) {
        drop(std::fs::remove_dir_all(folder));
        return;
    }
    for path in store.list(SNAPSHOTS).await.expect("a listing") {
        store.delete(&path).await.expect("a deletion");
    }
}

/// Asserts that there is one snapshot, and nothing else.
async fn assert_sealed(store: &Store, expected: &Contents, when: &str) {
    let found = contents(store, SNAPSHOTS).await;
    let names: Vec<_> = found.keys().collect();
    assert_eq!(names, expected.keys().collect::<Vec<_>>(), "{when}");
    assert!(found == *expected, "other bytes {when}");
    if let Some(folder) = store.local_path(SNAPSHOTS) {
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1, "{when}");
    }
}

/// Seals with `fault` at each step, then again without.
async fn at_every_step(store: &Store, fault: Fault, goes_on: bool) {
    let expected = expected().await;
    fill(store).await;
    for step in 0..STEPS_MAX {
        let when = format!("{fault:?} at step {step}");
        let reached = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&reached);
        let broken = faulty(store, move |number, _| {
            count.fetch_max(number, Ordering::SeqCst);
            let is_it = number == step || (goes_on && number > step);
            if is_it { fault } else { Fault::None }
        });
        let sealed = seal_all(&broken, TOTAL).await;
        // What can be seen is a whole snapshot or none.
        for found in snapshot::list(store, &campaign_id()).await.unwrap() {
            let snapshot = Snapshot::open(store, &found.path).await.unwrap();
            snapshot
                .verify()
                .await
                .unwrap_or_else(|error| panic!("{when}: {error}"));
        }
        if reached.load(Ordering::SeqCst) < step {
            assert!(step > 10, "sealing takes more steps than {step}");
            assert!(sealed.is_ok(), "{when}");
            return;
        }
        seal_all(store, TOTAL)
            .await
            .unwrap_or_else(|error| panic!("{when}: {error}"));
        assert_sealed(store, &expected, &when).await;
        clear(store).await;
    }
    panic!("sealing takes more than {STEPS_MAX} steps");
}

#[tokio::test]
async fn killed_at_every_step_in_a_folder() {
    let (_dir, store) = local_store();
    at_every_step(&store, Fault::Kill, false).await;
}

#[tokio::test]
async fn killed_at_every_step_in_memory() {
    let store = Store::over(Arc::new(InMemory::new()), "memory:");
    at_every_step(&store, Fault::Kill, false).await;
}

#[tokio::test]
async fn killed_at_every_step_on_an_s3_server() {
    let (_dir, _server, store) = s3_store();
    at_every_step(&store, Fault::Kill, false).await;
}

#[tokio::test]
async fn a_store_that_is_gone_from_any_step_on() {
    let (_dir, folder) = local_store();
    let memory = Store::over(Arc::new(InMemory::new()), "memory:");
    for store in [folder, memory] {
        at_every_step(&store, Fault::Refused, true).await;
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_at_any_step() {
    let (_dir, folder) = local_store();
    let memory = Store::over(Arc::new(InMemory::new()), "memory:");
    for store in [folder, memory] {
        at_every_step(&store, Fault::Unheard, false).await;
    }
}

/// Seals twice at once; the second begins when the first has made a number of steps.
async fn raced(store: &Store, stride: usize) {
    let expected = expected().await;
    fill(store).await;
    for offset in (0..STEPS_MAX).step_by(stride) {
        let steps = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&steps);
        let watched = faulty(store, move |number, _| {
            count.store(number + 1, Ordering::SeqCst);
            Fault::None
        });
        let first = tokio::spawn(async move { seal_all(&watched, TOTAL).await });
        while steps.load(Ordering::SeqCst) < offset && !first.is_finished() {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        let is_late = first.is_finished();
        let second = seal_all(store, TOTAL).await.unwrap();
        let first = first.await.unwrap().unwrap();
        assert_eq!(first.path, second.path);
        assert_sealed(store, &expected, &format!("second sealer at step {offset}")).await;
        clear(store).await;
        if is_late {
            return;
        }
    }
    panic!("sealing takes more than {STEPS_MAX} steps");
}

#[tokio::test]
async fn raced_in_a_folder() {
    let (_dir, store) = local_store();
    raced(&store, 3).await;
}

#[tokio::test]
async fn raced_on_an_s3_server() {
    let (_dir, _server, store) = s3_store();
    raced(&store, 7).await;
}

#[tokio::test]
async fn sealing_that_nobody_waits_for_ends_and_leaves_nothing() {
    let (_dir, store) = local_store();
    fill(&store).await;
    let (asked, mut waits) = tokio::sync::mpsc::channel(1);
    let slow = faulty(&store, move |number, _| {
        if number == 6 {
            // Until the future below is dropped.
            asked.try_send(()).ok();
        }
        if number >= 6 {
            std::thread::sleep(Duration::from_millis(5));
        }
        Fault::None
    });
    tokio::select! {
        _ = seal_all(&slow, TOTAL) => panic!("it waits for this test"),
        _ = waits.recv() => {}
    }
    // The next one takes its turn when the first has ended.
    seal_all(&store, TOTAL).await.unwrap();
    assert_sealed(&store, &expected().await, "after a sealer that was dropped").await;
}

#[tokio::test]
async fn what_other_content_left_is_removed_once_it_is_old() {
    let (_dir, server, store) = s3_store();
    fill(&store).await;
    let left = |name: &str| format!("{SNAPSHOTS}/.staging-{name}/README.md");
    for name in ["old", "young"] {
        store.put(&left(name), "x".into()).await.unwrap();
    }
    let object = server.bucket().join("some/prefix").join(left("old"));
    let file = std::fs::File::options().write(true).open(object).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    file.set_modified(written - Duration::from_hours(2))
        .unwrap();
    seal_all(&store, TOTAL).await.unwrap();
    let staging: Vec<String> = store.list(SNAPSHOTS).await.unwrap();
    let staging: Vec<_> = staging
        .iter()
        .filter(|path| path.contains(".staging-"))
        .collect();
    assert_eq!(staging, [&left("young")]);
}
