//! Flags of the services of a fleet and of the commands that speak to them.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Which broker is meant.
#[derive(Debug, Args)]
pub(crate) struct BrokerArg {
    /// The broker of the fleet, as `amqps://user@host/vhost`. Name the password in a file, with
    /// `broker.password_file`: other users of the machine see arguments.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) broker: Option<String>,
}

/// Arguments of `worker`.
#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(crate) broker: BrokerArg,
    /// What the worker calls itself in rows and file names; the same after a restart, and of no other
    /// worker [default: the host's name].
    #[arg(long, value_name = "NAME")]
    pub(crate) id: Option<String>,
    /// Where health and metrics are served, as 127.0.0.1:9464; nowhere unless set.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
}

/// Arguments of `coordinator`.
#[derive(Debug, Args)]
pub(crate) struct CoordinatorArgs {
    #[command(flatten)]
    pub(crate) broker: BrokerArg,
    /// What the coordinator calls its spool; the same after a restart, and of no other one
    /// [default: the host's name].
    #[arg(long, value_name = "NAME")]
    pub(crate) id: Option<String>,
    /// Where health and metrics are served, as 127.0.0.1:9465; nowhere unless set.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
}

/// Arguments of `submit`.
#[derive(Debug, Args)]
pub(crate) struct Submit {
    #[command(flatten)]
    pub(crate) broker: BrokerArg,
    /// The campaign file (YAML or JSON).
    pub(crate) campaign: PathBuf,
    /// Hand it over and do not wait for what the coordinator says.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `dead`.
#[derive(Debug, Args)]
pub(crate) struct Dead {
    #[command(flatten)]
    pub(crate) broker: BrokerArg,
    #[command(subcommand)]
    pub(crate) command: DeadCommand,
}

/// Commands on dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// List messages that nobody could use, with the reason.
    #[command(after_help = "Example: retort dead list --broker amqp://localhost --json")]
    List {
        /// Most letters shown.
        #[arg(long, default_value_t = 100)]
        most: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give messages another chance: each goes back to the queue it came from.
    #[command(after_help = "Example: retort dead requeue --all")]
    Requeue(Which),
    /// Delete messages for good.
    #[command(after_help = "Example: retort dead drop 0199b2c4-…")]
    Drop(Which),
}

/// Which dead letters are meant.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Ids of messages, as `dead list` shows them.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) ids: Vec<String>,
    /// All of them.
    #[arg(long)]
    pub(crate) all: bool,
}
