//! Stores: one suite that every kind must pass, what an outage does, and what a store guarantees.

use std::time::Duration;

use object_store::memory::InMemory;
use retort_types::HumanDuration;

use super::*;
use crate::StoreSettings;
use crate::store::doctor::{self, Found};
use crate::testing::faults::{Fault as Broken, Operation, faulty};
use crate::testing::s3::{Fault, SECRET};
use crate::testing::{Standing, local_store, s3_client, s3_store};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What every store must do. `store` is empty and may be sent parts of 5 MiB.
async fn conformance(store: &Store) {
    store.put("a/b/2.json", "two".into()).await.unwrap();
    store.put("a/1.json", "one".into()).await.unwrap();
    store.put("ab/3.json", "three".into()).await.unwrap();
    assert_eq!(store.list("a").await.unwrap(), ["a/1.json", "a/b/2.json"]);
    assert_eq!(store.list("").await.unwrap().len(), 3);
    assert_eq!(store.list("nothing").await.unwrap(), names(&[]));
    let listed = store.list_folder("a").await.unwrap();
    assert_eq!(listed, (names(&["b"]), names(&["1.json"])));
    let listed = store.list_folder("nothing").await.unwrap();
    assert_eq!(listed, (names(&[]), names(&[])));
    let sizes: Vec<u64> = store
        .list_objects("a")
        .await
        .unwrap()
        .iter()
        .map(|o| o.size)
        .collect();
    assert_eq!(sizes, [3, 3]);

    assert_eq!(store.get("a/1.json").await.unwrap(), "one");
    assert_eq!(store.get_range("ab/3.json", 1..3).await.unwrap(), "hr");
    let absent = store.get("a/absent").await.unwrap_err();
    assert!(absent.is_not_found(), "{absent}");
    store.put("a/1.json", "new".into()).await.unwrap();
    assert_eq!(store.get("a/1.json").await.unwrap(), "new");
    assert!(store.put_if_absent("c/x", "1".into()).await.unwrap());
    assert!(!store.put_if_absent("c/x", "2".into()).await.unwrap());
    assert_eq!(store.get("c/x").await.unwrap(), "1");

    store.copy("a/1.json", "c/1.json").await.unwrap();
    store.delete("a/1.json").await.unwrap();
    store.delete("a/1.json").await.unwrap();
    assert!(store.get("a/1.json").await.unwrap_err().is_not_found());
    assert_eq!(store.get("c/1.json").await.unwrap(), "new");
    assert_eq!(store.list("a").await.unwrap(), ["a/b/2.json"]);

    // Names that need care on the way: signatures cover the encoded path.
    for name in [
        "date=2026-11-24/x y.json",
        ".staging-1/ü/π.txt",
        "a+b/%41.txt",
    ] {
        store.put(name, name.to_owned().into()).await.unwrap();
        assert_eq!(store.get(name).await.unwrap(), name);
        let folder = name.rsplit_once('/').unwrap().0;
        assert_eq!(store.list(folder).await.unwrap(), [name]);
    }
    let large = Bytes::from(vec![7; (5 << 20) * 2 + 1]);
    store.put("large", large.clone()).await.unwrap();
    assert_eq!(store.get("large").await.unwrap(), large);
    let border = u64::try_from((5 << 20) - 1).unwrap();
    assert_eq!(
        store.get_range("large", border..border + 2).await.unwrap(),
        [7, 7][..]
    );
    assert!(store.put("../x", "1".into()).await.is_err());
    assert!(store.get("a/../../x").await.is_err());
}

fn parts(store: Store) -> Store {
    store.with_parts(NonZeroUsize::new(5 << 20).unwrap())
}

#[tokio::test]
async fn memory_conforms() {
    conformance(&parts(Store::over(Arc::new(InMemory::new()), "memory:"))).await;
}

#[tokio::test]
async fn a_folder_conforms() {
    let (_dir, store) = local_store();
    conformance(&store).await;
    let file = store.local_path("c/1.json").unwrap();
    assert_eq!(std::fs::read(file).unwrap(), b"new");
}

#[tokio::test]
async fn an_s3_server_conforms() {
    let (_dir, server, store) = s3_store();
    conformance(&parts(store)).await;
    let object = server.bucket().join("some/prefix/c/1.json");
    assert_eq!(
        std::fs::read(object).unwrap(),
        b"new",
        "objects are below the prefix"
    );
}

#[tokio::test]
async fn what_a_person_can_mend_is_told() {
    let (_dir, server, store) = s3_store();
    let connect = |url: &str, secret: &str| {
        let mut environment: Environment = server.environment().into_iter().collect();
        environment.insert("AWS_SECRET_ACCESS_KEY".to_owned(), secret.to_owned());
        Store::connect(url, &StoreSettings::default(), &environment).unwrap()
    };
    let absent = connect("s3://no-such-bucket/x", SECRET);
    for error in [
        absent.list("x").await.unwrap_err(),
        absent.list_folder("x").await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::NoBucket { .. }), "{error:?}");
        assert!(error.hint().unwrap().contains("create the bucket"));
    }
    let forbidden = connect("s3://bucket/x", "wrong").put("x", "1".into()).await;
    let error = forbidden.unwrap_err();
    assert!(matches!(error, StoreError::Forbidden { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("credentials"));
    let told = format!("{error:?} {store:?}");
    assert!(!told.contains("wrong") && !told.contains(SECRET), "{told}");
}

/// Settings of a client that gives up soon.
fn hasty() -> StoreSettings {
    StoreSettings {
        retries: 3,
        request_timeout: HumanDuration(Duration::from_secs(2)),
        ..StoreSettings::default()
    }
}

#[tokio::test]
async fn failures_that_pass_are_ridden_out() {
    let (_dir, server, store) = s3_store();
    for fault in [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Slow(Duration::from_millis(50)),
        Fault::CutRequest,
        Fault::CutAnswer,
    ] {
        // One that is slow is not asked again.
        let times = if matches!(fault, Fault::Slow(_)) {
            1
        } else {
            2
        };
        server.inject(std::iter::repeat_n(fault, times));
        store.put("x", format!("{fault:?}").into()).await.unwrap();
        assert_eq!(server.faults_left(), 0, "{fault:?}");
        assert_eq!(store.get("x").await.unwrap(), format!("{fault:?}"));
    }
    let parts = parts(store);
    let large = Bytes::from(vec![9; 11 << 20]);
    server.inject([
        Fault::Status(503),
        Fault::None,
        Fault::CutRequest,
        Fault::Status(500),
    ]);
    parts.put("large", large.clone()).await.unwrap();
    assert_eq!(parts.get("large").await.unwrap(), large);
}

#[tokio::test]
async fn half_a_put_is_no_object() {
    let (_dir, server, _) = s3_store();
    let settings = StoreSettings {
        retries: 0,
        ..hasty()
    };
    let store = s3_client(&server, &settings);
    server.inject([Fault::CutRequest]);
    let body = Bytes::from(vec![1; 100_000]);
    assert!(store.put("x", body.clone()).await.is_err());
    assert!(store.get("x").await.unwrap_err().is_not_found());
    assert_eq!(store.list("").await.unwrap(), names(&[]));
    // The same over an older object: it stays what it was.
    store.put("x", "old".into()).await.unwrap();
    server.inject([Fault::CutRequest]);
    assert!(store.put("x", body.clone()).await.is_err());
    assert_eq!(store.get("x").await.unwrap(), "old");
    // And part by part: begin, one part whole, one half.
    let parts = store.with_parts(NonZeroUsize::new(50_000).unwrap());
    server.inject([Fault::None, Fault::None, Fault::CutRequest]);
    assert!(parts.put("x", body).await.is_err());
    assert_eq!(parts.get("x").await.unwrap(), "old");
    assert_eq!(parts.list("").await.unwrap(), ["x"]);
}

#[tokio::test]
async fn a_server_that_is_gone_is_an_error_within_the_limits() {
    let (_dir, server, _) = s3_store();
    let store = s3_client(&server, &hasty());
    store.put("x", "1".into()).await.unwrap();
    server.set_down(true);
    assert!(matches!(
        store.put("x", "2".into()).await,
        Err(StoreError::Failed { .. })
    ));
    assert!(matches!(
        store.list("").await,
        Err(StoreError::Failed { .. })
    ));
    server.set_down(false);
    assert_eq!(store.get("x").await.unwrap(), "1");
}

fn verdicts(report: &doctor::Report) -> Vec<(&'static str, Found)> {
    report
        .checks
        .iter()
        .map(|check| (check.name, check.found))
        .collect()
}

/// A clock that goes.
#[derive(Debug)]
struct Going;

impl retort_types::WallClock for Going {
    #[expect(clippy::disallowed_methods, reason = "it is compared with a server's")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let micros = since.expect("after 1970").as_micros();
        Timestamp::from_micros(i64::try_from(micros).expect("small"))
    }
}

#[tokio::test]
async fn the_doctor_finds_stores_fit() {
    let (_dir, folder) = local_store();
    let (_guard, _server, s3) = s3_store();
    let memory = Store::over(Arc::new(InMemory::new()), "memory:");
    for store in [folder, s3, memory] {
        let report = doctor::examine(&store, &Going).await.unwrap();
        assert!(report.fit, "{report:#?}");
        assert_eq!(report.checks.len(), 10);
        assert_eq!(report.left_behind, None);
        assert_eq!(
            store.list("").await.unwrap(),
            names(&[]),
            "the scratch folder is removed"
        );
        let url = store.url();
        for check in &report.checks {
            // The S3 server of the tests lets several racers win.
            let may_differ = url.starts_with("s3:") && check.name.contains("16 at once");
            assert!(
                may_differ || check.found == Found::Holds,
                "{url}: {check:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_doctor_tells_what_is_broken() {
    let (_dir, folder) = local_store();
    // A clock that stands in another year.
    let report = doctor::examine(&folder, &Standing).await.unwrap();
    let broken = |report: &doctor::Report| -> Vec<_> {
        let all = verdicts(report).into_iter();
        all.filter(|(_, found)| *found != Found::Holds).collect()
    };
    assert_eq!(broken(&report), [("clock", Found::Broken)]);
    assert!(report.fit, "Retort does not rely on clocks");
    let without_copy = faulty(&folder, |_, operation| match operation {
        Operation::Copy => Broken::Refused,
        Operation::Put | Operation::Get | Operation::List | Operation::Delete => Broken::None,
    });
    let report = doctor::examine(&without_copy, &Going).await.unwrap();
    assert_eq!(broken(&report), [("copy", Found::Failed)]);
    assert!(!report.fit);
    let dead = faulty(&folder, |_, _| Broken::Refused);
    let report = doctor::examine(&dead, &Going).await.unwrap();
    assert_eq!(broken(&report), [("read after write", Found::Failed)]);
    assert!(report.left_behind.is_some());
}
