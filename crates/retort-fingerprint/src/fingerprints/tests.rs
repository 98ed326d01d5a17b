//! Comparisons of whole corpora, ordinary and odd ones.

use retort_types::{Mode, Outcome};

use super::*;
use crate::{Prompt, RawReply};

fn raw(model: &str, prompt: usize, draw: u32, text: String) -> RawReply {
    RawReply {
        model: model.to_owned(),
        prompt: Prompt {
            suite: "s".to_owned(),
            id: format!("{prompt:03}"),
            arm: String::new(),
            mode: Mode::Chat,
        },
        order: (0, draw),
        outcome: Outcome::Answered,
        text,
        reasoning: None,
        input_tokens: None,
        output_tokens: None,
        row: String::new(),
    }
}

/// Models of two manners of speaking, `a…` and `b…`.
fn two_manners(models: usize, prompts: usize) -> Vec<RawReply> {
    let mut replies = Vec::new();
    for model in 0..models {
        let (name, begin, end) = if model % 2 == 0 {
            (
                format!("a{model}"),
                "certainly, let us begin with",
                "i hope this helps you!",
            )
        } else {
            (
                format!("b{model}"),
                "well\n\n- the short answer is",
                "that is all there is.",
            )
        };
        for prompt in 0..prompts {
            // Each model has its own words, and each prompt its own subject.
            let own: Vec<String> = (0..12)
                .map(|n| format!("w{}", (model * 31 + prompt * 17 + n * 7) % 97))
                .collect();
            let text = format!("{begin} subject{prompt} {}\n{end}", own.join(" "));
            replies.push(raw(&name, prompt, 0, text));
        }
    }
    replies
}

fn compare(replies: Vec<RawReply>) -> Fingerprints {
    Fingerprints::of(
        &Corpus::from_replies(replies),
        &Settings::default(),
        &|_, _| {},
    )
}

fn bits(fingerprints: &Fingerprints) -> Vec<Option<u64>> {
    let models = fingerprints.models().len();
    let mut all = Vec::new();
    for family in fingerprints.families() {
        for centring in [Centring::Raw, Centring::Double] {
            let matrix = fingerprints
                .similarities(family, centring, &|_| true)
                .unwrap();
            for at in 0..models * models {
                all.push(matrix.get(at / models, at % models).map(f64::to_bits));
            }
        }
    }
    all
}

#[test]
fn manners_of_speaking_show_in_every_family_of_texts() {
    let found = compare(two_manners(8, 24));
    for family in [
        Family::Words,
        Family::Skeleton,
        Family::Opening,
        Family::Layout,
    ] {
        let matrix = found
            .similarities(family, Centring::Double, &|_| true)
            .unwrap();
        let (same, other) = (matrix.get(0, 1).unwrap(), matrix.get(0, 5).unwrap());
        assert!(same > 0.0 && other < 0.0, "{family:?}: {same} {other}");
    }
    assert_eq!(found.prompts_of(0, 1), 24);
}

#[test]
fn threads_and_order_of_rows_do_not_matter() {
    let replies = two_manners(6, 40);
    let mut reversed = replies.clone();
    reversed.reverse();
    let with = |threads: usize, replies: Vec<RawReply>| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| bits(&compare(replies)))
    };
    let one = with(1, replies.clone());
    assert_eq!(with(2, replies), one);
    assert_eq!(with(2, reversed), one);
}

#[test]
fn odd_corpora_give_absent_values_and_no_nan() {
    let long = "x ".repeat(500_000);
    let cases: Vec<(&str, Vec<RawReply>)> = vec![
        ("nothing", Vec::new()),
        ("one model", vec![raw("a", 0, 0, "text".to_owned())]),
        ("one prompt", two_manners(5, 1)),
        (
            "empty",
            (0..5)
                .map(|n| raw(&format!("m{n}"), 0, 0, String::new()))
                .collect(),
        ),
        (
            "equal",
            (0..5)
                .map(|n| raw(&format!("m{n}"), 0, 0, "same".to_owned()))
                .collect(),
        ),
        (
            "long",
            (0..3)
                .map(|n| raw(&format!("m{n}"), 0, 0, format!("{n} {long}")))
                .collect(),
        ),
        (
            "apart",
            (0..4)
                .map(|n| raw(&format!("m{n}"), n, 0, "some text".to_owned()))
                .collect(),
        ),
    ];
    for (name, replies) in cases {
        let found = compare(replies);
        for family in found.families() {
            let matrix = found
                .similarities(family, Centring::Double, &|_| true)
                .unwrap();
            assert!(
                matrix
                    .values(|_| true)
                    .iter()
                    .all(|value| value.is_finite()),
                "{name}"
            );
        }
        for (_, matrix) in found.correlations(&|_| true) {
            assert!(
                matrix
                    .values(|_| true)
                    .iter()
                    .all(|value| value.is_finite()),
                "{name}"
            );
        }
    }
}

#[test]
fn missing_cells_are_no_dissimilarity() {
    let whole = compare(two_manners(6, 30));
    let mut replies = two_manners(6, 30);
    replies.retain(|reply| !(reply.model == "a2" && reply.prompt.id.as_str() < "015"));
    let part = compare(replies);
    let of = |from: &Fingerprints| {
        let matrix = from
            .similarities(Family::Words, Centring::Raw, &|_| true)
            .unwrap();
        matrix
            .get(from.model("a0").unwrap(), from.model("a2").unwrap())
            .unwrap()
    };
    assert!(
        (of(&whole) - of(&part)).abs() < 0.1,
        "{} {}",
        of(&whole),
        of(&part)
    );
    assert_eq!(
        part.prompts_of(part.model("a0").unwrap(), part.model("a2").unwrap()),
        15
    );
}

#[test]
fn short_repeated_answers_are_choices() {
    let mut replies = Vec::new();
    for (model, favourite) in [("a", "7"), ("b", "7"), ("c", "4"), ("d", "12")] {
        for prompt in 0..5 {
            for draw in 0..6 {
                let text = if draw < 4 {
                    favourite.to_owned()
                } else {
                    format!("{draw}")
                };
                replies.push(raw(model, prompt, draw, text));
            }
        }
    }
    let found = compare(replies);
    let matrix = found
        .similarities(Family::Choices, Centring::Raw, &|_| true)
        .unwrap();
    assert!(matrix.get(0, 1) > matrix.get(0, 2), "{matrix:?}");
    assert!(
        found
            .similarities(Family::Words, Centring::Raw, &|_| true)
            .is_none()
    );
    assert_eq!(found.prompts_of(0, 1), 5);
}
