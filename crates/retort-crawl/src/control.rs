//! What people ask of a campaign: pause, resume, cancel. Kept in the store, append-only, so that it
//! holds whether or not anything is running, and survives restarts.

use retort_dataset::{Store, StoreError};
use retort_types::{CampaignId, Timestamp, WallClock};
use serde::{Deserialize, Serialize};

use crate::record::fresh_id;

/// What is asked of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// Start nothing new.
    Pause,
    /// Go on; also takes a cancellation back.
    Resume,
    /// Ask nothing more; what is open ends as `not_asked` and the campaign is sealed.
    Cancel,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    wish: Wish,
    at: Timestamp,
}

fn folder(campaign: &CampaignId) -> String {
    format!("campaigns/{campaign}/control")
}

/// Records a wish.
///
/// # Errors
/// When the store does.
pub async fn wish(
    store: &Store,
    clock: &dyn WallClock,
    campaign: &CampaignId,
    wish: Wish,
) -> Result<(), StoreError> {
    let entry = Entry {
        wish,
        at: clock.now(),
    };
    let text = serde_json::to_vec(&entry).expect("a word and a time always serialize");
    store
        .put(
            &format!("{}/{}.json", folder(campaign), fresh_id(clock)),
            text.into(),
        )
        .await
}

/// Returns the wish that stands: the last one, or nothing when there was none.
///
/// # Errors
/// When the store does.
pub async fn standing(store: &Store, campaign: &CampaignId) -> Result<Option<Wish>, StoreError> {
    let mut names = store.list(&folder(campaign)).await?;
    names.sort();
    while let Some(name) = names.pop() {
        let bytes = store.get(&name).await?;
        match serde_json::from_slice::<Entry>(&bytes) {
            Ok(entry) => return Ok(Some(entry.wish)),
            Err(error) => tracing::warn!(error = %error, "a control entry is unreadable"),
        }
    }
    Ok(None)
}
