//! The commands and their flags.

mod transfer;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use retort_types::{CampaignId, WireProtocol};

pub(crate) use transfer::{Export, ExportFormat, Import};

/// Finds out where language models come from.
///
/// Asks many models many questions at controlled rates, keeps every reply as evidence, and writes
/// datasets that lineage can be read from.
#[derive(Debug, Parser)]
#[command(
    name = "retort",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Where campaigns are kept: a folder or a URL [default: retort-data].
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// The catalog of models [default: models.yaml beside the campaign].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) catalog: Option<String>,
    /// Prices for models whose catalog rows state none: provider, model as sent, price.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) prices: Option<String>,
    /// Who to write to about our requests; part of the User-Agent, required beyond this machine.
    #[arg(long, global = true, value_name = "MAIL-OR-URL")]
    pub(crate) contact: Option<String>,
    /// Configuration file [default: retort.toml, if it exists].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// One setting of the configuration, as `worker.max_attempts=3`; repeatable.
    #[arg(long, global = true, value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// How log lines are written; what is logged is chosen by `RETORT_LOG`, as `info,retort_pace=debug`.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Carry out a campaign on this machine, from the first request to a sealed snapshot.
    #[command(
        after_help = "Example: retort run campaign.yaml --catalog models.yaml --store ./data\n\n\
        The same command again goes on where an earlier run stopped. Ctrl-C waits for the requests\n\
        in the air; twice, it does not.\n\
        Exit codes: 0 done, 1 failed, 2 usage, 3 finished with missing samples, 130 interrupted."
    )]
    Run(Run),
    /// Show what a campaign would do, cost and take, without asking anyone.
    #[command(after_help = "Example: retort plan campaign.yaml --catalog models.yaml")]
    Plan(PlanArgs),
    /// Check configuration and keys with one cheap request per model.
    #[command(after_help = "Example: retort check campaign.yaml --offline\n\n\
        Shows what each model is sent as a curl command, its key as a variable, and what the\n\
        answer's headers say about limits beside those that are configured.")]
    Check(Check),
    /// Show how campaigns are doing.
    #[command(after_help = "Example: retort status first-light --watch")]
    Status(StatusArgs),
    /// Start nothing new of a campaign until it is resumed.
    #[command(after_help = "Example: retort pause first-light")]
    Pause(Id),
    /// Go on with a paused or cancelled campaign.
    #[command(after_help = "Example: retort resume first-light")]
    Resume(Id),
    /// End a campaign: what is open becomes `not_asked`, and it is sealed.
    #[command(after_help = "Example: retort cancel first-light")]
    Cancel(Id),
    /// Serve simulated models on this machine, or a recorded dataset as models.
    #[command(
        after_help = "Examples:\n  retort sim fleet.yaml --emit ./rehearsal\n  \
        retort sim --replay replies.parquet --emit ./rehearsal\n\nStop it with Ctrl-C."
    )]
    Sim(Sim),
    /// Measure what a request costs and how well a pace is kept, on this machine.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Seal, verify, show, export and import datasets.
    #[command(subcommand)]
    Dataset(DatasetCommand),
    /// Look at where datasets live.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Make keys, sign snapshots and check signatures.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// List and show the built-in suites of prompts.
    #[command(subcommand)]
    Suites(SuitesCommand),
    /// List and show known providers and models, and examine a catalog.
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Print the JSON Schema of a file.
    #[command(after_help = "Example: retort schema campaign > campaign.schema.json")]
    Schema(Schema),
    /// Show the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The campaign file (YAML or JSON).
    pub(crate) campaign: PathBuf,
    /// Ask again what ended without a measurement, then seal again.
    #[arg(long)]
    pub(crate) retry_missing: bool,
    /// Serve the simulated models of this file while the campaign runs, and ask them.
    #[arg(long, value_name = "FLEET")]
    pub(crate) sim: Option<PathBuf>,
    /// Sign the snapshot with this secret key, made by `retort keys generate`.
    #[arg(long, value_name = "KEY")]
    pub(crate) sign: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The campaign file (YAML or JSON).
    pub(crate) campaign: PathBuf,
    /// Plan against the simulated models of this file.
    #[arg(long, value_name = "FLEET")]
    pub(crate) sim: Option<PathBuf>,
    /// Print the plan's figures as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The campaign file (YAML or JSON).
    pub(crate) campaign: PathBuf,
    /// Ask nobody; check files, keys and addresses only.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The campaign; every campaign of the store unless named.
    pub(crate) campaign: Option<CampaignId>,
    /// Show it again every second until the campaign is sealed or Ctrl-C.
    #[arg(long, requires = "campaign")]
    pub(crate) watch: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A campaign's id.
#[derive(Debug, Args)]
pub(crate) struct Id {
    /// The campaign.
    pub(crate) campaign: CampaignId,
}

/// Arguments of `sim`.
#[derive(Debug, Args)]
pub(crate) struct Sim {
    /// The fleet file (YAML or JSON).
    #[arg(required_unless_present = "replay")]
    pub(crate) fleet: Option<PathBuf>,
    /// Serve the replies of this Parquet file as models: ours, or columns model, instruction or
    /// prompt, output and optionally `sample_index`.
    #[arg(long, value_name = "FILE.parquet", conflicts_with = "fleet")]
    pub(crate) replay: Option<PathBuf>,
    /// Requests per minute that a replayed fleet allows.
    #[arg(long, value_name = "N", requires = "replay")]
    pub(crate) requests_per_minute: Option<u32>,
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Write a catalog of these models, and for a replay a campaign and its prompts, into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) emit: Option<PathBuf>,
}

/// Measurements.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Compare the CPU of a crawl with that of a bare loop that asks the same server.
    ///
    /// The server, the crawl and the loop are processes of their own; crawl and loop take turns,
    /// and the ratio is the median of the turns.
    #[command(after_help = "Example: retort bench throughput --tls --exchanges --json")]
    Throughput(Throughput),
    /// Measure how a pace is kept, or a limit found, by the count of a server that limits.
    #[command(after_help = "Examples:\n  retort bench pace --rate 50\n  \
        retort bench pace --rate 50 --auto")]
    Pace(BenchPace),
    /// The bare loop, in a process of its own.
    #[command(hide = true)]
    Bare(Bare),
    /// Ends TLS in front of a server, in a process of its own.
    #[command(hide = true)]
    TlsFront(TlsFront),
}

/// Arguments of `bench throughput`.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct Throughput {
    /// Requests of each run; the first tenth warms up and is not counted.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    pub(crate) requests: u32,
    /// Requests at the same time.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    pub(crate) in_flight: u32,
    /// Requests per second that both sides are paced at.
    #[arg(long, default_value_t = 4_500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: u32,
    /// How long the server takes for an answer, in milliseconds.
    #[arg(long, default_value_t = 200)]
    pub(crate) latency_ms: u64,
    /// Size of an answer's body, in bytes, roughly.
    #[arg(long, default_value_t = 1_200)]
    pub(crate) answer_bytes: u32,
    /// Store the raw exchanges too.
    #[arg(long)]
    pub(crate) exchanges: bool,
    /// Ask over TLS.
    #[arg(long)]
    pub(crate) tls: bool,
    /// Ask for the log probabilities of so many alternatives of each token, and store them.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=20))]
    pub(crate) logprobs: u32,
    /// How often crawl and loop take turns.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) turns: u32,
    /// Run the crawl alone.
    #[arg(long)]
    pub(crate) alone: bool,
    /// Fail when the ratio is above this.
    #[arg(long, value_name = "RATIO")]
    pub(crate) at_most: Option<f64>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `bench pace`.
#[derive(Debug, Args)]
pub(crate) struct BenchPace {
    /// Requests in all.
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
    pub(crate) requests: u32,
    /// Requests per second that the server allows, with a burst of 10.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: u32,
    /// How long the server takes for an answer, in milliseconds.
    #[arg(long, default_value_t = 50)]
    pub(crate) latency_ms: u64,
    /// Let the limit be found below a cap of ten times as much, instead of configuring it.
    #[arg(long)]
    pub(crate) auto: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of the bare loop.
#[derive(Debug, Args)]
pub(crate) struct Bare {
    /// Where to post to.
    #[arg(long)]
    pub(crate) url: String,
    /// Root certificate to trust, in PEM form.
    #[arg(long)]
    pub(crate) ca_file: Option<PathBuf>,
    /// Requests in all.
    #[arg(long)]
    pub(crate) requests: u32,
    /// Requests at the same time.
    #[arg(long)]
    pub(crate) in_flight: u32,
    /// Requests per second.
    #[arg(long)]
    pub(crate) rate: u32,
    /// Alternatives of each token to ask for.
    #[arg(long, default_value_t = 0)]
    pub(crate) logprobs: u32,
}

/// Arguments of the end of TLS.
#[derive(Debug, Args)]
pub(crate) struct TlsFront {
    /// The server behind, as `127.0.0.1:1234`.
    #[arg(long)]
    pub(crate) to: std::net::SocketAddr,
    /// Where to write the certificate, in PEM form.
    #[arg(long)]
    pub(crate) certificate: PathBuf,
}

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

/// Commands on stores.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Try what a store guarantees, below a scratch folder that is removed again.
    #[command(after_help = "Example: retort store doctor s3://bucket/prefix\n\n\
        Credentials come from the environment: AWS_*, GOOGLE_*, AZURE_*.\n\
        Exit codes: 0 everything holds that Retort relies on, 1 something does not.")]
    Doctor(Doctor),
}

/// Arguments of `store doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The store: a folder or a URL as for `--store`; the configured one unless given.
    pub(crate) url: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Commands on suites.
#[derive(Debug, Subcommand)]
pub(crate) enum SuitesCommand {
    /// List the built-in suites.
    List,
    /// Show a suite's prompts.
    #[command(after_help = "Example: retort suites show identity")]
    Show {
        /// The suite.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Commands on providers and models.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// List the built-in providers and the registry of public models.
    #[command(after_help = "Examples:\n  retort models list --wire openai-chat\n  \
        retort models list --vendor deepseek")]
    List(ModelsList),
    /// Show a built-in provider's row to copy, or what is known of a model and who says so.
    #[command(
        after_help = "Examples:\n  retort models show groq\n  retort models show deepseek-r1"
    )]
    Show {
        /// The provider or model.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Examine a catalog: broken rules, missing keys, prices and limits, unknown models.
    #[command(after_help = "Example: retort models doctor --catalog models.yaml\n\n\
        Exit codes: 0 no errors, 1 errors.")]
    Doctor {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Arguments of `models list`.
#[derive(Debug, Args)]
pub(crate) struct ModelsList {
    /// Only models of this vendor, in any case.
    #[arg(long)]
    pub(crate) vendor: Option<String>,
    /// Only models of this family.
    #[arg(long)]
    pub(crate) family: Option<String>,
    /// Only providers that speak this wire protocol.
    #[arg(long, value_name = "PROTOCOL", value_parser = wire_protocol)]
    pub(crate) wire: Option<WireProtocol>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

fn wire_protocol(text: &str) -> Result<WireProtocol, String> {
    let known = WireProtocol::ALL.map(WireProtocol::as_str);
    let found = WireProtocol::ALL.iter().find(|wire| wire.as_str() == text);
    found
        .copied()
        .ok_or_else(|| format!("known are {}", known.join(", ")))
}

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Which file.
    #[arg(value_enum)]
    pub(crate) of: SchemaOf,
}

/// Files that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// A campaign file or message.
    Campaign,
    /// A catalog file.
    Catalog,
}

/// Commands on the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting, its value and where it came from.
    Show {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}
