//! `docs/dataset.md` is made from the schema: a page that is not what it would be made from today
//! fails here. `UPDATE_DOCS=1 cargo test -p retort-dataset --test it` writes it anew.

use std::fmt::Write as _;

use retort_dataset::schema::{READERS, Table, VERSION};
use retort_types::Outcome;

use crate::{asks_for, here};

const INTRODUCTION: &str = r"# The dataset

*Made from the schema by `UPDATE_DOCS=1 cargo test -p retort-dataset --test it`; a test fails when it is stale.*

A campaign's replies are Parquet files: live ones while it runs, and a **snapshot** once every planned sample has a
final row. A snapshot never changes, and its bytes depend on the rows and the plan alone.

## Layout

```
campaigns/<id>/
  segments/date=YYYY-MM-DD/<worker>-<uuid>.{responses,attempts,tokens}.parquet    rows as they come; may repeat a sample
  snapshots/<seq>-<first 12 characters of the Merkle root>/
    README.md            dataset card: purpose, terms, coverage, how to read and verify it
    coverage.svg         coverage as a picture
    croissant.json       the same for data search engines and mlcroissant
    responses/model_slug=<model>/part-NNNNN.parquet
    tokens/model_slug=<model>/part-NNNNN.parquet     only when log probabilities were told
    attempts/part-NNNNN.parquet
    prompts/part-NNNNN.parquet
    models/part-NNNNN.parquet
    plan.json            what was planned, or for an import which files it was made from
    MANIFEST.json        every file with its hash, and the segments they were made from
    SHA256SUMS           the same for sha256sum -c
```

`model_slug=` exists for pruning: every file has the column `model` as well and can be read alone. A table without
rows has no entry in the card, because some readers fail on empty files; `tokens` then has no folder at all.
";

const ROWS: &str = r"
## How rows relate

* `responses` holds **exactly one final row per planned sample** (`sample_id`). What was not answered has a row too.
* `attempts` holds every HTTP exchange of those samples, failed ones and duplicates included. `attempt_id` names
  the attempt that a row of `responses` was made from; a sample that was never asked has none.
* `tokens` holds a row per token of the attempts in `responses` whose `has_logprobs` is true, in the order of `position`.
* `prompts` is reached by `suite` and `prompt_id`, `models` by `model`.
* A **block** (`block_id`) is the samples of one question for all models, asked close together in time in random order
  (`order_in_block`); compare models within blocks. `sample_index` counts draws of the same question, `round`
  repetitions of the campaign.

Within a model, rows are sorted by suite, prompt, arm, round and draw; `attempts` by sample and number.

## How missingness is coded

A measurement that is not there is a row with its reason, never a row that is not there. `outcome` says how the sample
ended, `last_outcome` how the attempt that ended it did, `reason` why, where Retort decided.

";

const NULLS: &str = r"
Null means *not told* or *does not apply*, never zero and never an empty text: a model that answered nothing has the
`response_text` of length 0. A provider that reports no tokens has null there. Samples that were not answered stay in
every denominator, or the comparison is biased towards models that answer everything.

In an **import** (`origin = 'import'`) columns that only a crawl can fill are null: `block_id`, `order_in_block`,
`provider`, `account`, `domain`, `endpoint_host`, `wire_protocol`, `streamed`, `worker_id`, `delivery_count`, and
`finished_at` and `request_params` unless the files tell them. A reply whose prompt no file tells has no messages, and
its prompt is named by the batch's `custom_id`. Prompts and draws are numbered in the order of the files.

**Times.** `latency_ms` is from the writing of the request to the reading of the last byte. On a client that has no CPU
left, bytes lie in the kernel before they are read: `latency_ms - client_lag_ms` is the provider's time then, and without
such a shortage the two differ by less than a millisecond. Files of table version 1 have no `client_lag_ms`; it reads as null.
";

const MORE: &str = r"
## Questions

In SQL (DuckDB), inside the snapshot's folder. How complete is it, and why is the rest missing?

```sql
select model, outcome, reason, count(*) as n from 'responses/**/*.parquet' where outcome <> 'answered' group by all order by all
```

How often was each model asked again?

```sql
select model, count(*) - count(distinct sample_id) as retries from 'attempts/*.parquet' group by model order by model
```

What was asked, and what was answered?

```sql
select p.prompt_id, p.messages[1].content as question, r.model, r.response_text from 'responses/**/*.parquet' r join 'prompts/*.parquet' p using (suite, prompt_id) where r.outcome = 'answered' order by all limit 20
```

How sure was each model of its words?

```sql
select r.model, avg(t.logprob) as mean_logprob, count(*) as tokens from 'tokens/**/*.parquet' t join 'responses/**/*.parquet' r using (attempt_id) where t.segment = 'response' group by r.model order by r.model
```

What do the columns mean? Files say it themselves:

```python
import pyarrow.parquet, pathlib; [(f.name, f.metadata[b'doc'].decode()) for f in pyarrow.parquet.read_schema(next(pathlib.Path('responses').rglob('*.parquet')))]
```

While a campaign runs, its segments can be read as well; a sample may be there twice, and the lowest attempt counts.
Small segments are replaced by larger ones, so a query may end because a file is gone; run it again:

```sql
select model, count(distinct sample_id) as samples from '../../segments/**/*.responses.parquet' group by model order by model
```

## Other formats

`retort dataset export` writes `responses` as JSON lines in the shape of OpenAI batch output (with the batch's input
beside it) or as CSV; `retort dataset import` makes a snapshot of batch output or of JSONL, CSV or Parquet files of replies.
In CSV an absent value and an empty text are the same empty cell.
";

fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n## How to read it\n\nOne line each, inside the snapshot's folder.\n");
    for reader in READERS {
        let (tool, language, line) = (reader.tool, reader.language, reader.line);
        write!(page, "\n{tool}:\n\n```{language}\n{line}\n```\n").unwrap();
    }
    page.push_str(ROWS);
    page.push_str("| `outcome` of a sample | a measurement? | meaning |\n|---|---|---|\n");
    for outcome in Outcome::ALL.iter().filter(|outcome| outcome.is_terminal()) {
        let measured = if outcome.is_missing() { "no" } else { "yes" };
        let meaning = retort_dataset::seal::meaning(*outcome);
        writeln!(page, "| `{outcome}` | {measured} | {meaning} |").unwrap();
    }
    let others = Outcome::ALL.iter().filter(|outcome| !outcome.is_terminal());
    let others: Vec<String> = others.map(|outcome| format!("`{outcome}`")).collect();
    writeln!(
        page,
        "\nAttempts also end as {}: these are asked again.",
        others.join(", ")
    )
    .unwrap();
    page.push_str(NULLS);
    page.push_str(MORE);
    writeln!(page, "\n## Columns\n\nTable version {VERSION}. OTel is the attribute of the OpenTelemetry conventions that means the same.").unwrap();
    for table in Table::ALL {
        columns(&mut page, table);
    }
    page
}

fn columns(page: &mut String, table: Table) {
    writeln!(page, "\n### `{table}`\n\n{}\n", table.doc()).unwrap();
    page.push_str("| column | type | null | unit | meaning | OTel |\n|---|---|---|---|---|---|\n");
    for column in table.columns() {
        let null = if column.nullable { "yes" } else { "" };
        let otel = column.otel.map(|name| format!("`{name}`"));
        writeln!(
            page,
            "| `{}` | {} | {null} | {} | {} | {} |",
            column.name,
            column.kind.as_str().replace('|', "\\|"),
            column.unit.unwrap_or_default(),
            column.doc.replace('|', "\\|"),
            otel.unwrap_or_default()
        )
        .unwrap();
    }
}

#[test]
fn the_reference_page_is_what_the_schema_says() {
    let path = here("../../docs/dataset.md");
    let page = reference();
    if asks_for("UPDATE_DOCS") {
        std::fs::write(&path, &page).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == page,
        "docs/dataset.md is stale: UPDATE_DOCS=1 cargo test -p retort-dataset --test it"
    );
}
