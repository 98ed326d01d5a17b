//! Kinship where it is known, none where there is none, and a clear word where nothing can be said.

use super::*;
use crate::testing::{Speaker, corpus, degenerate, fingerprints};

/// Thirty strangers, a base among them, and a child of it.
fn family(child: f64) -> Vec<Speaker> {
    let mut speakers: Vec<Speaker> = (0..30)
        .map(|n| (format!("m{n:02}"), vec![(n + 1, 1.0)]))
        .collect();
    speakers.push(("x-child".to_owned(), vec![(1, child), (99, 1.0)]));
    speakers
}

fn roles(suspect: &str, candidate: &str) -> Roles {
    Roles {
        suspects: vec![suspect.to_owned()],
        candidates: vec![candidate.to_owned()],
        controls: (1..30).map(|n| format!("m{n:02}")).collect(),
        ..Roles::default()
    }
}

fn settings() -> KinSettings {
    KinSettings {
        is_registered: true,
        ..KinSettings::default()
    }
}

#[test]
fn a_child_is_found_and_a_stranger_is_not() {
    let fingerprints = fingerprints(&corpus(&family(0.5), 48));
    let result = analyse(&fingerprints, &roles("x-child", "m00"), &settings());
    let found = &result.statements[0];
    assert_eq!(found.finding, Finding::Supported, "{found:?}");
    assert_eq!((found.controls.len(), found.prompts), (29, 48));
    assert!(
        found.effect.is_some_and(|effect| effect.low > 1.0),
        "{:?}",
        found.effect
    );
    assert!(found.log10_lr > Some(0.5) && found.log10_lr <= found.log10_lr_cap);
    let stranger = analyse(&fingerprints, &roles("x-child", "m05"), &settings());
    assert_eq!(stranger.statements[0].finding, Finding::NotSupported);
    assert!(stranger.statements[0].log10_lr < Some(0.0));
}

#[test]
fn strangers_are_flagged_no_more_often_than_told() {
    let speakers: Vec<Speaker> = (0..40)
        .map(|n| (format!("m{n:02}"), vec![(n + 1, 1.0)]))
        .collect();
    let fingerprints = fingerprints(&corpus(&speakers, 24));
    let names = fingerprints.models().to_vec();
    let roles = Roles {
        controls: names,
        all_pairs: true,
        ..Roles::default()
    };
    let result = analyse(&fingerprints, &roles, &KinSettings::default());
    let p: Vec<f64> = result
        .statements
        .iter()
        .filter_map(|statement| statement.p)
        .collect();
    assert_eq!(p.len(), 40 * 39);
    let share = |level: f64| p.iter().filter(|p| **p <= level).count() as f64 / p.len() as f64;
    // The higher of two p-values is below a level at most as often as either.
    for level in [0.05, 0.1, 0.2, 0.5] {
        assert!(share(level) <= level + 0.02, "{level}: {}", share(level));
    }
    for statement in &result.statements {
        let (p, ratio) = (statement.p.unwrap(), statement.log10_lr.unwrap());
        assert!(ratio <= -p.log10() + 1e-9, "{statement:?}");
    }
    let rate = result
        .calibration
        .and_then(|rates| rates.false_positive_rate);
    assert!(rate.is_some_and(|rate| rate.value <= 0.07), "{rate:?}");
}

#[test]
fn a_control_that_is_a_secret_child_is_named() {
    let mut speakers = family(0.5);
    speakers.push(("m30".to_owned(), vec![(2, 0.9), (88, 1.0)]));
    let fingerprints = fingerprints(&corpus(&speakers, 32));
    let mut roles = roles("x-child", "m00");
    roles.controls.push("m30".to_owned());
    let result = analyse(&fingerprints, &roles, &settings());
    let told = result.warnings.join("\n");
    assert!(told.contains("`m01` and `m30`"), "{told}");
}

#[test]
fn controls_that_are_as_close_are_named() {
    let mut speakers = family(0.3);
    speakers.push(("m30".to_owned(), vec![(1, 0.9), (88, 1.0)]));
    let mut roles = roles("x-child", "m00");
    roles.controls.push("m30".to_owned());
    let fingerprints = fingerprints(&corpus(&speakers, 32));
    let found = analyse(&fingerprints, &roles, &settings())
        .statements
        .remove(0);
    let note = "as close to m00 as x-child is: m30".to_owned();
    assert!(found.notes.contains(&note), "{found:?}");
    roles.controls.pop();
    let found = analyse(&fingerprints, &roles, &settings())
        .statements
        .remove(0);
    let is_none = |note: &String| !note.starts_with("as close");
    assert!(found.notes.iter().all(is_none), "{found:?}");
}

#[test]
fn the_answer_is_the_same_for_any_order_and_thread_count() {
    let speakers = family(0.5);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let fingerprints = fingerprints(&corpus(&speakers, 20));
            analyse(&fingerprints, &roles("x-child", "m00"), &settings())
        })
    };
    assert_eq!(with(1), with(2));
}

#[test]
fn too_little_is_said_to_be_too_little() {
    for (name, corpus) in degenerate() {
        let fingerprints = fingerprints(&corpus);
        let mut roles = roles("m0", "m1");
        roles.controls = fingerprints.models().to_vec();
        let result = analyse(&fingerprints, &roles, &settings());
        assert_eq!(result.statements.len(), 1, "{name}");
        let found = &result.statements[0];
        assert!(
            !matches!(found.finding, Finding::Supported | Finding::NotSupported),
            "{name}: {found:?}"
        );
        let numbers = [
            found.statistic,
            found.p,
            found.log10_lr,
            found.effect.map(|e| e.low),
        ];
        assert!(
            numbers.iter().flatten().all(|number| number.is_finite()),
            "{name}: {found:?}"
        );
        assert!(
            result
                .matrix
                .values
                .iter()
                .flatten()
                .all(|value| value.is_finite()),
            "{name}"
        );
    }
}

#[test]
fn controls_without_a_prompt_in_common_do_not_count() {
    let mut all = corpus(&family(0.5), 96);
    let absent = |name: &str| ("m10".."m30").contains(&name);
    let names = all.models.clone();
    all.replies
        .retain(|reply| absent(&names[reply.model]) == (reply.prompt >= 48));
    let result = analyse(&fingerprints(&all), &roles("x-child", "m00"), &settings());
    let found = &result.statements[0];
    assert_eq!(found.controls.len(), 9, "{found:?}");
    assert!(
        matches!(found.finding, Finding::ControlSetInsufficient(_)),
        "{found:?}"
    );
    assert_eq!(found.log10_lr_cap, Some(1.0));
    assert!(
        found.notes[0].starts_with("20 more controls do not count"),
        "{found:?}"
    );
    assert!(found.notes[1].contains("possible p is 0.1000"), "{found:?}");
}

#[test]
fn error_rates_need_controls_that_could_have_erred() {
    let speakers: Vec<Speaker> = (0..14)
        .map(|n| (format!("m{n:02}"), vec![(n + 1, 1.0)]))
        .collect();
    let fingerprints = fingerprints(&corpus(&speakers, 24));
    let mut roles = roles("m00", "m01");
    roles.controls = (2..14).map(|n| format!("m{n:02}")).collect();
    let rates = analyse(&fingerprints, &roles, &settings()).calibration;
    let rates = rates.expect("controls are compared with each other");
    assert_eq!(rates.false_positive_rate, None, "no p-value reaches 5 %");
    assert!(rates.cllr_min.is_none() && !rates.unrelated.is_empty());
}

#[test]
fn a_pair_in_question_has_no_part_in_the_fit_that_weighs_it() {
    let mut speakers = family(0.12);
    let mut known = roles("x-child", "m00");
    for n in 1..=12_u64 {
        let name = format!("c{n:02}");
        speakers.push((name.clone(), vec![(n + 1, 0.1), (200 + n, 1.0)]));
        let facts = known.facts.entry(name).or_default();
        facts.parents.insert(format!("m{n:02}"));
    }
    let fingerprints = fingerprints(&corpus(&speakers, 48));
    let ratio = |roles: &Roles| {
        let found = analyse(&fingerprints, roles, &settings())
            .statements
            .remove(0);
        assert!(found.notes.iter().all(|note| !note.contains("benchmark")));
        let (ratio, cap) = (found.log10_lr.unwrap(), found.log10_lr_cap.unwrap());
        assert!(ratio.abs() < cap - 0.01, "{ratio} is cut at {cap}");
        ratio
    };
    let unknown = ratio(&known);
    let facts = known.facts.entry("x-child".to_owned()).or_default();
    facts.parents.insert("m00".to_owned());
    assert!((ratio(&known) - unknown).abs() < 1e-9);
}
