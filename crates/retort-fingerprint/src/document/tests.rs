//! Features of single cells.

use proptest::prelude::*;

use super::*;

fn reply(text: &str, outcome: Outcome) -> Reply {
    Reply {
        model: 0,
        prompt: 0,
        draw: 0,
        outcome,
        text: text.to_owned(),
        reasoning: None,
        input_tokens: None,
        output_tokens: Some(7),
        row: String::new(),
    }
}

fn of(texts: &[&str], is_choice: bool) -> Document {
    let replies: Vec<Reply> = texts
        .iter()
        .map(|text| reply(text, Outcome::Answered))
        .collect();
    document(&replies.iter().collect::<Vec<_>>(), is_choice)
}

fn features(document: &Document, family: Family) -> &[Feature] {
    document.features[family.at()]
        .as_deref()
        .unwrap_or_default()
}

#[test]
fn repeated_words_count_once_and_draws_are_averaged() {
    let one = of(&["yes yes yes"], false);
    // yes, yes yes.
    assert_eq!(features(&one, Family::Words).len(), 2);
    assert!(
        features(&one, Family::Words)
            .iter()
            .all(|(_, weight)| (weight - 1.0).abs() < 1e-6)
    );
    let two = of(&["yes", "no"], false);
    let weights: Vec<f32> = features(&two, Family::Words)
        .iter()
        .map(|(_, w)| *w)
        .collect();
    assert!(weights.len() == 2 && weights.iter().all(|weight| (weight - 0.5).abs() < 1e-6));
}

#[test]
fn lines_count_by_how_often() {
    let found = of(&["- a\n- b\n- c"], false);
    let most = features(&found, Family::Layout)
        .iter()
        .map(|(_, weight)| *weight);
    assert!((most.fold(0.0, f32::max) - (1.0 + 3.0_f32.ln())).abs() < 1e-6);
}

#[test]
fn choices_are_counted_without_their_marks() {
    let found = of(&["7", "**7**", " 7.", "eight"], true);
    let mut weights: Vec<f32> = features(&found, Family::Choices)
        .iter()
        .map(|f| f.1)
        .collect();
    weights.sort_by(f32::total_cmp);
    assert!((weights[0] - 0.25).abs() < 1e-6 && (weights[1] - 0.75).abs() < 1e-6);
    assert!(found.features[Family::Words.at()].is_none());
}

#[test]
fn refusals_have_words_and_others_comply() {
    let declined = of(&["I'm sorry, but I can't help with that."], false);
    let complied = of(&["Sure, here it is."], false);
    assert_eq!(features(&complied, Family::Refusals).len(), 1);
    assert!(features(&declined, Family::Refusals).len() > 10);
    let withheld = document(&[&reply("", Outcome::Filtered)], false);
    assert!(withheld.features[Family::Words.at()].is_none());
    assert_eq!(features(&withheld, Family::Refusals).len(), 2);
    let unasked = document(&[&reply("", Outcome::NotAsked)], false);
    assert!(unasked.features.iter().all(Option::is_none));
}

#[test]
fn reasoning_has_its_idioms() {
    let mut thinking = reply("42", Outcome::Answered);
    thinking.reasoning = Some("Wait, let me check. Wait, no.".to_owned());
    let found = document(&[&thinking], false);
    assert!(features(&found, Family::Traces).len() > 5);
}

#[test]
fn scripts_are_told_apart() {
    let latin = of(&["hello there"], false);
    let mixed = of(&["hello привет 你好"], false);
    assert_eq!(features(&latin, Family::Scripts).len(), 1);
    assert_eq!(features(&mixed, Family::Scripts).len(), 3);
}

#[test]
fn long_replies_are_read_in_part() {
    let long = "word ".repeat(200_000);
    let found = of(&[&long], false);
    assert_eq!(features(&found, Family::Words).len(), 2);
    assert!(found.counts.is_some_and(|counts| counts[0] > 13.0));
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>(), is_choice in any::<bool>()) {
        let found = of(&[&text], is_choice);
        for features in found.features.iter().flatten() {
            prop_assert!(features.is_sorted_by(|a, b| a.0 < b.0));
            prop_assert!(features.iter().all(|(_, weight)| weight.is_finite() && *weight > 0.0));
        }
    }
}
