//! Flags of `dataset export` and `dataset import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use retort_types::{CampaignId, SuiteName};

/// Arguments of `dataset export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// A campaign, whose newest snapshot is meant, or the folder of a snapshot.
    pub(crate) snapshot: String,
    /// What to write: lines in the shape of OpenAI batch output, or a table.
    #[arg(long, value_enum)]
    pub(crate) format: ExportFormat,
    /// The folder to write to, or - for standard output.
    #[arg(long, value_name = "DIR", default_value = "-")]
    pub(crate) out: PathBuf,
    /// Copy the raw exchanges that the rows name beside them.
    #[arg(long)]
    pub(crate) with_exchanges: bool,
    /// Replace files that are there.
    #[arg(long)]
    pub(crate) force: bool,
}

/// What an export is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// OpenAI batch output; in a folder with the batch input it answers.
    Jsonl,
    /// Every column of `responses`, as RFC 4180 has it.
    Csv,
}

/// Arguments of `dataset import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Replies: OpenAI batch output, or columns model, prompt or instruction, and response or
    /// output, as .jsonl, .csv or .parquet.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The campaign that the replies become.
    #[arg(long, value_name = "ID")]
    pub(crate) campaign: CampaignId,
    /// Input of an OpenAI batch, which tells the prompts; repeatable.
    #[arg(long, value_name = "FILE")]
    pub(crate) requests: Vec<PathBuf>,
    /// Which column means what, as `model=generator`; `sample_index=-` leaves one out; repeatable.
    #[arg(long, value_name = "FIELD=COLUMN")]
    pub(crate) column: Vec<String>,
    /// The model of rows that name none.
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// The suite of prompts whose rows name none.
    #[arg(long, value_name = "NAME", default_value = "imported")]
    pub(crate) suite: SuiteName,
    /// A title for people.
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,
    /// What the replies are for and where they are from; goes into the dataset card.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "Replies that others collected, imported to be analysed."
    )]
    pub(crate) purpose: String,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
