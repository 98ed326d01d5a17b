//! `kin` on pairs of parent and child and of one model under two names, against unrelated pairs.

use std::collections::BTreeSet;

use retort_fingerprint::{Centring, Family, Similarities};

use super::super::draws::{Draws, Trial, rates};
use super::super::metrics::{Metric, Point};
use super::super::{Label, PairRow};
use super::{Bench, Pair, fit, of_pair};
use crate::calibrate::{Scored, leave_groups_out, log10_lr_cap, within_support};
use crate::kin::{Compared, Ground, similarity};

const NAME: &str = "kin";
const OURS: &str = "kin";

/// Nominal level of the false-positive rates.
pub(super) const LEVEL: f64 = 0.05;

/// Controls per draw.
pub(super) const CONTROLS: [usize; 2] = [20, 50];

const fn is_kin(label: Label) -> bool {
    matches!(label, Label::Parent | Label::SameModel)
}

pub(super) fn measure(bench: &mut Bench<'_>) {
    let matrix = similarity(bench.fingerprints, &|_| true);
    let all: Vec<usize> = (0..bench.fingerprints.models().len())
        .filter(|model| bench.fingerprints.is_in_pool(*model))
        .collect();
    let names = bench.fingerprints.models();
    let ground = Ground::new(names, &bench.tables.roles, &all, &matrix);
    let pairs: Vec<Pair> = bench
        .pairs
        .iter()
        .filter(|pair| is_kin(pair.label) || pair.label.is_negative())
        .copied()
        .collect();
    areas(bench, &matrix);
    let trials: Vec<Trial> = pairs
        .iter()
        .map(|pair| Trial {
            pair: (pair.student, pair.candidate),
            is_related: is_kin(pair.label),
            controls: ground.controls_of(pair.student, pair.candidate),
        })
        .collect();
    let compared: Vec<Option<Compared>> = trials
        .iter()
        .map(|trial| ground.compare(&matrix, trial.pair, &trial.controls))
        .collect();
    ratios(bench, &pairs, &trials, &compared);
    for controls in CONTROLS {
        let draws = Draws {
            detector: NAME,
            rule: "conformal p <= 5 % in both directions",
            controls,
            count: bench.settings.draws,
            models: bench.fingerprints.models().len(),
            seed: bench.settings.seed,
        };
        let flag = |pair: (usize, usize), controls: &[usize]| {
            ground
                .compare(&matrix, pair, controls)
                .is_some_and(|found| found.p <= LEVEL)
        };
        bench.out.false_positives.push(rates(draws, &trials, &flag));
    }
}

/// Measures areas under the curve, beside those of guesses.
fn areas(bench: &mut Bench<'_>, matrix: &Similarities) {
    for (label, metric) in [
        (Label::Parent, "parent AUC"),
        (Label::SameModel, "same model AUC"),
    ] {
        let takes = |pair: &Pair| pair.label == label || pair.label.is_negative();
        let points = bench.points(takes, is_kin, |pair| of_pair(matrix, pair));
        bench.figure((NAME, OURS, metric), &points, Metric::Pooled, Some(0.98));
        let words = bench
            .fingerprints
            .similarities(Family::Words, Centring::Raw, &|_| true);
        if let Some(words) = words {
            let points = bench.points(takes, is_kin, |pair| of_pair(&words, pair));
            bench.figure(
                (NAME, "raw word cosine", metric),
                &points,
                Metric::Pooled,
                None,
            );
        }
        let length = |pair: &Pair| {
            let of = |at: usize| bench.fingerprints.log_length(at);
            Some(-(of(pair.student)? - of(pair.candidate)?).abs())
        };
        let points = bench.points(takes, is_kin, length);
        bench.figure(
            (NAME, "length closeness", metric),
            &points,
            Metric::Pooled,
            None,
        );
    }
}

fn ratios(bench: &mut Bench<'_>, pairs: &[Pair], trials: &[Trial], all: &[Option<Compared>]) {
    let measured = pairs.iter().zip(trials).zip(all);
    let measured: Vec<(&Pair, &Trial, &Compared)> = measured
        .filter_map(|((pair, trial), compared)| Some((pair, trial, compared.as_ref()?)))
        .collect();
    let scored: Vec<Scored> = measured
        .iter()
        .map(|(pair, trial, compared)| Scored {
            score: compared.standing,
            is_related: trial.is_related,
            groups: BTreeSet::from([bench.families[pair.student], bench.families[pair.candidate]]),
        })
        .collect();
    let found = leave_groups_out(&scored);
    let mut points = Vec::new();
    for ((pair, trial, compared), log10_lr) in measured.iter().zip(&found) {
        let (suspect, candidate) = bench.label_pair(pair);
        let controls = trial.controls.len();
        let log10_lr = log10_lr.map(|ratio| within_support(ratio, controls, compared.p));
        if let Some(score) = log10_lr {
            points.push(Point {
                candidate: pair.candidate,
                family: bench.families[pair.student],
                is_related: trial.is_related,
                is_temporal: pair.label == Label::NegativeTemporal,
                score,
            });
        }
        bench.out.pairs.push(PairRow {
            suspect,
            candidate,
            label: pair.label,
            detector: NAME,
            statistic: Some(compared.value),
            effect: Some(compared.standing),
            row: None,
            p: Some(compared.p),
            log10_lr,
            cap: log10_lr_cap(controls),
            prompts: bench.fingerprints.prompts_of(pair.student, pair.candidate),
            controls,
        });
    }
    bench.out.fits[0] = fit(&scored);
    for (metric, name) in [
        (Metric::Cllr, "Cllr"),
        (Metric::CllrMin, "Cllr min"),
        (Metric::Eer, "EER"),
        (Metric::Found(0.01), "TPR at 1 % FPR"),
    ] {
        bench.figure((NAME, OURS, name), &points, metric, None);
    }
}
