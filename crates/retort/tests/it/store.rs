//! Datasets beyond this machine: a campaign on a real S3 server over HTTP, kills included, and
//! sealing that is killed at many moments, there and in a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::s3::{BUCKET, Fault, S3Server, SECRET};
use crate::support::{PATIENCE, World, assert_code, finish, kill, read_table, text};

/// Requests in the air at most.
const IN_FLIGHT: u64 = 16;

/// A world whose store is a prefix of a bucket.
struct Remote {
    world: World,
    server: S3Server,
    url: String,
}

fn world() -> World {
    let world = World::new(json!({
        "providers": [{ "name": "p", "latency": { "ms": 20 }, "models": [{ "name": "m", "words_max": 30 }] }]
    }));
    world.catalog(&[("p", json!({ "concurrency": IN_FLIGHT }))]);
    world
}

impl Remote {
    fn new() -> Self {
        let mut world = world();
        let server = S3Server::start(&world.path("s3"));
        let url = format!("s3://{BUCKET}/a/prefix");
        world.env.extend(server.environment());
        world.flags = vec!["--store".to_owned(), url.clone()];
        Self { world, server, url }
    }

    /// Runs a command on the store.
    fn command(&self, arguments: &[&str]) -> std::process::Output {
        let arguments = [arguments, &["--store", &self.url]].concat();
        self.world.command(&arguments)
    }

    /// Returns the campaign's folder, where the server keeps it.
    fn campaign(&self) -> PathBuf {
        self.server.bucket().join("a/prefix/campaigns/test")
    }
}

/// Returns the snapshots below a campaign's folder.
fn snapshots(campaign: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(campaign.join("snapshots"));
    let entries = entries.into_iter().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.expect("readable").path())
        // The server keeps folders that have no object any more.
        .filter(|path| !is_empty(path))
        .collect();
    found.sort();
    found
}

fn assert_complete(campaign: &Path, planned: usize) {
    let found = snapshots(campaign);
    assert_eq!(found.len(), 1, "one snapshot and nothing else: {found:?}");
    let rows = read_table(&found[0].join("responses"), &["sample_id", "outcome"]);
    let ids: std::collections::BTreeSet<_> = rows
        .iter()
        .map(|row| row["sample_id"].to_string())
        .collect();
    assert_eq!((rows.len(), ids.len()), (planned, planned));
    assert!(rows.iter().all(|row| row["outcome"] == "answered"));
}

fn served(world: &World) -> u64 {
    let stats = world.stats();
    stats["providers"]["p"]["served"]
        .as_u64()
        .expect("the fleet counts")
}

#[test]
fn a_campaign_on_s3_is_carried_out_killed_resumed_and_shown() {
    let remote = Remote::new();
    let world = &remote.world;
    world.campaign(&["m"], 60, 4, json!({}));
    let flags = [
        "--set",
        "writer.flush_every=200ms",
        "--set",
        "writer.compact_files=3",
    ];
    for target in [40, 120] {
        let child = world.start(&flags);
        world.wait_until("requests", |world| served(world) >= target);
        kill(child);
    }
    let status = remote.command(&["status", "test", "--json"]);
    assert_code(&status, 0);
    let output = world.run(&flags);
    assert_code(&output, 0);
    assert_complete(&remote.campaign(), 240);
    assert!(served(world) <= 240 + 2 * IN_FLIGHT, "{}", world.stats());
    assert!(!world.path("data").exists(), "nothing is kept in a folder");

    let status = remote.command(&["status", "test", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!(
        (&status["state"], &status["done"]),
        (&json!("sealed"), &json!(240))
    );
    let shown = remote.command(&["dataset", "show", "test"]);
    assert_code(&shown, 0);
    assert!(text(&shown).contains(&format!("{}/campaigns/test/snapshots/", remote.url)));
    let again = remote.command(&["dataset", "seal", "test", "--json"]);
    let sealed: Value = serde_json::from_slice(&again.stdout).expect("JSON");
    assert_eq!(sealed["existed"], json!(true));
    for wish in ["pause", "resume", "cancel"] {
        assert_code(&remote.command(&[wish, "test"]), 0);
    }
    assert_complete(&remote.campaign(), 240);
    for output in [output, shown, again] {
        assert!(!text(&output).contains(SECRET));
    }
}

#[test]
fn an_s3_server_that_goes_away_is_waited_for() {
    let remote = Remote::new();
    let world = &remote.world;
    world.campaign(&["m"], 50, 4, json!({}));
    let flags = [
        "--set",
        "writer.flush_every=100ms",
        "--set",
        "store_access.retries=1",
    ];
    let child = world.start(&flags);
    let segments = remote.campaign().join("segments");
    world.wait_until("a segment", |_| segments.exists());
    let faults = [
        Fault::Status(500),
        Fault::CutRequest,
        Fault::Status(503),
        Fault::CutAnswer,
        Fault::Slow(Duration::from_millis(50)),
    ];
    remote.server.inject(faults);
    world.wait_until("the faults to pass", |_| remote.server.faults_left() == 0);
    remote.server.set_down(true);
    // The fleet is asked on while replies gather in the spool; all of them fit.
    world.wait_until("every request", |world| served(world) >= 200);
    remote.server.set_down(false);
    assert_code(&finish(child), 0);
    assert_complete(&remote.campaign(), 200);
    assert_eq!(served(world), 200, "nothing is asked twice");
}

#[test]
fn what_is_wrong_with_a_store_is_told_with_a_hint() {
    let mut remote = Remote::new();
    let output = remote
        .world
        .command(&["status", "--store", "s3://no-such-bucket"]);
    assert_code(&output, 1);
    assert!(
        text(&output).contains("no bucket") && text(&output).contains("hint: create"),
        "{}",
        text(&output)
    );
    let secret = remote
        .world
        .env
        .iter_mut()
        .find(|(name, _)| name == "AWS_SECRET_ACCESS_KEY");
    secret.expect("it is set").1 = "another-canary".to_owned();
    let output = remote.command(&["status", "test"]);
    assert_code(&output, 1);
    assert!(
        text(&output).contains("not allowed") && text(&output).contains("hint: the credentials"),
        "{}",
        text(&output)
    );
    assert!(!text(&output).contains("another-canary"));
    remote.world.env.clear();
    let output = remote.command(&["status", "test"]);
    assert_code(&output, 1);
    assert!(
        text(&output).contains("AWS_SECRET_ACCESS_KEY"),
        "{}",
        text(&output)
    );
}

#[test]
fn the_doctor_examines_a_bucket() {
    let remote = Remote::new();
    let output = remote.world.command(&["store", "doctor", &remote.url]);
    assert_code(&output, 0);
    let told = text(&output);
    for promise in [
        "list after write",
        "16 at once",
        "multipart",
        "range reads",
        "clock",
    ] {
        assert!(told.contains(promise), "{told}");
    }
    assert!(
        told.contains("everything holds that Retort relies on"),
        "{told}"
    );
    let output = remote
        .world
        .command(&["store", "doctor", &remote.url, "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["fit"], json!(true), "{report}");
    assert!(!text(&output).contains(SECRET));
    let left = std::fs::read_dir(remote.server.bucket().join("a/prefix"));
    let files = left
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| !is_empty(&entry.path()));
    assert_eq!(files.count(), 0, "the scratch folder is removed");
}

/// Returns whether there is no file below a folder.
fn is_empty(folder: &Path) -> bool {
    files(folder).is_empty()
}

/// Returns every file below a folder with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                found.insert(path, bytes);
            }
        }
    }
    found
}

/// Seals again and again, each time killed when the staging folder has one file more, then once in
/// peace; the snapshot is the first one, byte for byte.
fn killed_while_sealing(world: &World, store: &str, campaign: &Path) {
    let expected = files(&campaign.join("snapshots"));
    let segments = files(&campaign.join("segments"));
    for step in 0..14 {
        std::fs::remove_dir_all(campaign.join("snapshots")).expect("it was sealed");
        let mut command = world.retort();
        command.args(["dataset", "seal", "test", "--store", store]);
        let mut child = command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the binary starts");
        let begun = Instant::now();
        while files(&campaign.join("snapshots")).len() < step
            && child.try_wait().expect("a child of ours").is_none()
        {
            assert!(begun.elapsed() < PATIENCE, "sealing does not end");
            std::thread::yield_now();
        }
        kill(child);
        for snapshot in snapshots(campaign) {
            let is_staging = snapshot.to_string_lossy().contains(".staging-");
            let is_whole = expected
                .keys()
                .all(|path| !path.starts_with(&snapshot) || path.exists());
            let is_hidden = !snapshot.join("MANIFEST.json").exists();
            assert!(
                is_staging || is_whole || is_hidden,
                "half of {}",
                snapshot.display()
            );
        }
        assert_code(
            &world.command(&["dataset", "seal", "test", "--store", store]),
            0,
        );
        let sealed = files(&campaign.join("snapshots"));
        assert_eq!(
            sealed.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>(),
            "killed at file {step}"
        );
        assert!(
            sealed == expected,
            "other bytes after a kill at file {step}"
        );
    }
    assert!(files(&campaign.join("segments")) == segments);
}

#[test]
fn kill_9_while_sealing_in_a_folder_changes_nothing() {
    let world = world();
    world.campaign(&["m"], 20, 2, json!({}));
    assert_code(&world.run(&[]), 0);
    let store = world.path("data").display().to_string();
    killed_while_sealing(&world, &store, &world.path("data/campaigns/test"));
}

#[test]
fn kill_9_while_sealing_on_s3_changes_nothing() {
    let remote = Remote::new();
    remote.world.campaign(&["m"], 20, 2, json!({}));
    assert_code(&remote.world.run(&[]), 0);
    killed_while_sealing(&remote.world, &remote.url, &remote.campaign());
}
