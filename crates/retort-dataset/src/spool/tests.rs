//! The spool: torn tails, flipped bits, kills, full disks, locks.

use std::fs;

use bytes::Bytes;
use retort_types::Outcome;
use retort_types::record::KeptExchange;

use super::*;
use crate::testing::{FaultyDisk, answer, attempt};

const LIMIT: u64 = 1 << 30;

/// Returns a record with all there is, as it is before its exchange is stored.
fn full() -> AttemptRecord {
    let mut record = crate::testing::full();
    // Holds what could be taken for the beginning of a frame.
    let exchange = Bytes::from_static(b"\x1f\x8bRSP1\0\xffRSP2");
    record.exchange = Some(KeptExchange::Records(exchange));
    record
}

fn open(dir: &Path) -> (Spool, Vec<RecoveredFile>) {
    Spool::open(dir, LIMIT, "test").expect("a spool")
}

fn records(numbers: std::ops::Range<u64>) -> Vec<AttemptRecord> {
    numbers.map(|n| answer(n, &format!("answer {n}"))).collect()
}

fn append(spool: &mut Spool, records: &[AttemptRecord]) -> Result<u64, SpoolError> {
    spool.append(&records.iter().collect::<Vec<_>>())
}

fn everything(spool: &Spool) -> Vec<AttemptRecord> {
    let files = spool.numbers();
    let read = |n: &u64| spool.read(*n).expect("a readable file");
    files.iter().flat_map(read).collect()
}

fn only_file(dir: &Path) -> PathBuf {
    dir.join(format!("{:012}{SUFFIX}", 1))
}

#[test]
fn records_come_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let all = [full(), attempt(0, 0, Outcome::NotAsked), answer(1, "")];
    let (mut spool, recovered) = open(dir.path());
    assert!(recovered.is_empty());
    append(&mut spool, &all[..1]).unwrap();
    append(&mut spool, &all[1..]).unwrap();
    assert_eq!(everything(&spool), all);
    drop(spool);
    let (mut spool, recovered) = open(dir.path());
    let file = RecoveredFile {
        number: 1,
        records: 3,
        torn_bytes: 0,
        damaged_bytes: 0,
    };
    assert_eq!(recovered, [file]);
    assert_eq!(everything(&spool), all);
    append(&mut spool, &all[..1]).unwrap();
    assert_eq!(
        spool.numbers(),
        [1, 2],
        "a recovered file is not appended to"
    );
    spool.remove(1).unwrap();
    spool.remove(2).unwrap();
    assert_eq!(spool.bytes(), 0);
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        1,
        "the lock is left"
    );
}

#[test]
fn a_file_cut_at_any_byte_loses_only_the_frame_that_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(dir.path());
    let good = append(&mut spool, &records(0..2)).unwrap();
    append(&mut spool, &records(2..3)).unwrap();
    drop(spool);
    let whole = fs::read(only_file(dir.path())).unwrap();
    for length in usize::try_from(good).unwrap()..whole.len() {
        fs::write(only_file(dir.path()), &whole[..length]).unwrap();
        let (spool, recovered) = open(dir.path());
        assert_eq!(everything(&spool), records(0..2));
        assert_eq!(recovered[0].torn_bytes, length as u64 - good);
        assert_eq!(recovered[0].damaged_bytes, 0);
        assert_eq!(fs::metadata(only_file(dir.path())).unwrap().len(), good);
    }
}

#[test]
fn damage_at_any_byte_loses_only_its_frame_and_is_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(dir.path());
    let from = usize::try_from(append(&mut spool, &records(0..1)).unwrap()).unwrap();
    let length = usize::try_from(append(&mut spool, &records(1..2)).unwrap()).unwrap();
    append(&mut spool, &records(2..4)).unwrap();
    drop(spool);
    let whole = fs::read(only_file(dir.path())).unwrap();
    let expected: Vec<AttemptRecord> = [records(0..1), records(2..4)].concat();
    for at in from..from + length {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        let scan = frame::scan(&damaged);
        assert_eq!(scan.records, expected, "byte {at}");
        assert_eq!(scan.damaged_bytes, length as u64, "byte {at}");
        assert_eq!(scan.torn_bytes, 0);
    }
    let mut damaged = whole;
    damaged[from + 20] ^= 1;
    fs::write(only_file(dir.path()), &damaged).unwrap();
    let (mut spool, recovered) = open(dir.path());
    assert_eq!(recovered[0].damaged_bytes, length as u64);
    assert_eq!(everything(&spool), expected);
    spool.remove(1).unwrap();
    assert_eq!(
        fs::read(dir.path().join("000000000001.spool.corrupt")).unwrap(),
        damaged
    );
    drop(spool);
    let (_, recovered) = open(dir.path());
    assert!(recovered.is_empty());
}

#[test]
fn a_whole_frame_that_is_no_record_is_damage() {
    let mut bytes = Vec::new();
    frame::encode(&full(), &mut bytes).unwrap();
    let mut other = bytes.clone();
    // An outcome that no version of ours wrote, with a checksum that is right.
    let at = other.windows(8).position(|w| w == b"answered").unwrap();
    other[at] = b'x';
    let length: [u8; 4] = other[4..8].try_into().unwrap();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(&other[12..]);
    other[8..12].copy_from_slice(&hasher.finalize().to_le_bytes());
    let scan = frame::scan(&[other.clone(), bytes].concat());
    assert_eq!(scan.records, [full()]);
    assert_eq!(scan.damaged_bytes, other.len() as u64);
}

#[test]
fn a_second_owner_is_told_who_the_first_is() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(dir.path(), LIMIT, "worker a").unwrap();
    let error = Spool::open(dir.path(), LIMIT, "worker b").unwrap_err();
    let expected = format!(
        "the spool `{}` is in use by worker a, process {}",
        dir.path().display(),
        std::process::id()
    );
    assert_eq!(error.to_string(), expected);
    drop(spool);
    Spool::open(dir.path(), LIMIT, "worker b").unwrap();
}

#[test]
fn the_limit_holds_but_never_blocks_an_empty_spool() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(dir.path(), 10, "test").unwrap();
    append(&mut spool, &records(0..1)).unwrap();
    let before = spool.bytes();
    let error = append(&mut spool, &records(1..2)).unwrap_err();
    assert!(
        matches!(error, SpoolError::Full { limit: 10, .. }),
        "{error}"
    );
    assert_eq!(spool.bytes(), before);
    spool.remove(1).unwrap();
    append(&mut spool, &records(1..2)).unwrap();
    assert_eq!(everything(&spool), records(1..2));
}

#[test]
fn a_kill_at_any_step_loses_nothing_that_was_confirmed() {
    for steps in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let disk = Box::new(FaultyDisk::new(steps));
        let (mut spool, _) = Spool::open_on(disk, dir.path(), LIMIT, "test").unwrap();
        let mut confirmed = Vec::new();
        for batch in [0..1, 1..3, 3..4, 4..6] {
            if batch.start == 3 {
                spool.rotate();
            }
            if append(&mut spool, &records(batch.clone())).is_ok() {
                confirmed.extend(records(batch));
            }
        }
        drop(spool);
        let (spool, recovered) = open(dir.path());
        let found = everything(&spool);
        assert!(recovered.iter().all(|file| file.damaged_bytes == 0));
        assert!(
            confirmed.iter().all(|record| found.contains(record)),
            "{steps} steps"
        );
        assert!(found.iter().all(|record| records(0..6).contains(record)));
    }
}

#[test]
fn a_disk_that_was_full_leaves_each_record_once() {
    // Create, append, sync; then anything fails for a while, at each of the three.
    for good in 3..9 {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::new(good);
        let faulty = Box::new(disk.clone());
        let (mut spool, _) = Spool::open_on(faulty, dir.path(), LIMIT, "test").unwrap();
        let mut failures = 0;
        for n in 0..5 {
            while append(&mut spool, &records(n..n + 1)).is_err() {
                failures += 1;
                if failures == 3 {
                    disk.allow(i64::MAX);
                }
            }
        }
        assert_eq!(failures, 3);
        assert_eq!(everything(&spool), records(0..5), "{good} good steps");
    }
}

#[test]
fn frames_of_version_1_still_read() {
    // Written by hand, byte by byte, as the first release did.
    let dir = tempfile::tempdir().unwrap();
    let record = answer(3, "an old answer");
    let payload = serde_json::to_vec(&record).unwrap();
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    let checksum = crc32fast::hash(&[&length[..], &payload].concat()).to_le_bytes();
    let frame = [b"RSP1", &length[..], &checksum, &payload].concat();
    fs::write(only_file(dir.path()), &frame).unwrap();
    let (spool, _) = open(dir.path());
    assert_eq!(everything(&spool), [record]);
}

#[test]
fn a_frame_whose_json_claims_more_than_there_is_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let payload = [&u32::MAX.to_le_bytes()[..], b"{}"].concat();
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    let checksum = crc32fast::hash(&[&length[..], &payload].concat()).to_le_bytes();
    let frame = [b"RSP2", &length[..], &checksum, &payload].concat();
    fs::write(only_file(dir.path()), &frame).unwrap();
    let (spool, recovered) = open(dir.path());
    assert_eq!(everything(&spool), []);
    assert_eq!(recovered[0].damaged_bytes, frame.len() as u64);
}
