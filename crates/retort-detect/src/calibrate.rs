//! From scores to what may be said: p-values against controls, adjustment, likelihood ratios within
//! what the controls support, and how often all that is wrong.

mod logistic;
mod rates;
mod sample;

use std::collections::BTreeSet;

pub use logistic::{Logistic, SCORE_MAX, Scored, leave_groups_out};
pub use rates::{auc, cllr, cllr_min, equal_error_rate, true_positive_rate};
pub(crate) use sample::{Asked, Calibrated, Sample, Seen};

/// Largest log10 likelihood ratio that is ever said, whatever the number of controls.
pub const LOG10_LR_MAX: f64 = 3.0;

/// How many controls the pooled spread counts for beside a candidate's own.
///
/// A handful of controls estimate a spread badly, and a spread that is too small by chance
/// turns an ordinary pair into an outlier. (Shrinking variances to a common one: Smyth 2004.)
pub const SPREAD_PRIOR: f64 = 20.0;

/// Scores are differences of sums of numbers near 1: closer than this they differ by rounding only.
const ROUNDING: f64 = 1e-9;

/// Returns (1 + number of controls at least as high) / (controls + 1), the conformal p-value.
///
/// It is uniform when the value and the controls are exchangeable, whatever their distribution;
/// where there are ties it is larger. What differs by rounding only is a tie.
pub fn conformal_p(value: f64, controls: &[f64]) -> f64 {
    let is_as_high = |control: &&f64| **control >= value - ROUNDING;
    let as_high = controls.iter().filter(is_as_high).count();
    (1 + as_high) as f64 / (controls.len() + 1) as f64
}

/// Returns mean and sample standard deviation; nothing with fewer than two values.
pub fn mean_sd(values: &[f64]) -> Option<(f64, f64)> {
    if values.len() < 2 {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((mean, (squares / (n - 1.0)).sqrt()))
}

/// Returns how many spreads a value lies above the controls' mean.
///
/// The spread is their standard deviation, shrunk towards `pooled_sd` with the weight of [`SPREAD_PRIOR`] controls. Nothing with fewer than
/// two controls or without any spread.
pub fn standing(value: f64, controls: &[f64], pooled_sd: f64) -> Option<f64> {
    let (mean, sd) = mean_sd(controls)?;
    let n = controls.len() as f64;
    let prior = if pooled_sd > 0.0 { SPREAD_PRIOR } else { 0.0 };
    let variance = (sd * sd * (n - 1.0) + prior * pooled_sd * pooled_sd) / (n - 1.0 + prior);
    let spread = (variance * (1.0 + 1.0 / n)).sqrt();
    (spread > 1e-12).then(|| (value - mean) / spread)
}

/// Returns the root mean square of the spreads of several sets of controls.
pub fn pooled_sd<'a>(sets: impl Iterator<Item = &'a [f64]>) -> f64 {
    let (mut squares, mut count) = (0.0, 0_u32);
    for set in sets {
        if let Some((_, sd)) = mean_sd(set) {
            squares += sd * sd;
            count += 1;
        }
    }
    (squares / f64::from(count.max(1))).sqrt()
}

/// Returns p-values adjusted by Holm's step-down method: the chance of any false rejection.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let order = ascending(p);
    let mut adjusted = vec![1.0_f64; p.len()];
    let mut highest = 0.0_f64;
    for (rank, at) in order.iter().enumerate() {
        highest = highest.max((p[*at] * (p.len() - rank) as f64).min(1.0));
        adjusted[*at] = highest;
    }
    adjusted
}

/// Returns p-values adjusted by the method of Benjamini and Hochberg: the share of false ones
/// among the rejected.
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let order = ascending(p);
    let mut adjusted = vec![1.0_f64; p.len()];
    let mut lowest = 1.0_f64;
    for (rank, at) in order.iter().enumerate().rev() {
        lowest = lowest.min(p[*at] * p.len() as f64 / (rank + 1) as f64);
        adjusted[*at] = lowest;
    }
    adjusted
}

fn ascending(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]).then(a.cmp(b)));
    order
}

/// Returns the largest log10 likelihood ratio that this many controls support: what none of n
/// controls shows may still happen once in n + 1 times.
///
/// The idea of bounds from the validation set is that of Vergeer et al. (2016); the rule here is
/// simpler and stricter.
pub fn log10_lr_cap(controls: usize) -> f64 {
    ((controls + 1) as f64).log10().min(LOG10_LR_MAX)
}

/// Returns a base-10 logarithm of a likelihood ratio within what controls support: within plus and
/// minus [`log10_lr_cap`], and at most that of 1 / `p`.
///
/// Where a higher score speaks the more for a relation, the ratio of the densities at a score is at
/// most the ratio of the chances of a score as high, so at most one over that chance without a
/// relation, which `p` estimates. When no control stands as high this is the cap again; when some
/// do, a fitted line must not say more than they let.
pub fn within_support(log10_lr: f64, controls: usize, p: f64) -> f64 {
    let cap = log10_lr_cap(controls);
    log10_lr.clamp(-cap, cap).min((1.0 / p).log10().max(0.0))
}

/// Returns the smallest number of controls with which a p-value can reach `level`:
/// 1 / (n + 1) ≤ level.
pub fn controls_needed(level: f64) -> usize {
    let mut needed = 1;
    while !can_reach(needed, level) && needed < 1_000_000 {
        needed += 1;
    }
    needed
}

/// Returns whether the p-value of a score above all of these controls is at most `level`.
pub fn can_reach(controls: usize, level: f64) -> bool {
    1.0 / (controls + 1) as f64 <= level
}

/// Returns controls whose mutual similarity is far above what controls show, as pairs of positions:
/// beyond the upper quartile by three times the quartiles' distance (Tukey's far outliers).
pub fn outlier_pairs(pairs: &[(usize, usize, f64)]) -> Vec<(usize, usize)> {
    let mut values: Vec<f64> = pairs.iter().map(|(_, _, value)| *value).collect();
    values.sort_by(f64::total_cmp);
    if values.len() < 8 {
        return Vec::new();
    }
    let (low, high) = (values[values.len() / 4], values[values.len() * 3 / 4]);
    let fence = high + 3.0 * (high - low);
    let far = pairs.iter().filter(|(_, _, value)| *value > fence);
    far.map(|(i, j, _)| (*i, *j)).collect()
}

/// Returns the members of `controls` that take part in at least `share` of their pairs as outliers:
/// contaminated rather than unlucky.
pub fn contaminated(controls: usize, outliers: &[(usize, usize)], share: f64) -> BTreeSet<usize> {
    let mut counts = vec![0_usize; controls];
    for (i, j) in outliers {
        counts[*i] += 1;
        counts[*j] += 1;
    }
    let most = share * controls.saturating_sub(1) as f64;
    let of = counts.iter().enumerate();
    of.filter(|(_, count)| **count > 0 && **count as f64 >= most)
        .map(|(at, _)| at)
        .collect()
}

#[cfg(test)]
mod tests;
