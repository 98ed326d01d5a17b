//! The spool: append-only files of framed records that survive a kill at any moment.
//!
//! One process owns a spool folder, by a lock on the file `lock`. Records go into numbered files
//! (`000000000001.spool`), each of which later becomes one flush and is then removed. A file with
//! damage in its middle is not removed but set aside as `.spool.corrupt`, its whole frames used.

mod binary;
pub(crate) mod disk;
mod frame;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use retort_types::AttemptRecord;

use crate::SpoolError;
pub use binary::BinaryError;
use disk::{Disk, DiskFile, RealDisk};

const LOCK_FILE: &str = "lock";
const SUFFIX: &str = ".spool";

/// Number of a spool file; later files have higher ones.
pub type FileNumber = u64;

/// A file that a spool found when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredFile {
    /// Its number.
    pub number: FileNumber,
    /// Whole records in it.
    pub records: u64,
    /// Bytes cut from its end: a write that did not finish, so was never confirmed.
    pub torn_bytes: u64,
    /// Bytes in its middle that cannot be read; the file is kept.
    pub damaged_bytes: u64,
}

/// The spool of one process.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    disk: Box<dyn Disk>,
    max_bytes: u64,
    /// Length of each file's good part.
    files: BTreeMap<FileNumber, u64>,
    damaged: Vec<FileNumber>,
    active: Option<Active>,
    next: FileNumber,
    /// Held open for as long as the spool is: closing it gives the lock back.
    _lock: File,
}

#[derive(Debug)]
struct Active {
    number: FileNumber,
    file: Box<dyn DiskFile>,
    /// Length of what is durable.
    bytes: u64,
}

impl Spool {
    /// Opens the spool in `dir`, which is created, and reports the files an earlier process left.
    ///
    /// `max_bytes` limits all files together; `holder` is what another process is told.
    ///
    /// # Errors
    /// [`SpoolError::Locked`] when another process owns it; else when the file system fails.
    pub fn open(
        dir: &Path,
        max_bytes: u64,
        holder: &str,
    ) -> Result<(Self, Vec<RecoveredFile>), SpoolError> {
        Self::open_on(Box::new(RealDisk), dir, max_bytes, holder)
    }

    pub(crate) fn open_on(
        disk: Box<dyn Disk>,
        dir: &Path,
        max_bytes: u64,
        holder: &str,
    ) -> Result<(Self, Vec<RecoveredFile>), SpoolError> {
        std::fs::create_dir_all(dir).map_err(io("create", dir))?;
        let lock = lock(dir, holder)?;
        let mut spool = Self {
            dir: dir.to_owned(),
            disk,
            max_bytes,
            files: BTreeMap::new(),
            damaged: Vec::new(),
            active: None,
            next: 1,
            _lock: lock,
        };
        let recovered = spool.recover()?;
        Ok((spool, recovered))
    }

    fn recover(&mut self) -> Result<Vec<RecoveredFile>, SpoolError> {
        let mut recovered = Vec::new();
        for number in numbers(&self.dir)? {
            self.next = number + 1;
            let path = self.path(number);
            let bytes = std::fs::read(&path).map_err(io("read", &path))?;
            let scan = frame::scan(&bytes);
            if scan.torn_bytes > 0 {
                truncate(&path, scan.good_bytes)?;
            }
            if scan.damaged_bytes > 0 {
                self.damaged.push(number);
            }
            self.files.insert(number, scan.good_bytes);
            if scan.good_bytes == 0 {
                self.remove(number)?;
            }
            recovered.push(RecoveredFile {
                number,
                records: u64::try_from(scan.records.len()).unwrap_or(u64::MAX),
                torn_bytes: scan.torn_bytes,
                damaged_bytes: scan.damaged_bytes,
            });
        }
        Ok(recovered)
    }

    /// Returns the length of all files together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.values().sum()
    }

    /// Returns how many files there are.
    pub fn file_count(&self) -> usize {
        self.files.len()
    }

    /// Appends `records` with one write and one fsync, and returns the bytes they take.
    ///
    /// All of them are durable when it returns, and none of them counts when it fails: what was
    /// written of them is cut away again.
    ///
    /// # Errors
    /// [`SpoolError::Full`] when the limit would be passed (a spool that is empty takes one batch of
    /// any size), [`SpoolError::Io`] when the file system fails; both may pass.
    pub fn append(&mut self, records: &[&AttemptRecord]) -> Result<u64, SpoolError> {
        let mut buffer = Vec::new();
        for record in records {
            frame::encode(record, &mut buffer)?;
        }
        self.append_frames(&buffer)
    }

    /// Appends frames made by [`encode`].
    pub(crate) fn append_frames(&mut self, frames: &[u8]) -> Result<u64, SpoolError> {
        let length = u64::try_from(frames.len()).unwrap_or(u64::MAX);
        let bytes = self.bytes();
        if bytes > 0 && bytes.saturating_add(length) > self.max_bytes {
            return Err(SpoolError::Full {
                bytes,
                limit: self.max_bytes,
            });
        }
        let mut active = match self.active.take() {
            Some(active) => active,
            None => self.create()?,
        };
        let path = self.path(active.number);
        let written = active
            .file
            .append(frames)
            .map_err(io("append to", &path))
            .and_then(|()| active.file.sync().map_err(io("sync", &path)));
        if let Err(error) = written {
            self.give_up_on(active);
            return Err(error);
        }
        active.bytes += length;
        self.files.insert(active.number, active.bytes);
        self.active = Some(active);
        Ok(length)
    }

    /// Cuts an unfinished write away and never appends to the file again: after a failed fsync
    /// nobody knows which of its pages reached the disk.
    fn give_up_on(&mut self, mut active: Active) {
        let cut = active.file.truncate(active.bytes);
        if cut.and_then(|()| active.file.sync()).is_err() {
            tracing::warn!(
                file = active.number,
                "a torn write stays in the spool until it is read again"
            );
        }
        if active.bytes == 0 && std::fs::remove_file(self.path(active.number)).is_ok() {
            self.files.remove(&active.number);
        }
    }

    fn create(&mut self) -> Result<Active, SpoolError> {
        let number = self.next;
        self.next += 1;
        let path = self.path(number);
        let file = self.disk.create(&path).map_err(io("create", &path))?;
        self.files.insert(number, 0);
        Ok(Active {
            number,
            file,
            bytes: 0,
        })
    }

    /// Ends the current file, so that the next record begins another one.
    pub fn rotate(&mut self) {
        self.active = None;
    }

    /// Returns the numbers of all files, oldest first.
    pub fn numbers(&self) -> Vec<FileNumber> {
        self.files.keys().copied().collect()
    }

    /// Returns the number of the file that is appended to.
    pub fn active(&self) -> Option<FileNumber> {
        self.active.as_ref().map(|active| active.number)
    }

    /// Returns the confirmed records of a file, in the order they were appended.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, number: FileNumber) -> Result<Vec<AttemptRecord>, SpoolError> {
        let path = self.path(number);
        let mut bytes = std::fs::read(&path).map_err(io("read", &path))?;
        let good = self.files.get(&number).copied().unwrap_or(0);
        bytes.truncate(usize::try_from(good).unwrap_or(usize::MAX));
        Ok(frame::scan(&bytes).records)
    }

    /// Removes a file whose records are durable elsewhere; one with damage is set aside instead.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn remove(&mut self, number: FileNumber) -> Result<(), SpoolError> {
        if self.active() == Some(number) {
            self.active = None;
        }
        let path = self.path(number);
        if self.damaged.contains(&number) {
            let aside = path.with_extension("spool.corrupt");
            std::fs::rename(&path, &aside).map_err(io("set aside", &path))?;
        } else {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io("remove", &path)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        self.files.remove(&number);
        Ok(())
    }

    fn path(&self, number: FileNumber) -> PathBuf {
        self.dir.join(format!("{number:012}{SUFFIX}"))
    }
}

/// Appends the frame of `record` to `buffer`, or leaves it as it was.
pub(crate) fn encode(record: &AttemptRecord, buffer: &mut Vec<u8>) -> Result<(), SpoolError> {
    frame::encode(record, buffer)
}

fn io<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> SpoolError + use<'a> {
    move |source| SpoolError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

fn lock(dir: &Path, holder: &str) -> Result<File, SpoolError> {
    let path = dir.join(LOCK_FILE);
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let told = std::fs::read_to_string(&path).unwrap_or_default();
            let holder = match told.trim() {
                "" => "another process".to_owned(),
                told => told.chars().take(200).collect(),
            };
            return Err(SpoolError::Locked {
                dir: dir.to_owned(),
                holder,
            });
        }
        Err(TryLockError::Error(error)) => return Err(io("lock", &path)(error)),
    }
    file.set_len(0).map_err(io("write", &path))?;
    let text = format!("{holder}, process {}\n", std::process::id());
    file.write_all(text.as_bytes())
        .map_err(io("write", &path))?;
    Ok(file)
}

fn numbers(dir: &Path) -> Result<Vec<FileNumber>, SpoolError> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io("list", dir))? {
        let name = entry.map_err(io("list", dir))?.file_name();
        let number: Option<FileNumber> = name
            .to_str()
            .and_then(|name| name.strip_suffix(SUFFIX))
            .and_then(|digits| digits.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn truncate(path: &Path, length: u64) -> Result<(), SpoolError> {
    let file = File::options()
        .write(true)
        .open(path)
        .map_err(io("open", path))?;
    file.set_len(length)
        .and_then(|()| file.sync_data())
        .map_err(io("cut", path))
}
