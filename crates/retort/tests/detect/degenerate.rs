//! Inputs that no statistic survives: a clear statement, no number that is none, no panic.

use serde_json::Value;

use crate::support::text;
use crate::{detect, import, quiet};

type Row = (String, String, Option<String>);

/// Returns a reply for every model and prompt, as `say` says it.
fn rows(models: &[&str], prompts: usize, say: impl Fn(usize, usize) -> Option<String>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (at, model) in models.iter().enumerate() {
        for prompt in 0..prompts {
            rows.push((
                (*model).to_owned(),
                format!("Prompt number {prompt}?"),
                say(at, prompt),
            ));
        }
    }
    rows
}

/// Returns words that a model likes, for a prompt, in one of several draws: the same each time.
fn words(model: usize, prompt: usize) -> String {
    drawn(model, prompt, 0)
}

fn drawn(model: usize, prompt: usize, draw: usize) -> String {
    let mut state = (model * 1_000 + prompt) * 100 + draw + 1;
    let mut next = |limit: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    // A dozen of two hundred words are a model's own; a third of what it says is of everybody.
    let word = |common: bool, n: usize| {
        let number = if common {
            n
        } else {
            20 + (model * 17 + n * 13) % 180
        };
        format!("w{number}")
    };
    (0..30)
        .map(|_| word(next(3) == 0, next(12)))
        .collect::<Vec<_>>()
        .join(" ")
}

const MANY: [&str; 24] = [
    "s", "t", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11",
    "c12", "c13", "c14", "c15", "c16", "c17", "c18", "c19", "c20", "c21",
];

/// Analyses replies and returns what was found of `s` and `t`, after checking that every finding
/// without an answer says why.
fn check(rows: &[Row], arguments: &[&str]) -> Value {
    let world = quiet();
    import(&world, rows);
    let mut all = vec!["replies"];
    all.extend(arguments);
    let analysis = detect(&world, &all);
    for statement in analysis["statements"].as_array().unwrap() {
        let finding = &statement["finding"];
        let is_answer = ["supported", "not_supported"]
            .iter()
            .any(|state| finding["state"] == *state);
        let reason = finding["reason"].as_str().unwrap_or_default();
        assert!(is_answer || reason.len() > 8, "{statement}");
        assert!(
            !statement["wording"].as_str().unwrap().is_empty(),
            "{statement}"
        );
    }
    analysis
}

const PAIR: [&str; 4] = ["--suspect", "s", "--candidate", "t"];

/// Asserts that nothing is said for a relation of any pair.
#[track_caller]
fn nothing_is_supported(analysis: &Value) {
    let statements = analysis["statements"].as_array().unwrap();
    let supported: Vec<&Value> = statements
        .iter()
        .filter(|s| s["finding"]["state"] == "supported")
        .collect();
    assert!(supported.is_empty(), "{supported:?}");
}

#[test]
fn one_model_has_nobody_to_be_compared_with() {
    let world = quiet();
    import(&world, &rows(&["s"], 8, |m, p| Some(words(m, p))));
    let output = world.command(&["detect", "replies", "--suspect", "s", "--candidate", "t"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(
        text(&output).contains("error: the snapshot has no model `t`"),
        "{}",
        text(&output)
    );
    let analysis = detect(&world, &["replies", "--all-pairs"]);
    assert_eq!(analysis["statements"].as_array().unwrap().len(), 0);
    assert!(!analysis["warnings"].as_array().unwrap().is_empty());
}

#[test]
fn one_prompt_is_too_little() {
    let analysis = check(&rows(&MANY, 1, |m, p| Some(words(m, p))), &PAIR);
    nothing_is_supported(&analysis);
}

#[test]
fn empty_replies_are_no_evidence() {
    let analysis = check(&rows(&MANY, 16, |_, _| Some(String::new())), &PAIR);
    nothing_is_supported(&analysis);
    assert!(!analysis["exclusions"].as_array().unwrap().is_empty());
}

#[test]
fn equal_replies_tell_nobody_apart() {
    let analysis = check(&rows(&MANY, 16, |_, p| Some(words(0, p))), &PAIR);
    nothing_is_supported(&analysis);
}

#[test]
fn replies_of_a_megabyte_are_read_and_cut() {
    let long = |m, p| Some(words(m, p).repeat(1_000_000 / 140));
    let world = quiet();
    import(&world, &rows(&["s", "t", "c00", "c01"], 3, long));
    detect(&world, &["replies", "--suspect", "s", "--candidate", "t"]);
    let report = std::fs::metadata(world.path("evidence/report.html")).unwrap();
    assert!(report.len() < 1_000_000, "{} bytes", report.len());
}

#[test]
fn missing_cells_are_no_evidence() {
    // Every model lacks some prompts; the suspect and its candidate have none in common.
    let has = |m: usize, p: usize| match m {
        0 => p.is_multiple_of(2),
        1 => !p.is_multiple_of(2),
        m => !(m + p).is_multiple_of(3),
    };
    let mut rows = rows(&MANY, 24, |m, p| Some(words(m, p)));
    let at = |model: &str| MANY.iter().position(|name| *name == model).unwrap();
    let number = |prompt: &str| {
        prompt
            .trim_end_matches('?')
            .rsplit(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    rows.retain(|(model, prompt, _)| has(at(model), number(prompt)));
    let analysis = check(&rows, &PAIR);
    nothing_is_supported(&analysis);
}

#[test]
fn two_controls_are_too_few() {
    let analysis = check(&rows(&MANY[..4], 64, |m, p| Some(words(m, p))), &PAIR);
    nothing_is_supported(&analysis);
    let kin = crate::said(&analysis, "kin", "s", "t");
    assert_eq!(kin["finding"]["state"], "control_set_insufficient", "{kin}");
}

#[test]
fn two_names_for_one_model_are_told() {
    // Four draws per prompt: two names draw from the same texts, others from their own.
    let mut all = Vec::new();
    for draw in 0..4 {
        all.extend(rows(&MANY, 32, |m, p| {
            Some(words(
                if m == 1 { 0 } else { m },
                p * 5 + (draw * 3 + m) % 7,
            ))
        }));
    }
    let analysis = check(&all, &PAIR);
    assert!(
        crate::is_supported(&analysis, "kin", "s", "t"),
        "{}",
        crate::said(&analysis, "kin", "s", "t")
    );
    let same = crate::said(&analysis, "same", "s", "t");
    let decided = &analysis["decisions"][0]["conclusion"];
    println!("{same}\n{decided}");
    assert!(same["finding"]["state"] != "not_supported", "{same}");
}
