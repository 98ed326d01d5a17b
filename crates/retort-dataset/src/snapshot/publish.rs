//! From a staging folder to a snapshot's own: all of it, or nothing that counts.

use std::path::Path;

use super::{Snapshot, SnapshotRef, in_folder, list};
use crate::seal::{MANIFEST_FILE, Manifest, SUMS_FILE, sha256_sums};
use crate::store::snapshots_folder;
use crate::{DatasetError, Store, StoreError};

/// Looks at sums that another sealer may just be writing; each look after a write of ours.
const SETTLE_MAX: usize = 4;

/// Gives the staged snapshot its place, unless the same content has one; tells which it was.
///
/// On a folder of this machine that is one rename. Elsewhere files are copied with the manifest
/// last; without it a folder is no snapshot. The name carries the content's hash, so whoever else
/// writes there writes the same bytes.
pub(crate) async fn publish(
    store: &Store,
    manifest: &Manifest,
    staging: &str,
) -> Result<(SnapshotRef, bool), DatasetError> {
    let short = manifest.merkle_root.short();
    let known = list(store, &manifest.campaign).await?;
    let last = known.last().map_or(0, |found| found.seq);
    for found in known {
        let is_same = found.path.ends_with(&short)
            && Snapshot::open(store, &found.path)
                .await?
                .manifest
                .merkle_root
                == manifest.merkle_root;
        if is_same {
            if store.local_path(&found.path).is_none() {
                settle_sums(store, &found.path).await?;
            }
            return Ok((found, true));
        }
    }
    let seq = last + 1;
    let folder = snapshots_folder(&manifest.campaign);
    let path = format!("{folder}/{seq:04}-{short}");
    let local = store.local_path(staging).zip(store.local_path(&path));
    let existed = if let Some((from, to)) = local {
        rename(&from, &to)?
    } else {
        copy(store, manifest, staging, &path).await?;
        false
    };
    Ok((SnapshotRef { seq, path }, existed))
}

/// Renames a staged folder; tells whether another sealer was first, which then has the same bytes.
fn rename(from: &Path, to: &Path) -> Result<bool, DatasetError> {
    let failed = |source: std::io::Error| StoreError::Failed {
        doing: "publish snapshot",
        path: to.display().to_string(),
        source: Box::new(source),
    };
    if to.join(MANIFEST_FILE).exists() {
        return Ok(true);
    }
    let renamed = std::fs::rename(from, to).or_else(|error| {
        if to.join(MANIFEST_FILE).exists() || !to.exists() {
            return Err(error);
        }
        // Without a manifest it is no snapshot: part of a copy that somebody began.
        std::fs::remove_dir_all(to).and_then(|()| std::fs::rename(from, to))
    });
    if let Err(error) = renamed {
        // The name carries the content's hash: whoever made the folder meant these bytes.
        return if to.join(MANIFEST_FILE).exists() {
            Ok(true)
        } else {
            Err(failed(error).into())
        };
    }
    if let Some(parent) = to.parent() {
        let synced = std::fs::File::open(parent).and_then(|folder| folder.sync_all());
        synced.map_err(failed)?;
    }
    Ok(false)
}

async fn copy(
    store: &Store,
    manifest: &Manifest,
    from: &str,
    to: &str,
) -> Result<(), DatasetError> {
    let files = manifest.files.iter().map(|file| file.path.as_str());
    for file in files.chain([SUMS_FILE, MANIFEST_FILE]) {
        store
            .copy(&format!("{from}/{file}"), &format!("{to}/{file}"))
            .await?;
    }
    settle_sums(store, to).await
}

/// Makes `SHA256SUMS` say what the manifest says. Two sealers of the same rows may name different
/// segments in their manifests, when these were compacted in between; whichever manifest stands,
/// the sums follow it.
async fn settle_sums(store: &Store, folder: &str) -> Result<(), DatasetError> {
    let sums_file = in_folder(folder, SUMS_FILE);
    for _ in 0..SETTLE_MAX {
        let snapshot = Snapshot::open(store, folder).await?;
        let bytes = snapshot.file(MANIFEST_FILE).await?;
        let sums = sha256_sums(&snapshot.manifest.files, &bytes);
        match store.get(&sums_file).await {
            Ok(found) if found == sums => return Ok(()),
            Err(error) if !error.is_not_found() => return Err(error.into()),
            Ok(_) | Err(_) => store.put(&sums_file, sums.into()).await?,
        }
    }
    Ok(())
}

/// Removes what is left of a staging folder.
pub(crate) async fn discard(store: &Store, staging: &str) -> Result<(), StoreError> {
    let Some(folder) = store.local_path(staging) else {
        for path in store.list(staging).await? {
            store.delete(&path).await?;
        }
        return Ok(());
    };
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::Failed {
            doing: "remove",
            path: staging.to_owned(),
            source: Box::new(error),
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}
