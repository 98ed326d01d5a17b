//! Commands on datasets and on the keys that sign them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use retort_types::CampaignId;

use super::{Export, Import};

/// Commands on datasets.
#[derive(Debug, Subcommand)]
pub(crate) enum DatasetCommand {
    /// Make a snapshot of a campaign whose samples all have a final row.
    #[command(after_help = "Example: retort dataset seal first-light")]
    Seal(Seal),
    /// Derive everything in a snapshot again and tell what differs.
    #[command(after_help = "Examples:\n  retort dataset verify first-light\n  \
        retort dataset verify ./0001-4f1d0c9b7a6e --exchanges ./delivered --key lab.pub\n\n\
        Exit codes: 0 nothing differs, 1 something does. What could not be checked is told.")]
    Verify(Verify),
    /// Show a snapshot, or one row of it down to the bytes that were sent and received.
    #[command(after_help = "Examples:\n  retort dataset show first-light\n  \
        retort dataset show 5d1c09a7\n  \
        retort dataset show first-light --row 5d1c09a7 --raw | zcat")]
    Show(Show),
    /// Write the responses of a snapshot as JSON lines or CSV.
    #[command(
        after_help = "Examples:\n  retort dataset export first-light --format csv > replies.csv\n  \
        retort dataset export first-light --format jsonl --out exported\n\n\
        A folder gets responses.jsonl (OpenAI batch output) and requests.jsonl (its input), which\n\
        `retort dataset import` reads back. Log probabilities stay in the snapshot's `tokens`."
    )]
    Export(Export),
    /// Make a snapshot of replies that others collected.
    #[command(
        after_help = "Examples:\n  retort dataset import replies.parquet --campaign collected\n  \
        retort dataset import out.jsonl --requests in.jsonl --campaign batch-7\n  \
        retort dataset import replies.csv --column model=generator --campaign collected\n\n\
        Rows of the same model and prompt become draws 0, 1, ... What a file does not tell is null.\n\
        The same files again are the same snapshot."
    )]
    Import(Import),
}

/// Arguments of `dataset verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A snapshot's folder, or a campaign of the store: its newest snapshot.
    pub(crate) snapshot: String,
    /// Folder that holds `exchanges/`, when that does not lie beside the snapshot.
    #[arg(long, value_name = "DIR")]
    pub(crate) exchanges: Option<PathBuf>,
    /// Check the signature with this public key: a file, or the key itself.
    #[arg(long, value_name = "PUB")]
    pub(crate) key: Option<String>,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Commands on keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key pair: a secret key that only you can read, and a public key to hand out.
    #[command(after_help = "Example: retort keys generate lab.key\n\n\
        With RETORT_KEY_PASSWORD set, the secret key is put under that password.")]
    Generate {
        /// File of the secret key; the public key is written beside it, as .pub.
        secret: PathBuf,
    },
    /// Print the public key of a secret key.
    #[command(after_help = "Example: retort keys show lab.key")]
    Show {
        /// File of the secret key.
        secret: PathBuf,
    },
    /// Sign a snapshot that is sealed already.
    #[command(after_help = "Example: retort keys sign lab.key first-light")]
    Sign {
        /// File of the secret key.
        secret: PathBuf,
        /// A snapshot's folder, or a campaign of the store: its newest snapshot.
        snapshot: String,
    },
    /// Check the signature of a snapshot; `retort dataset verify` checks the rest of it too.
    #[command(after_help = "Example: retort keys verify lab.pub first-light\n\n\
        Without Retort: minisign -Vm MANIFEST.json -p lab.pub && sha256sum -c SHA256SUMS")]
    Verify {
        /// The public key: a file, or the key itself.
        key: String,
        /// A snapshot's folder, or a campaign of the store: its newest snapshot.
        snapshot: String,
    },
}

/// Arguments of `dataset seal`.
#[derive(Debug, Args)]
pub(crate) struct Seal {
    /// The campaign.
    pub(crate) campaign: CampaignId,
    /// Sign the snapshot with this secret key, made by `retort keys generate`.
    #[arg(long, value_name = "KEY")]
    pub(crate) sign: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `dataset show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// A campaign of the store, a snapshot's folder, or the id of a row in any newest snapshot.
    pub(crate) target: String,
    /// The row: the id of a sample or an attempt, or enough of its beginning to fit one only.
    #[arg(long, value_name = "ID")]
    pub(crate) row: Option<String>,
    /// Write the stored bytes of the row's exchange, and nothing else: WARC records, gzipped.
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,
    /// Folder that holds `exchanges/`, when that does not lie beside the snapshot.
    #[arg(long, value_name = "DIR")]
    pub(crate) exchanges: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
