//! What can be checked of an import: that it has the rows it says, each once. There is no plan and no
//! exchange from which they could be derived.

use std::collections::BTreeSet;

use crate::DatasetError;
use crate::columns::Reader;
use crate::schema::Table;
use crate::snapshot::{Finding, Snapshot};

/// Checks the rows of an import of `total` rows. Returns how many there are and what is wrong.
///
/// # Errors
/// When a file cannot be read.
pub async fn audit_import(
    snapshot: &Snapshot,
    total: u64,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(u64, Vec<Finding>), DatasetError> {
    let table = Table::Responses.as_str();
    let mut findings = Vec::new();
    let mut ids = BTreeSet::new();
    let mut count = 0;
    let mut rows = snapshot.responses(&["sample_id"]);
    while let Some(batch) = rows.next().await? {
        let reader = Reader::new(&batch, table);
        for id in reader.text("sample_id")?.iter().flatten() {
            if !ids.insert(id.to_owned()) {
                let mut finding = Finding::of_file(table, "the sample is there twice");
                finding.row = Some(id.to_owned());
                findings.push(finding);
            }
        }
        let read = u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
        count += read;
        progress(read);
    }
    if count != total {
        let what = format!("it has {count} rows, and {total} were imported");
        findings.push(Finding::of_file(table, what));
    }
    Ok((count, findings))
}
