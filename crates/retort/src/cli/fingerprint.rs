//! `fingerprint` and `compare`.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `fingerprint`.
#[derive(Debug, Args)]
pub(crate) struct Fingerprint {
    /// The campaign, the folder of a snapshot, or a Parquet file with the columns model,
    /// `prompt_index` or `prompt_id`, and output.
    pub(crate) snapshot: String,
    /// Folder to write into, one file per model.
    #[arg(short, long = "out", value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Only these suites.
    #[arg(long, value_name = "SUITE")]
    pub(crate) suite: Vec<String>,
    /// Only these models.
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// Fingerprint of the model in question.
    pub(crate) suspect: PathBuf,
    /// Fingerprint of the model it is compared with.
    pub(crate) candidate: PathBuf,
    /// Folder of fingerprints of other models, of no known relation to either.
    #[arg(long, value_name = "DIR")]
    pub(crate) pool: Option<PathBuf>,
    /// Models of the pool that are related to one of the two: compared, but no controls.
    #[arg(long, value_name = "MODEL", requires = "pool")]
    pub(crate) related: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
