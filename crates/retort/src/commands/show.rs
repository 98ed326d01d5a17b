//! Commands that only print what is built in or configured.

use retort_plan::suites;
use serde_json::json;

use super::Context;
use crate::cli::{Schema, SchemaOf, SuitesCommand};
use crate::failure::Failure;
use crate::output::{self, Table, line};

/// Lists suites or shows one.
pub(crate) fn suites(command: &SuitesCommand) -> Result<u8, Failure> {
    match command {
        SuitesCommand::List => {
            let mut table = Table::new("lrl", &["suite", "prompts", ""]);
            for name in suites::names() {
                if let Some(suite) = suites::get(name) {
                    table.row(vec![
                        (*name).to_owned(),
                        suite.prompts.len().to_string(),
                        suite.title.clone(),
                    ]);
                }
            }
            line(&table.to_string());
        }
        SuitesCommand::Show { name, json } => {
            let suite = suites::get(name).ok_or_else(|| {
                Failure::bad(format!("there is no suite `{name}`"))
                    .hint(format!("known: {}", suites::names().join(", ")))
            })?;
            if *json {
                output::json(&suite)?;
            } else {
                line(&format!(
                    "{} (version {}): {}\n{}\n",
                    suite.name, suite.version, suite.title, suite.purpose
                ));
                for prompt in &suite.prompts {
                    line(&format!("{}  {}", prompt.id, prompt.text));
                }
            }
        }
    }
    Ok(0)
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
