//! The dataset card: `README.md` with the front matter that dataset hubs read, and what goes with
//! it: the picture of coverage and the Croissant description.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use retort_types::catalog::Terms;
use retort_types::{Campaign, Digest, Outcome, ProviderName, Timestamp};

use super::coverage::{self, ByModel};
use super::manifest::ManifestFile;
use super::output::Output;
use super::{ModelRow, Origin, croissant};
use crate::DatasetError;
use crate::schema::{self, READERS, Table};

/// Name of the picture.
const COVERAGE_FILE: &str = "coverage.svg";

/// What a card tells.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) campaign: &'a Campaign,
    pub(super) plan_hash: Digest,
    pub(super) origin: Origin,
    pub(super) files: &'a [ManifestFile],
    pub(super) outcomes: &'a BTreeMap<Outcome, u64>,
    pub(super) models: &'a ByModel,
    pub(super) sources: &'a [ModelRow],
    /// When the newest row was made; absent when no row tells.
    pub(super) last_finished_at: Option<Timestamp>,
}

impl Facts<'_> {
    /// Returns the title in one line.
    pub(super) fn title(&self) -> String {
        let campaign = self.campaign;
        one_line(campaign.name.as_deref().unwrap_or(campaign.id.as_str()))
    }

    /// Returns the tables that have rows: readers of dataset hubs fail on empty ones.
    pub(super) fn tables_with_rows(&self) -> impl Iterator<Item = Table> {
        Table::ALL.into_iter().filter(|table| self.rows(*table) > 0)
    }

    fn rows(&self, table: Table) -> u64 {
        let folder = format!("{table}/");
        let files = self.files.iter();
        let files = files.filter(|file| file.path.starts_with(&folder));
        files.filter_map(|file| file.rows).sum()
    }

    /// Returns where the rows came from and what they are for, in two sentences.
    pub(super) fn use_of_it(&self) -> String {
        let samples: u64 = self.outcomes.values().sum();
        let models = self.models.len();
        match self.origin {
            Origin::Crawl => format!(
                "{samples} samples of {models} models, collected with Retort for research into the \
                 provenance of language models. Not for training."
            ),
            Origin::Import => format!(
                "{samples} replies of {models} models, imported into Retort from files that others \
                 collected, for research into the provenance of language models. Not for training."
            ),
        }
    }
}

/// Writes the card and what goes with it.
pub(super) fn write(facts: &Facts<'_>, output: &mut Output) -> Result<(), DatasetError> {
    let title = format!("campaign {}", facts.campaign.id);
    let picture = coverage::svg(&title, facts.models, facts.outcomes);
    output.put(COVERAGE_FILE, picture.into(), None)?;
    output.put(croissant::FILE, croissant::render(facts).into(), None)?;
    output.put("README.md", render(facts).into(), None)
}

fn render(facts: &Facts<'_>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let written = write_card(&mut text, facts);
    debug_assert!(written.is_ok(), "a string takes any text");
    text
}

fn write_card(text: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    front_matter(text, facts)?;
    writeln!(text, "# {}\n\n{}\n", facts.title(), facts.use_of_it())?;
    for line in facts.campaign.purpose.lines() {
        writeln!(text, "> {line}")?;
    }
    writeln!(
        text,
        "\nCampaign `{}`, plan `{}`, table version {}.\n",
        facts.campaign.id,
        facts.plan_hash,
        schema::VERSION
    )?;
    use_and_terms(text, facts)?;
    writeln!(
        text,
        "## Coverage\n\n![Coverage of the plan]({COVERAGE_FILE})\n"
    )?;
    coverage::table(text, facts.models, facts.outcomes)?;
    text.push_str(MISSINGNESS);
    tables(text, facts)?;
    how_to_read(text)?;
    text.push_str(HOW_TO_VERIFY);
    Ok(())
}

fn front_matter(text: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    // JSON text is YAML text.
    let title = serde_json::to_string(&facts.title()).map_err(|_| std::fmt::Error)?;
    writeln!(text, "---\npretty_name: {title}\nlicense: other")?;
    writeln!(text, "tags:\n- retort\n- model-provenance")?;
    let samples = facts.outcomes.values().sum();
    writeln!(
        text,
        "size_categories:\n- {}\nconfigs:",
        size_category(samples)
    )?;
    for table in facts.tables_with_rows() {
        writeln!(text, "- config_name: {table}")?;
        if table == Table::Responses {
            writeln!(text, "  default: true")?;
        }
        writeln!(
            text,
            "  data_files:\n  - split: train\n    path: {table}/**/*.parquet"
        )?;
    }
    writeln!(text, "---\n")
}

/// Says what the data may be used for: by its purpose, and by the terms of who served it.
fn use_and_terms(text: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    text.push_str(USE);
    let served = facts.sources.iter().filter_map(|row| row.served.as_ref());
    let terms: BTreeMap<&ProviderName, Option<&Terms>> = served
        .map(|served| (&served.provider, served.terms.as_ref()))
        .collect();
    for (provider, terms) in terms {
        match terms {
            Some(Terms { url, note }) => {
                write!(text, "* `{provider}`: <{url}>")?;
                if let Some(note) = note {
                    write!(text, " ({})", one_line(note))?;
                }
                text.push('\n');
            }
            None => writeln!(text, "* `{provider}`: the catalog names no terms")?,
        }
    }
    let unknown: BTreeSet<&str> = facts
        .sources
        .iter()
        .filter(|row| row.served.is_none())
        .map(|row| row.name.as_str())
        .collect();
    if !unknown.is_empty() {
        writeln!(
            text,
            "* {} imported models: who served them, and on which terms, is not known; the files' own \
             licences apply",
            unknown.len()
        )?;
    }
    text.push('\n');
    Ok(())
}

fn tables(text: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    writeln!(
        text,
        "## Tables\n\n| table | rows | columns | a row |\n|---|---:|---:|---|"
    )?;
    for table in Table::ALL {
        writeln!(
            text,
            "| `{table}` | {} | {} | {} |",
            facts.rows(table),
            table.columns().len(),
            table.doc()
        )?;
    }
    text.push_str(JOINS);
    Ok(())
}

fn how_to_read(text: &mut String) -> std::fmt::Result {
    writeln!(text, "## How to read it\n\nIn this folder:\n")?;
    for reader in READERS {
        writeln!(
            text,
            "{}:\n\n```{}\n{}\n```\n",
            reader.tool, reader.language, reader.line
        )?;
    }
    Ok(())
}

const USE: &str = "## What it may be used for

Collected for provenance research, **not for training**: do not train, tune or distil a model on it.
Whoever uses it keeps the terms of those who served the models:

";

const MISSINGNESS: &str = "A sample without a measurement is a row too, with its outcome and reason: \
leaving those rows out biases\nevery comparison.\n\n";

const JOINS: &str = "
`sample_id` joins `responses`, `attempts` and `tokens`; `attempt_id` names the attempt that ended a
sample; `suite` and `prompt_id` lead to `prompts`, `model` to `models`. `plan.json` is what was
planned. Every Parquet column carries its meaning (`doc`), `unit` and OpenTelemetry name (`otel`) in its
field's metadata. Token counts come from the providers' own tokenizers and cannot be compared across models.

";

const HOW_TO_VERIFY: &str = "## How to verify it

`sha256sum -c SHA256SUMS` checks every file. `MANIFEST.json` lists them with the segments they were made
from; the last part of this folder's name is how its Merkle root begins. Where `MANIFEST.json.minisig` lies
beside it, `minisign -Vm MANIFEST.json -p KEY.pub` tells who sealed it.
";

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the size class as dataset hubs name it.
const fn size_category(rows: u64) -> &'static str {
    match rows {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        1_000_000..10_000_000 => "1M<n<10M",
        10_000_000..100_000_000 => "10M<n<100M",
        _ => "100M<n<1B",
    }
}
