//! Providers and models: listed, shown, examined, checked; and the page that is made of them.

mod page;

use serde_json::{Value, json};

use crate::support::{World, assert_code, text};

fn world() -> World {
    let world = World::new(json!({ "providers": [{ "name": "p", "models": [{ "name": "m" }] }] }));
    world.catalog(&[("p", json!({ "requests_per_minute": 600 }))]);
    world.campaign(&["m"], 1, 1, json!({}));
    world
}

fn printed(world: &World, arguments: &[&str]) -> String {
    text(&world.command(arguments))
        .replace(&world.dir.path().display().to_string(), "[dir]")
        .replace(&world.fleet.address().to_string(), "[fleet]")
}

fn from_json(world: &World, arguments: &[&str]) -> Value {
    let output = world.command(arguments);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn known_providers_and_models_are_listed() {
    let world = world();
    for (name, arguments) in [
        ("list_wire", &["--wire", "openai-responses"][..]),
        ("list_vendor", &["--vendor", "deepseek"]),
        ("list_family", &["--family", "gpt-4o", "--vendor", "OpenAI"]),
        ("list_nothing", &["--vendor", "nobody"]),
        ("list_bad_wire", &["--wire", "openai"]),
    ] {
        let arguments = [&["models", "list"], arguments].concat();
        insta::assert_snapshot!(name, printed(&world, &arguments));
    }
    let all = from_json(&world, &["models", "list", "--json"]);
    assert!(all["providers"].as_array().unwrap().len() >= 25);
    assert!(all["models"].as_array().unwrap().len() >= 100);
    let both = printed(&world, &["models", "list"]);
    assert!(
        both.contains("moonshot") && both.contains("zephyr-7b-beta"),
        "{both}"
    );
}

#[test]
fn what_is_known_is_shown_with_its_sources() {
    let world = world();
    for (name, shown) in [
        ("show_provider", "groq"),
        ("show_template", "azure-openai"),
        ("show_model", "deepseek-r1"),
        ("show_nothing", "deepseek-r2"),
    ] {
        insta::assert_snapshot!(name, printed(&world, &["models", "show", shown]));
    }
    let by_card = printed(&world, &["models", "show", "Qwen/Qwen2.5-7B-Instruct"]);
    assert!(
        by_card.contains("registry: qwen2.5-7b-instruct"),
        "{by_card}"
    );
    let model = from_json(&world, &["models", "show", "phi-4-reasoning", "--json"]);
    assert_eq!(model["model"]["vendor"], "Microsoft");
    assert_eq!(model["provider"], Value::Null);
}

#[test]
fn the_doctor_says_everything_at_once() {
    let mut world = world();
    std::fs::write(
        world.path("models.yaml"),
        "accounts:\n  lab: {provider: openai}\n  far: {provider: anthropic}\nmodels:\n  \
         mini: {account: lab, model: gpt-4o-mini, registry: gpt-4o-mini}\n  \
         haiku: {account: far, model: claude-3-haiku-20240307}\n",
    )
    .unwrap();
    world
        .env
        .push(("ANTHROPIC_API_KEY".to_owned(), "sk-canary".to_owned()));
    let doctored = world.command(&["models", "doctor"]);
    assert_code(&doctored, 0);
    insta::assert_snapshot!("doctor", text(&doctored));
    let findings = from_json(&world, &["models", "doctor", "--json"]);
    assert_eq!(findings[0]["severity"], "warning");
    std::fs::write(
        world.path("prices.yaml"),
        "openai: {gpt-4o-mini: {input: 1, output: 2, as_of: 2026-01-02, source: https://example.org}}\n",
    )
    .unwrap();
    let priced = printed(&world, &["models", "doctor", "--prices", "prices.yaml"]);
    assert!(!priced.contains("`mini` has no price"), "{priced}");
    std::fs::write(
        world.path("models.yaml"),
        "models: {m: {account: a, model: m}}\n",
    )
    .unwrap();
    let broken = world.command(&["models", "doctor"]);
    assert_code(&broken, 1);
    assert!(
        text(&broken).contains("unknown account `a`"),
        "{}",
        text(&broken)
    );
}

#[test]
fn the_example_of_prices_can_be_read() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/examples/prices.yaml"
    );
    let text = std::fs::read_to_string(path).unwrap();
    let prices = retort_plan::parse_prices(&text, "prices.yaml").unwrap();
    let entries: Vec<_> = prices.values().flatten().collect();
    assert!((3..=6).contains(&entries.len()));
    assert!(
        entries
            .iter()
            .all(|(_, price)| price.source.starts_with("https://"))
    );
    let builtin = retort_plan::builtin::providers();
    assert!(prices.keys().all(|provider| builtin.contains_key(provider)));
}

#[test]
fn prices_of_a_file_are_what_a_plan_costs() {
    let world = world();
    let price = json!({ "input": 3.0, "output": 9.0, "as_of": "2026-01-02", "source": "https://example.org" });
    world.write("prices.yaml", &json!({ "p": { "m": price } }));
    let free = from_json(&world, &["plan", "campaign.yaml", "--json"]);
    assert_eq!(free["estimate"]["cost_usd_high"], Value::Null);
    let arguments = ["plan", "campaign.yaml", "--json", "--prices", "prices.yaml"];
    let priced = from_json(&world, &arguments);
    assert!(priced["estimate"]["cost_usd_high"].as_f64().unwrap() > 0.0);
}

#[test]
fn check_shows_what_is_sent_without_the_key() {
    let mut world = world();
    let mut catalog = world.catalog(&[]);
    catalog["providers"]["p"]["auth"] = json!({ "env": "P_KEY" });
    catalog["models"]["raw"] = json!({ "account": "p", "model": "m", "overrides": {
        "max_tokens_field": "max_completion_tokens", "drop_params": ["temperature"] } });
    world.write("models.yaml", &catalog);
    let arms = json!([
        { "name": "plain", "params": { "temperature": 0.5 } },
        { "name": "pirate", "system": "Speak like a pirate; don't stop.", "params": { "stream": true } },
    ]);
    world.campaign(&["m", "raw"], 1, 1, json!({ "arms": arms }));
    let missing = world.command(&["check", "campaign.yaml", "--offline"]);
    assert_code(&missing, 1);
    let told = printed(&world, &["check", "campaign.yaml", "--offline"]);
    // The address of the fleet is as long as its port.
    let squeezed = told.split("  ").filter(|part| !part.is_empty());
    insta::assert_snapshot!("check_without_key", squeezed.collect::<Vec<_>>().join("  "));
    world
        .env
        .push(("P_KEY".to_owned(), "sk-canary-1f2e".to_owned()));
    let output = world.command(&["check", "campaign.yaml", "--offline"]);
    assert_code(&output, 0);
    assert!(!text(&output).contains("sk-canary"), "{}", text(&output));
    assert!(text(&output).contains("'authorization: Bearer '\"$P_KEY\""));
    assert_eq!(world.stats()["providers"]["p"]["served"], 0);
}

#[test]
fn check_compares_announced_limits_with_configured_ones() {
    let world = World::new(json!({ "providers": [{
        "name": "p",
        "limits": { "requests_per_minute": 120, "burst": 8, "announce": "azure" },
        "models": [{ "name": "m" }],
    }] }));
    world.campaign(&["m"], 1, 1, json!({}));
    for (configured, is_above) in [(121, true), (120, false)] {
        world.catalog(&[("p", json!({ "requests_per_minute": configured }))]);
        let checked = from_json(&world, &["check", "campaign.yaml", "--json"]);
        assert_eq!(checked[0]["outcome"], "answered");
        let limit = &checked[0]["limits"][0];
        assert_eq!(limit["announced"], 120, "{checked}");
        assert_eq!(limit["configured"], configured, "{checked}");
        assert_eq!(limit["is_above"], is_above, "{checked}");
        let told = printed(&world, &["check", "campaign.yaml"]);
        assert_eq!(
            told.contains("warning: requests_per_minute is 121"),
            is_above,
            "{told}"
        );
    }
}

#[test]
fn what_cannot_be_encoded_is_told_per_model_and_not_sent() {
    let world = world();
    let mut catalog = world.catalog(&[]);
    catalog["models"]["odd"] = json!({
        "account": "p", "model": "m", "overrides": { "extra_body": { "stream": true } } });
    world.write("models.yaml", &catalog);
    world.campaign(&["odd", "m"], 1, 1, json!({}));
    let output = world.command(&["check", "campaign.yaml", "--json"]);
    assert_code(&output, 1);
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    let request = &checked[0]["requests"][0];
    let error = "the extra field `stream` would replace what the sample says";
    assert_eq!(request["error"], error, "{checked}");
    assert!(
        request["hint"].is_string() && request["curl"].is_null(),
        "{checked}"
    );
    assert_eq!(checked[0]["outcome"], Value::Null);
    assert_eq!(checked[1]["outcome"], "answered");
    assert_eq!(world.stats()["providers"]["p"]["served"], 1);
    let told = printed(&world, &["check", "campaign.yaml", "--offline"]);
    assert!(
        told.contains(&format!("# odd, arm default, chat\nerror: {error}\nhint: ")),
        "{told}"
    );
}

#[test]
fn facts_of_the_registry_reach_the_dataset() {
    let world = world();
    let mut catalog = world.catalog(&[("p", json!({ "requests_per_minute": 6000 }))]);
    catalog["models"]["m"]["registry"] = json!("deepseek-r1-distill-qwen-7b");
    catalog["models"]["m"]["vendor"] = Value::Null;
    catalog["models"]["m"]["tokenizer"] = json!("my-own");
    world.write("models.yaml", &catalog);
    assert_code(&world.run(&[]), 0);
    let columns = ["vendor", "base", "tokenizer", "known_relations"];
    let row = &world.table("models", &columns)[0];
    assert_eq!(row["vendor"], "DeepSeek", "{row:?}");
    assert_eq!(row["base"], "qwen2.5-math-7b", "{row:?}");
    assert_eq!(row["tokenizer"], "my-own", "{row:?}");
    let relations: Value = serde_json::from_str(row["known_relations"].as_str().unwrap()).unwrap();
    let to: Vec<_> = relations
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["to"])
        .collect();
    assert!(to.contains(&&json!("deepseek-r1")), "{relations}");
    assert!(
        to.contains(&&json!("deepseek-r1-distill-qwen-7b")),
        "{relations}"
    );
}

#[test]
fn the_example_catalog_is_sound() {
    let world = world();
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples");
    let (catalog, prices) = (
        format!("{examples}/catalog.yaml"),
        format!("{examples}/prices.yaml"),
    );
    let arguments = [
        "models",
        "doctor",
        "--json",
        "--catalog",
        &catalog,
        "--prices",
        &prices,
    ];
    let output = world.command(&arguments);
    assert_code(&output, 0);
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let messages: Vec<&str> = findings
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["message"].as_str().unwrap())
        .collect();
    assert_eq!(
        messages,
        [
            "account `openai` has no key: OPENAI_API_KEY is not set",
            "account `router` has no key: OPENROUTER_API_KEY is not set",
            "`llama-8b-at-deepinfra` has no price: its cost is not estimated, and a budget in dollars is refused",
        ]
    );
}
