//! The truth of a family tree, told by its distributions and by nothing that detects.

use std::sync::Mutex;

use retort_types::{HumanDuration, Message, PromptInput, Timestamp, WallClock};

use super::counts::Place;
use super::*;
use crate::model::{Ask, Generation, SimModel as _, join};
use crate::spec::{ModelKind, ModelSpec};

fn spec(name: &str, made: Made) -> LineageSpec {
    LineageSpec {
        name: name.to_owned(),
        made,
    }
}

fn student(name: &str, dose: f64) -> LineageSpec {
    spec(
        name,
        Made::Student {
            of: "beta".to_owned(),
            teacher: "alpha".to_owned(),
            dose,
        },
    )
}

fn of_alpha(name: &str, made: impl Fn(String) -> Made) -> LineageSpec {
    spec(name, made("alpha".to_owned()))
}

fn tree(seed: u64) -> Lineage {
    let specs = [
        spec("alpha", Made::Base),
        spec("beta", Made::Base),
        spec("gamma", Made::Base),
        student("taught-0", 0.0),
        student("taught-25", 0.25),
        student("taught-50", 0.5),
        student("taught-100", 1.0),
        of_alpha("tuned-20", |of| Made::FineTune { of, strength: 0.2 }),
        of_alpha("tuned-70", |of| Made::FineTune { of, strength: 0.7 }),
        of_alpha("sibling-80", |of| Made::Sibling { of, shared: 0.8 }),
        of_alpha("sibling-20", |of| Made::Sibling { of, shared: 0.2 }),
        of_alpha("alias", |of| Made::SameAs { of }),
    ];
    Lineage::grow(&specs, seed).expect("the tree is well-formed")
}

/// Draws that are compared with their distribution.
const DRAWS: u32 = 4_000;

/// Returns how much two models of a tree overlap.
fn overlap(lineage: &Lineage, one: &str, other: &str) -> f64 {
    let model = |name: &str| lineage.model(name).expect("a member");
    model(one).overlap(model(other), 1)
}

#[track_caller]
fn check_falls(values: &[f64]) {
    // Neighbours of a scale differ by more than chance: the same places are compared each time.
    let falls = values.windows(2).all(|pair| pair[0] > pair[1] + 0.01);
    assert!(falls, "{values:?}");
}

#[test]
fn overlap_grows_with_dose_and_follows_kinship() {
    for seed in [1, 2] {
        let lineage = tree(seed);
        let to_teacher = |name| overlap(&lineage, name, "alpha");
        check_falls(&[
            1.0 + 0.02,
            to_teacher("taught-100"),
            to_teacher("taught-50"),
            to_teacher("taught-25"),
            to_teacher("taught-0"),
        ]);
        let to_base = |name| overlap(&lineage, name, "beta");
        assert!((to_base("taught-0") - 1.0).abs() < 1e-9);
        check_falls(&[
            to_base("taught-0"),
            to_base("taught-25"),
            to_base("taught-50"),
            to_base("taught-100"),
        ]);
        assert!((to_teacher("alias") - 1.0).abs() < 1e-9);
        check_falls(&[
            to_teacher("alias"),
            to_teacher("tuned-20"),
            to_teacher("tuned-70"),
            to_teacher("gamma"),
        ]);
        check_falls(&[
            to_teacher("sibling-80"),
            to_teacher("sibling-20"),
            to_teacher("gamma"),
        ]);
        // A student has its own base's strangers: the teacher's rival taught it nothing.
        let strangers = [
            overlap(&lineage, "alpha", "gamma"),
            overlap(&lineage, "beta", "gamma"),
            overlap(&lineage, "taught-100", "gamma"),
        ];
        assert!(
            strangers.iter().all(|s| *s < to_teacher("taught-50")),
            "{strangers:?}"
        );
    }
}

#[test]
fn trees_follow_from_their_description_and_seed() {
    let reply = |seed| {
        tree(seed)
            .model("taught-50")
            .expect("a member")
            .reply(20, 5)
    };
    assert_eq!(reply(7), reply(7));
    assert_ne!(reply(7), reply(8));
}

#[test]
fn what_is_drawn_is_what_the_distribution_says() {
    let lineage = tree(4);
    let model = lineage.model("taught-50").expect("a member");
    let cell = corpus::cell("Heads or tails?");
    let place = Place::begin(Some(cell));
    let probabilities = model.distribution(place);
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    let mut seen = vec![0.0; probabilities.len()];
    for draw in 0..DRAWS {
        let first = model.reply(cell, draw.into()).first().copied().unwrap_or(0);
        seen[first as usize] += 1.0;
    }
    // Five standard deviations of a count: the seed is fixed, so this cannot flicker.
    for (seen, probability) in seen.iter().zip(&probabilities) {
        let expected = probability * f64::from(DRAWS);
        assert!(
            (seen - expected).abs() <= 5.0 * expected.max(1.0).sqrt(),
            "{seen} {expected}"
        );
    }
}

#[derive(Debug)]
struct HandClock(Mutex<Timestamp>);

impl WallClock for HandClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

fn clock() -> Arc<HandClock> {
    Arc::new(HandClock(Mutex::new(Timestamp::from_micros(0))))
}

fn ask(prompt: &str) -> Ask {
    Ask {
        input: PromptInput::Messages(vec![Message {
            role: "user".to_owned(),
            content: prompt.to_owned(),
        }]),
        temperature: 1.0,
        seed: Some(1),
        draw: 0,
        sample_id: None,
        max_tokens: None,
        top_logprobs: None,
    }
}

fn served(lineage: &Lineage, name: &str, clock: Arc<HandClock>) -> Speaker {
    let spec = ModelSpec {
        kind: ModelKind::Language,
        ..ModelSpec::canned(name)
    };
    Speaker::new(
        lineage.member(name).expect("a member").clone(),
        &spec,
        clock,
    )
}

fn answered(speaker: &Speaker, ask: &Ask) -> Generation {
    speaker.answer(ask).expect("language models always answer")
}

const PROMPT: &str = "Describe your favourite walk.";

#[test]
fn seeds_temperatures_and_names_do_what_they_say() {
    let lineage = tree(5);
    let alpha = served(&lineage, "alpha", clock());
    let text = |ask: &Ask| join(&answered(&alpha, ask).tokens);
    let seeded = |seed| Ask {
        seed: Some(seed),
        ..ask(PROMPT)
    };
    assert_eq!(text(&seeded(1)), text(&seeded(1)));
    assert_ne!(text(&seeded(1)), text(&seeded(2)));
    let cold = |seed| Ask {
        temperature: 0.0,
        ..seeded(seed)
    };
    assert_eq!(text(&cold(1)), text(&cold(2)));
    let logprob = |temperature| {
        let ask = Ask {
            temperature,
            ..seeded(3)
        };
        let tokens = answered(&alpha, &ask).tokens;
        tokens.iter().map(|token| token.logprob).sum::<f64>() / tokens.len() as f64
    };
    assert!(logprob(0.2) > logprob(1.0) && logprob(1.0) > logprob(2.0));
    // The same model under another name makes the same accidents; no other model does.
    let other = |name| join(&answered(&served(&lineage, name, clock()), &seeded(1)).tokens);
    assert_eq!(other("alias"), text(&seeded(1)));
    let by_chance = Ask {
        seed: None,
        ..ask(PROMPT)
    };
    let alias = answered(&served(&lineage, "alias", clock()), &by_chance);
    assert_ne!(join(&alias.tokens), text(&by_chance));
    assert_ne!(other("sibling-80"), text(&seeded(1)));
}

#[test]
fn log_probabilities_are_those_of_the_model() {
    let lineage = tree(6);
    let model = lineage.model("tuned-20").expect("a member");
    let speaker = served(&lineage, "tuned-20", clock());
    let ask = Ask {
        top_logprobs: Some(5),
        ..ask(PROMPT)
    };
    let plain = Ask {
        top_logprobs: None,
        ..ask.clone()
    };
    let made = answered(&speaker, &ask);
    assert_eq!(join(&made.tokens), join(&answered(&speaker, &plain).tokens));
    let mut place = Place::begin(Some(corpus::cell(PROMPT)));
    for token in &made.tokens {
        let word = model.vocabulary().number(&token.text);
        let expected = model.distribution(place)[word as usize].ln();
        assert!((token.logprob - expected).abs() < 1e-12);
        let told = &token.alternatives;
        assert_eq!(told.len(), 5);
        assert!(
            told.iter()
                .any(|(text, logprob)| *text == token.text
                    && (*logprob - token.logprob).abs() < 1e-12)
        );
        assert!(told.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        place = place.after(word);
    }
    // What is read is judged by the same distribution.
    let read = speaker.read("The zebra can.", Some(2));
    assert_eq!(join(&read), "The zebra can.");
    assert!(read[1].logprob < -15.0, "{read:?}");
}

#[test]
fn raw_text_is_continued() {
    let lineage = tree(8);
    let speaker = served(&lineage, "alpha", clock());
    let raw = |text: &str| Ask {
        input: PromptInput::Text(text.to_owned()),
        ..ask("")
    };
    let learned = join(&answered(&speaker, &ask(PROMPT)).tokens);
    let (begin, _) = learned.split_at(learned.find(' ').expect("several words"));
    let made = answered(&speaker, &raw(begin));
    assert!(!made.tokens.is_empty());
}

#[test]
fn questions_of_few_words_get_few_words() {
    let lineage = tree(9);
    let speaker = served(&lineage, "taught-100", clock());
    let short = (0..20).filter(|seed| {
        let ask = Ask {
            seed: Some(*seed),
            ..ask("Pick a colour. Answer with one word.")
        };
        answered(&speaker, &ask).tokens.len() <= 2
    });
    assert!(short.count() >= 15);
}

#[test]
fn a_model_changes_at_its_hour() {
    let specs = [
        spec(
            "turncoat",
            Made::Changes {
                from: "alpha".to_owned(),
                into: "beta".to_owned(),
                after: HumanDuration(Duration::from_hours(1)),
            },
        ),
        spec("alpha", Made::Base),
        spec("beta", Made::Base),
    ];
    let lineage = Lineage::grow(&specs, 3).expect("well-formed");
    let clock = clock();
    let says =
        |name: &str| join(&answered(&served(&lineage, name, self::clock()), &ask(PROMPT)).tokens);
    let turncoat = served(&lineage, "turncoat", Arc::clone(&clock));
    let said = || join(&answered(&turncoat, &ask(PROMPT)).tokens);
    assert_eq!(said(), says("alpha"));
    *clock.0.lock().unwrap() = Timestamp::from_micros(3_599_999_999);
    assert_eq!(said(), says("alpha"));
    *clock.0.lock().unwrap() = Timestamp::from_micros(3_600_000_000);
    assert_eq!(said(), says("beta"));
}

#[test]
fn broken_descriptions_are_named() {
    let fails = |specs: &[LineageSpec], place: &str, words: &str| {
        let error = Lineage::grow(specs, 0)
            .expect_err("it breaks a rule")
            .to_string();
        assert!(error.contains(place) && error.contains(words), "{error}");
    };
    let base = |name| spec(name, Made::Base);
    fails(&[base("a"), base("a")], "lineage.a", "used twice");
    fails(&[student("s", 0.5)], "lineage.s", "no model `beta`");
    fails(&[student("s", 1.5)], "lineage.s", "dose");
    let circle = |name: &str, of: &str| spec(name, Made::SameAs { of: of.to_owned() });
    fails(&[circle("a", "b"), circle("b", "a")], "lineage.a", "circle");
    let sibling = Made::Sibling {
        of: "a".to_owned(),
        shared: f64::NAN,
    };
    fails(&[base("a"), spec("b", sibling)], "lineage.b", "shared");
    let changes = Made::Changes {
        from: "a".to_owned(),
        into: "a".to_owned(),
        after: HumanDuration(Duration::ZERO),
    };
    fails(
        &[base("a"), spec("b", changes), circle("c", "b")],
        "lineage.c",
        "changes",
    );
}
