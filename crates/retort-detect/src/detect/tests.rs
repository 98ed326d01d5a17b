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

fn all_pairs(detectors: &[Detector]) -> Analysis {
    let loaded = loaded(8);
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
    let alone = all_pairs(&[Detector::Same]);
    assert_eq!(alone.statements.len(), 8 * 7);
    assert!(alone.statements.iter().all(|s| s.p.is_some()));
    let beside_kin = all_pairs(&[Detector::Same, Detector::Kin]);
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
