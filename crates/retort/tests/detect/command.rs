//! The command itself: what it refuses, what it writes, that it depends on nothing but the replies.

use serde_json::json;

use crate::support::{assert_code, text};
use crate::{detect, import, quiet};

fn replies(hostile: bool) -> Vec<(String, String, Option<String>)> {
    let mut rows = Vec::new();
    for model in 0..24 {
        for prompt in 0..40 {
            let tail = if hostile {
                "<script>alert(1)</script>\u{202e}</style>{{ 1 }}"
            } else {
                ""
            };
            let output = format!(
                "word{} and word{} of {model} {tail}",
                model * prompt % 13,
                prompt * 5 % 11
            );
            rows.push((
                format!("m{model:02}"),
                format!("Question {prompt}"),
                Some(output),
            ));
        }
    }
    rows
}

#[test]
fn wrong_calls_say_what_would_be_right() {
    let world = quiet();
    import(&world, &replies(false));
    let calls: [(&[&str], &str); 6] = [
        (
            &["replies"],
            "error: no suspects are named\nhint: name one with --suspect",
        ),
        (
            &["replies", "--suspect", "m00"],
            "error: no candidates are named",
        ),
        (
            &["replies", "--suspect", "m00", "--candidate", "m000"],
            "hint: did you mean `m00`?",
        ),
        (
            &["replies", "--all-pairs", "--detector", "kith"],
            "error: there is no detector `kith`\nhint: known are same, genes, kin, teacher",
        ),
        (
            &["replies", "--all-pairs", "--level", "2"],
            "error: a level of 2 is not above 0 and below 0.5",
        ),
        (
            &["replies", "--all-pairs", "--suite", "style"],
            "error: the snapshot has no suite `style`",
        ),
    ];
    for (arguments, expected) in calls {
        let mut all = vec!["detect"];
        all.extend(arguments);
        let output = world.command(&all);
        assert_code(&output, 2);
        assert!(text(&output).contains(expected), "{}", text(&output));
    }
    assert!(!world.path("retort-detect").exists(), "nothing was written");
}

#[test]
fn an_earlier_analysis_is_not_replaced_unasked() {
    let world = quiet();
    import(&world, &replies(false));
    let arguments = [
        "detect",
        "replies",
        "--suspect",
        "m00",
        "--candidate",
        "m01",
        "--detector",
        "kin",
    ];
    assert_code(&world.command(&arguments), 0);
    let again = world.command(&arguments);
    assert_code(&again, 2);
    assert!(
        text(&again).contains("is there already\nhint: replace it with --force"),
        "{}",
        text(&again)
    );
}

#[test]
fn the_order_of_rows_and_the_number_of_threads_change_nothing() {
    let mut found = Vec::new();
    for (is_turned, threads) in [(false, "1"), (true, "2")] {
        let mut world = quiet();
        world
            .env
            .push(("RAYON_NUM_THREADS".to_owned(), threads.to_owned()));
        let mut rows = replies(false);
        if is_turned {
            // By prompt, models backwards: prompts keep their numbers.
            rows.reverse();
            rows.sort_by_key(|(_, prompt, _)| {
                let number = prompt.rsplit(' ').next().unwrap();
                number.parse::<u32>().unwrap()
            });
        }
        import(&world, &rows);
        let mut analysis = detect(
            &world,
            &["replies", "--suspect", "m00", "--candidate", "m01"],
        );
        // Another file is another snapshot: its place and its root differ.
        analysis["source"] = json!(null);
        found.push(serde_json::to_string_pretty(&analysis).unwrap());
    }
    let lines = found[0].lines().zip(found[1].lines());
    let differences: Vec<_> = lines.filter(|(one, other)| one != other).take(5).collect();
    assert!(found[0] == found[1], "{differences:?}");
}

#[test]
fn hostile_replies_stay_texts() {
    let world = quiet();
    import(&world, &replies(true));
    detect(
        &world,
        &["replies", "--suspect", "m00", "--candidate", "m01"],
    );
    let report = std::fs::read_to_string(world.path("evidence/report.html")).unwrap();
    assert_eq!(report.matches("<script").count(), 0);
    assert_eq!(report.matches("</style>").count(), 1);
    assert!(!report.contains('\u{202e}'));
}

#[test]
fn programs_get_json_without_texts() {
    let world = quiet();
    import(&world, &replies(false));
    let output = world.command(&["detect", "replies", "--all-pairs", "--json"]);
    assert_code(&output, 0);
    let analysis: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(analysis["schema"], "retort.analysis.v1");
    assert_eq!(
        analysis["registration"],
        json!({ "kind": "exploratory", "reason": "every pair was asked about" })
    );
    let statements = analysis["statements"].as_array().unwrap();
    assert!(statements.len() >= 24 * 23, "{}", statements.len());
    assert!(statements.iter().all(|s| s["exhibits"] == json!([])));
}
