//! The example of every wire protocol: each planned sample answered, plain and streamed, and the
//! same text through each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use retort_sim::FleetSpec;
use retort_types::WireProtocol;
use serde_json::{Value, json};

use crate::support::{World, assert_code, merge, start, text};

fn example<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/eight-protocols");
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// Carries out a campaign of the example, and returns its rows and how many there should be.
fn carry_out(name: &str) -> (Vec<BTreeMap<String, Value>>, usize) {
    let fleet: FleetSpec = example("fleet.yaml");
    let mut campaign: Value = example(name);
    let models = campaign["models"].as_array().unwrap();
    let prompts = campaign["suites"][0]["inline"]["prompts"]
        .as_array()
        .unwrap()
        .len();
    let planned = models.len() * prompts * campaign["arms"].as_array().unwrap().len();
    merge(&mut campaign, json!({"id": "test"}));
    let world = World::around(start(fleet));
    world.catalog(&[]);
    world.write("campaign.yaml", &campaign);
    let output = world.run(&[]);
    assert_code(&output, 0);
    let columns = [
        "model",
        "wire_protocol",
        "arm",
        "prompt_id",
        "outcome",
        "response_text",
        "output_tokens",
        "stream_end",
    ];
    let rows = world.table("responses", &columns);
    assert!(!rows.is_empty(), "{}", text(&output));
    (rows, planned)
}

/// Checks that every sample was answered, and alike for the same prompt and system text.
fn check(name: &str, protocols: &[WireProtocol]) {
    let (rows, planned) = carry_out(name);
    assert_eq!(rows.len(), planned);
    let spoken: BTreeSet<_> = rows
        .iter()
        .map(|row| row["wire_protocol"].as_str().unwrap())
        .collect();
    let wanted: BTreeSet<_> = protocols.iter().map(|wire| wire.as_str()).collect();
    assert_eq!(spoken, wanted);
    let mut texts: BTreeMap<(String, bool), BTreeSet<String>> = BTreeMap::new();
    for row in &rows {
        assert_eq!(row["outcome"], "answered", "{row:?}");
        assert_eq!(row["stream_end"], "complete", "{row:?}");
        assert!(row["output_tokens"].as_u64() > Some(0), "{row:?}");
        let guided = row["arm"].as_str().unwrap().starts_with("guided");
        let prompt = row["prompt_id"].as_str().unwrap().to_owned();
        let text = row["response_text"].as_str().unwrap().to_owned();
        texts.entry((prompt, guided)).or_default().insert(text);
    }
    for (prompt, texts) in &texts {
        assert_eq!(texts.len(), 1, "{prompt:?}: {texts:?}");
    }
    let different: BTreeSet<_> = texts.values().flatten().collect();
    assert_eq!(
        different.len(),
        texts.len(),
        "prompts and system texts make a difference"
    );
}

#[test]
fn the_example_names_every_protocol_once() {
    let fleet: FleetSpec = example("fleet.yaml");
    fleet.check().unwrap();
    let wires: Vec<_> = fleet
        .providers
        .iter()
        .map(|provider| provider.wire)
        .collect();
    assert_eq!(wires, WireProtocol::ALL);
    let mut asked = BTreeSet::new();
    for name in ["campaign.yaml", "raw.yaml"] {
        let campaign: retort_types::Campaign = example(name);
        asked.extend(campaign.models.iter().map(ToString::to_string));
    }
    let models = fleet.providers.iter().flat_map(|provider| &provider.models);
    assert_eq!(asked, models.map(|model| model.name.clone()).collect());
}

#[test]
fn every_protocol_chats_alike_plain_and_streamed() {
    let chats: Vec<_> = WireProtocol::ALL
        .into_iter()
        .filter(|wire| *wire != WireProtocol::OpenaiCompletions)
        .collect();
    check("campaign.yaml", &chats);
}

#[test]
fn raw_text_is_continued_alike_plain_and_streamed() {
    check(
        "raw.yaml",
        &[WireProtocol::OpenaiCompletions, WireProtocol::Ollama],
    );
}

#[test]
fn signed_requests_are_answered_and_wrongly_signed_ones_refused() {
    let secret = "wJalrXUtnFEMI/K7MDENG";
    let mut world = World::new(json!({ "providers": [{
        "name": "signed", "wire": "bedrock-converse", "signing_keys": { "AKIDEXAMPLE": secret },
        "latency": { "ms": 5 }, "models": [{ "name": "vendor.model-v1:0" }],
    }] }));
    world.catalog(&[]);
    world.campaign(&["vendor.model-v1:0"], 4, 1, json!({}));
    let (access, secret_key) = retort_sim::signing_env("signed");
    world.env.push((access, "AKIDEXAMPLE".to_owned()));
    let missing = world.run(&[]);
    assert_code(&missing, 2);
    assert!(text(&missing).contains(&secret_key), "{}", text(&missing));
    world.env.push((secret_key, "another".to_owned()));
    let refused: Value = {
        let output = world.command(&["check", "campaign.yaml", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(refused[0]["outcome"], "unauthorized", "{refused}");
    secret.clone_into(&mut world.env.last_mut().unwrap().1);
    for stream in [false, true] {
        let more = json!({ "id": format!("signed-{stream}"), "params": { "max_tokens": 20, "stream": stream } });
        world.campaign(&["vendor.model-v1:0"], 4, 1, more);
        let output = world.run(&[]);
        assert_code(&output, 0);
        assert!(!text(&output).contains(secret));
    }
}
