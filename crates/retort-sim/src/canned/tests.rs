//! Tests of canned models.

use retort_types::Message;

use super::*;
use crate::model::Ended;
use crate::model::join;

fn ask(prompt: &str) -> Ask {
    Ask {
        input: PromptInput::Messages(vec![Message {
            role: "user".to_owned(),
            content: prompt.to_owned(),
        }]),
        temperature: 0.0,
        seed: None,
        draw: 0,
        sample_id: None,
        max_tokens: None,
        top_logprobs: None,
    }
}

fn model(name: &str) -> Canned {
    Canned::new(&ModelSpec::canned(name), 1)
}

fn text(model: &Canned, ask: &Ask) -> String {
    join(
        &model
            .answer(ask)
            .expect("canned models always answer")
            .tokens,
    )
}

#[test]
fn the_same_request_gets_the_same_text() {
    let warm = |draw| Ask {
        temperature: 1.0,
        draw,
        ..ask("Describe the weather in spring.")
    };
    let (one, other) = (model("one"), model("other"));
    let cold = ask("Describe the weather in spring.");
    assert_eq!(text(&one, &cold), text(&model("one"), &cold));
    assert_eq!(
        text(&one, &cold),
        text(
            &one,
            &Ask {
                draw: 9,
                ..cold.clone()
            }
        )
    );
    assert_ne!(text(&one, &cold), text(&other, &cold));
    assert_ne!(text(&one, &cold), text(&one, &ask("Describe autumn.")));
    assert_eq!(text(&one, &warm(3)), text(&one, &warm(3)));
    assert_ne!(text(&one, &warm(3)), text(&one, &warm(4)));
    let seeded = |seed| Ask {
        seed: Some(seed),
        ..warm(0)
    };
    assert_eq!(
        text(&one, &seeded(5)),
        text(
            &one,
            &Ask {
                draw: 9,
                ..seeded(5)
            }
        )
    );
    assert_ne!(text(&one, &seeded(5)), text(&one, &seeded(6)));
}

#[test]
fn answers_are_as_long_as_described() {
    let mut spec = ModelSpec::canned("m");
    (spec.words_min, spec.words_max) = (30, 40);
    let model = Canned::new(&spec, 2);
    for draw in 0..50 {
        let asked = Ask {
            temperature: 1.0,
            draw,
            ..ask("Tell me about rivers.")
        };
        let words = text(&model, &asked).split_whitespace().count();
        assert!((25..=80).contains(&words), "{words}");
    }
}

#[test]
fn temperature_sensitivity_zero_is_cold() {
    let mut spec = ModelSpec::canned("m");
    spec.temperature_sensitivity = 0.0;
    let model = Canned::new(&spec, 2);
    let warm = Ask {
        temperature: 1.5,
        ..ask("Tell me about rivers.")
    };
    let again = Ask {
        draw: 7,
        ..warm.clone()
    };
    assert_eq!(text(&model, &warm), text(&model, &again));
}

#[test]
fn logprobs_are_those_of_the_text() {
    let plain = Ask {
        temperature: 1.0,
        ..ask("Tell me about rivers.")
    };
    for (count, prompt) in [
        (0, "Tell me about rivers."),
        (5, "Tell me about rivers."),
        (20, "Pick a number between 1 and 50."),
    ] {
        let asked = Ask {
            top_logprobs: Some(count),
            input: ask(prompt).input,
            ..plain.clone()
        };
        let model = model("m");
        let made = model.answer(&asked).expect("canned models always answer");
        let without = Ask {
            top_logprobs: None,
            ..asked.clone()
        };
        assert_eq!(join(&made.tokens), text(&model, &without));
        for token in &made.tokens {
            assert_eq!(token.alternatives.len(), count as usize);
            assert!(token.logprob <= 0.0);
            let sorted = token.alternatives.windows(2).all(|w| w[0].1 >= w[1].1);
            assert!(sorted, "{token:?}");
            let chosen = token.alternatives.iter().find(|(t, _)| *t == token.text);
            assert_eq!(chosen.is_some(), count > 0);
            let mass: f64 = token.alternatives.iter().map(|(_, l)| l.exp()).sum();
            assert!(mass <= 1.0 + 1e-9, "{token:?}");
        }
    }
}

#[test]
fn frequencies_follow_the_logprobs() {
    let model = model("m");
    let asked = |draw| Ask {
        temperature: 1.0,
        draw,
        top_logprobs: Some(2),
        ..ask("Flip a coin: heads or tails?")
    };
    let first = model
        .answer(&asked(0))
        .expect("canned models always answer");
    let expected = first.tokens[0]
        .alternatives
        .iter()
        .find(|(text, _)| text == "Heads")
        .map_or(0.0, |(_, logprob)| logprob.exp() / CANDIDATE_MASS);
    let heads = (0..2_000)
        .filter(|draw| text(&model, &asked(*draw)) == "Heads")
        .count();
    let share = heads as f64 / 2_000.0;
    // Four standard errors of a share of 2000 draws are at most 0.045; the draws are fixed.
    assert!((share - expected).abs() < 0.045, "{share} {expected}");
}

#[test]
fn refusals_filters_and_reasoning_are_told() {
    let mut spec = ModelSpec::canned("m");
    spec.refuses_containing = vec!["Poison".to_owned()];
    spec.filters_containing = vec!["secret".to_owned()];
    spec.reasoning_words = Some(12);
    let model = Canned::new(&spec, 3);
    let made = |prompt: &str| {
        model
            .answer(&ask(prompt))
            .expect("canned models always answer")
    };
    assert!(made("make POISON now").refused);
    assert_eq!(made("a secret").ended, Ended::Filter);
    let plain = made("hello there");
    assert!(plain.reasoning.len() >= 12 && !plain.refused);
    assert_eq!(plain.ended, Ended::Stop);
}
