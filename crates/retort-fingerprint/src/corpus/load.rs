//! Where the replies of a corpus come from: a snapshot, or plain Parquet tables.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use arrow::array::{Array as _, AsArray as _, RecordBatch, StringArray};
use arrow::datatypes::UInt32Type;
use retort_dataset::{DatasetError, Snapshot};
use retort_types::{Mode, Outcome};

use super::{Corpus, Prompt, RawReply, table};

/// Most replies of a corpus: they are held in memory.
pub(super) const REPLIES_MAX: usize = 5_000_000;

/// Columns of a snapshot that a corpus is made of.
const COLUMNS: [&str; 14] = [
    "sample_id",
    "round",
    "arm",
    "suite",
    "prompt_id",
    "mode",
    "sample_index",
    "model",
    "outcome",
    "response_text",
    "reasoning_text",
    "refusal_text",
    "input_tokens",
    "output_tokens",
];

/// Reading replies failed.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The snapshot could not be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A table could not be read.
    #[error("failed to read replies from `{}`: {reason}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// There are more replies than fit in memory.
    #[error("there are more than {REPLIES_MAX} replies")]
    TooMany,
}

impl CorpusError {
    /// Returns what a person can do about it.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Dataset(_) => None,
            Self::Table { .. } => Some(
                "a table needs the columns model, prompt_index or prompt_id or instruction, and output",
            ),
            Self::TooMany => Some("name suites or models to read a part"),
        }
    }
}

/// Which replies are read: everything, unless it is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only these suites; all when empty.
    pub suites: BTreeSet<String>,
    /// Only these models; all when empty.
    pub models: BTreeSet<String>,
    /// None of these models.
    pub excluded: BTreeSet<String>,
}

impl Selection {
    pub(super) fn takes(&self, suite: &str, model: &str) -> bool {
        (self.suites.is_empty() || self.suites.contains(suite))
            && (self.models.is_empty() || self.models.contains(model))
            && !self.excluded.contains(model)
    }
}

impl Corpus {
    /// Reads the final replies of a snapshot.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged, or there are too many replies.
    pub async fn from_snapshot(
        snapshot: &Snapshot,
        selection: &Selection,
    ) -> Result<Self, CorpusError> {
        let mut rows = snapshot.responses(&COLUMNS);
        let mut replies = Vec::new();
        while let Some(batch) = rows.next().await? {
            read(&batch, selection, &mut replies).ok_or_else(|| DatasetError::Damaged {
                path: snapshot.path.clone(),
                what: "a column of `responses` has another type or an unknown value".to_owned(),
            })?;
            if replies.len() > REPLIES_MAX {
                return Err(CorpusError::TooMany);
            }
        }
        // The arm's name says nothing where there is but one.
        let arms: BTreeSet<&str> = replies.iter().map(|r| r.prompt.arm.as_str()).collect();
        if arms.len() == 1 {
            for reply in &mut replies {
                reply.prompt.arm.clear();
            }
        }
        Ok(Self::from_replies(replies))
    }

    /// Reads replies from plain Parquet files with the columns `model`; `prompt_index`, `prompt_id`
    /// or `instruction`; `output` or `response_text`; and optionally `suite`, `arm`, `outcome`,
    /// `reasoning_text`, `input_tokens`, `output_tokens`, `round`, and `repeat`, `sample_index` or
    /// `replication`.
    ///
    /// A null output is a reply without a text. Rows of one cell without a number are ordered by
    /// their text, so that the order of the rows does not matter.
    ///
    /// # Errors
    /// When a file cannot be read, a column is missing, or there are too many replies.
    pub fn from_parquet(files: &[&Path], selection: &Selection) -> Result<Self, CorpusError> {
        let mut replies = Vec::new();
        for file in files {
            table::read(file, selection, &mut replies).map_err(|reason| CorpusError::Table {
                path: file.to_path_buf(),
                reason,
            })?;
            if replies.len() > REPLIES_MAX {
                return Err(CorpusError::TooMany);
            }
        }
        Ok(Self::from_replies(replies))
    }
}

/// Adds the replies of a batch of `responses`; nothing when it is not shaped like one.
fn read(batch: &RecordBatch, selection: &Selection, into: &mut Vec<RawReply>) -> Option<()> {
    let text =
        |name: &str| -> Option<&StringArray> { batch.column_by_name(name)?.as_string_opt::<i32>() };
    let number = |name: &str| batch.column_by_name(name)?.as_primitive_opt::<UInt32Type>();
    let (sample_id, model, suite) = (text("sample_id")?, text("model")?, text("suite")?);
    let (id, arm, mode) = (text("prompt_id")?, text("arm")?, text("mode")?);
    let (outcome, answer) = (text("outcome")?, text("response_text")?);
    let (reasoning, refusal) = (text("reasoning_text")?, text("refusal_text")?);
    let (round, index) = (number("round")?, number("sample_index")?);
    let (input, output) = (number("input_tokens")?, number("output_tokens")?);
    for row in 0..batch.num_rows() {
        if !selection.takes(suite.value(row), model.value(row)) {
            continue;
        }
        let mode = match mode.value(row) {
            "completion" => Mode::Completion,
            _ => Mode::Chat,
        };
        into.push(RawReply {
            model: model.value(row).to_owned(),
            prompt: Prompt {
                suite: suite.value(row).to_owned(),
                id: id.value(row).to_owned(),
                arm: arm.value(row).to_owned(),
                mode,
            },
            order: (round.value(row), index.value(row)),
            outcome: outcome.value(row).parse::<Outcome>().ok()?,
            text: some(answer, row)
                .or_else(|| some(refusal, row))
                .unwrap_or_default()
                .to_owned(),
            reasoning: some(reasoning, row).map(str::to_owned),
            input_tokens: input.is_valid(row).then(|| input.value(row).into()),
            output_tokens: output.is_valid(row).then(|| output.value(row).into()),
            row: sample_id.value(row).to_owned(),
        });
    }
    Some(())
}

fn some(array: &StringArray, row: usize) -> Option<&str> {
    let text = array.is_valid(row).then(|| array.value(row))?;
    (!text.is_empty()).then_some(text)
}
