//! One module per command; each returns its exit code.

mod bench;
mod check;
mod compare;
mod control;
mod coordinator;
mod dataset;
mod dead;
mod detect;
mod fingerprint;
mod fleet;
mod keys;
mod models;
mod plan;
mod power;
mod row;
mod run;
mod show;
mod signals;
mod sim;
mod status;
mod store;
mod submit;
mod target;
mod transfer;
mod verify;
mod worker;
mod working;

use std::sync::Arc;

use retort_dataset::store::Environment;
use retort_types::WallClock;

use crate::cli::{BenchCommand, Cli, Command, ConfigCommand, DatasetCommand, Global, StoreCommand};
use crate::clock::SystemClock;
use crate::config::{self, Flags, Loaded};
use crate::failure::Failure;

/// What every command is given. Not printable: the environment holds secrets.
pub(crate) struct Context {
    pub(crate) loaded: Loaded,
    /// The process's variables, from which stores take their credentials.
    pub(crate) environment: Environment,
    pub(crate) clock: Arc<dyn WallClock>,
}

/// Carries a command out.
pub(crate) async fn dispatch(cli: Cli) -> Result<u8, Failure> {
    let context = Context {
        loaded: config::load(&flags(&cli.global, cli.command.broker())?, variables())?,
        environment: variables().collect(),
        clock: Arc::new(SystemClock),
    };
    match cli.command {
        Command::Run(args) => run::run(&context, &args).await,
        Command::Worker(args) => worker::worker(&context, &args).await,
        Command::Coordinator(args) => coordinator::coordinator(&context, &args).await,
        Command::Submit(args) => submit::submit(&context, &args).await,
        Command::Dead(args) => dead::dead(&context, &args.command).await,
        Command::Plan(args) => plan::plan(&context, &args),
        Command::Power(args) => power::power(&context, &args),
        Command::Check(args) => check::check(&context, &args).await,
        Command::Status(args) => status::status(&context, &args).await,
        Command::Pause(id) => control::wish(&context, &id.campaign, control::Wish::Pause).await,
        Command::Resume(id) => control::wish(&context, &id.campaign, control::Wish::Resume).await,
        Command::Cancel(id) => control::wish(&context, &id.campaign, control::Wish::Cancel).await,
        Command::Sim(args) => sim::sim(&context, &args).await,
        Command::Bench(BenchCommand::Throughput(args)) => bench::throughput(&args).await,
        Command::Bench(BenchCommand::Pace(args)) => bench::pace(&args).await,
        Command::Bench(BenchCommand::Family(args)) => bench::family::family(&args).await,
        Command::Bench(BenchCommand::Lineage(args)) => bench::lineage::lineage(&args).await,
        Command::Fingerprint(args) => fingerprint::fingerprint(&context, &args).await,
        Command::Compare(args) => compare::compare(&args).await,
        Command::Bench(BenchCommand::Bare(args)) => bench::bare::run(&args).await,
        Command::Bench(BenchCommand::TlsFront(args)) => bench::tls::front(&args).await,
        Command::Dataset(DatasetCommand::Seal(args)) => dataset::seal(&context, &args).await,
        Command::Dataset(DatasetCommand::Show(args)) => dataset::show(&context, &args).await,
        Command::Dataset(DatasetCommand::Export(args)) => transfer::export(&context, &args).await,
        Command::Dataset(DatasetCommand::Import(args)) => transfer::import(&context, &args).await,
        Command::Detect(args) => detect::detect(&context, &args).await,
        Command::Store(StoreCommand::Doctor(args)) => store::doctor(&context, &args).await,
        Command::Dataset(DatasetCommand::Verify(args)) => verify::verify(&context, &args).await,
        Command::Keys(command) => keys::keys(&context, &command).await,
        Command::Suites(command) => show::suites(&command),
        Command::Models(command) => models::models(&context, &command),
        Command::Schema(args) => show::schema(&args),
        Command::Config(ConfigCommand::Show { json }) => show::config(&context, json),
    }
}

fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn flags(global: &Global, broker: Option<&str>) -> Result<Flags, Failure> {
    let mut settings = Vec::new();
    if let Some(url) = broker {
        settings.push((
            "broker.url".to_owned(),
            url.to_owned(),
            "--broker".to_owned(),
        ));
    }
    let named = [
        ("store", &global.store),
        ("catalog", &global.catalog),
        ("prices", &global.prices),
        ("client.contact", &global.contact),
    ];
    for (path, value) in named {
        if let Some(value) = value {
            let flag = path.rsplit('.').next().unwrap_or(path);
            settings.push((path.to_owned(), value.clone(), format!("--{flag}")));
        }
    }
    for pair in &global.set {
        let (path, value) = pair.split_once('=').ok_or_else(|| {
            Failure::bad(format!("`--set {pair}` has no `=`"))
                .hint("as in --set worker.max_attempts=3")
        })?;
        settings.push((path.to_owned(), value.to_owned(), "--set".to_owned()));
    }
    Ok(Flags {
        file: global.config.clone(),
        settings,
    })
}
