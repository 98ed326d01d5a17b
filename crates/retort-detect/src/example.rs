//! An analysis written by hand, for tests of everything that shows one.

use std::collections::BTreeMap;

use serde_json::json;

use crate::analysis::{
    Analysis, Calibration, Cast, Coverage, Detector, Exhibit, Finding, Interval, Matrix,
    Registration, Statement, TeacherSet, Tree,
};
use crate::{decide, wording};

/// A text that would run, load or break something where it is not escaped.
pub(crate) const HOSTILE: &str = "<script>alert(1)</script><img src=x onerror=alert(2)> \" ' & \u{202e}txet\u{0} {{ 7 * 7 }} </style></svg>";

/// Returns a statement with every figure present.
pub(crate) fn statement(
    suspect: &str,
    candidate: &str,
    detector: Detector,
    log10_lr: f64,
) -> Statement {
    let mut statement = Statement {
        suspect: suspect.to_owned(),
        candidate: candidate.to_owned(),
        detector,
        statistic: Some(0.3 + log10_lr / 10.0),
        effect: Some(Interval {
            value: 2.0 * log10_lr,
            low: 2.0 * log10_lr - 1.2,
            high: 2.0 * log10_lr + 1.2,
        }),
        p: Some(if log10_lr > 1.0 { 0.02 } else { 0.4 }),
        p_adjusted: Some(if log10_lr > 1.0 { 0.04 } else { 0.8 }),
        log10_lr: Some(log10_lr),
        log10_lr_cap: Some(1.7),
        finding: if log10_lr > 1.0 {
            Finding::Supported
        } else {
            Finding::NotSupported
        },
        prompts: 64,
        controls: (0..49).map(|n| format!("control-{n:02}")).collect(),
        wording: String::new(),
        notes: vec!["Same era: p 0.05 with 21 controls.".to_owned()],
        exhibits: Vec::new(),
    };
    statement.wording = wording::statement(&statement);
    statement
}

/// Returns an exhibit whose texts share a phrase.
pub(crate) fn exhibit(one: &str, other: &str, shared: &[&str]) -> Exhibit {
    Exhibit {
        prompt: "style/explain-07".to_owned(),
        rows: [
            "5d1c09a7e0b14d6f8a1c2b3d4e5f6071".to_owned(),
            "0f1e2d3c4b5a69788796a5b4c3d2e1f0".to_owned(),
        ],
        texts: [one.to_owned(), other.to_owned()],
        shared: shared.iter().map(|text| (*text).to_owned()).collect(),
        weight: 0.8,
    }
}

/// Returns an analysis of `models` models that has something of everything.
#[expect(
    clippy::too_many_lines,
    reason = "one value with something of everything"
)]
pub(crate) fn analysis(models: usize) -> Analysis {
    let names: Vec<String> = (0..models)
        .map(|n| match n {
            0 => "borea-taught".to_owned(),
            1 => "atlas".to_owned(),
            n => format!("control-{:02}", n - 2),
        })
        .collect();
    let mut teacher = statement("borea-taught", "atlas", Detector::Teacher, 1.5);
    teacher.exhibits = vec![
        exhibit(
            "Let me think about the harbour, step by step.",
            "Well, let me think: about the harbour there is much.",
            &["let me think"],
        ),
        exhibit(HOSTILE, &"long ".repeat(100_000), &["script", "alert"]),
    ];
    let statements = vec![
        statement("borea-taught", "atlas", Detector::Kin, 1.6),
        statement("borea-taught", "atlas", Detector::Genes, 0.2),
        teacher,
        Statement {
            finding: Finding::NotMeasured("no prompt was asked with enough draws".to_owned()),
            statistic: None,
            effect: None,
            p: None,
            p_adjusted: None,
            log10_lr: None,
            log10_lr_cap: None,
            ..statement("borea-taught", "atlas", Detector::Same, 0.0)
        },
        statement("borea-taught", "control-00", Detector::Kin, -0.6),
    ];
    let value = |row: usize, column: usize| {
        (row != column).then(|| {
            if row + column == 1 {
                0.31
            } else {
                ((row * 7 + column * 7 + row * column) % 20) as f64 / 200.0 - 0.05
            }
        })
    };
    let count = names.len();
    let values: Vec<Option<f64>> = (0..count * count)
        .map(|at| value(at / count, at % count))
        .collect();
    let leaves: Vec<String> = names
        .iter()
        .skip(2)
        .map(|name| format!("{name}:0.4"))
        .collect();
    Analysis {
        schema: Analysis::SCHEMA.to_owned(),
        source: BTreeMap::from([
            ("campaign".to_owned(), "known-truth".to_owned()),
            ("merkle_root".to_owned(), "ab".repeat(32)),
        ]),
        plan_hash: Some("cd".repeat(32)),
        registration: Registration::Exploratory("the campaign carries no analysis".to_owned()),
        settings: BTreeMap::from([
            ("level".to_owned(), json!(0.05)),
            ("detectors".to_owned(), json!(["kin", "genes"])),
        ]),
        cast: Cast {
            suspects: vec!["borea-taught".to_owned()],
            candidates: vec!["atlas".to_owned()],
            controls: names.iter().skip(2).cloned().collect(),
        },
        coverage: names
            .iter()
            .map(|name| Coverage {
                model: name.clone(),
                role: Some(
                    match name.as_str() {
                        "borea-taught" => "suspect",
                        "atlas" => "candidate",
                        _ => "control",
                    }
                    .to_owned(),
                ),
                planned: 64,
                outcomes: BTreeMap::from([("answered".to_owned(), 60), ("refused".to_owned(), 4)]),
            })
            .collect(),
        control_checks: vec![
            "kin: controls `control-03` and `control-04` are closer than a control pair should be"
                .to_owned(),
        ],
        exclusions: vec!["12 replies were empty".to_owned(), HOSTILE.to_owned()],
        decisions: decide::decide_all(&statements),
        statements,
        teachers: vec![TeacherSet {
            suspect: "borea-taught".to_owned(),
            candidates: vec!["atlas".to_owned()],
            none_of_these: true,
        }],
        calibrations: vec![Calibration {
            detector: Detector::Kin,
            source: "controls of this snapshot".to_owned(),
            pairs: [27, 1176],
            cllr: Some(0.21),
            cllr_min: Some(0.15),
            eer: Some(0.04),
            false_positive_rate: Some(Interval {
                value: 0.046,
                low: 0.02,
                high: 0.08,
            }),
            power: Some(Interval {
                value: 0.88,
                low: 0.7,
                high: 0.96,
            }),
            related: (0..27).map(|n| f64::from(n) / 10.0 - 0.5).collect(),
            unrelated: (0..200).map(|n| f64::from(n) / 100.0 - 1.7).collect(),
        }],
        matrices: vec![Matrix {
            detector: Detector::Kin,
            models: names,
            values,
        }],
        trees: vec![Tree {
            detector: Detector::Genes,
            newick: format!(
                "((borea-taught:0.2,atlas:0.1)97:0.3,({})41:0.05);",
                leaves.join(",")
            ),
        }],
        warnings: vec![
            "fewer than 50 controls: moderate support is the most that can be said".to_owned(),
        ],
    }
}
