//! Which snapshot a command means: a folder, or a campaign of the store.

use std::path::Path;

use retort_dataset::snapshot::{self, Exchanges, Snapshot};
use retort_dataset::{DatasetError, Store};
use retort_types::CampaignId;

use super::Context;
use super::dataset::{campaigns, require_dataset};
use crate::failure::Failure;
use crate::files;

/// Returns the snapshot in `folder`, if that is one.
pub(super) async fn folder(folder: &Path) -> Result<Option<Snapshot>, Failure> {
    if !folder.join("MANIFEST.json").is_file() {
        return Ok(None);
    }
    Ok(Some(Snapshot::open_folder(folder).await?))
}

/// Returns the newest snapshot of the campaign `name`. When `name` could be an id of a row and is no
/// campaign, returns nothing if `or_id`: the row may be anywhere.
pub(super) async fn named(
    context: &Context,
    name: &str,
    or_id: bool,
) -> Result<Vec<Snapshot>, Failure> {
    let store = files::store(context)?;
    let is_id = |c: char| c.is_ascii_hexdigit() || c == '-';
    let known = campaigns(&store).await?;
    if or_id
        && name.len() >= 4
        && name.chars().all(is_id)
        && !known.iter().any(|id| id.as_str() == name)
    {
        return Ok(Vec::new());
    }
    let campaign: CampaignId = name.parse().map_err(|_| {
        Failure::bad(format!("`{name}` is neither a campaign nor a snapshot"))
            .hint("name a campaign of the store, or a folder with a MANIFEST.json")
    })?;
    Ok(vec![newest(&store, &campaign).await?])
}

/// Returns the snapshot that `name` means: a folder, or a campaign's newest.
pub(super) async fn snapshot(context: &Context, name: &str) -> Result<Snapshot, Failure> {
    if let Some(snapshot) = folder(Path::new(name)).await? {
        return Ok(snapshot);
    }
    let mut found = named(context, name, false).await?;
    found
        .pop()
        .ok_or_else(|| Failure::bad(format!("there is no snapshot `{name}`")))
}

/// Returns the newest snapshots of all campaigns of the store.
pub(super) async fn all(context: &Context) -> Result<Vec<Snapshot>, Failure> {
    let store = files::store(context)?;
    let mut snapshots = Vec::new();
    for campaign in campaigns(&store).await? {
        snapshots.extend(snapshot::latest(&store, &campaign).await?);
    }
    Ok(snapshots)
}

async fn newest(store: &Store, campaign: &CampaignId) -> Result<Snapshot, Failure> {
    require_dataset(store, campaign).await?;
    snapshot::latest(store, campaign).await?.ok_or_else(|| {
        Failure::new(format!("campaign `{campaign}` has no snapshot yet"))
            .hint(format!("make one with `retort dataset seal {campaign}`"))
    })
}

/// Returns where the exchanges of a snapshot are: in `folder`, or beside it.
pub(super) fn exchanges(
    snapshot: &Snapshot,
    folder: Option<&Path>,
) -> Result<Option<Exchanges>, DatasetError> {
    match folder {
        Some(folder) => {
            let store = Store::open_existing(folder)?;
            Ok(Some(Exchanges::new(store, String::new())))
        }
        None => Ok(snapshot.exchanges_beside()),
    }
}
