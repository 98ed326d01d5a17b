//! Whether a snapshot is what was sealed.

use std::collections::BTreeSet;

use retort_types::Digest;

use super::{Snapshot, in_folder};
use crate::DatasetError;
use crate::seal::{MANIFEST_FILE, ManifestFile, SUMS_FILE, merkle_root, sha256_sums};

/// What was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Files that were hashed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The Merkle root, computed anew.
    pub merkle_root: Digest,
}

impl Snapshot {
    /// Hashes every file and compares it with the manifest, the Merkle root and `SHA256SUMS`.
    ///
    /// # Errors
    /// [`DatasetError::Damaged`] naming the first file that is missing, changed or not listed.
    pub async fn verify(&self) -> Result<Verified, DatasetError> {
        self.verify_files_listed().await?;
        let mut bytes = 0;
        for file in &self.manifest.files {
            bytes += self.verify_file(file).await?;
        }
        let root = merkle_root(&self.manifest.files);
        if root != self.manifest.merkle_root {
            return Err(self.damaged(
                MANIFEST_FILE,
                "its Merkle root does not follow from its files",
            ));
        }
        let manifest = self.file(MANIFEST_FILE).await?;
        let sums = sha256_sums(&self.manifest.files, &manifest);
        if self.file(SUMS_FILE).await? != sums {
            return Err(self.damaged(SUMS_FILE, "it does not say what the manifest says"));
        }
        Ok(Verified {
            files: u64::try_from(self.manifest.files.len()).unwrap_or(u64::MAX),
            bytes,
            merkle_root: root,
        })
    }

    async fn verify_file(&self, file: &ManifestFile) -> Result<u64, DatasetError> {
        let content = match self.file(&file.path).await {
            Ok(content) => content,
            Err(DatasetError::Store(error)) if error.is_not_found() => {
                return Err(self.damaged(&file.path, "it is listed and not there"));
            }
            Err(error) => return Err(error),
        };
        let hashed = content.clone();
        let digest = tokio::task::spawn_blocking(move || Digest::of(&hashed))
            .await
            .map_err(|_| DatasetError::Closed)?;
        if digest != file.sha256 {
            return Err(self.damaged(&file.path, "its SHA-256 is not the listed one"));
        }
        Ok(u64::try_from(content.len()).unwrap_or(u64::MAX))
    }

    async fn verify_files_listed(&self) -> Result<(), DatasetError> {
        let files = self.manifest.files.iter().map(|file| file.path.as_str());
        let listed: BTreeSet<String> = files
            .chain([MANIFEST_FILE, SUMS_FILE])
            .map(|file| in_folder(&self.path, file))
            .collect();
        let there = self.store.list(&self.path).await?;
        match there.into_iter().find(|path| !listed.contains(path)) {
            Some(path) => Err(DatasetError::damaged(
                &path,
                "it is not listed in the manifest",
            )),
            None => Ok(()),
        }
    }

    fn damaged(&self, file: &str, what: &str) -> DatasetError {
        DatasetError::damaged(&in_folder(&self.path, file), what)
    }
}
