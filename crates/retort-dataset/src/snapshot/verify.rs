//! Whether the files of a snapshot are what was sealed.

use std::collections::BTreeSet;
use std::io::Read as _;

use retort_types::Digest;
use retort_types::digest::canonical_json;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Snapshot, in_folder};
use crate::seal::{
    MANIFEST_FILE, ManifestFile, PLAN_FILE, SIGNATURE_FILE, SUMS_FILE, catalog_hash, merkle_root,
    sha256_sums,
};
use crate::segment::Source;
use crate::{DatasetError, StoreError};

/// Bytes that are read at once while hashing.
const HASH_BUFFER_BYTES: usize = 1 << 18;

/// Something that is not as it was sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file, by its path in the snapshot, or below the campaign's folder for exchanges.
    pub file: String,
    /// The sample or attempt, when a row differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
    /// What differs.
    pub what: String,
}

impl Finding {
    /// Returns a finding about a whole file.
    pub fn of_file(file: &str, what: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            row: None,
            what: what.into(),
        }
    }
}

/// What was hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Files that were hashed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The Merkle root, computed anew.
    pub merkle_root: Digest,
    /// What differs, in the order of files.
    pub findings: Vec<Finding>,
}

impl Snapshot {
    /// Hashes every file and compares it with the manifest, the Merkle root and `SHA256SUMS`.
    ///
    /// # Errors
    /// [`DatasetError::Damaged`] naming the first file that is missing, changed or not listed.
    pub async fn verify(&self) -> Result<Verified, DatasetError> {
        let verified = self.check_files(&|_| {}).await?;
        match verified.findings.first() {
            Some(found) => Err(DatasetError::damaged(
                &in_folder(&self.path, &found.file),
                &*found.what,
            )),
            None => Ok(verified),
        }
    }

    /// Does the same and returns everything that differs; `progress` is told the bytes of each file.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn check_files(
        &self,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Verified, DatasetError> {
        let mut findings = self.unlisted_files().await?;
        let (mut bytes, mut computed) = (0, self.manifest.files.clone());
        for (file, computed) in self.manifest.files.iter().zip(&mut computed) {
            match self.hash(&file.path).await {
                Ok((length, digest)) => {
                    bytes += length;
                    progress(length);
                    computed.sha256 = digest;
                    findings.extend(difference(file, length, digest));
                }
                Err(error) if error.is_not_found() => {
                    findings.push(Finding::of_file(&file.path, "it is listed and not there"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        findings.extend(self.manifest_findings().await?);
        Ok(Verified {
            files: u64::try_from(self.manifest.files.len()).unwrap_or(u64::MAX),
            bytes,
            merkle_root: merkle_root(&computed),
            findings,
        })
    }

    /// Returns the length and the SHA-256 of a file.
    async fn hash(&self, path: &str) -> Result<(u64, Digest), StoreError> {
        let source = Source::open(&self.store, &in_folder(&self.path, path)).await?;
        hash(source, path).await
    }

    /// Checks what the manifest says of itself.
    async fn manifest_findings(&self) -> Result<Vec<Finding>, DatasetError> {
        let manifest = &self.manifest;
        let mut findings = Vec::new();
        let mut wrong = |what: &str| findings.push(Finding::of_file(MANIFEST_FILE, what));
        let bytes = self.file(MANIFEST_FILE).await?;
        let canonical = canonical_json(manifest).expect("texts and counts always serialize");
        if bytes != canonical {
            wrong("it is not the canonical JSON of what it says");
        }
        if merkle_root(&manifest.files) != manifest.merkle_root {
            wrong("its Merkle root does not follow from its files");
        }
        let exchanges = (!manifest.exchanges.is_empty()).then(|| merkle_root(&manifest.exchanges));
        if exchanges != manifest.exchanges_root {
            wrong("its Merkle root of exchanges does not follow from them");
        }
        match self.file(PLAN_FILE).await {
            Ok(plan) if manifest.catalog_hash != catalog_hash(&plan) => {
                wrong("its hash of the catalog does not follow from the plan");
            }
            Ok(_) => {}
            Err(DatasetError::Store(error)) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        let sums = sha256_sums(&manifest.files, &bytes);
        match self.file(SUMS_FILE).await {
            Ok(found) if found == sums => {}
            Ok(found) => {
                let line = format!("{}  {MANIFEST_FILE}", Digest::of(&bytes));
                let found = String::from_utf8_lossy(&found);
                if !found.lines().any(|told| told == line) {
                    let what = "its SHA-256 is not the one in SHA256SUMS";
                    findings.push(Finding::of_file(MANIFEST_FILE, what));
                }
                let what = "it does not say what the manifest says";
                findings.push(Finding::of_file(SUMS_FILE, what));
            }
            Err(DatasetError::Store(error)) if error.is_not_found() => {
                findings.push(Finding::of_file(SUMS_FILE, "it is not there"));
            }
            Err(error) => return Err(error),
        }
        Ok(findings)
    }

    async fn unlisted_files(&self) -> Result<Vec<Finding>, DatasetError> {
        let files = self.manifest.files.iter().map(|file| file.path.as_str());
        let listed: BTreeSet<String> = files
            .chain([MANIFEST_FILE, SUMS_FILE, SIGNATURE_FILE])
            .map(|file| in_folder(&self.path, file))
            .collect();
        let folder = in_folder(&self.path, "");
        let there = self.store.list(&self.path).await?;
        let unlisted = there.iter().filter(|path| !listed.contains(*path));
        Ok(unlisted
            .map(|path| {
                let path = path.strip_prefix(&folder).unwrap_or(path);
                Finding::of_file(path, "it is not listed in the manifest")
            })
            .collect())
    }
}

/// Returns how a file differs from what is listed of it.
pub(super) fn difference(listed: &ManifestFile, length: u64, digest: Digest) -> Option<Finding> {
    if digest != listed.sha256 {
        let what = "its SHA-256 is not the listed one";
        return Some(Finding::of_file(&listed.path, what));
    }
    (length != listed.bytes)
        .then(|| Finding::of_file(&listed.path, "its length is not the listed one"))
}

/// Returns the length and the SHA-256 of a file without holding it in memory.
pub(super) async fn hash(source: Source, path: &str) -> Result<(u64, Digest), StoreError> {
    let work = move || match source {
        Source::Bytes(bytes) => Ok((bytes.len() as u64, Digest::of(&bytes))),
        Source::File(mut file) => {
            let mut hasher = Sha256::new();
            let mut buffer = vec![0; HASH_BUFFER_BYTES];
            let mut length = 0;
            loop {
                let count = file.read(&mut buffer)?;
                if count == 0 {
                    break;
                }
                hasher.update(buffer.get(..count).unwrap_or_default());
                length += count as u64;
            }
            Ok((length, Digest::from_bytes(hasher.finalize().into())))
        }
    };
    let hashed = tokio::task::spawn_blocking(work).await;
    hashed
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map_err(|source| StoreError::Failed {
            doing: "read",
            path: path.to_owned(),
            source: Box::new(source),
        })
}
