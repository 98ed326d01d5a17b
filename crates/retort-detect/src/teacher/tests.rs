//! Teachers where they are known, none where there was none, and what facts forbid.

use super::*;
use crate::roles::{Kind, ModelFacts, Month};
use crate::testing::{Speaker, corpus, degenerate, fingerprints};

/// Two assistants of different vendors, 45 students of nobody (two questions at 5 % need 39), and one of the first assistant.
fn school(dose: f64) -> Vec<Speaker> {
    let mut speakers: Vec<Speaker> = (0..45)
        .map(|n| (format!("s{n:02}"), vec![(3, 0.2), (n + 10, 1.0)]))
        .collect();
    speakers.push(("t1".to_owned(), vec![(3, 0.2), (1, 1.0)]));
    speakers.push(("t2".to_owned(), vec![(3, 0.2), (2, 1.0)]));
    speakers.push(("x".to_owned(), vec![(3, 0.2), (1, dose), (77, 1.0)]));
    speakers
}

fn roles() -> Roles {
    let mut roles = Roles {
        suspects: vec!["x".to_owned()],
        candidates: vec!["t1".to_owned(), "t2".to_owned()],
        controls: (0..45).map(|n| format!("s{n:02}")).collect(),
        ..Roles::default()
    };
    for (name, vendor) in [("t1", "one"), ("t2", "other")] {
        let facts = ModelFacts {
            vendor: Some(vendor.to_owned()),
            kind: Kind::Origin,
            ..ModelFacts::default()
        };
        roles.facts.insert(name.to_owned(), facts);
    }
    roles
}

fn hear(dose: f64, roles: &Roles) -> TeacherResult {
    let settings = TeacherSettings {
        is_registered: true,
        ..TeacherSettings::default()
    };
    analyse(&fingerprints(&corpus(&school(dose), 64)), roles, &settings)
}

#[test]
fn a_teacher_is_found_and_the_other_is_not() {
    let result = hear(0.5, &roles());
    let [taught, not] = result.statements.as_slice() else {
        panic!("two statements")
    };
    assert_eq!(taught.finding, Finding::Supported, "{taught:?}");
    assert_eq!(not.finding, Finding::NotSupported, "{not:?}");
    assert!(taught.effect.map(|e| e.value) > not.effect.map(|e| e.value));
    assert_eq!(result.sets.len(), 1);
    assert!(!result.sets[0].none_of_these);
    assert!(result.sets[0].candidates.contains(&"t1".to_owned()));
    for confound in CONFOUNDS {
        assert!(taught.notes.iter().any(|note| note == confound));
    }
}

#[test]
fn more_of_a_teacher_shows_more() {
    let effect = |dose: f64| hear(dose, &roles()).statements[0].effect.unwrap().value;
    let (none, some, much) = (effect(0.0), effect(0.3), effect(0.7));
    assert!(none < some && some < much, "{none} {some} {much}");
}

#[test]
fn a_student_of_nobody_keeps_none_of_these() {
    let result = hear(0.0, &roles());
    assert!(result.sets[0].none_of_these, "{:?}", result.statements);
    assert!(
        result
            .statements
            .iter()
            .all(|s| s.finding != Finding::Supported)
    );
}

#[test]
fn a_model_is_not_taught_by_a_younger_one() {
    let mut roles = roles();
    roles.facts.entry("t1".to_owned()).or_default().released = Month::parse("2024-05");
    roles.facts.entry("x".to_owned()).or_default().released = Month::parse("2023-05");
    let result = hear(0.5, &roles);
    let found = &result.statements[0];
    assert_eq!(found.finding, Finding::NotSupported);
    assert!(
        found.effect.is_some_and(|effect| effect.value > 2.0),
        "{found:?}"
    );
    assert_eq!((found.p, found.log10_lr), (None, None), "dates exclude it");
    let said = crate::wording::statement(found);
    assert!(said.contains("published before"), "{said}");
    assert!(!said.contains("more probable"), "{said}");
    assert!(!result.sets[0].candidates.contains(&"t1".to_owned()));
}

#[test]
fn controls_that_the_candidate_may_have_taught_are_none() {
    let mut roles = roles();
    for (n, teacher) in [(0, "t1"), (1, "t1"), (2, "t2")] {
        let facts = roles.facts.entry(format!("s{n:02}")).or_default();
        facts.teachers.insert(teacher.to_owned());
    }
    roles.facts.entry("s03".to_owned()).or_default().kind = Kind::Origin;
    roles
        .facts
        .entry("s04".to_owned())
        .or_default()
        .groups
        .insert("set".to_owned());
    roles
        .facts
        .entry("x".to_owned())
        .or_default()
        .groups
        .insert("set".to_owned());
    let result = hear(0.5, &roles);
    let controls = &result.statements[0].controls;
    for (name, is_control) in [
        ("s00", false),
        ("s01", false),
        ("s02", true),
        ("s03", false),
    ] {
        assert_eq!(controls.contains(&name.to_owned()), is_control, "{name}");
    }
    assert!(
        !controls.contains(&"s04".to_owned()),
        "of the suspect's own group"
    );
    assert!(
        result
            .warnings
            .iter()
            .any(|warning| warning.contains("`s03`"))
    );
}

#[test]
fn closeness_to_every_vendor_identifies_no_teacher() {
    let finding = specific(Finding::Supported, Some(0.4), 0.05);
    assert!(matches!(finding, Finding::Inconclusive(reason) if reason.contains("not identified")));
    assert_eq!(
        specific(Finding::Supported, Some(0.01), 0.05),
        Finding::Supported
    );
}

#[test]
fn a_ratio_says_no_more_than_both_comparisons() {
    // Without another vendor's candidate nothing tells this teacher from any.
    let mut alone = roles();
    alone.candidates = vec!["t1".to_owned()];
    let found = hear(0.5, &alone).statements.remove(0);
    assert!(
        matches!(found.finding, Finding::Inconclusive(_)),
        "{found:?}"
    );
    assert_eq!(found.log10_lr, None);
    // A student of the other vendor is close to this one as well, and to that one more.
    let both = |second: f64| {
        let mut speakers = school(0.0);
        speakers.retain(|speaker| speaker.0 != "x");
        speakers.push((
            "x".to_owned(),
            vec![(3, 0.2), (1, 0.3), (2, second), (77, 1.0)],
        ));
        let settings = TeacherSettings {
            is_registered: true,
            ..TeacherSettings::default()
        };
        analyse(&fingerprints(&corpus(&speakers, 64)), &roles(), &settings)
    };
    let found = both(0.3).statements.remove(0);
    assert!(found.p.is_some_and(|p| p < 0.05), "{found:?}");
    assert!(
        matches!(found.finding, Finding::Inconclusive(_)),
        "{found:?}"
    );
    let note = found.notes.iter().find(|note| note.starts_with("beyond"));
    let row_p: f64 = note.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(
        found.log10_lr.unwrap() <= -row_p.log10() + 0.01,
        "{found:?}"
    );
}

#[test]
fn too_little_is_said_to_be_too_little() {
    for (name, corpus) in degenerate() {
        let fingerprints = fingerprints(&corpus);
        let roles = Roles {
            suspects: vec!["m0".to_owned()],
            candidates: vec!["m1".to_owned()],
            controls: fingerprints.models().to_vec(),
            ..Roles::default()
        };
        let result = analyse(&fingerprints, &roles, &TeacherSettings::default());
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
    }
}
