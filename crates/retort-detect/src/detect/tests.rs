//! What is asked is carried out, and what is not carried out is told.

use super::*;
use crate::analysis::Coverage;
use crate::question::complete;
use crate::testing::reply;

/// Models that answer a few prompts twice.
fn loaded(models: usize) -> Loaded {
    let mut replies = Vec::new();
    for model in 0..models {
        for (prompt, draw) in (0..4).flat_map(|prompt| [(prompt, 0), (prompt, 1)]) {
            let text = format!("model {model} on {prompt}, said {draw}");
            let mut reply = reply(&format!("m{model}"), prompt, text);
            reply.order = (0, draw);
            replies.push(reply);
        }
    }
    let coverage = (0..models).map(|model| Coverage {
        model: format!("m{model}"),
        role: None,
        planned: 8,
        outcomes: [("answered".to_owned(), 8)].into(),
    });
    Loaded {
        corpus: Corpus::from_replies(replies),
        coverage: coverage.collect(),
        ..Loaded::default()
    }
}

fn all_pairs(models: usize, detectors: &[Detector]) -> Analysis {
    let loaded = loaded(models);
    let question = Question {
        all_pairs: true,
        ..Question::default()
    };
    let question = complete(&loaded, &question).expect("models are there");
    let settings = Settings {
        detectors: detectors.to_vec(),
        ..Settings::default()
    };
    analyse(&loaded, &question, &settings, &|_, _, _| {})
}

#[test]
fn sameness_of_every_pair_is_tested_where_nothing_else_picks() {
    let alone = all_pairs(8, &[Detector::Same]);
    assert_eq!(alone.statements.len(), 8 * 7);
    assert!(alone.statements.iter().all(|s| s.p.is_some()));
    let beside_kin = all_pairs(8, &[Detector::Same, Detector::Kin]);
    let same = beside_kin.statements.iter();
    let tested = same.filter(|s| s.detector == Detector::Same).count();
    assert!(tested < 8 * 7);
    let told = format!("sameness was tested for {tested} of 56 pairs");
    assert!(
        beside_kin.warnings.iter().any(|w| w.starts_with(&told)),
        "{:?}",
        beside_kin.warnings
    );
}

#[test]
fn how_many_pairs_must_stand_out_is_told_where_all_are_asked_about() {
    let analysis = all_pairs(24, &[Detector::Kin]);
    // 22 controls: 552 / 23 / 5 %.
    let told = "among 552 questions, pairs that stand above all their controls are supported only \
                when 480 do";
    let is_told = |warning: &String| warning.starts_with(told);
    assert!(
        analysis.warnings.iter().any(is_told),
        "{:?}",
        analysis.warnings
    );
}

#[test]
fn what_is_said_of_an_endpoint_does_not_excuse_it() {
    let asked = |aliases: &[(&str, &str)]| {
        let mut loaded = loaded(6);
        loaded.aliases = aliases
            .iter()
            .map(|(one, other)| ((*one).to_owned(), (*other).to_owned()))
            .collect();
        let cast = Cast {
            suspects: vec!["m0".to_owned()],
            candidates: vec!["m1".to_owned()],
            controls: Vec::new(),
        };
        let question = Question {
            cast,
            all_pairs: false,
        };
        let question = complete(&loaded, &question).expect("models are there");
        let settings = Settings {
            detectors: vec![Detector::Same],
            ..Settings::default()
        };
        let mut found = analyse(&loaded, &question, &settings, &|_, _, _| {});
        let found = found.statements.remove(0);
        assert!(found.p.is_some_and(|p| p < 0.05), "{found:?}");
        found.finding
    };
    assert_eq!(asked(&[]), Finding::NotSupported);
    // Somebody says that the suspect serves the candidate: that is the question.
    assert_eq!(asked(&[("m0", "m1")]), Finding::NotSupported);
    assert_eq!(asked(&[("m3", "m0"), ("m0", "m4")]), Finding::NotSupported);
    // Others of the same weights do differ as much.
    assert!(matches!(asked(&[("m2", "m3")]), Finding::Inconclusive(_)));
}
