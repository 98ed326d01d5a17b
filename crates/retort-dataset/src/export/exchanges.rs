//! Copies of the exchange files that belong to a snapshot.

use std::path::Path;

use retort_types::Digest;

use super::ExportError;
use crate::DatasetError;
use crate::exchange::is_exchange_file;
use crate::snapshot::Snapshot;

/// Copies every exchange file that the manifest of `snapshot` lists below `folder`, under the same
/// path, and returns these paths in order.
///
/// # Errors
/// When no exchange is stored, a file is not there or not the one that was sealed, or the copy
/// cannot be written.
pub async fn copy_exchanges(
    snapshot: &Snapshot,
    folder: &Path,
) -> Result<Vec<String>, ExportError> {
    let files = &snapshot.manifest.exchanges;
    if files.is_empty() {
        return Err(ExportError::NoExchanges);
    }
    for file in files {
        let name = &file.path;
        // Names come out of a file that may have been made elsewhere: none may lead out of a folder.
        if !is_exchange_file(name) {
            return Err(ExportError::BadExchange(name.clone()));
        }
        let bytes = match snapshot.campaign_file(name).await {
            Ok(bytes) => bytes,
            Err(DatasetError::Store(error)) if error.is_not_found() => {
                return Err(ExportError::MissingExchange(name.clone()));
            }
            Err(error) => return Err(error.into()),
        };
        if Digest::of(&bytes) != file.sha256 {
            return Err(ExportError::BadExchange(name.clone()));
        }
        let to = folder.join(name);
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&to, &bytes)?;
    }
    Ok(files.iter().map(|file| file.path.clone()).collect())
}
