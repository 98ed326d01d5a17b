//! Copies of the exchange files that a snapshot's rows name.

use std::collections::BTreeSet;
use std::path::Path;

use arrow::array::AsArray as _;

use super::ExportError;
use crate::DatasetError;
use crate::schema::Table;
use crate::snapshot::Snapshot;

/// Copies every exchange file that the attempts of `snapshot` name below `folder`, under the same
/// path, and returns these paths in order.
///
/// # Errors
/// When no exchange is stored, a file is not there, or the copy cannot be written.
pub async fn copy_exchanges(
    snapshot: &Snapshot,
    folder: &Path,
) -> Result<Vec<String>, ExportError> {
    let files = named(snapshot).await?;
    if files.is_empty() {
        return Err(ExportError::NoExchanges);
    }
    for file in &files {
        if !is_exchange_file(file) {
            return Err(ExportError::BadExchange(file.clone()));
        }
        let bytes = match snapshot.campaign_file(file).await {
            Ok(bytes) => bytes,
            Err(DatasetError::Store(error)) if error.is_not_found() => {
                return Err(ExportError::MissingExchange(file.clone()));
            }
            Err(error) => return Err(error.into()),
        };
        let to = folder.join(file);
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&to, &bytes)?;
    }
    Ok(files.into_iter().collect())
}

async fn named(snapshot: &Snapshot) -> Result<BTreeSet<String>, ExportError> {
    let mut files = BTreeSet::new();
    let mut rows = snapshot.rows(Table::Attempts, &["exchange_file"]);
    while let Some(batch) = rows.next().await? {
        let names = batch.column(0).as_string::<i32>();
        for name in names.iter().flatten() {
            if !files.contains(name) {
                files.insert(name.to_owned());
            }
        }
    }
    Ok(files)
}

/// Names come out of a file that may have been made elsewhere: they must not lead out of a folder.
fn is_exchange_file(path: &str) -> bool {
    path.starts_with("exchanges/")
        && path.ends_with(".warc.gz")
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
        && !path.contains(['\\', '\0'])
}
