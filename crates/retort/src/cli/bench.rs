//! Commands that measure Retort itself.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
    /// Measure how long a family tree of small language models takes to grow and to answer.
    ///
    /// A fifth are bases; the others are tuned from them, taught by them, or made beside them.
    #[command(after_help = "Example: retort bench family --models 200")]
    Family(BenchFamily),
    /// Measure the error rates of `kin` and `teacher` on replies of models of known lineage.
    ///
    /// Reads `alpaca_eval.parquet` (or `outputs.parquet`), `lineage.csv` and `pairs.csv`. Intervals
    /// resample families of students.
    #[command(after_help = "Example: retort bench lineage --data ./data --output pairs.parquet")]
    Lineage(BenchLineage),
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

/// Arguments of `bench family`.
#[derive(Debug, Args)]
pub(crate) struct BenchFamily {
    /// Models of the tree.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) models: u32,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `bench lineage`.
#[derive(Debug, Args)]
pub(crate) struct BenchLineage {
    /// Folder of the tables.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Where to write what is said about every labelled pair.
    #[arg(long, value_name = "FILE", default_value = "pairs.parquet")]
    pub(crate) output: PathBuf,
    /// Resamples behind every interval.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub(crate) resamples: u32,
    /// Draws of control models behind every false-positive rate.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) draws: u32,
    /// Seed of both.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
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
