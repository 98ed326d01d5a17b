//! What people read when a text is wrong, and that YAML and JSON are read alike.

use std::fmt::Write as _;

use super::*;
use crate::fixtures::{
    CAMPAIGN, CATALOG, attempt, campaign, campaign_with, catalog_with, check, list, shown,
};

/// Mistakes: what is wrong, a text of the fixture, and what stands there instead.
type Mistakes = &'static [(&'static str, &'static str, &'static str)];

const MODELS: &str = "[alpha-large, alpha-small]";
const PURPOSE: &str = "purpose: See whether the small model follows the large one.\n";
const WIRE: &str = "    wire: openai-chat\n";

/// Checks the messages for mistakes in the fixture's campaign.
fn check_campaigns(name: &str, mistakes: Mistakes) {
    let wrong = |(what, old, new): &(&'static str, &str, &str)| {
        (*what, attempt(&campaign_with(old, new), CATALOG))
    };
    check(name, &list(mistakes.iter().map(wrong).collect()));
}

/// Returns the campaign with other suites.
fn other_suites(suites: &str) -> String {
    let (head, rest) = CAMPAIGN
        .split_once("suites:\n")
        .expect("the fixture has suites");
    let (_, tail) = rest.split_once("arms:\n").expect("the fixture has arms");
    format!("{head}suites:\n  {suites}\narms:\n{tail}")
}

const IN_CAMPAIGNS: Mistakes = &[
    ("unknown key", "suites:", "suits:"),
    ("unknown key of a suite", "    samples: 2", "    sampels: 2"),
    ("n", "    samples: 2", "    n: 2"),
    ("n in params", "max_tokens: 100", "n: 2"),
    ("n in extra", "max_tokens: 100", "extra: {n: 2}"),
    (
        "own parameter in extra",
        "max_tokens: 100",
        "extra: {top_p: 0.5}",
    ),
    ("parameter at the top", "seed: 7", "temperature: 0.7"),
    ("missing purpose", PURPOSE, ""),
    ("empty purpose", PURPOSE, "purpose: ' '\n"),
    ("repeated key", "seed: 7", "id: second"),
    ("bad id", "id: first-look", "id: First Look"),
    ("list expected", MODELS, "alpha-large"),
    ("no models", MODELS, "[]"),
    (
        "model twice",
        MODELS,
        "[alpha-large, alpha-small, alpha-large]",
    ),
    (
        "unknown model",
        MODELS,
        "[alpha-large, alpha-small, alpha-lage]",
    ),
    (
        "role without model",
        "candidates: [alpha-large]",
        "controls: [beta-one]",
    ),
    (
        "role twice",
        "suspects: [alpha-small]",
        "suspects: [alpha-small, alpha-small]",
    ),
    ("zero samples", "samples: 2", "samples: 0"),
    ("text for number", "samples: 2", "samples: twice"),
    ("unknown mode", "    samples: 2", "    mode: chatt"),
    ("out of range", "temperature: 1,", "temperature: 9,"),
    ("not a number", "temperature: 1,", "temperature: .nan,"),
    ("out of range in an arm", "{temperature: 0}", "{top_p: 0}"),
    ("empty stop", "max_tokens: 100", "stop: ['']"),
    ("bad duration", "every: 1d", "every: 1 day"),
    ("bad deadline", "seed: 7", "budget: {deadline: tomorrow}"),
    ("seed too large", "seed: 7", "seed: 9007199254740993"),
    ("two documents", "seed: 7", "---\nseed: 7"),
    ("broken YAML", MODELS, "[alpha-large"),
];

const IN_PROMPTS: Mistakes = &[
    ("unknown key", "text: Say goodbye.", "txt: Say goodbye."),
    (
        "missing id",
        "{id: bye, text: Say goodbye.}",
        "{text: Say goodbye.}",
    ),
    ("number for text", "- Say hello.", "- 42"),
    ("nothing", "- Say hello.", "- ~"),
    ("list for text", "- Say hello.", "- [Say, hello]"),
    (
        "unknown key of a message",
        "{role: user, content: Hi.}",
        "{rol: user, content: Hi.}",
    ),
    (
        "unknown role",
        "{role: user, content: Hi.}",
        "{role: robot, content: Hi.}",
    ),
    ("late system", "{role: assistant,", "{role: system,"),
    ("empty text", "- Say hello.", "- ' '"),
    ("same id", "id: bye", "id: talk"),
    ("same prompt", "text: Say goodbye.", "text: Say hello."),
    (
        "conversation as raw text",
        "    samples: 2",
        "    mode: completion",
    ),
    ("name of a built-in suite", "name: greetings", "name: style"),
];

const IN_COMBINATIONS: Mistakes = &[
    ("arm twice", "name: cold", "name: plain"),
    ("same arm", "{temperature: 0}", "{temperature: 1}"),
    (
        "empty system",
        "- name: plain",
        "- {name: plain, system: ''}",
    ),
    ("echo of a chat", "max_tokens: 100", "echo: true"),
    (
        "no stream to time",
        "seed: 7",
        "store: {stream_timings: true}",
    ),
    (
        "chat with raw model",
        MODELS,
        "[alpha-large, alpha-small, local-base]",
    ),
    ("no budget", "seed: 7", "budget: {usd: 0}"),
    ("no requests", "seed: 7", "budget: {requests: 0}"),
    ("too many logprobs", "max_tokens: 100", "logprobs: 20"),
    (
        "too many logprobs in an arm",
        "{temperature: 0}",
        "{logprobs: 20}",
    ),
    (
        "two accounts",
        MODELS,
        "[alpha-large, alpha-small, beta-one, beta-paid-elsewhere]",
    ),
    ("too many rounds", "rounds: 2", "rounds: 40000"),
    ("too many blocks", "samples: 2", "samples: 4000000"),
];

const IN_CATALOGS: Mistakes = &[
    (
        "unknown key",
        "base_url: https://beta",
        "baseurl: https://beta",
    ),
    ("unknown protocol", WIRE, "    wire: openai\n"),
    ("written secret", "{env: ALPHA_KEY}", "{key: sk-123}"),
    ("secret as variable", "{env: ALPHA_KEY}", "{env: sk-123}"),
    ("no secret", "    auth: {env: BETA_KEY}\n", ""),
    (
        "two secrets",
        "{env: ALPHA_KEY}",
        "{env: A, file: /run/key}",
    ),
    (
        "signed and secret",
        "{env: ALPHA_KEY}",
        "{env: A, sigv4: {region: us-east-1, access_key_env: B, secret_key_env: C}}",
    ),
    (
        "written signing key",
        "{env: ALPHA_KEY}",
        "{sigv4: {region: us-east-1, access_key_env: AKIA, secret_key_env: a/b+c}}",
    ),
    (
        "no region",
        "{env: ALPHA_KEY}",
        "{sigv4: {region: US East, access_key_env: B, secret_key_env: C}}",
    ),
    (
        "unknown key of a signing key",
        "{env: ALPHA_KEY}",
        "{sigv4: {region: us-east-1, access_key: B, secret_key_env: C}}",
    ),
    (
        "zero limit",
        "requests_per_minute: 120",
        "requests_per_minute: 0",
    ),
    ("unknown provider", "provider: alpha", "provider: alhpa"),
    ("unknown account", "account: alpha-lab", "account: alphalab"),
    (
        "price without source",
        ", source: https://alpha.example/prices",
        "",
    ),
    ("price without day", "as_of: 2026-01-02", "as_of: last week"),
    ("negative price", "input: 2.0", "input: -2.0"),
    (
        "unknown confidence",
        "confidence: documented",
        "confidence: certain",
    ),
    ("unknown relation", "kind: distillation", "kind: distilled"),
    (
        "limits to be found, bare",
        "{requests_per_day: 100}",
        "auto",
    ),
    (
        "limits to be found without a cap",
        "{requests_per_day: 100}",
        "{auto: true}",
    ),
    (
        "limits of a group",
        "requests_per_day: 100",
        "requests_per_day: 200",
    ),
    (
        "unknown dropped parameter",
        "{logprobs_max: 5}",
        "{drop_params: [temprature]}",
    ),
    (
        "model in the body",
        "{logprobs_max: 5}",
        "{extra_body: {model: other}}",
    ),
    ("plain http", "https://beta.example", "http://beta.example"),
    ("other scheme", "https://beta.example", "ftp://beta.example"),
    ("no URL", "https://beta.example", "beta.example/v1"),
    (
        "user in URL",
        "https://beta.example",
        "https://me:secret@beta.example",
    ),
    (
        "query",
        "https://beta.example",
        "https://beta.example/v1?key=1",
    ),
    (
        "two readings",
        "https://beta.example",
        "https://beta.example%2eevil.example",
    ),
    (
        "backslash",
        "https://beta.example",
        "https://beta.example\\@evil.example",
    ),
    (
        "climbing path",
        WIRE,
        "    wire: openai-chat\n    chat_path: /../x\n",
    ),
    (
        "authorization header",
        WIRE,
        "    wire: openai-chat\n    headers: {Authorization: Bearer x}\n",
    ),
    (
        "own secret header",
        "{header: x-beta-key}",
        "{header: x-beta-key}\n    headers: {X-Beta-Key: abc}",
    ),
    (
        "user agent",
        WIRE,
        "    wire: openai-chat\n    headers: {user-agent: Mozilla}\n",
    ),
    (
        "header name",
        WIRE,
        "    wire: openai-chat\n    headers: {'x title': a}\n",
    ),
    (
        "header value",
        WIRE,
        "    wire: openai-chat\n    headers: {x-title: \"a\\r\\nb: c\"}\n",
    ),
    (
        "taken header",
        WIRE,
        "    wire: openai-chat\n    sample_id_header: Authorization\n",
    ),
];

#[test]
fn mistakes_in_campaigns_are_named_with_place_and_hint() {
    check_campaigns("campaigns", IN_CAMPAIGNS);
}

#[test]
fn mistakes_in_prompts_are_named_with_place_and_hint() {
    check_campaigns("prompts", IN_PROMPTS);
}

#[test]
fn settings_that_do_not_fit_together_are_refused() {
    check_campaigns("combinations", IN_COMBINATIONS);
}

#[test]
fn mistakes_in_catalogs_are_named_with_place_and_hint() {
    let wrong = |(what, old, new): &(&'static str, &str, &str)| {
        (*what, attempt(CAMPAIGN, &catalog_with(old, new)))
    };
    check("catalogs", &list(IN_CATALOGS.iter().map(wrong).collect()));
}

#[test]
fn suites_that_cannot_be_asked_are_refused() {
    let cases = [
        ("unknown suite", "- suite: styl"),
        ("suite twice", "- suite: style\n  - suite: style"),
        ("file not read", "- file: more.txt"),
        ("suite and file", "- {suite: style, file: more.txt}"),
        ("no suites", "[]"),
    ];
    let wrong =
        |(what, suites): &(&'static str, &str)| (*what, attempt(&other_suites(suites), CATALOG));
    check("suites", &list(cases.iter().map(wrong).collect()));
}

#[test]
fn settings_far_apart_that_do_not_fit_together_are_refused() {
    let system = campaign_with("- name: plain", "- {name: plain, system: Be brief.}");
    let raw = "- {inline: {name: raw, prompts: [Once upon a time]}, mode: completion}";
    let both = system.replace(
        "{role: user, content: Hi.}",
        "{role: system, content: Be kind.}",
    );
    let raw = other_suites(raw).replace("- name: plain", "- {name: plain, system: Be brief.}");
    let unpriced = campaign_with(MODELS, "[alpha-large, alpha-small, beta-one]")
        .replace("seed: 7", "budget: {usd: 5}");
    check(
        "far_apart",
        &list(vec![
            ("two system texts", attempt(&both, CATALOG)),
            ("system with raw text", attempt(&raw, CATALOG)),
            ("budget without price", attempt(&unpriced, CATALOG)),
        ]),
    );
}

#[test]
fn json_is_read_like_yaml() {
    let json = serde_json::to_string_pretty(&campaign()).unwrap();
    let tabs = json.replace("  ", "\t");
    assert_eq!(parse_campaign(&json, "campaign.json"), Ok(campaign()));
    assert_eq!(parse_campaign(&tabs, "campaign.json"), Ok(campaign()));
    assert_eq!(
        parse_campaign(&format!("\u{feff}{json}"), "campaign.json"),
        Ok(campaign())
    );
}

#[test]
fn json_escapes_are_read_as_json_says() {
    let text = json_campaign(r#""a\u00e9\ud83d\ude00\/\b\f\n\r\t\\\"z""#);
    let campaign = parse_campaign(&text, "c.json").unwrap();
    assert_eq!(campaign.purpose, "a\u{e9}\u{1f600}/\u{8}\u{c}\n\r\t\\\"z");
    let lone = parse_campaign(&json_campaign(r#""a\ud83d""#), "c.json");
    assert_eq!(lone.unwrap_err().position(), Some((1, 21)));
}

fn json_campaign(purpose: &str) -> String {
    format!(r#"{{"id":"a","purpose":{purpose},"models":["m"],"suites":[{{"suite":"style"}}]}}"#)
}

#[test]
fn mistakes_in_json_are_named_with_place_and_hint() {
    let read = |text: &str| shown(&parse_campaign(text, "campaign.json").unwrap_err());
    let texts = [
        "{\n\t\"id\": \"a\",\n\t\"purpos\": \"p\"\n}",
        "{\"id\": \"a\", \"id\": \"b\"}",
        "{\"id\": \"a\",\n \"purpose\": \"p\",\n \"models\": [\"m\"],\n \"suites\": [{\"suite\": \"stile\"}]}",
        "{\"id\": \"a\",\n \"purpose\": \"p\"",
        "",
    ];
    check("json", &texts.map(read).join("\n"));
}

#[test]
fn alias_bombs_deep_nesting_and_long_texts_are_refused() {
    let mut bomb = String::from("analysis:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..8 {
        let above = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "  a{level}: &a{level} [{above}]").unwrap();
    }
    let beyond = "the text is nested or repeated beyond the limits";
    let error = parse_campaign(&bomb, "c").unwrap_err();
    assert_eq!(error.message(), beyond);
    let deep = format!("analysis: {}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(parse_campaign(&deep, "c").is_err());
    let long = "#".repeat(TEXT_MAX_BYTES + 1);
    assert!(
        parse_campaign(&long, "c")
            .unwrap_err()
            .message()
            .contains("longer than")
    );
}

#[test]
fn messages_do_not_repeat_what_may_be_a_secret() {
    for auth in [
        "auth: sk-123",
        "auth: [sk-123]",
        "auth: {env: [sk-123]}",
        "auth: {prefix: {a: sk-123}}",
    ] {
        let error = parse_catalog(&catalog_with("auth: {env: ALPHA_KEY}", auth), "c").unwrap_err();
        assert!(!shown(&error).contains("sk-123"), "{}", shown(&error));
    }
}

#[test]
fn anchors_share_settings() {
    let arms = "  - {name: shared, params: &shared {temperature: 0}}\n  \
                - {name: more, params: {<<: *shared, top_p: 0.5}}\n";
    let text = campaign_with("  - name: plain\n", &format!("  - name: plain\n{arms}"))
        .replace("  - name: cold\n    params: {temperature: 0}\n", "");
    let campaign = parse_campaign(&text, "c").unwrap();
    assert_eq!(campaign.arms[2].params.temperature, Some(0.0));
    assert_eq!(campaign.arms[2].params.top_p, Some(0.5));
}

#[test]
fn any_other_document_is_read_as_strictly() {
    let read =
        |text: &str| parse_yaml::<std::collections::BTreeMap<String, u8>>(text, "fleet.yaml");
    assert_eq!(read("a: 1").unwrap()["a"], 1);
    let error = read("a: 1\na: 2").unwrap_err();
    assert_eq!(
        shown(&error),
        "error: fleet.yaml:2:1: key `a` stands here twice"
    );
}
