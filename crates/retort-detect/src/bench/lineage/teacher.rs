//! `teacher` on documented students, beside the naive method and guesses without statistics.

use std::collections::BTreeSet;

use retort_fingerprint::{BLOCKS, Centring, Family, Similarities};

use super::super::draws::{Draws, Trial, rates};
use super::super::metrics::{Metric, Point};
use super::super::{FalsePositives, Label, PairRow};
use super::kin::{CONTROLS, LEVEL};
use super::{Bench, Pair, fit, of_pair};
use crate::analysis::Interval;
use crate::calibrate::{Scored, leave_groups_out, log10_lr_cap, standing, within_support};
use crate::scale;
use crate::teacher::{Court, Heard, Rows, closeness};

const NAME: &str = "teacher";
const OURS: &str = "teacher";

/// Months between releases within which a pair is of one era.
const ERA_MONTHS: u32 = 6;

/// Standing that 5 % of a normal distribution exceed.
const NORMAL_5: f64 = 1.645;

fn is_taught(label: Label) -> bool {
    label == Label::Teacher
}

pub(super) fn measure(bench: &mut Bench<'_>) {
    bench
        .pairs
        .retain(|pair| is_taught(pair.label) || pair.label.is_negative());
    let matrix = closeness(bench.fingerprints, &|_| true);
    let court = court(bench, &matrix);
    let rows = court.rows(&matrix);
    let heard: Vec<(Vec<usize>, Option<Heard>)> = bench
        .pairs
        .iter()
        .map(|pair| {
            let controls = court.controls_of(pair.student, pair.candidate);
            let heard = court.hear((&matrix, &rows), (pair.student, pair.candidate), &controls);
            (controls, heard)
        })
        .collect();
    ours(bench, &matrix, &heard);
    ratios(bench, &heard);
    others(bench, &court);
    guesses(bench);
    by_prompts(bench);
    false_positives(bench, &court, (&matrix, &rows), &heard);
}

/// Returns the court of documented students: those that some candidate cannot have taught.
fn court<'a>(bench: &Bench<'a>, matrix: &Similarities) -> Court<'a> {
    let negative = bench.pairs.iter().filter(|pair| pair.label.is_negative());
    let documented: BTreeSet<(usize, usize)> = negative
        .map(|pair| (pair.student, pair.candidate))
        .collect();
    let controls: BTreeSet<usize> = documented.iter().map(|(control, _)| *control).collect();
    let candidates: BTreeSet<usize> = bench.pairs.iter().map(|pair| pair.candidate).collect();
    Court::new(
        (bench.fingerprints.models(), &bench.tables.roles),
        controls.into_iter().collect(),
        candidates.into_iter().collect(),
        Some(documented),
        matrix,
    )
}

/// Returns the points of all pairs with scores in the order of the pairs.
fn points(bench: &Bench<'_>, scores: &[Option<f64>]) -> Vec<Point> {
    let at = std::cell::Cell::new(0);
    let next = |_: &Pair| {
        let place = at.replace(at.get() + 1);
        scores.get(place).copied().flatten()
    };
    bench.points(|_| true, is_taught, next)
}

fn ours(bench: &mut Bench<'_>, matrix: &Similarities, heard: &[(Vec<usize>, Option<Heard>)]) {
    let close = bench.points(|_| true, is_taught, |pair| of_pair(matrix, pair));
    bench.figure((NAME, OURS, "wc"), &close, Metric::Within, Some(0.95));
    let row: Vec<_> = heard
        .iter()
        .map(|(_, heard)| heard.and_then(|heard| heard.row))
        .collect();
    let row = points(bench, &row);
    bench.figure((NAME, OURS, "wc-row"), &row, Metric::Within, Some(0.90));
    let cz: Vec<_> = heard
        .iter()
        .map(|(_, heard)| heard.map(|heard| heard.standing))
        .collect();
    let cz = points(bench, &cz);
    bench.figure((NAME, OURS, "cz pooled"), &cz, Metric::Pooled, Some(0.93));
    for (metric, name, goal) in [
        (Metric::Found(0.05), "TPR at 5 % FPR", Some(0.65)),
        (Metric::Found(0.01), "TPR at 1 % FPR", Some(0.45)),
        (
            Metric::FoundTemporal(0.05),
            "TPR at 5 %, older students only",
            None,
        ),
        (
            Metric::FoundTemporal(0.01),
            "TPR at 1 %, older students only",
            None,
        ),
    ] {
        bench.figure((NAME, OURS, name), &cz, metric, goal);
    }
    let quads = quads(bench, matrix);
    bench.figure((NAME, OURS, "quad"), &quads, Metric::Mean, None);
    let released = |at: usize| {
        bench
            .tables
            .roles
            .facts(&bench.fingerprints.models()[at])
            .released
    };
    let era = |pair: &Pair| {
        let both = released(pair.student).zip(released(pair.candidate));
        both.is_some_and(|(one, other)| one.gap(other) <= ERA_MONTHS)
    };
    let same: Vec<bool> = bench.pairs.iter().map(era).collect();
    let close = bench.points(era, is_taught, |pair| of_pair(matrix, pair));
    let scores = heard.iter().zip(&same);
    let scores: Vec<_> = scores
        .map(|((_, heard), same)| heard.filter(|_| *same).map(|heard| heard.standing))
        .collect();
    let cz = points(bench, &scores);
    bench.figure((NAME, OURS, "wc, same era"), &close, Metric::Within, None);
    bench.figure(
        (NAME, OURS, "cz pooled, same era"),
        &cz,
        Metric::Pooled,
        None,
    );
}

/// Returns for each taught pair the share of differences in differences that are above 0, against
/// every student that the candidate did not teach and every candidate that taught neither.
fn quads(bench: &Bench<'_>, matrix: &Similarities) -> Vec<Point> {
    let negative: BTreeSet<(usize, usize)> = bench
        .pairs
        .iter()
        .filter(|pair| pair.label.is_negative())
        .map(|pair| (pair.student, pair.candidate))
        .collect();
    let share = |pair: &Pair| {
        let (mut above, mut all) = (0.0, 0.0);
        let others: Vec<usize> = negative
            .iter()
            .filter(|(s, _)| *s == pair.student)
            .map(|(_, t)| *t)
            .collect();
        let students = negative
            .iter()
            .filter(|(_, t)| *t == pair.candidate)
            .map(|(s, _)| *s);
        for student in students.filter(|s| bench.families[*s] != bench.families[pair.student]) {
            for other in others
                .iter()
                .filter(|other| negative.contains(&(student, **other)))
            {
                let own =
                    matrix.get(pair.student, pair.candidate)? - matrix.get(pair.student, *other)?;
                let their = matrix.get(student, pair.candidate)? - matrix.get(student, *other)?;
                all += 1.0;
                above += f64::from(u8::from(own > their));
            }
        }
        (all > 0.0).then(|| above / all)
    };
    bench.points(|pair| is_taught(pair.label), is_taught, share)
}

fn ratios(bench: &mut Bench<'_>, heard: &[(Vec<usize>, Option<Heard>)]) {
    let measured: Vec<(Pair, usize, Heard)> = bench
        .pairs
        .iter()
        .zip(heard)
        .filter_map(|(pair, (controls, heard))| Some((*pair, controls.len(), (*heard)?)))
        .collect();
    let scored: Vec<Scored> = measured
        .iter()
        .map(|(pair, _, heard)| Scored {
            score: heard.standing,
            is_related: is_taught(pair.label),
            groups: BTreeSet::from([bench.families[pair.student]]),
        })
        .collect();
    let found = leave_groups_out(&scored);
    let mut points = Vec::new();
    for ((pair, controls, heard), log10_lr) in measured.iter().zip(&found) {
        let (suspect, candidate) = bench.label_pair(pair);
        let p = heard.row_p.map_or(heard.p, |row_p| row_p.max(heard.p));
        let log10_lr = log10_lr.map(|ratio| within_support(ratio, *controls, p));
        if let Some(score) = log10_lr {
            points.push(Point {
                candidate: pair.candidate,
                family: bench.families[pair.student],
                is_related: is_taught(pair.label),
                is_temporal: pair.label == Label::NegativeTemporal,
                score,
            });
        }
        bench.out.pairs.push(PairRow {
            suspect,
            candidate,
            label: pair.label,
            detector: NAME,
            statistic: Some(heard.value),
            effect: Some(heard.standing),
            row: heard.row,
            p: Some(heard.p),
            log10_lr,
            cap: log10_lr_cap(*controls),
            prompts: bench.fingerprints.prompts_of(pair.student, pair.candidate),
            controls: *controls,
        });
    }
    bench.out.fits[1] = fit(&scored);
    for (metric, name, goal) in [
        (Metric::Cllr, "Cllr", Some(0.50)),
        (Metric::CllrMin, "Cllr min", None),
        (Metric::Eer, "EER", None),
    ] {
        bench.figure((NAME, OURS, name), &points, metric, goal);
    }
}

/// Measures methods to compare with: the same matrix without the shrunk spread, and the naive method.
fn others(bench: &mut Bench<'_>, court: &Court<'_>) {
    let texts = closeness(bench.fingerprints, &|_| true);
    let naive = bench
        .fingerprints
        .similarities(Family::Words, Centring::Double, &|_| true);
    let naive = naive.and_then(|words| scale::standardised(&words, bench.fingerprints));
    let methods = [
        ("own spread only", Some(texts)),
        ("naive: centred words", naive),
    ];
    for (method, matrix) in methods {
        let Some(matrix) = matrix else { continue };
        let standings: Vec<Option<f64>> = bench
            .pairs
            .iter()
            .map(|pair| {
                let controls = court.controls_of(pair.student, pair.candidate);
                let others = controls
                    .iter()
                    .filter_map(|c| matrix.get(*c, pair.candidate));
                standing(of_pair(&matrix, pair)?, &others.collect::<Vec<_>>(), 0.0)
            })
            .collect();
        let close = bench.points(|_| true, is_taught, |pair| of_pair(&matrix, pair));
        bench.figure((NAME, method, "wc"), &close, Metric::Within, None);
        let rows = court.rows(&matrix);
        let row = |pair: &Pair| rows.get(court, pair.student, pair.candidate);
        let row = bench.points(|_| true, is_taught, row);
        bench.figure((NAME, method, "wc-row"), &row, Metric::Within, None);
        let cz = points(bench, &standings);
        bench.figure((NAME, method, "cz pooled"), &cz, Metric::Pooled, None);
        bench.figure(
            (NAME, method, "TPR at 5 % FPR"),
            &cz,
            Metric::Found(0.05),
            None,
        );
        bench.figure(
            (NAME, method, "TPR at 1 % FPR"),
            &cz,
            Metric::Found(0.01),
            None,
        );
    }
}

/// A guess and its name.
type Guess<'a> = (&'static str, Box<dyn Fn(&Pair) -> Option<f64> + 'a>);

/// Measures what needs no statistics.
fn guesses(bench: &mut Bench<'_>) {
    let length = |at: usize| bench.fingerprints.log_length(at);
    let facts = |at: usize| bench.tables.roles.facts(&bench.fingerprints.models()[at]);
    let taught: BTreeSet<usize> = bench
        .pairs
        .iter()
        .filter(|p| is_taught(p.label))
        .map(|pair| pair.candidate)
        .collect();
    let vendors: BTreeSet<Option<String>> = taught.iter().map(|at| facts(*at).vendor).collect();
    let all: [Guess<'_>; 4] = [
        (
            "short answers",
            Box::new(|pair| Some(-length(pair.student)?)),
        ),
        (
            "length closeness",
            Box::new(|pair| Some(-(length(pair.student)? - length(pair.candidate)?).abs())),
        ),
        (
            "release date",
            Box::new(|pair| {
                let (one, other) = facts(pair.student)
                    .released
                    .zip(facts(pair.candidate).released)?;
                Some(-f64::from(one.gap(other)))
            }),
        ),
        (
            "always the usual vendor",
            Box::new(|pair| {
                Some(f64::from(u8::from(
                    vendors.contains(&facts(pair.candidate).vendor),
                )))
            }),
        ),
    ];
    let measured: Vec<(&'static str, Vec<Point>)> = all
        .iter()
        .map(|(name, guess)| (*name, bench.points(|_| true, is_taught, guess)))
        .collect();
    for (name, points) in measured {
        bench.figure((NAME, name, "wc"), &points, Metric::Within, None);
        bench.figure((NAME, name, "pooled"), &points, Metric::Pooled, None);
    }
}

/// Measures how the within-candidate area grows with prompts.
fn by_prompts(bench: &mut Bench<'_>) {
    for (share, name) in [
        (1, "wc, 1/16 of the prompts"),
        (2, "wc, 1/8 of the prompts"),
        (4, "wc, 1/4 of the prompts"),
        (8, "wc, 1/2 of the prompts"),
    ] {
        let step = BLOCKS / share;
        let matrix = closeness(bench.fingerprints, &|block| block.is_multiple_of(step));
        let points = bench.points(|_| true, is_taught, |pair| of_pair(&matrix, pair));
        bench.figure((NAME, OURS, name), &points, Metric::Within, None);
    }
}

fn false_positives(
    bench: &mut Bench<'_>,
    court: &Court<'_>,
    measured: (&Similarities, &Rows),
    heard: &[(Vec<usize>, Option<Heard>)],
) {
    let trials: Vec<Trial> = bench
        .pairs
        .iter()
        .zip(heard)
        .map(|(pair, (controls, _))| Trial {
            pair: (pair.student, pair.candidate),
            is_related: is_taught(pair.label),
            controls: controls.clone(),
        })
        .collect();
    for controls in CONTROLS {
        let draws = Draws {
            detector: NAME,
            rule: "conformal p <= 5 %",
            controls,
            count: bench.settings.draws,
            models: bench.fingerprints.models().len(),
            seed: bench.settings.seed,
        };
        let flag = |pair: (usize, usize), controls: &[usize]| {
            court
                .hear(measured, pair, controls)
                .is_some_and(|heard| heard.p <= LEVEL)
        };
        bench.out.false_positives.push(rates(draws, &trials, &flag));
        let draws = Draws {
            rule: "and p of the specificity <= 5 %",
            ..draws
        };
        let both = |pair: (usize, usize), controls: &[usize]| {
            let heard = court.hear(measured, pair, controls);
            let specific = |heard: &Heard| heard.row_p.is_some_and(|p| p <= LEVEL);
            heard.is_some_and(|heard| heard.p <= LEVEL && specific(&heard))
        };
        bench.out.false_positives.push(rates(draws, &trials, &both));
    }
    // Candidates with known students have too few clean controls for an exact test at this level;
    // the standing against all of them stands in for it.
    let flagged = |is_related: bool| -> Vec<Point> {
        let scores: Vec<_> = heard
            .iter()
            .map(|(_, heard)| heard.map(|h| f64::from(u8::from(h.standing > NORMAL_5))))
            .collect();
        let mut points = points(bench, &scores);
        points.retain(|point| point.is_related == is_related);
        for point in &mut points {
            point.is_related = true;
        }
        points
    };
    let resampling = (bench.settings.resamples, bench.settings.seed);
    let rate = |points: &[Point]| -> Option<Interval> {
        super::super::metrics::with_interval(points, Metric::Mean, resampling)
    };
    let (unrelated, related) = (flagged(false), flagged(true));
    let added = FalsePositives {
        detector: NAME,
        controls: None,
        rule: "standing above 1.645",
        pairs: unrelated.len(),
        rate: rate(&unrelated),
        related: related.len(),
        power: rate(&related),
    };
    bench.out.false_positives.push(added);
}
