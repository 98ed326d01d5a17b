//! The run: fingerprints once, then `kin`, `teacher`, the naive method and trivial guesses.

mod kin;
mod teacher;

use retort_fingerprint::{Fingerprints, Settings, Similarities};

use super::metrics::{Metric, Point, with_interval};
use super::{BenchSettings, Figure, Label, LineageReport, Tables};
use crate::calibrate::{Logistic, Scored};

/// A labelled pair by places in the fingerprints.
#[derive(Debug, Clone, Copy)]
struct Pair {
    student: usize,
    candidate: usize,
    label: Label,
}

/// What both halves of the run use.
struct Bench<'a> {
    tables: &'a Tables,
    settings: &'a BenchSettings,
    fingerprints: &'a Fingerprints,
    families: Vec<usize>,
    pairs: Vec<Pair>,
    out: LineageReport,
}

/// Runs the benchmark; `progress` is told a stage, and prompts done and in all.
///
/// The result does not depend on the number of threads or the order of rows.
pub fn run(
    tables: &Tables,
    settings: &BenchSettings,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> LineageReport {
    let unfit = tables.corpus.unfit();
    let mut outside = tables.roles.outside();
    outside.extend(unfit.iter().map(|unfit| unfit.model.clone()));
    let mut notes: Vec<String> = unfit
        .iter()
        .map(|unfit| format!("{}: {}", unfit.model, unfit.reason))
        .collect();
    notes.push(format!(
        "set no scale: {}",
        outside.iter().cloned().collect::<Vec<_>>().join(", ")
    ));
    let fingerprints = Fingerprints::of(&tables.corpus, &Settings { outside }, progress);
    let families = tables.roles.families(fingerprints.models());
    let pairs = tables.pairs.iter().filter(|pair| pair.confidence != "low");
    let pairs: Vec<Pair> = pairs
        .filter_map(|pair| {
            Some(Pair {
                student: fingerprints.model(&pair.student)?,
                candidate: fingerprints.model(&pair.candidate)?,
                label: pair.label,
            })
        })
        .collect();
    let low = tables.pairs.len() - pairs.len();
    notes.push(format!("{low} pairs of low confidence are left out"));
    let sizes = [
        fingerprints.models().len(),
        fingerprints.prompts(),
        pairs.len(),
        {
            let mut of: Vec<usize> = pairs.iter().map(|pair| families[pair.student]).collect();
            of.sort_unstable();
            of.dedup();
            of.len()
        },
    ];
    let mut bench = Bench {
        tables,
        settings,
        fingerprints: &fingerprints,
        families,
        pairs,
        out: LineageReport {
            sizes,
            figures: Vec::new(),
            false_positives: Vec::new(),
            pairs: Vec::new(),
            fits: [None, None],
            notes,
        },
    };
    kin::measure(&mut bench);
    teacher::measure(&mut bench);
    bench.out
}

impl Bench<'_> {
    /// Returns pairs as points, with the scores that a function returns.
    fn points(
        &self,
        takes: impl Fn(&Pair) -> bool,
        is_related: impl Fn(Label) -> bool,
        score: impl Fn(&Pair) -> Option<f64>,
    ) -> Vec<Point> {
        let all = self.pairs.iter().filter(|pair| takes(pair));
        all.filter_map(|pair| {
            Some(Point {
                candidate: pair.candidate,
                family: self.families[pair.student],
                is_related: is_related(pair.label),
                is_temporal: pair.label == Label::NegativeTemporal,
                score: score(pair)?,
            })
        })
        .collect()
    }

    /// Adds a figure.
    fn figure(
        &mut self,
        (detector, method, name): (&'static str, &'static str, &'static str),
        points: &[Point],
        metric: Metric,
        goal: Option<f64>,
    ) {
        let value = with_interval(
            points,
            metric,
            (self.settings.resamples, self.settings.seed),
        );
        self.out.figures.push(Figure {
            detector,
            method,
            metric: name,
            value,
            goal,
        });
    }

    fn label_pair(&self, pair: &Pair) -> (String, String) {
        let name = |at: usize| self.fingerprints.models()[at].clone();
        (name(pair.student), name(pair.candidate))
    }
}

/// Returns the mean similarity to a pair of places, absent where not measured.
fn of_pair(matrix: &Similarities, pair: &Pair) -> Option<f64> {
    matrix.get(pair.student, pair.candidate)
}

/// Returns intercept and slope of a fit on everything.
fn fit(scored: &[Scored]) -> Option<[f64; 2]> {
    let fit = Logistic::fit(&scored.iter().collect::<Vec<_>>())?;
    Some([fit.intercept, fit.slope])
}
