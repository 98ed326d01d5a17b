//! What both detectors of habits do with scores: intervals, adjustment, findings.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use std::collections::BTreeMap;

use crate::analysis::{Detector, Finding, Interval, Statement};
use crate::calibrate::{CONTROLS_MIN, SPREAD_PRIOR, benjamini_hochberg, holm};

/// Two-sided 95 % of a normal distribution.
const NORMAL_95: f64 = 1.96;

/// Resamples of families behind an interval.
const RESAMPLES: usize = 500;

/// Prompts below which the absence of evidence says nothing.
pub(crate) const PROMPTS_MIN: usize = 16;

/// Returns a statement without a measurement.
pub(crate) fn unmeasured(
    detector: Detector,
    (suspect, candidate): &(String, String),
    finding: Finding,
) -> Statement {
    Statement {
        suspect: suspect.clone(),
        candidate: candidate.clone(),
        detector,
        statistic: None,
        effect: None,
        p: None,
        p_adjusted: None,
        log10_lr: None,
        log10_lr_cap: None,
        finding,
        prompts: 0,
        controls: Vec::new(),
        wording: String::new(),
        notes: Vec::new(),
        exhibits: Vec::new(),
    }
}

/// Returns the interval of a standing: spread over blocks of prompts left out one by one (jackknife)
/// and over which controls there happened to be (delta method), added.
pub(crate) fn standing_interval(value: f64, left_out: &[f64], families: usize) -> Interval {
    let n = left_out.len() as f64;
    let mean = left_out.iter().sum::<f64>() / n.max(1.0);
    let squares: f64 = left_out.iter().map(|other| (other - mean).powi(2)).sum();
    let prompts = if left_out.len() > 1 {
        squares * (n - 1.0) / n
    } else {
        0.0
    };
    let families = families.max(1) as f64;
    let controls = 1.0 / families + value * value / (2.0 * (families + SPREAD_PRIOR));
    let half = NORMAL_95 * (prompts + controls).sqrt();
    Interval {
        value,
        low: value - half,
        high: value + half,
    }
}

/// Returns the mean of values by family, with an interval over resampled families: those of one
/// family are one observation.
pub(crate) fn mean_over_families(values: &[(usize, f64)], seed: u64) -> Option<Interval> {
    let mut families: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for (family, value) in values {
        let (sum, count) = families.entry(*family).or_default();
        *sum += value;
        *count += 1.0;
    }
    let families: Vec<(f64, f64)> = families.into_values().collect();
    if families.is_empty() {
        return None;
    }
    let mean = |of: &mut dyn Iterator<Item = (f64, f64)>| {
        let (sum, count) = of.fold((0.0, 0.0), |(s, c), (sum, count)| (s + sum, c + count));
        sum / count
    };
    let value = mean(&mut families.iter().copied());
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut found: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            mean(&mut (0..families.len()).map(|_| families[below(&mut random, families.len())]))
        })
        .collect();
    let (low, high) = percentiles(&mut found);
    Some(Interval { value, low, high })
}

/// Returns the 2.5th and 97.5th percentile; sorts the values.
pub(crate) fn percentiles(values: &mut [f64]) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    // In fortieths: 1 and 39 of them, to the nearest place.
    let at = |fortieths: usize| {
        values
            .get((last * fortieths + 20) / 40)
            .copied()
            .unwrap_or(0.0)
    };
    (at(1), at(39))
}

/// Returns a number below `limit`, which must not be 0; the bias of one in 2^32 does not matter.
pub(crate) fn below(random: &mut ChaCha8Rng, limit: usize) -> usize {
    let wide = u64::from(random.next_u32()) * limit as u64;
    usize::try_from(wide >> 32).unwrap_or(0)
}

/// Adjusts all p-values: by Holm among a suspect's candidates when the pairs were registered, else by
/// Benjamini and Hochberg over everything asked.
pub(crate) fn adjust(statements: &mut [Statement], is_registered: bool) {
    let mut asked: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, statement) in statements.iter().enumerate() {
        if statement.p.is_some() {
            let key = if is_registered {
                statement.suspect.clone()
            } else {
                String::new()
            };
            asked.entry(key).or_default().push(at);
        }
    }
    for places in asked.values() {
        let p: Vec<f64> = places.iter().filter_map(|at| statements[*at].p).collect();
        let adjusted = if is_registered {
            holm(&p)
        } else {
            benjamini_hochberg(&p)
        };
        for (at, adjusted) in places.iter().zip(adjusted) {
            statements[*at].p_adjusted = Some(adjusted);
        }
    }
}

/// Returns what a measured statement finds, its adjusted p-value being known.
pub(crate) fn finding(statement: &Statement, alpha: f64) -> Finding {
    let controls = statement.controls.len();
    if controls < CONTROLS_MIN {
        return Finding::ControlSetInsufficient(format!(
            "{controls} control models; with fewer than {CONTROLS_MIN} no p-value reaches 5 %"
        ));
    }
    let (Some(p), Some(adjusted)) = (statement.p, statement.p_adjusted) else {
        return Finding::NotMeasured("no p-value".to_owned());
    };
    if statement.prompts < PROMPTS_MIN {
        return Finding::Underpowered(format!(
            "{} prompts; fewer than {PROMPTS_MIN} show no habits",
            statement.prompts
        ));
    }
    if adjusted <= alpha {
        Finding::Supported
    } else if p <= alpha && 1.0 / ((controls + 1) as f64) >= p {
        Finding::ControlSetInsufficient(format!(
            "closer than all {controls} controls, but so few cannot carry this many questions"
        ))
    } else if p <= alpha {
        Finding::Inconclusive(format!(
            "p is {p:.3} alone and {adjusted:.3} among everything asked"
        ))
    } else {
        Finding::NotSupported
    }
}
