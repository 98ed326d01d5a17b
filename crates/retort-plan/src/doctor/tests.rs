//! What the doctor finds, and that it finds nothing wrong with a sound catalog.

use super::*;
use crate::fixtures::check;

const SOUND: &str = "\
accounts:
  lab:
    provider: openai
    limits: {requests_per_minute: 500}
models:
  mini:
    account: lab
    model: gpt-4o-mini
    registry: gpt-4o-mini
    price: {input: 1, output: 2, as_of: 2026-01-02, source: https://example.org/prices}
";

const SICK: &str = "\
providers:
  bare:
    wire: openai-chat
    base_url: https://bare.example/v1
  open:
    wire: openai-chat
    base_url: http://open.example/v1
accounts:
  bare: {provider: bare}
  groq:
    provider: groq
    limits: {requests_per_minute: 100, tokens_per_minute: 1000, input_tokens_per_minute: 2000}
  second: {provider: groq, auth: {file: /nowhere/key}}
  router: {provider: openrouter}
models:
  one: {account: bare, model: meta-llama/Llama-3.1-8B-Instruct}
  two: {account: bare, model: meta-llama/Llama-3.1-8B-Instruct}
  three: {account: groq, model: llama-3.3-70b-versatile, limits: {requests_per_minute: 200}}
  four: {account: second, model: llama-3.3-70b-versatile}
  five: {account: router, model: gpt-4o-mimi}
  six:
    account: bare
    model: own
    vendor: Mine
    price: {input: 1, output: 2, as_of: lately, source: https://example.org}
    known_relations:
      - {to: gpt-4o-mimi, kind: distillation, confidence: reported, source: https://example.org}
";

fn examined(text: &str, has_secret: bool) -> Vec<Finding> {
    examine(&Patient {
        text,
        name: "models.yaml",
        prices: &Prices::new(),
        has_secret: &|_| has_secret,
    })
}

fn told(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings
        .iter()
        .map(|finding| {
            let hint = finding.what.hint().unwrap_or("none");
            format!(
                "{}: {}\n  hint: {hint}",
                finding.severity.as_str(),
                finding.what
            )
        })
        .collect();
    lines.join("\n")
}

#[test]
fn a_sound_catalog_has_no_findings() {
    assert_eq!(told(&examined(SOUND, true)), "");
}

#[test]
fn a_missing_key_is_named_and_nothing_else() {
    let findings = examined(SOUND, false);
    assert_eq!(findings.len(), 1);
    let told = told(&findings);
    assert!(told.contains("OPENAI_API_KEY is not set"), "{told}");
    assert_eq!(findings[0].severity, Severity::Warning);
}

#[test]
fn the_variables_of_a_signing_key_are_named() {
    let sigv4 = "{sigv4: {region: us-east-1, access_key_env: ID, secret_key_env: SECRET}}";
    let text = format!(
        "providers:\n  bedrock: {{builtin: bedrock, base_url: 'https://bedrock.example'}}\n\
         accounts:\n  aws: {{provider: bedrock, auth: {sigv4}}}\n\
         models:\n  claude: {{account: aws, model: m}}\n"
    );
    let told = told(&examined(&text, false));
    let expected = "account `aws` has no key: not all of ID, SECRET are set\n  \
                    hint: export ID=… SECRET=…";
    assert!(told.contains(expected), "{told}");
    let present = self::told(&examined(&text, true));
    assert!(!present.contains("has no key"), "{present}");
}

#[test]
fn everything_is_found_at_once() {
    check("doctor", &told(&examined(SICK, false)));
}

#[test]
fn what_cannot_be_read_or_completed_is_an_error() {
    for (text, expected) in [
        (
            "models: {m: {acount: a}}",
            "models.yaml:1:14: unknown key `acount`",
        ),
        (
            "providers: {p: {builtin: nothing}}",
            "unknown built-in provider `nothing`",
        ),
    ] {
        let findings = examined(text, true);
        assert_eq!(findings[0].severity, Severity::Error, "{text}");
        assert!(told(&findings).contains(expected), "{}", told(&findings));
    }
}

#[test]
fn prices_of_a_file_count() {
    let text = SOUND.replace("    price:", "    #price:");
    assert!(told(&examined(&text, true)).contains("has no price"));
    let prices = crate::parse_prices(
        "openai: {gpt-4o-mini: {input: 1, output: 2, as_of: 2026-01-02, source: https://example.org}}",
        "prices.yaml",
    )
    .unwrap();
    let patient = Patient {
        text: &text,
        name: "models.yaml",
        prices: &prices,
        has_secret: &|_| true,
    };
    assert_eq!(told(&examine(&patient)), "");
}
