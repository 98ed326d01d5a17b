//! A small catalog and campaign that the tests change one line of.

use retort_types::{Campaign, Catalog};

use crate::{Document, Plan, SpecError, parse_campaign, parse_catalog};

/// Three providers: one account with limits, one without, and one on this machine.
pub(crate) const CATALOG: &str = "\
providers:
  alpha:
    wire: openai-chat
    base_url: https://api.alpha.example/v1/
    auth: {env: ALPHA_KEY}
    options: {logprobs_max: 5}
  beta:
    wire: openai-chat
    base_url: https://beta.example
    auth: {header: x-beta-key}
  local:
    wire: openai-completions
    base_url: http://127.0.0.1:8080/v1
accounts:
  alpha-lab:
    provider: alpha
    limits: {requests_per_minute: 120, tokens_per_minute: 60000}
  beta-lab:
    provider: beta
    auth: {env: BETA_KEY}
  beta-other:
    provider: beta
    auth: {env: OTHER_KEY}
  local:
    provider: local
models:
  alpha-large:
    account: alpha-lab
    model: large-1
    price: {input: 2.0, output: 8.0, as_of: 2026-01-02, source: https://alpha.example/prices}
    vendor: Alpha
    family: alpha-1
  alpha-small:
    account: alpha-lab
    model: small-1
    limits: {requests_per_minute: 30}
    price: {input: 0.5, output: 1.5, as_of: 2026-01-02, source: https://alpha.example/prices}
    known_relations:
      - {to: alpha-large, kind: distillation, confidence: documented, source: https://alpha.example/card}
  beta-one:
    account: beta-lab
    model: one
  beta-two:
    account: beta-lab
    model: two
    limit_group: shared
    limits: {requests_per_day: 100}
  beta-three:
    account: beta-lab
    model: three
    limit_group: shared
    limits: {requests_per_day: 100}
  beta-paid-elsewhere:
    account: beta-other
    model: one
  local-base:
    account: local
    model: base
";

/// Two models, three prompts, two arms, two draws and two rounds.
pub(crate) const CAMPAIGN: &str = "\
id: first-look
purpose: See whether the small model follows the large one.
models: [alpha-large, alpha-small]
roles: {suspects: [alpha-small], candidates: [alpha-large]}
suites:
  - inline:
      name: greetings
      prompts:
        - Say hello.
        - {id: bye, text: Say goodbye.}
        - id: talk
          messages:
            - {role: user, content: Hi.}
            - {role: assistant, content: Hello.}
            - {role: user, content: Again.}
    samples: 2
arms:
  - name: plain
  - name: cold
    params: {temperature: 0}
params: {temperature: 1, max_tokens: 100}
schedule: {rounds: 2, every: 1d}
seed: 7
";

pub(crate) fn catalog() -> Catalog {
    parse_catalog(CATALOG, "models.yaml").expect("the fixture keeps the rules")
}

pub(crate) fn campaign() -> Campaign {
    campaign_from(CAMPAIGN)
}

pub(crate) fn campaign_from(text: &str) -> Campaign {
    parse_campaign(text, "campaign.yaml").expect("the test's campaign keeps the rules")
}

/// Returns the plan of `campaign` with the fixture's catalog.
pub(crate) fn plan_from(campaign: &str) -> Plan {
    Plan::build(campaign_from(campaign), &catalog()).expect("the test's campaign can be planned")
}

/// Returns the fixture's campaign with one text in it replaced.
pub(crate) fn campaign_with(old: &str, new: &str) -> String {
    assert!(CAMPAIGN.contains(old), "{old}");
    CAMPAIGN.replacen(old, new, 1)
}

/// Returns the fixture's catalog with one text in it replaced.
pub(crate) fn catalog_with(old: &str, new: &str) -> String {
    assert!(CATALOG.contains(old), "{old}");
    CATALOG.replacen(old, new, 1)
}

/// Reads and plans, and finds the place of what is wrong.
pub(crate) fn attempt(campaign: &str, catalog: &str) -> Result<Plan, SpecError> {
    let located = |error: SpecError| {
        error
            .located_in(Document::Campaign, campaign, "campaign.yaml")
            .located_in(Document::Catalog, catalog, "models.yaml")
    };
    let rows = parse_catalog(catalog, "models.yaml")?;
    Plan::build(parse_campaign(campaign, "campaign.yaml")?, &rows).map_err(located)
}

/// Returns what a person reads when reading or planning fails.
pub(crate) fn shown(error: &SpecError) -> String {
    let hint = error
        .hint()
        .map_or_else(String::new, |hint| format!("\n  hint: {hint}"));
    format!("error: {error}{hint}")
}

/// Returns a snapshot of the messages of `cases`: (what is wrong, message).
pub(crate) fn list(cases: Vec<(&str, Result<Plan, SpecError>)>) -> String {
    cases
        .into_iter()
        .map(|(what, result)| {
            let error = result.expect_err(what);
            format!("# {what}\n{}\n", shown(&error))
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// Compares `text` with the snapshot called `name`.
pub(crate) fn check(name: &str, text: &str) {
    insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!(name, text);
    });
}
