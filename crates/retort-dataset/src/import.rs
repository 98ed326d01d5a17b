//! Existing collections as datasets: OpenAI batch output, and plain JSONL, CSV or Parquet of replies.
//!
//! Files are read twice. The first pass checks every row and numbers it, so that a wrong row leaves
//! nothing behind; the second writes segments, which are sealed like those of a crawl. What files do
//! not tell is null. The same files make the same snapshot.

mod batch;
mod cells;
mod error;
mod files;
mod lines;
mod numbering;
mod openai;
mod row;
mod tables;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;

use retort_types::digest::canonical_json;
use retort_types::{AttemptRecord, Campaign, CampaignId, Digest, ModelName, SuiteName};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::seal::{ModelRow, Origin, SealInput, Sealed, seal};
use crate::store::campaign_folder;
use crate::{DatasetError, Store, StoreError};

pub use cells::{Field, FieldColumns};
pub use error::{ImportError, Place};

pub(crate) use openai::ended;

use files::ListedFile;
use numbering::Numbering;
use write::Segments;

/// Progress notes that may wait to be passed on; each stands for a thousand rows.
const PROGRESS_QUEUE: usize = 16;

/// Rows between two notes of progress.
const PROGRESS_ROWS: u64 = 1_024;

/// What is imported.
#[derive(Debug, Clone)]
pub struct ImportInput {
    /// The campaign that the replies become.
    pub campaign: CampaignId,
    /// A title for people.
    pub name: Option<String>,
    /// What it is for; goes into the dataset card.
    pub purpose: String,
    /// The suite of prompts whose file names none.
    pub suite: SuiteName,
    /// Files of replies: `.jsonl`, `.csv` or `.parquet`.
    pub replies: Vec<PathBuf>,
    /// Inputs of OpenAI batches, which tell the prompts.
    pub requests: Vec<PathBuf>,
    /// The model of rows that name none.
    pub model: Option<String>,
    /// Which columns mean what, where they are not called as usual.
    pub columns: FieldColumns,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportProgress {
    /// Whether rows are already written, or still checked.
    pub writing: bool,
    /// Rows that were read.
    pub rows: u64,
}

/// What takes the place of a plan: which files the rows came from, and how they were read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportDocument {
    /// [`ImportDocument::SCHEMA`].
    pub schema: String,
    /// The software that made it, without version.
    pub software: String,
    /// The campaign.
    pub campaign: Campaign,
    /// The files of replies, in their order.
    pub replies: Vec<ListedFile>,
    /// The files of requests, in their order.
    pub requests: Vec<ListedFile>,
    /// Columns that were named by hand.
    pub columns: FieldColumns,
    /// The model of rows that name none.
    pub model: Option<String>,
    /// The suite of prompts whose file names none.
    pub suite: SuiteName,
    /// Models whose names in the files break the rule of names, by the name they were given.
    pub renamed: BTreeMap<ModelName, String>,
    /// Number of rows.
    pub total: u64,
}

impl ImportDocument {
    /// The value of `schema`.
    pub const SCHEMA: &'static str = "retort.import.v1";
}

/// Returns whether `store` holds an import under this id.
///
/// # Errors
/// When the store fails.
pub async fn is_imported(store: &Store, campaign: &CampaignId) -> Result<bool, StoreError> {
    match store.get(&import_path(campaign)).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns where a store keeps what an imported campaign was made from.
fn import_path(campaign: &CampaignId) -> String {
    format!("{}/import.json", campaign_folder(campaign))
}

/// Imports files into `store` as a sealed snapshot; the same files again are the same snapshot.
///
/// Holds the prompts, a number per row and some megabytes of rows in memory.
///
/// # Errors
/// When a file is wrong (which row, and what helps), the id is taken, or the store fails.
pub async fn import(
    store: &Store,
    input: ImportInput,
    progress: &(dyn Fn(ImportProgress) + Sync),
) -> Result<Sealed, ImportError> {
    let (sender, mut notes) = mpsc::channel(PROGRESS_QUEUE);
    let handle = Handle::current();
    let job = Job {
        store: store.clone(),
        input,
        handle,
        progress: sender,
    };
    let work = tokio::task::spawn_blocking(move || job.run());
    // Ends when the job drops its sender, which it does however it ends.
    while let Some(note) = notes.recv().await {
        progress(note);
    }
    let sealing = work
        .await
        .unwrap_or_else(|_| Err(DatasetError::Closed.into()))?;
    Ok(seal(store, &sealing, &|_| {}).await?)
}

struct Job {
    store: Store,
    input: ImportInput,
    handle: Handle,
    progress: mpsc::Sender<ImportProgress>,
}

impl Job {
    fn run(self) -> Result<SealInput, ImportError> {
        let checked = self.scan(Digest::of(b""), false, &mut |_| Ok(()))?;
        let document = self.document(&checked)?;
        let text = canonical_json(&document).map_err(|_| DatasetError::Closed)?;
        let plan_hash = Digest::of(text.as_bytes());
        self.claim(&text)?;
        let mut segments = Segments::new(&self.store, &self.handle, &self.input, plan_hash);
        let written = self.scan(plan_hash, true, &mut |record| segments.add(record))?;
        segments.flush()?;
        if self.document(&written)? != document {
            segments.discard();
            return Err(ImportError::Changed);
        }
        Ok(SealInput {
            campaign: document.campaign,
            plan_hash,
            plan_document: text.into_bytes(),
            total: written.total(),
            models: written.model_rows(),
            prompts: written.into_prompts(),
            origin: Origin::Import,
        })
    }

    /// Reads every row, numbers it and hands it on.
    fn scan(
        &self,
        plan_hash: Digest,
        writing: bool,
        sink: &mut dyn FnMut(AttemptRecord) -> Result<(), ImportError>,
    ) -> Result<Numbering, ImportError> {
        let mut numbering = Numbering::new(&self.input, plan_hash);
        files::read(&self.input, &mut |row| {
            let record = numbering.take(row)?;
            let rows = numbering.total();
            if rows.is_multiple_of(PROGRESS_ROWS) {
                // A caller that is gone needs no progress.
                self.progress
                    .blocking_send(ImportProgress { writing, rows })
                    .ok();
            }
            sink(record)
        })?;
        if numbering.total() == 0 {
            return Err(ImportError::Empty);
        }
        Ok(numbering)
    }

    fn document(&self, numbering: &Numbering) -> Result<ImportDocument, ImportError> {
        let input = &self.input;
        Ok(ImportDocument {
            schema: ImportDocument::SCHEMA.to_owned(),
            software: "retort".to_owned(),
            campaign: campaign(input, numbering.model_rows()),
            replies: files::list(&input.replies)?,
            requests: files::list(&input.requests)?,
            columns: input.columns.clone(),
            model: input.model.clone(),
            suite: input.suite.clone(),
            renamed: numbering.renamed(),
            total: numbering.total(),
        })
    }

    /// Takes the campaign's id in the store, unless something else has it.
    fn claim(&self, text: &str) -> Result<(), ImportError> {
        let id = &self.input.campaign;
        let crawled = format!("{}/campaign.json", campaign_folder(id));
        if self.stored(&crawled)?.is_some() {
            return Err(ImportError::Taken(id.clone()));
        }
        let path = import_path(id);
        match self.stored(&path)? {
            Some(stored) if stored == text.as_bytes() => Ok(()),
            Some(_) => Err(ImportError::Taken(id.clone())),
            None => {
                let bytes = text.to_owned().into();
                Ok(self.handle.block_on(self.store.put(&path, bytes))?)
            }
        }
    }

    fn stored(&self, path: &str) -> Result<Option<bytes::Bytes>, ImportError> {
        match self.handle.block_on(self.store.get(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns the campaign of an import: it has models and a purpose, and asked nobody.
fn campaign(input: &ImportInput, models: Vec<ModelRow>) -> Campaign {
    Campaign {
        id: input.campaign.clone(),
        name: input.name.clone(),
        purpose: input.purpose.clone(),
        models: models.into_iter().map(|row| row.name).collect(),
        roles: retort_types::campaign::Roles::default(),
        suites: Vec::new(),
        arms: Vec::new(),
        params: retort_types::Params::default(),
        schedule: retort_types::campaign::Schedule::default(),
        budget: retort_types::campaign::Budget::default(),
        seed: 0,
        store: retort_types::campaign::StoreOptions::default(),
        analysis: None,
    }
}
