//! `retort power`, the profiles, and the example of R1: none of them needs a key.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/r1/campaign.yaml")
}

/// Runs the command without any variable but the path, so that no key can be found.
fn run(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_retort"))
        .args(arguments)
        .env_clear()
        .output()
        .expect("the binary was built");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn json(arguments: &[&str]) -> Value {
    let (is_well, out, err) = run(arguments);
    assert!(is_well, "{err}");
    serde_json::from_str(&out).expect("JSON")
}

#[test]
fn the_example_of_r1_is_planned_without_a_key() {
    let path = example();
    let path = path.to_str().unwrap();
    let plan = json(&["plan", path, "--json"]);
    // 564 draws of `quick`, for 71 models.
    assert_eq!(plan["samples"], 564 * 71);
    let text = std::fs::read_to_string(path).unwrap();
    let campaign: Value = serde_saphyr::from_str(&text).unwrap();
    let size = |role: &str| campaign["roles"][role].as_array().unwrap().len();
    assert!(size("controls") >= 50);
    assert_eq!((size("suspects"), size("candidates")), (1, 2));
    let again = json(&["plan", path, "--json"]);
    assert_eq!(plan["plan_hash"], again["plan_hash"]);
}

#[test]
fn power_says_what_the_example_can_find_and_what_it_lacks() {
    let path = example();
    let told = json(&["power", path.to_str().unwrap(), "--json"]);
    assert_eq!(told["campaign"], "was-r1-taught");
    assert_eq!(told["target"]["candidates"], 2);
    let questions = told["questions"].as_array().unwrap();
    let names: Vec<&str> = questions
        .iter()
        .map(|row| row["question"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["kin", "genes", "teacher", "same"]);
    for row in questions {
        let power = row["power"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&power), "{row}");
        assert_eq!(row["takes"]["cost_usd_low"], Value::Null);
    }
    // Two candidates share 5 %, and 54 controls allow 1/55: none of them may score as high.
    assert!(questions[0]["power"].as_f64().unwrap() > 0.8);
    // Prefixes drawn once each say little: more draws are what is lacking.
    assert!(questions[1]["power"].as_f64().unwrap() < 0.5);
    assert!(questions[1]["needed"]["draws"].as_u64().unwrap() >= 4);
    let five = ["power", path.to_str().unwrap(), "--candidates", "5"];
    let strict = json(&[&five[..], &["--json"]].concat());
    assert!(strict["questions"][0]["power"].as_f64().unwrap() <= 0.0);
    assert!(
        strict["questions"][0]["needed"]["controls"]
            .as_u64()
            .unwrap()
            >= 99
    );
    // All suites but the styleless ones: boundary, genes, identity, reason, refusal, style.
    assert_eq!(questions[0]["design"]["prompts"], 396);
    let (is_well, table, err) = run(&five);
    assert!(is_well, "{err}");
    assert!(
        table.contains("54 controls allow no p below 0.018"),
        "{table}"
    );
}

#[test]
fn power_needs_no_campaign() {
    let all = json(&["power", "--json"]);
    assert_eq!(all["questions"].as_array().unwrap().len(), 4);
    let (is_well, table, err) = run(&["power", "--question", "kin"]);
    assert!(is_well, "{err}");
    assert!(table.contains("needed") && table.contains("kin"), "{table}");
    let (is_well, _, err) = run(&["power", "--question", "kin", "--alpha", "1.5"]);
    assert!(!is_well && err.contains("between 0 and 1"), "{err}");
    // Three draws of 40 prompts cannot show a tenth; many can.
    let same = json(&[
        "power",
        "--question",
        "same",
        "--share",
        "0.1",
        "--samples",
        "3",
        "--json",
    ]);
    let row = &same["questions"][0];
    assert!(row["power"].as_f64().unwrap() < 0.2);
    assert!(row["needed"]["draws"].as_u64().unwrap() > 50);
}

#[test]
fn suites_and_profiles_are_listed_and_shown() {
    let (_, list, _) = run(&["suites", "list"]);
    for name in ["genes", "boundary", "nulls", "quick", "standard"] {
        assert!(list.contains(name), "{list}");
    }
    let (_, shown, _) = run(&["suites", "show", "quick"]);
    assert!(shown.contains("tokens") && shown.contains("64"), "{shown}");
    let prompts = |seed: &str| json(&["suites", "show", "reason", "--seed", seed, "--json"]);
    let (one, other) = (prompts("1"), prompts("2"));
    assert_eq!(one["prompts"].as_array().unwrap().len(), 32);
    assert_eq!(one["prompts"][0], other["prompts"][0]);
    assert_ne!(one["prompts"][31], other["prompts"][31]);
    let (is_well, _, err) = run(&["suites", "show", "quik"]);
    assert!(
        !is_well && err.contains("profiles: quick, standard"),
        "{err}"
    );
}
