//! Submissions: what a message may say, and what becomes of it.
//!
//! A message comes from whoever may publish to the exchange of submissions, and is trusted with
//! nothing: it names models of the coordinator's catalog and carries prompts, and never says where
//! a request goes or what authorises it.

use std::sync::Arc;

use retort_broker::Message;
use retort_dataset::{Store, StoreError};
use retort_plan::Plan;
use retort_types::{Campaign, CampaignId, Catalog, Digest, WallClock};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::message::{CAMPAIGN_KIND, Stored};
use crate::submit::{SubmitError, Submitted, submit};

/// Largest campaign that is read from the store, in bytes: prompts of a million characters each are
/// not what campaigns are made of.
const STORED_MAX_BYTES: usize = 64 << 20;

/// Keys that say where a request goes, what it carries beside its body or what is read from disk.
/// Some gateways obey them within a body.
const FORBIDDEN_KEYS: [&str; 12] = [
    "api_base",
    "base_url",
    "endpoint",
    "extra_headers",
    "file",
    "header",
    "headers",
    "path",
    "proxy",
    "uri",
    "url",
    "webhook",
];

/// The frozen plan of the analysis is carried along and read by nobody who asks.
const CARRIED_KEY: &str = "analysis";

/// Why a submission is not taken up.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It never will be.
    Invalid(String),
    /// The store failed: it is tried again.
    Trouble(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Trouble(error)
    }
}

impl From<SubmitError> for Refusal {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Store(error) => Self::Trouble(error),
            SubmitError::Conflict(_)
            | SubmitError::CatalogChanged { .. }
            | SubmitError::DomainsChanged { .. }
            | SubmitError::Damaged { .. } => Self::Invalid(error.to_string()),
        }
    }
}

/// Says that a fleet carries a campaign out.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    submitted_at: retort_types::Timestamp,
}

fn marker_path(campaign: &CampaignId) -> String {
    format!("campaigns/{campaign}/submission.json")
}

/// Returns where a campaign that is too large for a message lies.
pub fn stored_path(digest: Digest) -> String {
    format!("submissions/{digest}.json")
}

/// Returns whether a fleet carries a campaign out.
///
/// # Errors
/// When the store fails.
pub(crate) async fn is_submitted(store: &Store, id: &CampaignId) -> Result<bool, StoreError> {
    match store.get(&marker_path(id)).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes a campaign up: it and its plan are in the store when this returns.
pub(crate) async fn accept(
    store: &Store,
    catalog: &Arc<Catalog>,
    clock: &dyn WallClock,
    message: &Message,
) -> Result<Submitted, Refusal> {
    if !message.kind.is_empty() && message.kind != CAMPAIGN_KIND {
        let reason = format!("the message's type is not `{CAMPAIGN_KIND}`");
        return Err(Refusal::Invalid(reason));
    }
    let text = text_of(store, message).await?;
    let catalog = Arc::clone(catalog);
    let planning = tokio::task::spawn_blocking(move || {
        let campaign = read(&text)?;
        Plan::build(campaign, &catalog).map_err(|error| told(&error))
    });
    let planned = planning.await;
    let plan = planned
        .unwrap_or_else(|_| Err("the campaign cannot be planned".to_owned()))
        .map_err(Refusal::Invalid)?;
    let id = plan.campaign().id.clone();
    let submitted = submit(store, plan).await?;
    let marker = Marker {
        submitted_at: clock.now(),
    };
    let text = serde_json::to_vec(&marker).expect("a time always serializes");
    store.put_if_absent(&marker_path(&id), text.into()).await?;
    Ok(submitted)
}

/// Returns the text of a campaign: the message's own, or the one in the store that it names.
async fn text_of(store: &Store, message: &Message) -> Result<String, Refusal> {
    let invalid = |reason: &str| Refusal::Invalid(reason.to_owned());
    let text = message.body.bytes();
    let bytes = match serde_json::from_slice::<Stored>(&text) {
        Err(_) => text,
        Ok(Stored { campaign_sha256 }) => {
            let path = stored_path(campaign_sha256);
            let bytes = store.get(&path).await.map_err(|error| {
                if error.is_not_found() {
                    invalid("the campaign it names is not in the store")
                } else {
                    Refusal::Trouble(error)
                }
            })?;
            if bytes.len() > STORED_MAX_BYTES || Digest::of(&bytes) != campaign_sha256 {
                return Err(invalid("what the store holds is not the campaign it names"));
            }
            bytes
        }
    };
    String::from_utf8(bytes.into()).map_err(|_| invalid("it is not UTF-8"))
}

/// Reads a campaign out of a message.
///
/// # Errors
/// Says why it is refused.
fn read(text: &str) -> Result<Campaign, String> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    if let Some(place) = forbidden(&value, "", true) {
        return Err(format!(
            "`{place}`: a message names no file, path, address or header; prompts travel within it"
        ));
    }
    retort_plan::parse_campaign(text, "message").map_err(|error| told(&error))
}

fn told(error: &retort_plan::SpecError) -> String {
    match error.hint() {
        Some(hint) => format!("{error}; hint: {hint}"),
        None => error.to_string(),
    }
}

/// Returns where a key stands that no message may hold.
fn forbidden(value: &Value, place: &str, is_root: bool) -> Option<String> {
    match value {
        Value::Object(fields) => fields.iter().find_map(|(key, inner)| {
            if is_root && key == CARRIED_KEY {
                return None;
            }
            let place = if is_root {
                key.clone()
            } else {
                format!("{place}.{key}")
            };
            let key = key.to_ascii_lowercase().replace('-', "_");
            if FORBIDDEN_KEYS.contains(&key.as_str()) {
                return Some(place);
            }
            forbidden(inner, &place, false)
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(number, item)| forbidden(item, &format!("{place}[{number}]"), false)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn campaign() -> Value {
        json!({
            "id": "t", "purpose": "p", "models": ["m"],
            "suites": [{ "inline": { "name": "s", "prompts": ["see http://example.org/file"] } }],
        })
    }

    fn check(change: impl FnOnce(&mut Value), reason: &str) {
        let mut value = campaign();
        change(&mut value);
        let told = read(&value.to_string()).map(|_| ()).unwrap_err();
        assert!(told.contains(reason), "{told}");
    }

    #[test]
    fn a_message_names_no_place_and_no_header() {
        assert!(read(&campaign().to_string()).is_ok());
        check(
            |value| value["suites"][0] = json!({ "file": "/etc/passwd" }),
            "`suites[0].file`: a message names no file",
        );
        check(|value| value["base_url"] = json!("http://x"), "`base_url`");
        check(
            |value| value["params"] = json!({ "extra": { "API-Base": "http://x" } }),
            "`params.extra.API-Base`",
        );
        check(
            |value| {
                value["arms"] =
                    json!([{ "name": "a", "params": { "extra": { "a": [{ "headers": {} }] } } }]);
            },
            "`arms[0].params.extra.a[0].headers`",
        );
        let mut carried = campaign();
        carried["analysis"] = json!({ "path": "x" });
        assert!(
            read(&carried.to_string()).is_ok(),
            "the analysis is carried"
        );
    }

    #[test]
    fn what_is_no_campaign_is_told_why() {
        check(
            |value| value["modles"] = json!(["m"]),
            "did you mean `models`",
        );
        check(|value| *value = json!([1]), "");
        for text in ["", "id: t", "{", "\u{0}", &"[".repeat(100_000)] {
            assert!(read(text).unwrap_err().starts_with("it is not JSON"));
        }
    }
}
