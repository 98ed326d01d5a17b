//! The dataset card: `README.md` with the front matter that dataset hubs read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use retort_types::{Campaign, Digest, Outcome};

use super::manifest::ManifestFile;
use crate::schema::{self, Table};

/// What a card tells.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) campaign: &'a Campaign,
    pub(super) plan_hash: Digest,
    pub(super) files: &'a [ManifestFile],
    pub(super) outcomes: &'a BTreeMap<Outcome, u64>,
    pub(super) models: &'a BTreeMap<String, BTreeMap<Outcome, u64>>,
}

const HOW_TO_READ: &str = r#"## How to read it

```python
import duckdb, pandas, datasets
duckdb.sql("select model, outcome, count(*) from 'responses/**/*.parquet' group by all")
pandas.read_parquet("responses")
datasets.load_dataset("parquet", data_files="responses/**/*.parquet", split="train")
```

* `responses`: exactly one final row per planned sample. A sample that was not answered is a row too,
  with its outcome and reason: leaving those rows out biases every comparison.
* `tokens`: log probabilities, one row per token; join on `attempt_id`.
* `attempts`: every HTTP exchange, failed ones included; join on `sample_id`.
* `prompts`, `models`: what was asked, and whom, as the plan had it. `plan.json` is the plan itself.

Token counts come from the providers' own tokenizers and are not comparable across models.

## How to check it

`sha256sum -c SHA256SUMS` checks every file. `MANIFEST.json` lists them with the segments they were
made from. The last part of this folder's name is how its Merkle root begins.
"#;

/// Returns the card's text.
pub(super) fn render(facts: &Facts<'_>) -> String {
    let campaign = facts.campaign;
    let title = campaign.name.as_deref().unwrap_or(campaign.id.as_str());
    let mut text = String::new();
    // Writing to a string cannot fail.
    let written = write_card(&mut text, facts, title);
    debug_assert!(written.is_ok(), "a string takes any text");
    text
}

fn write_card(text: &mut String, facts: &Facts<'_>, title: &str) -> std::fmt::Result {
    let total: u64 = facts.outcomes.values().sum();
    front_matter(text, facts, title, total)?;
    writeln!(text, "# {}\n", one_line(title))?;
    writeln!(
        text,
        "{total} samples of {} models, collected with Retort for research into the provenance of \
         language models. **Not for training.**\n",
        facts.models.len()
    )?;
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
    outcomes(text, facts)?;
    text.push_str(HOW_TO_READ);
    Ok(())
}

fn front_matter(text: &mut String, facts: &Facts<'_>, title: &str, total: u64) -> std::fmt::Result {
    // JSON text is YAML text.
    let title = serde_json::to_string(&one_line(title)).map_err(|_| std::fmt::Error)?;
    writeln!(text, "---\npretty_name: {title}\nlicense: other")?;
    writeln!(text, "tags:\n- retort\n- model-provenance")?;
    writeln!(
        text,
        "size_categories:\n- {}\nconfigs:",
        size_category(total)
    )?;
    for table in Table::ALL {
        let folder = format!("{table}/");
        if !facts
            .files
            .iter()
            .any(|file| file.path.starts_with(&folder))
        {
            continue;
        }
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

fn outcomes(text: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    writeln!(text, "## How the samples ended\n")?;
    write!(text, "| model |")?;
    for outcome in facts.outcomes.keys() {
        write!(text, " {outcome} |")?;
    }
    write!(text, "\n|---|")?;
    facts.outcomes.keys().for_each(|_| text.push_str("---:|"));
    text.push('\n');
    let all = ("**all**".to_owned(), facts.outcomes);
    let models = facts
        .models
        .iter()
        .map(|(name, counts)| (format!("`{name}`"), counts));
    for (name, counts) in models.chain([all]) {
        write!(text, "| {name} |")?;
        for outcome in facts.outcomes.keys() {
            write!(text, " {} |", counts.get(outcome).copied().unwrap_or(0))?;
        }
        text.push('\n');
    }
    text.push('\n');
    Ok(())
}

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
        _ => "10M<n<100M",
    }
}
