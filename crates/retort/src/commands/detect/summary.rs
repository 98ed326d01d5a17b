//! An analysis as a terminal shows it.

use std::path::Path;

use retort_detect::analysis::{
    Analysis, Calibration, Decision, Detector, Interval, Registration, Statement,
};
use retort_detect::{rank, wording};

use super::FILES;
use crate::output::{Table, count, visible};

/// Statements, decisions and lines of each list that a terminal shows.
const SHOWN: usize = 20;

/// Returns the summary of an analysis whose files are in `folder`.
pub(super) fn of(analysis: &Analysis, folder: &Path) -> String {
    let mut text = Vec::new();
    text.extend(head(analysis));
    text.push(String::new());
    text.push(table(&rank::statements(analysis)));
    text.extend(more(analysis.statements.len(), "statements", folder));
    for decision in rank::decisions(analysis).into_iter().take(SHOWN) {
        text.push(String::new());
        text.extend(decided(analysis, decision));
    }
    text.extend(teachers(analysis));
    text.push(String::new());
    let level = wording::percent(analysis.level());
    text.extend(
        analysis
            .calibrations
            .iter()
            .map(|calibration| error_rates(calibration, &level)),
    );
    if analysis.calibrations.is_empty() {
        text.push("error rates  not measured: no pairs of known relation".to_owned());
    }
    text.extend(list("controls", analysis.control_checks.clone()));
    text.extend(list("left out", analysis.exclusions.clone()));
    text.extend(list("warning", analysis.warnings.clone()));
    text.push(String::new());
    text.extend(
        FILES
            .iter()
            .map(|name| folder.join(name).display().to_string()),
    );
    visible(&text.join("\n"))
}

fn head(analysis: &Analysis) -> Vec<String> {
    let from = |key: &str| analysis.source.get(key).map_or("", String::as_str);
    let mut lines = vec![format!("snapshot   {}", from("place"))];
    if let Some(hash) = &analysis.plan_hash {
        lines.push(format!("plan       {hash}"));
    }
    lines.push(match &analysis.registration {
        Registration::Confirmatory => {
            "analysis   confirmatory: the campaign carried it before the data".to_owned()
        }
        Registration::Exploratory(why) => format!("analysis   exploratory: {why}"),
    });
    let cast = &analysis.cast;
    let parts = [
        ("suspect", &cast.suspects),
        ("candidate", &cast.candidates),
        ("control", &cast.controls),
    ];
    let parts = parts.map(|(part, names)| {
        let many = if names.len() == 1 { "" } else { "s" };
        format!("{} {part}{many}", count(names.len() as u64))
    });
    lines.push(format!("models     {}", parts.join(", ")));
    lines
}

fn table(statements: &[&Statement]) -> String {
    let headings = [
        "suspect",
        "candidate",
        "detector",
        "found",
        "effect",
        "p",
        "adjusted",
        "log10 LR",
        "cap",
        "prompts",
        "controls",
    ];
    let mut table = Table::new("llllrrrrrrr", &headings);
    let figure = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    let ratio = |statement: &Statement| match (statement.log10_lr, statement.detector) {
        (None, Detector::Genes) if statement.p.is_some() => "not calibrated".to_owned(),
        (ratio, _) => figure(ratio),
    };
    let chance = |value: Option<f64>| value.map_or("-".to_owned(), wording::probability);
    for statement in statements.iter().take(SHOWN) {
        table.row(vec![
            statement.suspect.clone(),
            statement.candidate.clone(),
            wording::detector(statement.detector).to_owned(),
            wording::finding(&statement.finding).replace('_', " "),
            figure(statement.effect.map(|effect| effect.value)),
            chance(statement.p),
            chance(statement.p_adjusted),
            ratio(statement),
            figure(statement.log10_lr_cap),
            statement.prompts.to_string(),
            statement.controls.len().to_string(),
        ]);
    }
    table.to_string()
}

fn more(all: usize, what: &str, folder: &Path) -> Option<String> {
    let left = all.checked_sub(SHOWN).filter(|left| *left > 0)?;
    let file = folder.join(FILES[2]);
    Some(format!(
        "{} more {what} in {}",
        count(left as u64),
        file.display()
    ))
}

fn decided(analysis: &Analysis, decision: &Decision) -> Vec<String> {
    let mut lines = vec![
        format!(
            "{} in question, candidate {}",
            decision.suspect, decision.candidate
        ),
        format!("  {}", wording::conclusion(decision.conclusion)),
    ];
    for (number, (question, answer)) in decision.path.iter().enumerate() {
        lines.push(format!("  {} {question} {answer}", number + 1));
    }
    // Why there is no answer stands in the path; what a reader must know of an answer fills pages,
    // and stands in the report.
    let about = analysis.statements.iter().filter(|statement| {
        statement.suspect == decision.suspect
            && statement.candidate == decision.candidate
            && (statement.p.is_some() || statement.effect.is_some())
    });
    for statement in about {
        lines.push(format!(
            "  {}: {}",
            wording::detector(statement.detector),
            statement.wording
        ));
    }
    lines
}

fn teachers(analysis: &Analysis) -> Vec<String> {
    let sets = analysis.teachers.iter().take(SHOWN).map(|set| {
        let mut left = set.candidates.clone();
        if set.none_of_these {
            left.push("none of these".to_owned());
        }
        format!("possible teachers of {}: {}", set.suspect, left.join(", "))
    });
    sets.collect()
}

fn error_rates(calibration: &Calibration, level: &str) -> String {
    let share = |interval: Option<Interval>| {
        interval.map_or("not measured".to_owned(), |i| {
            format!(
                "{:.1} % ({:.1} to {:.1})",
                i.value * 100.0,
                i.low * 100.0,
                i.high * 100.0
            )
        })
    };
    let cllr = calibration
        .cllr
        .map_or("-".to_owned(), |cllr| format!("{cllr:.3}"));
    let [related, unrelated] = calibration.pairs;
    format!(
        "error rates  {}: false positives {} at {level}, power {}, Cllr {cllr}; {related} related and {unrelated} unrelated pairs, {}",
        wording::detector(calibration.detector),
        share(calibration.false_positive_rate),
        share(calibration.power),
        calibration.source
    )
}

fn list(word: &str, items: Vec<String>) -> Vec<String> {
    let left = items.len().saturating_sub(SHOWN);
    let mut lines: Vec<String> = items
        .into_iter()
        .take(SHOWN)
        .map(|item| format!("{word}: {item}"))
        .collect();
    if left > 0 {
        lines.push(format!("{word}: and {left} more, in the report"));
    }
    lines
}
