//! Configuration: defaults, then a file, then the environment, then flags; each value knows its source.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use retort_broker::AmqpSettings;
use retort_client::ClientSettings;
use retort_crawl::{CoordinatorSettings, WorkerSettings};
use retort_dataset::{StoreSettings, WriterSettings};
use retort_pace::PaceSettings;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::failure::Failure;

/// The file that is read when none is named.
pub(crate) const DEFAULT_FILE: &str = "retort.toml";

/// Variables that begin like settings and are none.
const OTHER_VARIABLES: [&str; 6] = [
    "RETORT_CONFIG",
    "RETORT_FIXTURES",
    "RETORT_FLEET_REQUESTS",
    "RETORT_KEY_PASSWORD",
    "RETORT_LOG",
    "RETORT_RABBITMQ",
];

/// What names of variables begin with that hold keys of simulated providers, as their catalogs name
/// them.
const SIMULATED_KEYS: &str = "RETORT_SIM_";

/// Everything that can be configured.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where campaigns are kept: a folder or a URL.
    pub(crate) store: String,
    /// The catalog; `models.yaml` beside the campaign unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) catalog: Option<String>,
    /// A file of prices for models whose catalog rows state none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prices: Option<String>,
    /// Where the pace of domains and their locks are kept; shared by every store of this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state_dir: Option<String>,
    /// Where replies are fsynced first; within the store's folder unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spool_dir: Option<String>,
    /// How the broker of a fleet is reached.
    pub(crate) broker: AmqpSettings,
    /// Where the services of a fleet serve health and metrics; nowhere unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) listen: Option<String>,
    /// How requests are sent.
    pub(crate) client: ClientSettings,
    /// How the pace is kept.
    pub(crate) pace: PaceSettings,
    /// How workers work.
    pub(crate) worker: WorkerSettings,
    /// How the coordinator works.
    pub(crate) coordinator: CoordinatorSettings,
    /// How replies are made durable.
    pub(crate) writer: WriterSettings,
    /// How a store beyond this machine is reached.
    pub(crate) store_access: StoreSettings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: "retort-data".to_owned(),
            catalog: None,
            prices: None,
            state_dir: None,
            spool_dir: None,
            broker: AmqpSettings::default(),
            listen: None,
            client: ClientSettings::default(),
            pace: PaceSettings::default(),
            worker: WorkerSettings::default(),
            coordinator: CoordinatorSettings::default(),
            writer: WriterSettings::default(),
            store_access: StoreSettings::default(),
        }
    }
}

/// A configuration and where each of its values came from.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    sources: BTreeMap<String, String>,
}

/// What flags say about the configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    /// The file to read; it must exist when named.
    pub(crate) file: Option<PathBuf>,
    /// Settings by their path, as (`client.contact`, value, flag that said so).
    pub(crate) settings: Vec<(String, String, String)>,
}

/// Loads the configuration from a file, `environment` and `flags`.
pub(crate) fn load(
    flags: &Flags,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, Failure> {
    let mut environment: BTreeMap<String, String> = environment
        .filter(|(name, _)| name.starts_with("RETORT_"))
        .collect();
    let named = flags
        .file
        .clone()
        .or_else(|| environment.remove("RETORT_CONFIG").map(PathBuf::from));
    let mut sources = BTreeMap::new();
    let mut table = match named {
        Some(path) => read(&path, &mut sources)?,
        None if Path::new(DEFAULT_FILE).exists() => read(Path::new(DEFAULT_FILE), &mut sources)?,
        None => Table::new(),
    };
    for (name, text) in environment {
        if OTHER_VARIABLES.contains(&name.as_str()) || name.starts_with(SIMULATED_KEYS) {
            continue;
        }
        set(
            &mut table,
            &mut sources,
            &path_of_variable(&name),
            &text,
            &format!("environment {name}"),
        )?;
    }
    for (path, text, flag) in &flags.settings {
        set(
            &mut table,
            &mut sources,
            path,
            text,
            &format!("flag {flag}"),
        )?;
    }
    let config: Config = Value::Table(table)
        .try_into()
        .map_err(|error: toml::de::Error| explain(&error, &sources))?;
    Ok(Loaded { config, sources })
}

fn path_of_variable(name: &str) -> String {
    let path = name
        .trim_start_matches("RETORT_")
        .to_lowercase()
        .replace("__", ".");
    if path == "contact" {
        "client.contact".to_owned()
    } else {
        path
    }
}

fn read(path: &Path, sources: &mut BTreeMap<String, String>) -> Result<Table, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::bad(format!(
            "failed to read configuration `{}`: {error}",
            path.display()
        ))
    })?;
    // Read once as the whole, for errors that point at a line of the file.
    let checked: Result<Config, _> = toml::from_str(&text);
    if let Err(error) = checked {
        let message = format!(
            "configuration `{}` is wrong\n{}",
            path.display(),
            error.to_string().trim_end()
        );
        return Err(Failure::bad(message).maybe_hint(did_you_mean(error.message()).as_deref()));
    }
    let table: Table = toml::from_str(&text).map_err(Failure::usage)?;
    let mut leaves = Vec::new();
    collect(&table, "", &mut leaves);
    sources.extend(
        leaves
            .into_iter()
            .map(|(leaf, _)| (leaf, format!("file {}", path.display()))),
    );
    Ok(table)
}

fn set(
    table: &mut Table,
    sources: &mut BTreeMap<String, String>,
    path: &str,
    text: &str,
    source: &str,
) -> Result<(), Failure> {
    let mut at = table;
    let mut steps = path.split('.').peekable();
    while let Some(step) = steps.next() {
        if steps.peek().is_none() {
            at.insert(step.to_owned(), value(text));
            break;
        }
        let next = at
            .entry(step.to_owned())
            .or_insert_with(|| Value::Table(Table::new()));
        at = next
            .as_table_mut()
            .ok_or_else(|| Failure::bad(format!("{source}: `{path}` is not a setting")))?;
    }
    sources.insert(path.to_owned(), source.to_owned());
    Ok(())
}

/// Reads a value as TOML does where it is a number or a truth value, and as text otherwise.
fn value(text: &str) -> Value {
    if let Ok(number) = text.parse::<i64>() {
        return Value::Integer(number);
    }
    match text {
        "true" => Value::Boolean(true),
        "false" => Value::Boolean(false),
        _ => Value::String(text.to_owned()),
    }
}

fn explain(error: &toml::de::Error, sources: &BTreeMap<String, String>) -> Failure {
    let message = error.message();
    let field = message.split('`').nth(1).unwrap_or_default();
    let culprit = sources
        .iter()
        .find(|(path, _)| path.rsplit('.').next() == Some(field));
    let from = culprit
        .map(|(_, source)| format!(" (from {source})"))
        .unwrap_or_default();
    Failure::bad(format!("the configuration is wrong{from}: {message}"))
        .maybe_hint(did_you_mean(message).as_deref())
}

/// Returns a suggestion for an unknown field out of serde's own message.
pub(crate) fn did_you_mean(message: &str) -> Option<String> {
    let mut words = message.split('`').skip(1).step_by(2);
    if !message.contains("unknown field") {
        return None;
    }
    let wrong = words.next()?;
    let best = words
        .map(|known| (strsim::jaro_winkler(wrong, known), known))
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.75).then(|| format!("did you mean `{}`?", best.1))
}

fn collect(table: &Table, prefix: &str, leaves: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            Value::Table(inner) => collect(inner, &path, leaves),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => leaves.push((path, value.to_string())),
        }
    }
}

impl Loaded {
    /// Returns every value as (path, value, source), in order of the path.
    pub(crate) fn listing(&self) -> Result<Vec<(String, String, String)>, Failure> {
        let Value::Table(table) = Value::try_from(&self.config)? else {
            return Err(Failure::new("the configuration is not a table"));
        };
        let mut leaves = Vec::new();
        collect(&table, "", &mut leaves);
        leaves.sort();
        let source = |path: &String| {
            self.sources
                .get(path)
                .cloned()
                .unwrap_or_else(|| "default".to_owned())
        };
        Ok(leaves
            .into_iter()
            .map(|(path, value)| (path.clone(), value, source(&path)))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn flag(path: &str, value: &str) -> (String, String, String) {
        (path.to_owned(), value.to_owned(), "--set".to_owned())
    }

    #[test]
    fn later_sources_win_and_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.toml");
        std::fs::write(
            &file,
            "store = \"a\"\n[worker]\nmax_attempts = 3\n[client]\ncontact = \"f@x\"\n",
        )
        .unwrap();
        let flags = Flags {
            file: Some(file.clone()),
            settings: vec![flag("worker.max_attempts", "9")],
        };
        let loaded = load(
            &flags,
            variables(&[
                ("RETORT_STORE", "b"),
                ("RETORT_CONTACT", "e@x"),
                (&retort_sim::key_env("alpha"), "k"),
                (&retort_sim::signing_env("alpha").1, "k"),
                ("PATH", "/"),
            ]),
        )
        .unwrap();
        assert_eq!(
            (
                loaded.config.store.as_str(),
                loaded.config.worker.max_attempts
            ),
            ("b", 9)
        );
        let listing = loaded.listing().unwrap();
        let source = |path: &str| {
            listing
                .iter()
                .find(|row| row.0 == path)
                .map(|row| row.2.clone())
                .unwrap()
        };
        assert_eq!(source("store"), "environment RETORT_STORE");
        assert_eq!(source("client.contact"), "environment RETORT_CONTACT");
        assert_eq!(source("worker.max_attempts"), "flag --set");
        assert_eq!(source("worker.retry_wait"), "default");
    }

    #[test]
    fn unknown_settings_are_errors_with_a_hint() {
        let error = load(
            &Flags::default(),
            variables(&[("RETORT_WORKER__MAX_ATTEMPS", "3")]),
        )
        .unwrap_err()
        .to_string();
        assert!(
            error.contains("environment RETORT_WORKER__MAX_ATTEMPS"),
            "{error}"
        );
        assert!(
            error.ends_with("hint: did you mean `max_attempts`?"),
            "{error}"
        );
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.toml");
        std::fs::write(&file, "store = \"a\"\nsotre = 1\n").unwrap();
        let error = load(
            &Flags {
                file: Some(file),
                settings: Vec::new(),
            },
            variables(&[]),
        )
        .unwrap_err()
        .to_string();
        assert!(error.contains("line 2, column 1"), "{error}");
    }

    #[test]
    fn wrong_types_name_their_source() {
        let error = load(
            &Flags::default(),
            variables(&[("RETORT_WORKER__RETRY_WAIT", "soon")]),
        )
        .unwrap_err()
        .to_string();
        assert!(error.contains("soon"), "{error}");
    }
}
