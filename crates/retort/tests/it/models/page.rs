//! `docs/providers.md` is made of the built-in rows and of what the program prints. This test fails
//! when the page is stale; `UPDATE_DOCS=1 cargo test -p retort --test it providers_page` renews it.

use std::fmt::Write as _;

use retort_plan::builtin::{BuiltinProvider, providers};
use serde_json::{Value, json};

use super::world;
use crate::support::{World, assert_code};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/providers.md");

/// A provider that no Rust knows of.
const ROW: &str = "\
providers:
  example:
    wire: openai-chat
    base_url: https://api.example.com/v1
    auth: {env: EXAMPLE_API_KEY}
    terms: {url: https://example.com/terms}
    options: {max_tokens_field: max_completion_tokens, stream_usage: option}
accounts:
  example: {provider: example, limits: {requests_per_minute: 60}}
models:
  example-large: {account: example, model: large-1}
";

/// What can go wrong in a row: (what, right, wrong).
const MISTAKES: &[(&str, &str, &str)] = &[
    ("a key that is no key", "base_url:", "base_ulr:"),
    (
        "a protocol by another name",
        "wire: openai-chat",
        "wire: openai-chats",
    ),
    (
        "a key that stands in the file",
        "{env: EXAMPLE_API_KEY}",
        "{key: sk-123}",
    ),
    ("an address without https", "https://api", "http://api"),
    (
        "an option that is none",
        "stream_usage: option",
        "stream_usage: sometimes",
    ),
    (
        "a provider that is not there",
        "{provider: example,",
        "{provider: exampel,",
    ),
];

const INTRODUCTION: &str = "\
<!-- Made of the built-in rows by a test: UPDATE_DOCS=1 cargo test -p retort --test it providers_page -->

# Providers

A provider is a row of data. These come with Retort; an account names one and that is all:

```yaml
accounts:
  lab: {provider: openai}
models:
  mini: {account: lab, model: gpt-4o-mini, registry: gpt-4o-mini}
```

A row of `providers` is needed only for what differs. It begins with a built-in row, and what it says
replaces what that one says; the entries of `headers`, `auth` and `options` do so one by one:

```yaml
providers:
  azure-openai: {builtin: azure-openai, base_url: 'https://my-resource.openai.azure.com/openai/v1'}
  groq-slow: {builtin: groq, options: {drop_params: [seed]}}
```

What counts for a campaign is the resolved row: writing a built-in row out changes nothing. Should a
release change a row in the middle of a campaign, nothing more is asked until the catalog says again
what it said before. `docs/examples/catalog.yaml` is a catalog to begin with. `retort models show NAME` prints a row to copy, `retort models doctor` examines a catalog, and
`registry: NAME` fills in what is publicly known of a model (`retort models show NAME`). Facts that
the catalog states itself win. Braces in a `base_url` are for you to fill in.

Prices are not built in, because they change. `--prices FILE` reads them from a file of its own
(`docs/examples/prices.yaml`): provider, as the catalog names it, then model, as sent, then price.

";

fn or_dash(text: Option<String>) -> String {
    text.filter(|text| !text.is_empty())
        .unwrap_or_else(|| "–".to_owned())
}

fn table(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut text = format!(
        "| {} |\n|{}\n",
        headings.join(" | "),
        "---|".repeat(headings.len())
    );
    for row in rows {
        writeln!(text, "| {} |", row.join(" | ")).unwrap();
    }
    text
}

fn rows(row: impl Fn(&str, &BuiltinProvider) -> Option<Vec<String>>) -> Vec<Vec<String>> {
    let all = providers().iter();
    all.filter_map(|(name, builtin)| row(name.as_str(), builtin))
        .collect()
}

fn addresses() -> String {
    let headings = [
        "name",
        "provider",
        "wire protocol",
        "base_url",
        "key",
        "terms",
    ];
    let row = |name: &str, builtin: &BuiltinProvider| {
        let env = builtin.row.auth.as_ref().and_then(|auth| auth.env.clone());
        let terms = builtin.row.terms.as_ref().map(|terms| {
            let remark = terms.note.as_ref().map(|note| format!(": {note}"));
            format!("[terms]({}){}", terms.url, remark.unwrap_or_default())
        });
        Some(vec![
            format!("`{name}`"),
            format!("[{}]({})", builtin.title, builtin.docs),
            format!("`{}`", builtin.row.wire),
            format!("`{}`", builtin.row.base_url),
            or_dash(env.map(|env| format!("`{env}`"))),
            or_dash(terms),
        ])
    };
    table(&headings, rows(row))
}

fn dialects() -> String {
    let headings = [
        "name",
        "token limit",
        "seed",
        "not sent",
        "usage in streams",
        "reasoning in",
        "log probabilities",
        "always sent",
    ];
    let row = |name: &str, builtin: &BuiltinProvider| {
        let options = &builtin.row.options;
        let code = |text: &str| format!("`{text}`");
        let usage = serde_json::to_value(options.stream_usage).unwrap();
        let dropped: Vec<String> = options.drop_params.iter().map(|p| code(p)).collect();
        let reasoning = options.reasoning_fields.iter().flatten();
        let reasoning: Vec<String> = reasoning.map(|field| code(field)).collect();
        let extra = serde_json::to_string(&options.extra_body).unwrap();
        let cells = vec![
            or_dash(options.max_tokens_field.as_deref().map(code)),
            or_dash(options.seed_field.as_deref().map(code)),
            or_dash(Some(dropped.join(", "))),
            or_dash(usage.as_str().map(str::to_owned)),
            or_dash(Some(reasoning.join(", "))),
            or_dash(options.logprobs_max.map(|most| format!("up to {most}"))),
            or_dash((!options.extra_body.is_empty()).then(|| code(&extra))),
        ];
        let says_something = cells.iter().any(|cell| cell != "–");
        says_something.then(|| [vec![code(name)], cells].concat())
    };
    table(&headings, rows(row))
}

fn limits() -> String {
    let headings = ["name", "limits", "per", "whose", "as of"];
    let row = |name: &str, builtin: &BuiltinProvider| {
        let documented = builtin.row.default_limits.as_ref()?;
        let stated = serde_json::to_value(&documented.limits).unwrap();
        let stated = stated.as_object().unwrap().iter();
        let stated: Vec<String> = stated.map(|(name, n)| format!("{name}: {n}")).collect();
        let per = serde_json::to_value(documented.per).unwrap();
        Some(vec![
            format!("`{name}`"),
            stated.join("<br>"),
            per.as_str().unwrap().to_owned(),
            or_dash(documented.note.clone()),
            format!("[{}]({})", documented.as_of, documented.source),
        ])
    };
    table(&headings, rows(row))
}

fn notes() -> String {
    let noted = providers().iter().filter_map(|(name, builtin)| {
        let remark = builtin.note.as_ref()?;
        Some(format!("- `{name}`: {remark}\n"))
    });
    noted.collect()
}

/// Returns what the program prints about the row with one mistake in it.
fn told(world: &World, right: &str, wrong: &str) -> String {
    assert!(ROW.contains(right), "{right}");
    std::fs::write(world.path("models.yaml"), ROW.replacen(right, wrong, 1)).unwrap();
    let output = world.command(&["plan", "campaign.yaml"]);
    assert_code(&output, 2);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("hint: "), "{told}");
    told
}

fn of_your_own() -> String {
    let world = world();
    let mut page = format!(
        "## Add an OpenAI-compatible provider\n\nIt takes a row and no code:\n\n```yaml\n{ROW}```\n\n\
         `retort check` asks it once and shows what it is sent. A mistake in the row says where it is \
         and what helps:\n"
    );
    for (what, right, wrong) in MISTAKES {
        let told = told(&world, right, wrong);
        write!(
            page,
            "\n{what}, `{wrong}`:\n\n```text\n{}\n```\n",
            told.trim_end()
        )
        .unwrap();
    }
    page
}

#[test]
fn providers_page_says_what_the_rows_say() {
    let page = format!(
        "{INTRODUCTION}## Built-in rows\n\n{}\n## Dialects\n\nOnly what differs from the protocol's own \
         habit.\n\n{}\n## Documented limits\n\nThey hold where neither an account nor a model states \
         any, and only as far as they are lower\nthan the defaults (60 requests a minute, 4 at a \
         time). State what your tier allows.\n\n{}\n## Notes\n\n{}\n{}",
        addresses(),
        dialects(),
        limits(),
        notes(),
        of_your_own(),
    );
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        written == page,
        "docs/providers.md is stale: UPDATE_DOCS=1 cargo test -p retort --test it providers_page"
    );
}

#[test]
fn the_catalogs_of_the_page_can_be_read() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let blocks: Vec<&str> = page
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(blocks.len() >= 3);
    for block in blocks {
        retort_plan::parse_catalog(block, "page").unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn the_row_of_the_page_asks_a_provider() {
    let mut world = world();
    world
        .env
        .push(("EXAMPLE_API_KEY".to_owned(), "sk-example".to_owned()));
    let address = format!("http://{}/p/p/v1", world.fleet.address());
    let catalog = ROW
        .replace("https://api.example.com/v1", &address)
        .replace("large-1", "m");
    std::fs::write(world.path("models.yaml"), catalog).unwrap();
    world.campaign(&["example-large"], 1, 1, json!({}));
    let output = world.command(&["check", "campaign.yaml", "--json"]);
    assert_code(&output, 0);
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(checked[0]["outcome"], "answered");
    let curl = checked[0]["requests"][0]["curl"].as_str().unwrap();
    assert!(curl.contains(r#""max_completion_tokens":24"#), "{curl}");
}
