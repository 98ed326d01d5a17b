//! Sealing: the segments of a finished campaign as one snapshot that never changes.
//!
//! A snapshot holds exactly one final row per planned sample. Among the final rows of a sample a
//! measurement comes before the lack of one, then the lowest `(attempt_no, finished_at,
//! attempt_id)`; content is never consulted. Every attempt is kept once, in `attempts`. The bytes
//! depend on the segments' rows and the plan alone: no clock, no sealer, not how rows were spread
//! over files. (The manifest also lists those files; it is not part of the Merkle root.)

mod card;
mod coverage;
mod croissant;
mod gather;
mod id;
mod job;
mod keys;
mod manifest;
mod output;
mod slug;
mod spill;
mod staging;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use retort_types::catalog::{KnownRelation, Price, Terms};
use retort_types::digest::canonical_json;
use retort_types::{
    AccountName, Campaign, Digest, DomainId, ModelName, Outcome, Prompt, ProviderName, WireProtocol,
};
use tokio::sync::mpsc;

use crate::{DatasetError, SealError, Store};

pub use coverage::meaning;
pub(crate) use manifest::{MANIFEST_FILE, SIGNATURE_FILE, SUMS_FILE, catalog_hash, sha256_sums};
pub use manifest::{Manifest, ManifestFile, PLAN_FILE, merkle_root};
pub use slug::model_slugs;

/// Progress notes that may wait to be passed on; each is a file or a thousand rows.
const PROGRESS_QUEUE: usize = 16;

/// What is sealed.
#[derive(Debug, Clone)]
pub struct SealInput {
    /// The campaign.
    pub campaign: Campaign,
    /// The plan its samples were drawn from.
    pub plan_hash: Digest,
    /// That plan as canonical JSON; goes into the snapshot as it is.
    pub plan_document: Vec<u8>,
    /// Samples of the plan: each index below must have a final row.
    pub total: u64,
    /// The prompts.
    pub prompts: Vec<Prompt>,
    /// The models.
    pub models: Vec<ModelRow>,
    /// Where the rows came from.
    pub origin: Origin,
}

/// Where the rows of a dataset came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Retort asked the models.
    Crawl,
    /// Files of replies that others collected.
    Import,
}

impl Origin {
    /// Returns the word used in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Crawl => "crawl",
            Self::Import => "import",
        }
    }
}

/// A row of `models`: what the catalog said when the plan was made.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRow {
    /// Our name of the model.
    pub name: ModelName,
    /// The model as sent.
    pub request_model: String,
    /// Who serves it; not known of an imported model.
    pub served: Option<ServedBy>,
    /// Who made it.
    pub vendor: Option<String>,
    /// The family it belongs to.
    pub family: Option<String>,
    /// The base model it was tuned from.
    pub base: Option<String>,
    /// Its tokenizer.
    pub tokenizer: Option<String>,
    /// When it was released.
    pub released: Option<String>,
    /// What is publicly known of its origin.
    pub known_relations: Vec<KnownRelation>,
    /// What it costs.
    pub price: Option<Price>,
}

/// Who serves a model, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedBy {
    /// Who serves it.
    pub provider: ProviderName,
    /// Their terms of use.
    pub terms: Option<Terms>,
    /// Whose quota pays.
    pub account: AccountName,
    /// The rate-limit domain.
    pub domain: DomainId,
    /// The provider's wire protocol.
    pub wire: WireProtocol,
    /// Host and port.
    pub host: String,
}

impl ModelRow {
    /// Returns the known relations as canonical JSON.
    pub(crate) fn relations_json(&self) -> String {
        canonical_json(&self.known_relations).expect("lists of texts always serialize")
    }
}

/// How far sealing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealProgress {
    /// What is being done.
    pub stage: SealStage,
    /// How much of it is done.
    pub done: u64,
    /// How much there is.
    pub total: u64,
}

/// What sealing is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealStage {
    /// Reading segments; counts files.
    Reading,
    /// Writing `responses`; counts rows.
    Responses,
    /// Writing `tokens`; counts rows.
    Tokens,
    /// Writing `attempts`; counts rows.
    Attempts,
    /// Hashing exchanges; counts files.
    Exchanges,
}

/// A sealed snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Its folder in the store.
    pub path: String,
    /// Its number within the campaign, from 1.
    pub seq: u32,
    /// Merkle root over its files.
    pub merkle_root: Digest,
    /// Rows of `responses`: the samples of the plan.
    pub rows: u64,
    /// How they ended.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Whether the same content had been sealed before.
    pub existed: bool,
}

/// Seals a campaign; sealing the same content again returns the snapshot that is there.
///
/// Holds a key per row and at most some 128 MiB of rows in memory; larger tables are sorted by way of
/// temporary files, beside the snapshot in a folder, else where the system keeps such files. Dropping the future ends the work
/// at its next step and leaves no snapshot.
///
/// # Errors
/// [`SealError::Incomplete`] when a sample has no final row yet, another when the store fails or a
/// segment is damaged or of another plan.
pub async fn seal(
    store: &Store,
    input: &SealInput,
    progress: &(dyn Fn(SealProgress) + Sync),
) -> Result<Sealed, SealError> {
    let (sender, mut notes) = mpsc::channel(PROGRESS_QUEUE);
    let handle = tokio::runtime::Handle::current();
    let (store, input) = (store.clone(), input.clone());
    let work =
        tokio::task::spawn_blocking(move || job::Job::new(store, input, handle, sender).run());
    // Ends when the job drops its sender, which it does however it ends.
    while let Some(note) = notes.recv().await {
        progress(note);
    }
    work.await.unwrap_or(Err(DatasetError::Closed.into()))
}
