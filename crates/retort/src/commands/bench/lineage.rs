//! `retort bench lineage`: how often the detectors err, on replies of models of known lineage.

use retort_detect::analysis::Interval;
use retort_detect::bench::{
    BenchError, BenchSettings, FalsePositives, Figure, LineageReport, Tables, run, write_pairs,
};

use crate::cli::BenchLineage;
use crate::commands::working;
use crate::failure::{FAILED, Failure};
use crate::output::{self, Table, line, note};

/// Runs the benchmark.
pub(crate) async fn lineage(args: &BenchLineage) -> Result<u8, Failure> {
    let settings = BenchSettings {
        resamples: usize::try_from(args.resamples).unwrap_or(usize::MAX),
        draws: usize::try_from(args.draws).unwrap_or(usize::MAX),
        seed: args.seed,
    };
    let data = args.data.clone();
    let report = working::run("comparing prompts", move |told| {
        let tables = Tables::read(&data)?;
        Ok::<_, BenchError>(run(&tables, &settings, told))
    })
    .await?
    .map_err(|error| {
        Failure::from(error)
            .hint("--data names a folder with alpaca_eval.parquet, lineage.csv and pairs.csv")
    })?;
    write_pairs(&args.output, &report.pairs)?;
    note(&format!(
        "wrote {} rows to {}",
        report.pairs.len(),
        args.output.display()
    ));
    if args.json {
        output::json(&report)?;
    } else {
        print(&report);
    }
    let is_empty = report.figures.iter().all(|figure| figure.value.is_none());
    Ok(if is_empty { FAILED } else { 0 })
}

fn print(report: &LineageReport) {
    let [models, prompts, pairs, families] = report.sizes;
    line(&format!(
        "{models} models, {prompts} prompts, {pairs} labelled pairs of {families} families of students"
    ));
    for text in &report.notes {
        line(text);
    }
    line("");
    let mut table = Table::new(
        "lllrrrl",
        &[
            "detector", "method", "metric", "value", "low", "high", "goal",
        ],
    );
    for figure in &report.figures {
        table.row(figure_row(figure));
    }
    line(&table.to_string());
    line("\nfalse-positive rate at nominal 5 %, no control of the pair's families:");
    let mut table = Table::new(
        "lrlrlrl",
        &[
            "detector",
            "controls",
            "rule",
            "unrelated",
            "rate",
            "related",
            "power",
        ],
    );
    for rates in &report.false_positives {
        table.row(rates_row(rates));
    }
    line(&table.to_string());
}

fn figure_row(figure: &Figure) -> Vec<String> {
    let number = |of: &dyn Fn(&Interval) -> f64| {
        figure
            .value
            .as_ref()
            .map_or("-".to_owned(), |value| format!("{:.3}", of(value)))
    };
    // Of a cost and an error rate less is better.
    let less = figure.metric.starts_with("Cllr") || figure.metric == "EER";
    let goal = figure.goal.map_or(String::new(), |goal| {
        let is_met = figure.value.is_some_and(|found| {
            if less {
                found.value <= goal
            } else {
                found.value >= goal
            }
        });
        let sign = if less { "<=" } else { ">=" };
        format!("{sign} {goal:.2} {}", if is_met { "yes" } else { "no" })
    });
    vec![
        figure.detector.to_owned(),
        figure.method.to_owned(),
        figure.metric.to_owned(),
        number(&|value| value.value),
        number(&|value| value.low),
        number(&|value| value.high),
        goal,
    ]
}

fn rates_row(rates: &FalsePositives) -> Vec<String> {
    let share = |of: Option<Interval>| match of {
        Some(found) => format!("{:.3} ({:.3}-{:.3})", found.value, found.low, found.high),
        None => "not measured".to_owned(),
    };
    vec![
        rates.detector.to_owned(),
        rates
            .controls
            .map_or("all".to_owned(), |controls| controls.to_string()),
        rates.rule.to_owned(),
        rates.pairs.to_string(),
        share(rates.rate),
        rates.related.to_string(),
        share(rates.power),
    ]
}
