//! What the template is given: an analysis in the words and numbers it is shown with.

use std::collections::BTreeSet;

use minijinja::Value;
use serde::Serialize;

use super::text::{self, Part};
use super::{heat, plots, tree};
use crate::analysis::{
    Analysis, Calibration, Decision, Exhibit, Finding, Interval, Registration, Statement,
};
use crate::{decide, rank, wording};

/// Statements that are shown; the rest is in `pairs.parquet`.
const STATEMENTS: usize = 120;

/// Decisions that are shown with their path.
const DECISIONS: usize = 40;

/// Exhibits that are shown of one statement, and of all.
const EXHIBITS: (usize, usize) = (3, 15);

/// Pairs of a matrix that are shown as a table.
const PAIRS: usize = 12;

/// Exclusions and control checks that are shown.
const LINES: usize = 200;

/// Characters of a name, a note or a reason.
const TEXT_CHARS: usize = 600;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    title: String,
    confirmatory: bool,
    exploratory_because: Option<String>,
    plan_hash: Option<String>,
    source: Vec<(String, String)>,
    warnings: Vec<String>,
    decisions: Vec<DecisionView>,
    decisions_left: usize,
    teachers: Vec<TeacherView>,
    statements: Vec<StatementView>,
    statements_left: usize,
    effects: Option<Value>,
    maps: Vec<Map>,
    trees: Vec<TreeView>,
    calibrations: Vec<CalibrationView>,
    exhibits: Vec<ExhibitView>,
    outcomes: Vec<String>,
    coverage: Vec<CoverageView>,
    checks: Vec<String>,
    exclusions: Vec<String>,
    tree: &'static str,
    settings: Vec<(String, String)>,
    snapshot: String,
    level: String,
}

#[derive(Debug, Serialize)]
struct DecisionView {
    suspect: String,
    candidate: String,
    name: &'static str,
    sentence: &'static str,
    path: Vec<(String, String)>,
    wordings: Vec<(&'static str, Vec<Spoken>)>,
    notes: Vec<String>,
}

/// A piece of a sentence: a model's name, or words.
#[derive(Debug, Serialize)]
struct Spoken {
    text: String,
    is_name: bool,
}

#[derive(Debug, Serialize)]
struct TeacherView {
    suspect: String,
    candidates: Vec<String>,
    none_of_these: bool,
}

#[derive(Debug, Serialize)]
struct StatementView {
    suspect: String,
    candidate: String,
    detector: &'static str,
    effect: String,
    p: String,
    p_adjusted: String,
    ratio: String,
    no_ratio: Option<&'static str>,
    cap: String,
    finding: &'static str,
    sign: &'static str,
    reason: Option<String>,
    prompts: usize,
    controls: usize,
}

#[derive(Debug, Serialize)]
struct Map {
    detector: &'static str,
    picture: Value,
    pairs: Vec<(String, String, String)>,
}

#[derive(Debug, Serialize)]
struct TreeView {
    detector: &'static str,
    picture: Value,
    newick: String,
}

#[derive(Debug, Serialize)]
struct CalibrationView {
    detector: &'static str,
    source: String,
    related: usize,
    unrelated: usize,
    false_positive_rate: String,
    power: String,
    cllr: String,
    cllr_min: String,
    eer: String,
    picture: Option<Value>,
}

#[derive(Debug, Serialize)]
struct ExhibitView {
    pair: String,
    detector: &'static str,
    prompt: String,
    shared: Vec<String>,
    sides: Vec<Side>,
}

#[derive(Debug, Serialize)]
struct Side {
    model: String,
    row: String,
    parts: Vec<Part>,
}

#[derive(Debug, Serialize)]
struct CoverageView {
    model: String,
    role: String,
    planned: u64,
    answered: String,
    counts: Vec<u64>,
}

/// Returns an analysis as it is shown.
pub(super) fn of(analysis: &Analysis) -> Report {
    let snapshot = analysis
        .source
        .get("target")
        .or_else(|| analysis.source.get("campaign"));
    let ranked = rank::statements(analysis);
    let shown: Vec<&Statement> = ranked.iter().copied().take(STATEMENTS).collect();
    let asked: BTreeSet<(&str, &str)> = analysis
        .statements
        .iter()
        .flat_map(|s| [(s.suspect.as_str(), s.candidate.as_str())])
        .collect();
    let (confirmatory, exploratory_because) = match &analysis.registration {
        Registration::Confirmatory => (true, None),
        Registration::Exploratory(why) => (false, Some(short(why))),
    };
    let outcomes: BTreeSet<&String> = analysis
        .coverage
        .iter()
        .flat_map(|c| c.outcomes.keys())
        .collect();
    Report {
        title: short(
            analysis
                .source
                .get("campaign")
                .map_or("a snapshot", String::as_str),
        ),
        confirmatory,
        exploratory_because,
        plan_hash: analysis.plan_hash.clone(),
        source: analysis
            .source
            .iter()
            .map(|(key, value)| (short(key), short(value)))
            .collect(),
        warnings: lines(&analysis.warnings),
        decisions: rank::decisions(analysis)
            .into_iter()
            .take(DECISIONS)
            .map(|d| decision(analysis, d))
            .collect(),
        decisions_left: analysis.decisions.len().saturating_sub(DECISIONS),
        teachers: teachers(analysis),
        statements: shown.iter().map(|s| statement(s)).collect(),
        statements_left: analysis.statements.len() - shown.len(),
        effects: plots::effects(&shown).map(Value::from_safe_string),
        maps: maps(analysis, &asked),
        trees: trees(analysis),
        calibrations: analysis.calibrations.iter().map(calibration).collect(),
        exhibits: exhibits(&ranked),
        coverage: coverage(analysis, &outcomes),
        outcomes: outcomes.into_iter().map(|outcome| short(outcome)).collect(),
        checks: lines(&analysis.control_checks),
        exclusions: lines(&analysis.exclusions),
        tree: decide::TREE,
        settings: analysis
            .settings
            .iter()
            .map(|(key, value)| (short(key), short(&value.to_string())))
            .collect(),
        snapshot: short(snapshot.map_or("SNAPSHOT", String::as_str)),
        level: wording::percent(analysis.level()),
    }
}

fn teachers(analysis: &Analysis) -> Vec<TeacherView> {
    let sets = analysis
        .teachers
        .iter()
        .take(DECISIONS)
        .map(|set| TeacherView {
            suspect: short(&set.suspect),
            candidates: lines(&set.candidates),
            none_of_these: set.none_of_these,
        });
    sets.collect()
}

fn short(text: &str) -> String {
    text::visible(&text::cut(text, TEXT_CHARS))
}

fn lines(texts: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = texts.iter().take(LINES).map(|text| short(text)).collect();
    if texts.len() > LINES {
        lines.push(format!(
            "and {} more, in analysis.json",
            texts.len() - LINES
        ));
    }
    lines
}

fn decision(analysis: &Analysis, decision: &Decision) -> DecisionView {
    let about = || {
        analysis.statements.iter().filter(|statement| {
            statement.suspect == decision.suspect && statement.candidate == decision.candidate
        })
    };
    let mut notes: Vec<String> = Vec::new();
    for statement in about() {
        let detector = wording::detector(statement.detector);
        let of = statement.notes.iter();
        notes.extend(of.map(|note| short(&format!("{detector}: {note}"))));
    }
    DecisionView {
        suspect: short(&decision.suspect),
        candidate: short(&decision.candidate),
        name: wording::conclusion_name(decision.conclusion),
        sentence: wording::conclusion(decision.conclusion),
        path: decision
            .path
            .iter()
            .map(|(q, a)| (short(q), short(a)))
            .collect(),
        wordings: about()
            .map(|s| (wording::detector(s.detector), spoken(&s.wording)))
            .collect(),
        notes,
    }
}

/// Returns a sentence in pieces: what stands between backticks is a name.
fn spoken(sentence: &str) -> Vec<Spoken> {
    let sentence = text::visible(&text::cut(sentence, 3 * TEXT_CHARS));
    let pieces = sentence
        .split('`')
        .enumerate()
        .map(|(number, piece)| Spoken {
            text: piece.to_owned(),
            is_name: number % 2 == 1,
        });
    pieces.filter(|piece| !piece.text.is_empty()).collect()
}

fn statement(statement: &Statement) -> StatementView {
    let sign = match &statement.finding {
        Finding::Supported => "●",
        Finding::NotSupported => "○",
        Finding::Inconclusive(_) => "◐",
        Finding::NotMeasured(_) | Finding::Underpowered(_) | Finding::ControlSetInsufficient(_) => {
            "–"
        }
    };
    StatementView {
        suspect: short(&statement.suspect),
        candidate: short(&statement.candidate),
        detector: wording::detector(statement.detector),
        effect: statement.effect.filter(is_finite).map_or(none(), |e| {
            format!("{:.2} ({:.2} to {:.2})", e.value, e.low, e.high)
        }),
        p: statement.p.map_or(none(), wording::probability),
        p_adjusted: statement.p_adjusted.map_or(none(), wording::probability),
        ratio: figure(statement.log10_lr, 2),
        no_ratio: wording::no_ratio(statement),
        cap: figure(statement.log10_lr_cap, 2),
        finding: wording::finding(&statement.finding),
        sign,
        reason: wording::reason(&statement.finding).map(short),
        prompts: statement.prompts,
        controls: statement.controls.len(),
    }
}

fn is_finite(interval: &Interval) -> bool {
    [interval.value, interval.low, interval.high]
        .iter()
        .all(|v| v.is_finite())
}

fn none() -> String {
    "–".to_owned()
}

fn figure(value: Option<f64>, decimals: usize) -> String {
    value
        .filter(|v| v.is_finite())
        .map_or(none(), |value| format!("{value:.decimals$}"))
}

fn maps(analysis: &Analysis, asked: &BTreeSet<(&str, &str)>) -> Vec<Map> {
    // Where every pair was asked about, an outline around each cell says nothing.
    let nothing = BTreeSet::new();
    let asked = if asked.len() > STATEMENTS {
        &nothing
    } else {
        asked
    };
    let drawn = analysis.matrices.iter().filter_map(|matrix| {
        Some(Map {
            detector: wording::detector(matrix.detector),
            picture: Value::from_safe_string(heat::draw(matrix, &analysis.cast, asked)?),
            pairs: heat::largest(matrix, PAIRS)
                .into_iter()
                .map(|(one, other, value)| (short(&one), short(&other), format!("{value:.3}")))
                .collect(),
        })
    });
    drawn.collect()
}

fn trees(analysis: &Analysis) -> Vec<TreeView> {
    let drawn = analysis.trees.iter().filter_map(|made| {
        Some(TreeView {
            detector: wording::detector(made.detector),
            picture: Value::from_safe_string(tree::draw(made, &analysis.cast)?),
            newick: text::visible(&text::cut(&made.newick, 20_000)),
        })
    });
    drawn.collect()
}

fn calibration(calibration: &Calibration) -> CalibrationView {
    let [related, unrelated] = calibration.pairs;
    let rate = |interval: Option<Interval>| {
        interval.filter(is_finite).map_or(none(), |i| {
            format!(
                "{} ({} to {})",
                percent(i.value),
                percent(i.low),
                percent(i.high)
            )
        })
    };
    CalibrationView {
        detector: wording::detector(calibration.detector),
        source: short(&calibration.source),
        related,
        unrelated,
        false_positive_rate: rate(calibration.false_positive_rate),
        power: rate(calibration.power),
        cllr: figure(calibration.cllr, 3),
        cllr_min: figure(calibration.cllr_min, 3),
        eer: calibration
            .eer
            .filter(|v| v.is_finite())
            .map_or(none(), percent),
        picture: plots::tippett(calibration).map(Value::from_safe_string),
    }
}

/// Returns a share in per cent, with a decimal where it is small.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 || percent >= 10.0 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}

fn exhibits(ranked: &[&Statement]) -> Vec<ExhibitView> {
    let of = |statement: &Statement, exhibit: &Exhibit| ExhibitView {
        pair: short(&format!(
            "{} and {}",
            statement.suspect, statement.candidate
        )),
        detector: wording::detector(statement.detector),
        prompt: short(&exhibit.prompt),
        shared: exhibit
            .shared
            .iter()
            .take(8)
            .map(|phrase| text::visible(&text::cut(phrase, 80)))
            .collect(),
        sides: [&statement.suspect, &statement.candidate]
            .into_iter()
            .zip(exhibit.rows.iter().zip(&exhibit.texts))
            .map(|(model, (row, reply))| Side {
                model: short(model),
                row: short(row),
                parts: text::marked(reply, &exhibit.shared),
            })
            .collect(),
    };
    let (each, all) = EXHIBITS;
    let mut statements = ranked.to_vec();
    statements.sort_by_key(|statement| statement.finding != Finding::Supported);
    let shown = statements.into_iter().flat_map(|s| {
        s.exhibits
            .iter()
            .take(each)
            .map(move |exhibit| of(s, exhibit))
    });
    shown.take(all).collect()
}

fn coverage(analysis: &Analysis, outcomes: &BTreeSet<&String>) -> Vec<CoverageView> {
    let rows = analysis.coverage.iter().map(|coverage| {
        let count = |outcome: &str| coverage.outcomes.get(outcome).copied().unwrap_or(0);
        let share =
            (coverage.planned > 0).then(|| count("answered") as f64 / coverage.planned as f64);
        CoverageView {
            model: short(&coverage.model),
            role: coverage.role.clone().unwrap_or_else(none),
            planned: coverage.planned,
            answered: share.map_or(none(), percent),
            counts: outcomes.iter().map(|outcome| count(outcome)).collect(),
        }
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{Conclusion, Detector};
    use crate::example;

    /// Pairs that are not supported, by name, and a few that are behind them.
    fn many(weak: usize) -> Analysis {
        let mut analysis = example::analysis(3);
        let kin = |suspect: &str, lr: f64| example::statement(suspect, "t", Detector::Kin, lr);
        analysis.statements = (0..weak).map(|n| kin(&format!("a{n:03}"), -0.5)).collect();
        analysis.statements.push(kin("x", 1.2));
        analysis.statements.push(kin("y", 1.6));
        analysis.statements.push(kin("z", 0.9));
        analysis.decisions = decide::decide_all(&analysis.statements);
        analysis
    }

    #[test]
    fn the_strongest_evidence_comes_first_and_is_never_left_out() {
        let analysis = many(300);
        let report = of(&analysis);
        let suspects =
            |names: Vec<&String>| -> Vec<String> { names.into_iter().take(4).cloned().collect() };
        let expected = ["y", "x", "z", "a000"];
        let of_statements = report.statements.iter().map(|s| &s.suspect).collect();
        assert_eq!(suspects(of_statements), expected);
        let of_decisions = report.decisions.iter().map(|d| &d.suspect).collect();
        assert_eq!(suspects(of_decisions), expected);
        assert_eq!(
            analysis.decisions[300].conclusion,
            Conclusion::RelationOfUnknownKind
        );
    }

    #[test]
    fn why_there_is_no_ratio_stands_where_it_would() {
        let mut analysis = many(0);
        analysis.statements.push(Statement {
            log10_lr: None,
            log10_lr_cap: None,
            ..example::statement("y", "t", Detector::Genes, 1.6)
        });
        let report = of(&analysis);
        let genes = report.statements.iter().find(|s| s.detector == "genes");
        assert_eq!(genes.and_then(|s| s.no_ratio), Some("not calibrated"));
    }
}
