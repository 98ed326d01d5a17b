//! The commands and their flags.

mod bench;
mod dataset;
mod detect;
mod fingerprint;
mod fleet;
mod power;
mod transfer;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use retort_types::{CampaignId, WireProtocol};

pub(crate) use bench::{
    Bare, BenchCommand, BenchFamily, BenchLineage, BenchPace, Throughput, TlsFront,
};
pub(crate) use dataset::{DatasetCommand, KeysCommand, Seal, Show, Verify};
pub(crate) use detect::Detect;
pub(crate) use fingerprint::{Compare, Fingerprint};
pub(crate) use fleet::{CoordinatorArgs, Dead, DeadCommand, Submit, Which, WorkerArgs};
pub(crate) use power::{PowerArgs, Question};
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
    /// Work for a fleet: ask what its coordinator publishes, until stopped.
    #[command(
        after_help = "Example: retort worker --broker amqps://worker@broker/retort --store s3://bucket/prefix

\
        SIGTERM or Ctrl-C waits for the requests in the air and stores every reply; twice, it does
\
        not. Replies that were not stored are, when a worker with the same id starts again."
    )]
    Worker(WorkerArgs),
    /// Carry submitted campaigns out with the workers of a fleet, until stopped.
    #[command(
        after_help = "Example: retort coordinator --broker amqps://coordinator@broker/retort --store s3://bucket/prefix

\
        Any number may run; one of them is active. It goes on with every submitted campaign of the
\
        store that is not sealed."
    )]
    Coordinator(CoordinatorArgs),
    /// Hand a campaign to a fleet.
    #[command(
        after_help = "Example: retort submit campaign.yaml --broker amqps://researcher@broker/retort

\
        Files of prompts travel within the message; a campaign too large for one goes through the store.
\
        Exit codes: 0 taken up or waiting for a coordinator, 1 refused, 2 usage."
    )]
    Submit(Submit),
    /// List, requeue and drop messages that nobody could use.
    Dead(Dead),
    /// Show what a campaign would do, cost and take, without asking anyone.
    #[command(after_help = "Example: retort plan campaign.yaml --catalog models.yaml")]
    Plan(PlanArgs),
    /// Say what a question needs before it is paid for: prompts, draws, control models, money.
    #[command(
        after_help = "Examples:\n  retort power campaign.yaml --question teacher\n  \
        retort power --question kin --power 0.9 --alpha 0.01\n\n\
        Without a campaign it says what is needed; with one, also what it can find as it stands,\n\
        and what the difference costs by the catalog's prices."
    )]
    Power(PowerArgs),
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
    /// Save the habits of each model of a snapshot, without its texts, to compare them later.
    #[command(
        after_help = "Examples:\n  retort fingerprint first-light -o ./fingerprints\n  \
        retort fingerprint replies.parquet -o ./fingerprints"
    )]
    Fingerprint(Fingerprint),
    /// Compare the saved fingerprints of two models, against a pool of others.
    #[command(
        after_help = "Example: retort compare a.fingerprint b.fingerprint --pool ./fingerprints\n\n\
        Without at least 19 models of no known relation in the pool, there is no statement."
    )]
    Compare(Compare),
    /// Seal, verify, show, export and import datasets.
    #[command(subcommand)]
    Dataset(DatasetCommand),
    /// Say how strongly a snapshot speaks for one model deriving from another, or learning from it.
    #[command(
        after_help = "Examples:\n  retort detect known-truth --out evidence\n  \
        retort detect known-truth --suspect borea-taught --candidate atlas\n  \
        retort detect ./0001-4f1d0c9b7a6e --all-pairs --json\n\n\
        Roles and settings come from the campaign (`roles`, `analysis`) unless flags name others; \n\
        only what the campaign registered is confirmatory. The catalog's known relations choose\n\
        controls and enter no evidence. Writes report.html, analysis.json and pairs.parquet."
    )]
    Detect(Detect),
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

impl Command {
    /// Returns the broker that was named.
    pub(crate) fn broker(&self) -> Option<&str> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "few commands speak to a broker, and they are these"
        )]
        let broker = match self {
            Self::Worker(args) => &args.broker,
            Self::Coordinator(args) => &args.broker,
            Self::Submit(args) => &args.broker,
            Self::Dead(args) => &args.broker,
            _ => return None,
        };
        broker.broker.as_deref()
    }
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
    /// List the built-in suites, and the profiles made of them.
    List,
    /// Show a suite's prompts, or the suites of a profile.
    #[command(after_help = "Example: retort suites show genes --seed 2026")]
    Show {
        /// The suite or profile.
        name: String,
        /// The campaign's seed, which decides the prompts that are drawn.
        #[arg(long, default_value_t = 0)]
        seed: u64,
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
