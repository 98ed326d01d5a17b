//! Pay once: kills, Ctrl-C, full disks and failing stores lose nothing and re-ask next to nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{PATIENCE, World, assert_code, finish, kill, signal};

/// Requests in the air at most.
const IN_FLIGHT: u64 = 64;

fn world() -> World {
    let world = World::new(json!({
        "providers": [{ "name": "p", "latency": { "ms": 80, "jitter_ms": 60 }, "models": [{ "name": "m", "words_max": 30 }] }]
    }));
    world.catalog(&[("p", json!({ "concurrency": IN_FLIGHT }))]);
    world
}

fn served(stats: &Value) -> u64 {
    stats["providers"]["p"]["served"]
        .as_u64()
        .expect("the fleet counts")
}

fn paid_twice(stats: &Value) -> u64 {
    stats["providers"]["p"]["paid_twice"]
        .as_u64()
        .expect("the fleet counts")
}

fn in_flight(stats: &Value) -> u64 {
    stats["providers"]["p"]["in_flight"]
        .as_u64()
        .expect("the fleet counts")
}

/// Every planned sample has exactly one final row, and it is answered.
fn assert_complete(world: &World, planned: usize) {
    let rows = world.table("responses", &["sample_id", "plan_index", "outcome"]);
    assert_eq!(rows.len(), planned);
    let ids: BTreeSet<_> = rows
        .iter()
        .map(|row| row["sample_id"].to_string())
        .collect();
    assert_eq!(ids.len(), planned, "a sample has two final rows");
    assert!(
        rows.iter().all(|row| row["outcome"] == "answered"),
        "{:?}",
        world.outcomes()
    );
    // Every row still leads to the bytes it was decoded from.
    let verified = world.command(&["dataset", "verify", "test", "--json"]);
    assert_code(&verified, 0);
    let told: Value = serde_json::from_slice(&verified.stdout).expect("JSON");
    assert_eq!(told["unchecked"], serde_json::json!({}));
}

/// A small generator, so that the moments of the kills are the same in every run of the test.
fn moments(mut seed: u64) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Some(seed >> 33)
    })
}

#[test]
fn kill_9_at_ten_moments_re_asks_at_most_what_was_in_the_air() {
    const SAMPLES: usize = 2_000;
    let world = world();
    world.campaign(&["m"], 200, 10, json!({}));
    let mut in_the_air = 0;
    for (number, random) in moments(7).take(10).enumerate() {
        let child = world.start(&[]);
        // Between a tenth of a step and a whole step further than the last kill.
        let target = (number as u64 * 170) + 20 + random % 150;
        world.wait_until("requests", |world| served(&world.stats()) >= target);
        kill(child);
        let begun = Instant::now();
        while in_flight(&world.stats()) > 0 {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "the fleet finishes what it began"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        in_the_air += IN_FLIGHT;
        let twice = paid_twice(&world.stats());
        assert!(
            twice <= in_the_air,
            "{twice} samples were paid twice after {} kills",
            number + 1
        );
    }
    assert_code(&world.run(&[]), 0);
    assert_complete(&world, SAMPLES);
    let stats = world.stats();
    let twice = paid_twice(&stats);
    assert!(twice <= 10 * IN_FLIGHT, "{twice} samples were paid twice");
    assert!(served(&stats) - SAMPLES as u64 <= 10 * IN_FLIGHT, "{stats}");
}

#[test]
fn ctrl_c_re_asks_nothing() {
    let world = world();
    world.campaign(&["m"], 100, 6, json!({}));
    for target in [50, 150, 300] {
        let child = world.start(&[]);
        world.wait_until("requests", |world| served(&world.stats()) >= target);
        signal(&child, "INT");
        let output = finish(child);
        assert_code(&output, 130);
    }
    assert_code(&world.run(&[]), 0);
    assert_complete(&world, 600);
    let stats = world.stats();
    assert_eq!((served(&stats), paid_twice(&stats)), (600, 0), "{stats}");
}

#[test]
fn a_finished_campaign_asks_nothing_and_seals_the_same_snapshot() {
    let world = world();
    world.campaign(&["m"], 20, 2, json!({}));
    assert_code(&world.run(&[]), 0);
    let first = world.snapshot();
    assert_code(&world.run(&[]), 0);
    assert_eq!(world.snapshot(), first);
    assert_eq!(served(&world.stats()), 40);
}

/// Limits the size of files of a running process, which acts on it like a full disk.
fn limit_files(child: &Child, bytes: &str) {
    let status = Command::new("prlimit")
        .args([
            "--pid",
            &child.id().to_string(),
            &format!("--fsize={bytes}:"),
        ])
        .status()
        .expect("prlimit exists");
    assert!(status.success());
}

#[test]
fn a_full_disk_pauses_and_loses_nothing() {
    let world = world();
    world.campaign(&["m"], 100, 4, json!({}));
    // The signal that comes with such a limit is ignored, as a service manager would have it.
    let binary = env!("CARGO_BIN_EXE_retort");
    let script =
        format!("trap '' XFSZ; exec '{binary}' run campaign.yaml --set writer.flush_every=1h");
    let mut command = Command::new("bash");
    world.dress(&mut command);
    let child = command
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bash exists");
    world.wait_until("requests", |world| served(&world.stats()) >= 50);
    // Room for a few records and for the status, and not for what arrives together.
    limit_files(&child, "16384");
    world.wait_until("the spool to stall", |world| {
        world.path("data/campaigns/test/status.json").exists()
            && !world.status()["writer"]["stalled"].is_null()
    });
    limit_files(&child, "unlimited");
    assert_code(&finish(child), 0);
    assert_complete(&world, 400);
    let stats = world.stats();
    assert_eq!((served(&stats), paid_twice(&stats)), (400, 0), "{stats}");
}

/// Does something while no thread of a process runs.
fn while_stopped(child: &Child, act: impl FnOnce()) {
    signal(child, "STOP");
    let threads = format!("/proc/{}/task", child.id());
    let begun = Instant::now();
    while !std::fs::read_dir(&threads)
        .expect("the process lives")
        .all(|thread| is_stopped(&thread.expect("readable").path()))
    {
        assert!(begun.elapsed() < PATIENCE, "the process does not stop");
        std::thread::sleep(Duration::from_millis(1));
    }
    act();
    signal(child, "CONT");
}

/// Returns whether a thread, by its folder below `/proc`, is stopped or gone.
fn is_stopped(thread: &Path) -> bool {
    // `id (name) state ...`, where the name may hold anything.
    std::fs::read_to_string(thread.join("stat")).map_or(true, |stat| {
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
        state.is_some_and(|rest| rest.starts_with('T'))
    })
}

#[test]
fn a_store_that_fails_for_a_while_loses_nothing() {
    let world = world();
    world.campaign(&["m"], 100, 4, json!({}));
    let child = world.start(&["--set", "writer.flush_every=200ms"]);
    let segments = world.path("data/campaigns/test/segments");
    world.wait_until("a segment", |_| segments.exists());
    // A file where the folder was: every put fails until it is a folder again. The process is
    // stopped meanwhile, or a put between the two steps would make the folder anew.
    let aside = world.path("data/campaigns/test/aside");
    while_stopped(&child, || {
        std::fs::rename(&segments, &aside).expect("same file system");
        std::fs::write(&segments, b"").expect("the name is free");
    });
    world.wait_until("the writer to tell", |world| {
        !world.status()["writer"]["store_failing"].is_null()
    });
    std::thread::sleep(Duration::from_millis(500));
    while_stopped(&child, || {
        std::fs::remove_file(&segments).expect("ours");
        std::fs::rename(&aside, &segments).expect("same file system");
    });
    assert_code(&finish(child), 0);
    assert_complete(&world, 400);
    let stats = world.stats();
    assert_eq!((served(&stats), paid_twice(&stats)), (400, 0), "{stats}");
}

#[test]
fn a_kill_while_the_store_fails_keeps_what_the_spool_has() {
    let world = world();
    world.campaign(&["m"], 100, 4, json!({}));
    let child = world.start(&["--set", "writer.flush_every=1h"]);
    world.wait_until("requests", |world| served(&world.stats()) >= 200);
    kill(child);
    world.wait_until("the fleet to finish", |world| {
        in_flight(&world.stats()) == 0
    });
    let before = served(&world.stats());
    assert_code(&world.run(&[]), 0);
    assert_complete(&world, 400);
    let stats = world.stats();
    assert!(paid_twice(&stats) <= IN_FLIGHT, "{stats}");
    assert!(before >= 200);
}
