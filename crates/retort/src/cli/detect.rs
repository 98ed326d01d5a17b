//! The command that says what a snapshot shows of lineage.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `detect`.
#[derive(Debug, Args)]
pub(crate) struct Detect {
    /// A snapshot's folder, or a campaign of the store: its newest snapshot.
    pub(crate) snapshot: String,
    /// A model in question, repeatable; the campaign's suspects unless named.
    #[arg(long, value_name = "MODEL")]
    pub(crate) suspect: Vec<String>,
    /// Its possible teacher or ancestor, repeatable; the campaign's candidates unless named.
    #[arg(long, value_name = "MODEL")]
    pub(crate) candidate: Vec<String>,
    /// A model to compare with, repeatable; the campaign's controls, or every other model, unless
    /// named.
    #[arg(long, value_name = "MODEL")]
    pub(crate) control: Vec<String>,
    /// Ask about every ordered pair of models.
    #[arg(long, conflicts_with_all = ["suspect", "candidate"])]
    pub(crate) all_pairs: bool,
    /// Ask this detector only: same, genes, kin or teacher; repeatable.
    #[arg(long, value_name = "DETECTOR")]
    pub(crate) detector: Vec<String>,
    /// Read the replies of this suite only, repeatable.
    #[arg(long, value_name = "SUITE")]
    pub(crate) suite: Vec<String>,
    /// Level at which a pair is supported, after adjustment [default: 0.05].
    #[arg(long, value_name = "SHARE")]
    pub(crate) level: Option<f64>,
    /// Seed of every resampling [default: 0].
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Folder for report.html, analysis.json and pairs.parquet.
    #[arg(long, value_name = "DIR", default_value = "retort-detect")]
    pub(crate) out: PathBuf,
    /// Replace the files of an earlier analysis in that folder.
    #[arg(long)]
    pub(crate) force: bool,
    /// Print the analysis as JSON, exhibits left out, in place of the summary.
    #[arg(long)]
    pub(crate) json: bool,
}
