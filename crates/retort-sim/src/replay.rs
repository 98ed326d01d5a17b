//! Replay: models that repeat what was recorded of real ones.
//!
//! Recordings are Parquet: the `responses` of a dataset of ours, or plain columns. A prompt is
//! found by its text when it is a single message, else by its whole conversation; a system text in
//! front is ignored when nothing was recorded with it.

mod columns;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use retort_types::campaign::{
    ConversationPrompt, InlineSuite, NamedPrompt, PromptSpec, Schedule, StoreOptions, SuiteEntry,
};
use retort_types::{
    Campaign, CampaignId, Digest, Message, Mode, ModelName, Params, PromptInput, SuiteName,
};

use crate::error::SimError;
use crate::mix::{below, key};
use crate::model::{Ask, CannotAnswer, Generation, SimModel, pseudo_tokens};
use crate::spec::{FleetSpec, ModelSpec, ProviderSpec};

/// Most Parquet files of one recording.
const FILES_MAX: usize = 10_000;

/// Deepest folder that is looked into.
const DEPTH_MAX: usize = 8;

/// Most recorded replies: they are held in memory.
const ROWS_MAX: usize = 5_000_000;

/// Most samples per prompt that are remembered; more than any campaign draws.
const SAMPLES_MAX: usize = 100_000;

/// Name of the suite, and of the provider, made from a recording.
const NAME: &str = "replay";

/// A prompt of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedPrompt {
    /// Its name: `r-` and the first 12 hex characters of its digest.
    pub id: String,
    /// The conversation; a message of role `text` is a text to continue.
    pub messages: Vec<Message>,
}

/// The recorded replies of models, by prompt.
#[derive(Debug)]
pub struct ReplayModels {
    models: BTreeMap<String, Arc<ReplayModel>>,
    prompts: Vec<RecordedPrompt>,
    rows: usize,
}

/// One recorded reply, as read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    model: String,
    messages: Vec<Message>,
    reply: String,
    sample_index: u64,
}

/// The recorded replies of one model.
#[derive(Debug, Default)]
struct ReplayModel {
    cells: BTreeMap<String, Cell>,
}

/// The replies to one prompt, by sample index, and how many were asked for.
#[derive(Debug, Default)]
struct Cell {
    replies: Vec<(u64, String)>,
    numbers: Mutex<Numbers>,
}

/// Which requests got which number.
#[derive(Debug, Default)]
struct Numbers {
    next: u64,
    of_samples: BTreeMap<u64, u64>,
}

impl Cell {
    /// Returns the number of a request: that of its sample when it came before.
    fn number(&self, sample_id: Option<&str>) -> u64 {
        // Nothing that holds the lock can fail halfway, so poison is ignored.
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let sample = sample_id.map(key);
        if let Some(number) = sample.and_then(|sample| numbers.of_samples.get(&sample)) {
            return *number;
        }
        let number = numbers.next;
        numbers.next += 1;
        if let Some(sample) = sample.filter(|_| numbers.of_samples.len() < SAMPLES_MAX) {
            numbers.of_samples.insert(sample, number);
        }
        number
    }
}

impl ReplayModels {
    /// Opens a Parquet file, or every `.parquet` file in and below a folder.
    ///
    /// Columns: `model`; the prompt as `messages` (list of `role` and `content`), `prompt` or
    /// `instruction`; the reply as `response_text` or `output`, absent ones are empty; optionally
    /// `sample_index` or `repeat`, and `outcome`, of which only `answered` is taken.
    ///
    /// # Errors
    /// When nothing can be read, a column is missing or of another type, or bounds are exceeded.
    pub fn open(path: &Path) -> Result<Self, SimError> {
        let fail = |path: &Path, reason: String| SimError::Recording {
            path: path.to_owned(),
            reason,
        };
        let mut files = Vec::new();
        find_files(path, 0, &mut files).map_err(|reason| fail(path, reason))?;
        let mut rows = Vec::new();
        for file in &files {
            columns::read(file, &mut rows).map_err(|reason| fail(file, reason))?;
            if rows.len() > ROWS_MAX {
                return Err(fail(path, format!("more than {ROWS_MAX} replies")));
            }
        }
        if rows.is_empty() {
            return Err(fail(path, "it holds no answered rows".to_owned()));
        }
        Ok(Self::from_rows(rows))
    }

    fn from_rows(rows: Vec<Row>) -> Self {
        let mut models: BTreeMap<String, ReplayModel> = BTreeMap::new();
        let mut prompts = BTreeMap::new();
        let count = rows.len();
        for row in rows {
            let key = prompt_key(&row.messages);
            let cells = &mut models.entry(row.model).or_default().cells;
            let cell = cells.entry(key).or_default();
            cell.replies.push((row.sample_index, row.reply));
            prompts.insert(pairs(&row.messages), row.messages);
        }
        for cell in models.values_mut().flat_map(|m| m.cells.values_mut()) {
            // Stable: replies without an index stay in the order of their rows.
            cell.replies.sort_by_key(|(index, _)| *index);
        }
        let models = models
            .into_iter()
            .map(|(name, model)| (name, Arc::new(model)));
        Self {
            models: models.collect(),
            prompts: prompts.into_values().map(RecordedPrompt::new).collect(),
            rows: count,
        }
    }

    /// Returns the names of the recorded models, sorted.
    pub fn models(&self) -> Vec<&str> {
        self.models.keys().map(String::as_str).collect()
    }

    /// Returns the recorded prompts, sorted by their texts.
    pub fn prompts(&self) -> &[RecordedPrompt] {
        &self.prompts
    }

    /// Returns the number of recorded replies.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the most replies that any model gave to one prompt.
    pub fn samples(&self) -> usize {
        let cells = self.models.values().flat_map(|model| model.cells.values());
        cells.map(|cell| cell.replies.len()).max().unwrap_or(0)
    }

    /// Returns the model that repeats what was recorded of `name`.
    ///
    /// With a `seed`, a request gets the recording of that number; without, the n-th request for a
    /// prompt gets the n-th. Both begin anew behind the last one, so a prompt with one recording
    /// always gets that. A request that tells a sample id which came before gets the same recording
    /// again, so retries lose none. The counts are shared by every model made of the same name.
    pub fn model(&self, name: &str) -> Option<Arc<dyn SimModel>> {
        let model = Arc::clone(self.models.get(name)?);
        Some(model)
    }

    /// Returns a fleet of one provider, `replay`, that serves every recorded model. Names that a
    /// catalog does not allow are left out; they can be served under another with `source`.
    pub fn spec(&self) -> FleetSpec {
        let names = self
            .models
            .keys()
            .filter(|name| ModelName::new(name).is_ok());
        let models = names.map(|name| ModelSpec::replay(name)).collect();
        FleetSpec::new(vec![ProviderSpec::new(NAME, models)])
    }

    /// Returns a campaign that asks the recorded chat prompts of the models of [`Self::spec`], as
    /// often as they were recorded at most. Prompts that some model lacks end as invalid requests.
    pub fn campaign(&self, id: CampaignId) -> Campaign {
        let chat = self.prompts.iter().filter(|prompt| !prompt.is_text());
        let samples = u32::try_from(self.samples()).unwrap_or(u32::MAX);
        let inline = InlineSuite {
            name: SuiteName::new(NAME).expect("`replay` keeps the rule of names"),
            prompts: chat.map(RecordedPrompt::spec).collect(),
        };
        Campaign {
            id,
            name: Some("Replay of a recording".to_owned()),
            purpose: "rehearsal on recorded replies".to_owned(),
            models: self
                .models
                .keys()
                .filter_map(|name| ModelName::new(name).ok())
                .collect(),
            roles: retort_types::campaign::Roles::default(),
            suites: vec![SuiteEntry {
                suite: None,
                file: None,
                inline: Some(inline),
                samples: std::num::NonZeroU32::new(samples).unwrap_or(std::num::NonZeroU32::MIN),
                mode: Mode::Chat,
            }],
            arms: Vec::new(),
            params: Params::default(),
            schedule: Schedule::default(),
            budget: retort_types::campaign::Budget::default(),
            seed: 0,
            store: StoreOptions::default(),
            analysis: None,
        }
    }
}

impl RecordedPrompt {
    fn new(messages: Vec<Message>) -> Self {
        let digest = Digest::of_json(&messages).expect("lists of texts always serialize");
        Self {
            id: format!("r-{}", digest.short()),
            messages,
        }
    }

    fn is_text(&self) -> bool {
        self.messages.iter().any(|message| message.role == "text")
    }

    fn spec(&self) -> PromptSpec {
        match self.messages.as_slice() {
            [only] if only.role == "user" => PromptSpec::Named(NamedPrompt {
                id: self.id.clone(),
                text: only.content.clone(),
            }),
            messages => PromptSpec::Conversation(ConversationPrompt {
                id: self.id.clone(),
                messages: messages.to_vec(),
            }),
        }
    }
}

/// Returns what a prompt is found by.
fn prompt_key(messages: &[Message]) -> String {
    match messages {
        [only] => only.content.clone(),
        messages => pairs(messages),
    }
}

fn pairs(messages: &[Message]) -> String {
    let pairs: Vec<_> = messages.iter().map(|m| (&m.role, &m.content)).collect();
    serde_json::to_string(&pairs).expect("lists of texts always serialize")
}

impl ReplayModel {
    fn cell(&self, input: &PromptInput) -> Option<&Cell> {
        let messages = input.as_messages();
        if let Some(cell) = self.cells.get(&prompt_key(&messages)) {
            return Some(cell);
        }
        let first = messages.first()?;
        if first.role != "system" {
            return None;
        }
        self.cells.get(&prompt_key(messages.get(1..)?))
    }
}

impl SimModel for ReplayModel {
    fn answer(&self, ask: &Ask) -> Result<Generation, CannotAnswer> {
        let cell = self.cell(&ask.input).ok_or(CannotAnswer::NotRecorded)?;
        let number = match ask.seed {
            Some(seed) => seed.unsigned_abs(),
            None => cell.number(ask.sample_id.as_deref()),
        };
        let at = below(number, cell.replies.len());
        let (_, reply) = cell.replies.get(at).ok_or(CannotAnswer::NotRecorded)?;
        Ok(Generation::new(pseudo_tokens(reply, ask.top_logprobs)))
    }
}

/// Collects the Parquet files at `path`, sorted, so that the order of rows is always the same.
fn find_files(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), String> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    if depth > DEPTH_MAX {
        return Err("folders are nested too deep".to_owned());
    }
    let entries = std::fs::read_dir(path).map_err(|error| error.to_string())?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(|error| error.to_string())?.path());
    }
    paths.sort();
    for path in paths {
        if path.is_dir() || path.extension().is_some_and(|e| e == "parquet") {
            find_files(&path, depth + 1, files)?;
        }
        if files.len() > FILES_MAX {
            return Err(format!("more than {FILES_MAX} files"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
