//! What the commands of a fleet share: the broker, names, spools, and what is told of both services.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use retort_broker::{AmqpBroker, Broker, BrokerError, Health};
use retort_dataset::{DatasetError, SpoolError, WriterStatus};
use retort_types::Catalog;

use super::Context;
use crate::config::Config;
use crate::failure::Failure;
use crate::files;
use crate::output::note;
use crate::service::Page;
use crate::service::metrics::{
    BROKER_HEALTH, BUILD_INFO, RECORDS_STORED, SEGMENTS_STORED, SPOOL_BYTES, SPOOL_FSYNC_SECONDS,
    SPOOL_MAX_BYTES, SPOOL_PENDING_RECORDS, SPOOL_STALLED, STORE_FAILING,
};

/// How long to wait before a service that could not start yet tries again.
const START_PAUSE: Duration = Duration::from_secs(1);

/// Longest name of a process: it becomes part of file names.
const NAME_MAX_BYTES: usize = 64;

/// Connects to the configured broker.
pub(super) async fn broker(context: &Context, role: &str) -> Result<AmqpBroker, Failure> {
    let broker = start(context, role)?;
    broker.connected().await.map_err(explain)?;
    Ok(broker)
}

/// Tries something again and again until the broker can be reached and others have made what this
/// process may not make. Each other reason why it must wait is said once, and kept in `waits`.
///
/// # Errors
/// When a person must act.
pub(super) async fn in_time(
    waits: &Waits,
    mut tried: impl AsyncFnMut() -> Result<(), BrokerError>,
) -> Result<(), Failure> {
    loop {
        let error = match tried().await {
            Ok(()) => {
                waits.set(None);
                return Ok(());
            }
            Err(error) => error,
        };
        match error {
            BrokerError::Unavailable { .. }
            | BrokerError::Absent { .. }
            | BrokerError::UnknownQueue(_) => {
                if waits.set(Some(error.to_string())) {
                    note(&format!("{error}; it is tried again"));
                }
                tokio::time::sleep(START_PAUSE).await;
            }
            BrokerError::Refused { .. }
            | BrokerError::Full(_)
            | BrokerError::TooLarge { .. }
            | BrokerError::NameTooLong { .. } => return Err(explain(error)),
        }
    }
}

/// What a service that starts waits for, as its pages tell it.
#[derive(Debug, Default)]
pub(super) struct Waits(Mutex<Option<String>>);

impl Waits {
    /// Returns what it waits for, if it does.
    pub(super) fn reason(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Keeps what it waits for; returns whether that is news.
    fn set(&self, reason: Option<String>) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let news = *kept != reason;
        *kept = reason;
        news
    }
}

/// Begins to connect to the configured broker.
pub(super) fn start(context: &Context, role: &str) -> Result<AmqpBroker, Failure> {
    let mut settings = context.loaded.config.broker.clone();
    settings.name = format!("{} {role}", settings.name);
    AmqpBroker::start(settings).map_err(Failure::usage)
}

/// Says what helps against a broker's failure.
pub(super) fn explain(error: BrokerError) -> Failure {
    let hint = match &error {
        BrokerError::Refused { .. } => Some(
            "check user, password, virtual host and rights: `broker.url`, `broker.password_file`",
        ),
        BrokerError::Unavailable { .. } => {
            Some("name the broker with --broker amqp://user@host/vhost")
        }
        BrokerError::UnknownQueue(_) | BrokerError::Absent { .. } => {
            Some("start a coordinator: it makes the queues")
        }
        BrokerError::Full(_) | BrokerError::TooLarge { .. } | BrokerError::NameTooLong { .. } => {
            None
        }
    };
    Failure::from(error).maybe_hint(hint)
}

/// Returns what a process calls itself: as told, as configured, or the host's name.
pub(super) fn name(given: Option<&str>, configured: Option<&str>) -> Result<String, Failure> {
    let named = given.or(configured).map(str::to_owned);
    let name = named.map_or_else(host_name, Ok)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > NAME_MAX_BYTES || !name.chars().all(fits) {
        return Err(Failure::bad("the id is not a name").hint(format!(
            "use up to {NAME_MAX_BYTES} letters, digits, dots, underscores and dashes"
        )));
    }
    Ok(name)
}

fn host_name() -> Result<String, Failure> {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .map_err(|error| {
            Failure::bad(format!("failed to read the host's name: {error}"))
                .hint("name this process with --id")
        })
}

/// Returns where the replies of a process are fsynced first.
pub(super) fn spool_dir(config: &Config, role: &str, name: &str) -> Result<PathBuf, Failure> {
    let folder = match &config.spool_dir {
        Some(folder) => Path::new(folder).to_owned(),
        None => files::state_dir(config)?.join("spool"),
    };
    Ok(folder.join(format!("{role}-{name}")))
}

/// Says what helps when a spool cannot be opened.
pub(super) fn explain_spool(error: DatasetError) -> Failure {
    let held = matches!(error, DatasetError::Spool(SpoolError::Locked { .. }));
    let hint = held.then_some("give each process of this machine a name of its own: --id");
    Failure::from(error).maybe_hint(hint)
}

/// Reads the catalog of a service, with prices.
pub(super) fn catalog(config: &Config) -> Result<Catalog, Failure> {
    let (name, text) = files::catalog_here(config)?;
    let mut catalog = retort_plan::parse_catalog(&text, &name).map_err(|error| {
        let hint = error.hint().map(str::to_owned);
        Failure::usage(error).maybe_hint(hint.as_deref())
    })?;
    retort_plan::apply_prices(&mut catalog, &files::prices(config)?);
    Ok(catalog)
}

/// Returns why a broker is in the way of being ready.
pub(super) fn unready(broker: &AmqpBroker) -> Option<String> {
    match broker.health() {
        // Replies go on being stored and acknowledged during an alarm.
        Health::Up | Health::Blocked => None,
        Health::Down => Some("the broker cannot be reached".to_owned()),
        Health::Refused => Some("the broker refuses this process".to_owned()),
    }
}

/// Writes what both services count.
pub(super) fn measure(page: &mut Page, broker: &AmqpBroker) {
    page.count(&BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1);
    let health = broker.health();
    for (state, word) in [
        (Health::Up, "up"),
        (Health::Blocked, "blocked"),
        (Health::Down, "down"),
        (Health::Refused, "refused"),
    ] {
        page.flag(&BROKER_HEALTH, &[word], health == state);
    }
}

/// Writes what the writer of a service counts.
pub(super) fn measure_writer(page: &mut Page, writer: &WriterStatus) {
    page.count(&SPOOL_BYTES, &[], writer.spool_bytes);
    page.count(&SPOOL_MAX_BYTES, &[], writer.spool_max_bytes);
    page.count(&SPOOL_PENDING_RECORDS, &[], writer.pending_records);
    page.flag(&SPOOL_STALLED, &[], writer.stalled.is_some());
    if let Some(ms) = writer.last_fsync_ms {
        page.set(&SPOOL_FSYNC_SECONDS, &[], ms / 1_000.0);
    }
    page.flag(&STORE_FAILING, &[], writer.store_failing.is_some());
    page.count(&RECORDS_STORED, &[], writer.stored_records);
    page.count(&SEGMENTS_STORED, &[], writer.stored_segments);
}
