//! Campaign, catalog and fleet files as commands read them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use retort_dataset::Store;
use retort_plan::{Document, Plan, Prices, Resolved, SpecError};
use retort_sim::{Fleet, FleetSpec, FleetThread, Setup};
use retort_types::{Campaign, Catalog, WallClock};

use crate::commands::Context;
use crate::config::Config;
use crate::failure::Failure;

/// A campaign with everything it refers to.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) plan: Plan,
    pub(crate) catalog: Catalog,
    pub(crate) resolved: Resolved,
    /// The simulated fleet that serves its models, while it lives.
    pub(crate) fleet: Option<FleetThread>,
}

fn spec(error: SpecError) -> Failure {
    let hint = error.hint().map(str::to_owned);
    Failure::usage(error).maybe_hint(hint.as_deref())
}

/// A file as it was read, so that errors found later can point into it.
struct Text {
    name: String,
    text: String,
}

impl Text {
    fn read(path: &Path, what: &str) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::bad(format!(
                "failed to read {what} `{}`: {error}",
                path.display()
            ))
        })?;
        Ok(Self {
            name: path.display().to_string(),
            text,
        })
    }
}

/// The texts that errors point into.
struct Texts {
    campaign: Text,
    catalog: Option<Text>,
}

impl Texts {
    fn failure(&self, error: SpecError) -> Failure {
        let mut error =
            error.located_in(Document::Campaign, &self.campaign.text, &self.campaign.name);
        if let Some(catalog) = &self.catalog {
            error = error.located_in(Document::Catalog, &catalog.text, &catalog.name);
        }
        spec(error)
    }
}

/// Reads a campaign, the prompts it names and its catalog, and plans it. With a fleet file, its
/// simulated models are served and join the catalog.
pub(crate) fn load(
    path: &Path,
    config: &Config,
    fleet: Option<&Path>,
    clock: &Arc<dyn WallClock>,
) -> Result<Loaded, Failure> {
    let fleet = fleet.map(|path| serve(path, clock)).transpose()?;
    let catalog_text = catalog_text(path, config, fleet.is_some())?;
    let texts = Texts {
        campaign: Text::read(path, "campaign")?,
        catalog: catalog_text,
    };
    let campaign = campaign(path, &texts)?;
    let mut catalog = catalog(&texts, fleet.as_ref())?;
    retort_plan::apply_prices(&mut catalog, &prices(config)?);
    let resolved =
        retort_plan::resolve(&catalog, &campaign.models).map_err(|error| texts.failure(error))?;
    let plan = Plan::build(campaign, &catalog).map_err(|error| texts.failure(error))?;
    Ok(Loaded {
        plan,
        catalog,
        resolved,
        fleet,
    })
}

fn campaign(path: &Path, texts: &Texts) -> Result<Campaign, Failure> {
    let campaign =
        retort_plan::parse_campaign(&texts.campaign.text, &texts.campaign.name).map_err(spec)?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let mut reader =
        |name: &str| std::fs::read_to_string(folder.join(name)).map_err(|error| error.to_string());
    retort_plan::inline_files(campaign, &mut reader).map_err(|error| texts.failure(error))
}

/// Reads a campaign and the prompts it names, without a catalog.
pub(crate) fn campaign_alone(path: &Path) -> Result<Campaign, Failure> {
    let texts = Texts {
        campaign: Text::read(path, "campaign")?,
        catalog: None,
    };
    campaign(path, &texts)
}

fn catalog_text(
    campaign: &Path,
    config: &Config,
    simulated: bool,
) -> Result<Option<Text>, Failure> {
    let beside = campaign.with_file_name("models.yaml");
    let path = match &config.catalog {
        Some(named) => PathBuf::from(named),
        None if simulated && !beside.exists() => return Ok(None),
        None => beside,
    };
    let text = Text::read(&path, "catalog")
        .map_err(|failure| failure.hint("name a catalog with --catalog FILE"))?;
    Ok(Some(text))
}

fn catalog(texts: &Texts, fleet: Option<&FleetThread>) -> Result<Catalog, Failure> {
    let mut catalog = match &texts.catalog {
        Some(text) => retort_plan::parse_catalog(&text.text, &text.name).map_err(spec)?,
        None => Catalog::default(),
    };
    if let Some(fleet) = fleet {
        let simulated = fleet.catalog()?;
        let taken = simulated
            .models
            .keys()
            .find(|name| catalog.models.contains_key(*name));
        if let Some(name) = taken {
            return Err(Failure::bad(format!(
                "model `{name}` is both in the catalog and in the simulated fleet"
            )));
        }
        catalog.providers.extend(simulated.providers);
        catalog.accounts.extend(simulated.accounts);
        catalog.models.extend(simulated.models);
    }
    Ok(catalog)
}

/// Reads the file of prices, if one is named.
pub(crate) fn prices(config: &Config) -> Result<Prices, Failure> {
    let Some(path) = &config.prices else {
        return Ok(Prices::new());
    };
    let text = Text::read(Path::new(path), "prices")?;
    retort_plan::parse_prices(&text.text, &text.name).map_err(spec)
}

/// Reads the text of the catalog that the configuration names, or of `models.yaml` here, as
/// (name, text).
pub(crate) fn catalog_here(config: &Config) -> Result<(String, String), Failure> {
    let path = config.catalog.as_deref().unwrap_or("models.yaml");
    let text = Text::read(Path::new(path), "catalog")
        .map_err(|failure| failure.hint("name a catalog with --catalog FILE"))?;
    Ok((text.name, text.text))
}

/// Reads a fleet file.
pub(crate) fn fleet(path: &Path) -> Result<FleetSpec, Failure> {
    let text = Text::read(path, "fleet")?;
    retort_plan::parse_yaml(&text.text, &text.name).map_err(spec)
}

fn serve(path: &Path, clock: &Arc<dyn WallClock>) -> Result<FleetThread, Failure> {
    Ok(Fleet::start_in_thread(
        fleet(path)?,
        Setup::new(Arc::clone(clock)),
    )?)
}

/// Opens the store that the configuration names.
pub(crate) fn store(context: &Context) -> Result<Store, Failure> {
    let config = &context.loaded.config;
    open_store(context, &config.store)
}

/// Opens the store at `url` as the configuration says.
pub(crate) fn open_store(context: &Context, url: &str) -> Result<Store, Failure> {
    let settings = &context.loaded.config.store_access;
    Ok(Store::connect(url, settings, &context.environment)?)
}

/// Returns the folder where the pace of domains is kept on this machine.
pub(crate) fn state_dir(config: &Config) -> Result<PathBuf, Failure> {
    if let Some(dir) = &config.state_dir {
        return Ok(PathBuf::from(dir));
    }
    if let Some(dir) = std::env::var_os("XDG_STATE_HOME").filter(|dir| !dir.is_empty()) {
        return Ok(Path::new(&dir).join("retort"));
    }
    match std::env::var_os("HOME").filter(|dir| !dir.is_empty()) {
        Some(home) => Ok(Path::new(&home).join(".local/state/retort")),
        None => Err(Failure::bad("no place to keep the pace of domains")
            .hint("set `state_dir` or RETORT_STATE_DIR")),
    }
}
