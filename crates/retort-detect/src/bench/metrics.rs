//! Metrics over labelled pairs, and their intervals over families of students.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use crate::analysis::Interval;
use crate::calibrate::{auc, cllr, cllr_min, equal_error_rate, true_positive_rate};
use crate::evidence::{below, percentiles};

/// A pair as a metric sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) candidate: usize,
    /// Family of the student: what is resampled.
    pub(super) family: usize,
    pub(super) is_related: bool,
    /// Whether the pair is unrelated because the student is older.
    pub(super) is_temporal: bool,
    pub(super) score: f64,
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Metric {
    /// Area under the curve over all pairs.
    Pooled,
    /// Mean of the areas within each candidate.
    Within,
    /// Share of related pairs found at this false-positive rate.
    Found(f64),
    /// The same against students that are older than the candidate only.
    FoundTemporal(f64),
    /// Cost of the scores as log10 likelihood ratios.
    Cllr,
    /// After recalibration.
    CllrMin,
    /// Equal error rate.
    Eer,
    /// Mean of the scores of related pairs.
    Mean,
}

/// Returns a metric of these points.
pub(super) fn measure(points: &[Point], metric: Metric) -> Option<f64> {
    let scores = |takes: &dyn Fn(&Point) -> bool| -> Vec<f64> {
        points
            .iter()
            .filter(|point| takes(point))
            .map(|point| point.score)
            .collect()
    };
    let related = scores(&|point| point.is_related);
    let unrelated = scores(&|point| !point.is_related);
    match metric {
        Metric::Pooled => auc(&related, &unrelated),
        Metric::Within => within(points),
        Metric::Found(rate) => true_positive_rate(&related, &unrelated, rate),
        Metric::FoundTemporal(rate) => {
            true_positive_rate(&related, &scores(&|p| !p.is_related && p.is_temporal), rate)
        }
        Metric::Cllr => cllr(&related, &unrelated),
        Metric::CllrMin => cllr_min(&related, &unrelated),
        Metric::Eer => equal_error_rate(&related, &unrelated),
        Metric::Mean => {
            let n = related.len() as f64;
            (n > 0.0).then(|| related.iter().sum::<f64>() / n)
        }
    }
}

fn within(points: &[Point]) -> Option<f64> {
    let mut candidates: BTreeMap<usize, [Vec<f64>; 2]> = BTreeMap::new();
    for point in points {
        let of = candidates.entry(point.candidate).or_default();
        of[usize::from(point.is_related)].push(point.score);
    }
    let areas: Vec<f64> = candidates
        .values()
        .filter_map(|[unrelated, related]| auc(related, unrelated))
        .collect();
    let n = areas.len() as f64;
    (n > 0.0).then(|| areas.iter().sum::<f64>() / n)
}

/// Returns a metric with its interval over resampled families of students.
pub(super) fn with_interval(
    points: &[Point],
    metric: Metric,
    (resamples, seed): (usize, u64),
) -> Option<Interval> {
    let value = measure(points, metric)?;
    let mut families: BTreeMap<usize, Vec<Point>> = BTreeMap::new();
    for point in points {
        families.entry(point.family).or_default().push(*point);
    }
    let families: Vec<Vec<Point>> = families.into_values().collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut found: Vec<f64> = (0..resamples)
        .filter_map(|_| {
            let drawn =
                (0..families.len()).flat_map(|_| &families[below(&mut random, families.len())]);
            measure(&drawn.copied().collect::<Vec<_>>(), metric)
        })
        .collect();
    if found.is_empty() {
        return Some(Interval {
            value,
            low: value,
            high: value,
        });
    }
    let (low, high) = percentiles(&mut found);
    Some(Interval { value, low, high })
}
