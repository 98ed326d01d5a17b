//! Rows that begin with built-in ones, and facts of the registry.

use retort_types::catalog::RelationKind;

use crate::fixtures::{check, shown};
use crate::{builtin, parse_catalog, resolve};

const SMALL: &str = "\
accounts:
  lab: {provider: openai}
models:
  mini: {account: lab, model: gpt-4o-mini, registry: gpt-4o-mini}
";

#[test]
fn an_account_may_name_a_built_in_provider_without_a_row() {
    let catalog = parse_catalog(SMALL, "c").unwrap();
    assert_eq!(catalog.providers.len(), 1);
    assert_eq!(
        catalog.providers["openai"],
        builtin::provider("openai").unwrap().row
    );
}

#[test]
fn a_row_of_the_same_name_stands_alone() {
    let text = format!(
        "providers: {{openai: {{wire: openai-chat, base_url: 'https://own.example/v1', auth: {{env: OWN}}}}}}\n{SMALL}"
    );
    let catalog = parse_catalog(&text, "c").unwrap();
    let row = &catalog.providers["openai"];
    assert_eq!(row.base_url, "https://own.example/v1");
    assert_eq!(row.options, retort_types::catalog::WireOptions::default());
}

#[test]
fn what_the_row_says_replaces_what_it_begins_with() {
    let text = "\
providers:
  mine:
    builtin: groq
    auth: {env: MINE}
    headers: {x-lab: one}
    options: {drop_params: [seed], reasoning_fields: [thoughts]}
";
    let row = parse_catalog(text, "c").unwrap().providers["mine"].clone();
    let below = &builtin::provider("groq").unwrap().row;
    assert_eq!((row.wire, &row.base_url), (below.wire, &below.base_url));
    assert_eq!(row.auth.unwrap().env.as_deref(), Some("MINE"));
    assert_eq!(row.headers["x-lab"], "one");
    let dropped: Vec<_> = row.options.drop_params.iter().map(String::as_str).collect();
    assert_eq!(dropped, ["logprobs", "seed"]);
    assert_eq!(row.options.reasoning_fields.unwrap(), ["thoughts"]);
    assert_eq!(row.options.max_tokens_field, below.options.max_tokens_field);
    assert_eq!(row.terms, below.terms);
}

#[test]
fn the_resolved_row_is_what_counts() {
    let models = ["mini".parse().unwrap()];
    let short = resolve(&parse_catalog(SMALL, "c").unwrap(), &models).unwrap();
    let rows = builtin::provider("openai").unwrap().yaml("openai");
    let whole = parse_catalog(&format!("{rows}{SMALL}"), "c").unwrap();
    let whole = resolve(&whole, &models).unwrap();
    assert_eq!(short.endpoints[0].identity(), whole.endpoints[0].identity());
    assert_eq!(short, whole);
    let other = SMALL.replace("openai", "deepseek");
    let other = resolve(&parse_catalog(&other, "c").unwrap(), &models).unwrap();
    assert_ne!(short.endpoints[0].identity(), other.endpoints[0].identity());
}

#[test]
fn facts_come_from_the_registry_and_explicit_ones_win() {
    let text = "\
accounts:
  hf: {provider: huggingface}
models:
  student:
    account: hf
    model: deepseek-ai/DeepSeek-R1-Distill-Qwen-7B
    registry: deepseek-r1-distill-qwen-7b
    tokenizer: my-own
    known_relations:
      - {to: deepseek-r1, kind: unrelated, confidence: disputed, source: https://example.org/claim}
";
    let model = parse_catalog(text, "c").unwrap().models["student"].clone();
    assert_eq!(model.vendor.as_deref(), Some("DeepSeek"));
    assert_eq!(model.base.as_deref(), Some("qwen2.5-math-7b"));
    assert_eq!(model.released.as_deref(), Some("2025-01"));
    assert_eq!(model.tokenizer.as_deref(), Some("my-own"));
    let to = |name: &str| {
        let found: Vec<_> = model
            .known_relations
            .iter()
            .filter(|r| r.to == name)
            .collect();
        assert_eq!(found.len(), 1, "{name}");
        found[0].kind
    };
    assert_eq!(to("deepseek-r1"), RelationKind::Unrelated);
    assert_eq!(to("deepseek-r1-distill-qwen-7b"), RelationKind::SameModel);
    assert_eq!(to("deepseek-r1-distill-llama-8b"), RelationKind::Sibling);
}

#[test]
fn documented_limits_narrow_our_defaults_and_never_widen_them() {
    let of = |provider: &str| {
        let text = format!(
            "accounts: {{lab: {{provider: {provider}}}}}\nmodels: {{m: {{account: lab, model: m}}}}\n"
        );
        let resolved = resolve(&parse_catalog(&text, "c").unwrap(), &["m".parse().unwrap()]);
        let domain = resolved.unwrap().domains.remove(0);
        let (rpm, at_once) = (domain.limits.requests_per_minute, domain.limits.concurrency);
        (
            domain.id.to_string(),
            rpm.unwrap().get(),
            at_once.unwrap().get(),
        )
    };
    assert_eq!(of("openai"), ("lab.m".to_owned(), 60, 4));
    assert_eq!(of("groq"), ("lab.m".to_owned(), 30, 4));
    assert_eq!(of("moonshot"), ("lab".to_owned(), 3, 1));
    assert_eq!(of("mistral"), ("lab".to_owned(), 60, 4));
}

#[test]
fn mistakes_say_where_and_what_helps() {
    let cases = [
        (
            "unknown built-in",
            "providers:\n  mine:\n    builtin: opnai\n",
        ),
        (
            "neither whole nor built-in",
            "providers:\n  mine:\n    wire: openai-chat\n",
        ),
        (
            "not filled in",
            "providers:\n  mine:\n    builtin: azure-openai\n",
        ),
        (
            "a template named by an account",
            "accounts:\n  lab:\n    provider: vertex\n",
        ),
        (
            "unknown provider",
            "accounts:\n  lab:\n    provider: opnai\n",
        ),
        (
            "unknown entry",
            "accounts:\n  lab: {provider: openai}\nmodels:\n  m:\n    account: lab\n    model: m\n    registry: gpt-4o-mimi\n",
        ),
        (
            "limits without a source",
            "providers:\n  mine:\n    builtin: openai\n    default_limits: {per: account, limits: {concurrency: 1}, as_of: 2026-01}\n",
        ),
    ];
    let told: Vec<String> = cases
        .iter()
        .map(|(what, text)| {
            let error = parse_catalog(text, "models.yaml").expect_err(what);
            format!("# {what}\n{}\n", shown(&error))
        })
        .collect();
    check("expansions", &told.join("\n"));
}
