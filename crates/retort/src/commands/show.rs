//! Commands that only print what is built in or configured.

use retort_plan::suites::{self, Profile, Suite};
use serde_json::json;

use super::Context;
use crate::cli::{Schema, SchemaOf, SuitesCommand};
use crate::failure::Failure;
use crate::output::{self, Table, line};

/// Lists suites and profiles or shows one.
pub(crate) fn suites(command: &SuitesCommand) -> Result<u8, Failure> {
    match command {
        SuitesCommand::List => list_suites(),
        SuitesCommand::Show { name, seed, json } => {
            if let Some(suite) = suites::get(name) {
                show_suite(suite, *seed, *json)?;
            } else if let Some(profile) = suites::profile(name) {
                show_profile(profile, *json)?;
            } else {
                let known = suites::names().join(", ");
                let profiles = suites::profiles().iter().map(|profile| profile.name);
                let profiles = profiles.collect::<Vec<_>>().join(", ");
                return Err(Failure::bad(format!("there is no suite `{name}`"))
                    .hint(format!("known: {known}; profiles: {profiles}")));
            }
        }
    }
    Ok(0)
}

fn list_suites() {
    let mut table = Table::new("lrrl", &["suite", "prompts", "drawn", ""]);
    for suite in suites::names().iter().filter_map(|name| suites::get(name)) {
        table.row(vec![
            suite.name.to_string(),
            suite.len().to_string(),
            (suite.len() - suite.prompts.len()).to_string(),
            suite.title.clone(),
        ]);
    }
    line(&table.to_string());
    line("");
    let mut table = Table::new("lrrl", &["profile", "prompts", "draws", ""]);
    for profile in suites::profiles() {
        let (prompts, draws) = sizes(profile);
        let title = profile.title.to_owned();
        table.row(vec![
            profile.name.to_owned(),
            prompts.to_string(),
            draws.to_string(),
            title,
        ]);
    }
    line(&table.to_string());
    line("");
    line(
        "A campaign names either, as in `suites: [{suite: quick}]`. What is drawn follows from its seed.",
    );
}

/// Returns the prompts of a profile, and their draws for each model.
fn sizes(profile: &Profile) -> (usize, usize) {
    let parts = profile.suites.iter();
    let parts = parts.filter_map(|(name, draws)| Some((suites::get(name)?.len(), *draws)));
    parts.fold((0, 0), |(prompts, draws), (own, times)| {
        (prompts + own, draws + own * times as usize)
    })
}

fn show_profile(profile: &Profile, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::json(profile);
    }
    line(&format!("{}: {}\n", profile.name, profile.title));
    let mut table = Table::new("lrr", &["suite", "prompts", "samples"]);
    for (name, draws) in profile.suites {
        let prompts = suites::get(name).map_or(0, Suite::len);
        table.row(vec![
            (*name).to_owned(),
            prompts.to_string(),
            draws.to_string(),
        ]);
    }
    line(&table.to_string());
    Ok(())
}

fn show_suite(suite: &Suite, seed: u64, as_json: bool) -> Result<(), Failure> {
    let prompts = suite.prompts_for(seed);
    if as_json {
        return output::json(&json!({
            "name": suite.name,
            "title": suite.title,
            "purpose": suite.purpose,
            "version": suite.version,
            "prompts": prompts,
        }));
    }
    line(&format!(
        "{} (version {}): {}\n{}\n",
        suite.name, suite.version, suite.title, suite.purpose
    ));
    for (place, prompt) in prompts.iter().enumerate() {
        if place == suite.prompts.len() {
            line(&format!("\ndrawn for seed {seed}:"));
        }
        line(&format!("{}  {}", prompt.id, prompt.text));
    }
    Ok(())
}

/// Prints a JSON Schema.
pub(crate) fn schema(args: &Schema) -> Result<u8, Failure> {
    match args.of {
        SchemaOf::Campaign => output::json(&schemars::schema_for!(retort_types::Campaign))?,
        SchemaOf::Catalog => {
            output::json(&schemars::schema_for!(retort_types::catalog::CatalogFile))?;
        }
    }
    Ok(0)
}

/// Prints the configuration with its sources.
pub(crate) fn config(context: &Context, as_json: bool) -> Result<u8, Failure> {
    let listing = context.loaded.listing()?;
    if as_json {
        let rows: Vec<_> = listing
            .iter()
            .map(|(path, value, source)| json!({ "setting": path, "value": value, "source": source }))
            .collect();
        output::json(&rows)?;
        return Ok(0);
    }
    let mut table = Table::new("lll", &["setting", "value", "source"]);
    for (path, value, source) in listing {
        table.row(vec![path, value, source]);
    }
    line(&table.to_string());
    Ok(0)
}
