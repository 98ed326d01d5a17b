//! What both detectors of habits do with scores: intervals, adjustment, findings.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use std::collections::BTreeMap;

use crate::analysis::{Detector, Finding, Interval, Statement};
use crate::calibrate::{
    Asked, Calibrated, SPREAD_PRIOR, benjamini_hochberg, can_reach, controls_needed, holm,
    log10_lr_cap,
};
use crate::wording;

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

/// Returns the mean of shares of pairs, each between 0 and 1, with an interval over resampled
/// families: a pair counts as often as both of its families were drawn. `values` name the families
/// of both models, or one family twice.
///
/// Where all shares are 0, or all are 1, resampling shows no spread; the interval then reaches to
/// what as many independent families would hide in one of forty cases.
pub(crate) fn mean_over_families(values: &[([usize; 2], f64)], seed: u64) -> Option<Interval> {
    let mut families: Vec<usize> = values.iter().flat_map(|(pair, _)| *pair).collect();
    families.sort_unstable();
    families.dedup();
    let place = |family: &usize| families.binary_search(family).unwrap_or_default();
    let placed: Vec<([usize; 2], f64)> = values
        .iter()
        .map(|(pair, value)| (pair.each_ref().map(place), *value))
        .collect();
    let mean = |drawn: &[f64]| {
        let weight = |[one, other]: [usize; 2]| {
            if one == other {
                drawn[one]
            } else {
                drawn[one] * drawn[other]
            }
        };
        let (sum, weights) = placed.iter().fold((0.0, 0.0), |(sum, all), (pair, value)| {
            let weight = weight(*pair);
            (sum + weight * value, all + weight)
        });
        (weights > 0.0).then(|| sum / weights)
    };
    let value = mean(&vec![1.0; families.len()])?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut found: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let mut drawn = vec![0.0; families.len()];
            for _ in 0..families.len() {
                drawn[below(&mut random, families.len())] += 1.0;
            }
            mean(&drawn)
        })
        .collect();
    let (mut low, mut high) = percentiles(&mut found);
    let hidden = 1.0 - 0.025_f64.powf(1.0 / families.len() as f64);
    if value <= 0.0 {
        high = high.max(hidden);
    } else if value >= 1.0 {
        low = low.min(1.0 - hidden);
    }
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

/// Gives statements their likelihood ratios, and what to know of them. `asked` has what was compared,
/// in the order of the statements.
pub(crate) fn weigh(
    statements: &mut [Statement],
    asked: &[Option<Asked>],
    calibrated: &mut Calibrated,
) {
    let compared: Vec<Asked> = asked.iter().copied().flatten().collect();
    let ratios = calibrated.log10_lrs(&compared);
    let weighed = statements.iter_mut().zip(asked);
    let weighed = weighed.filter(|(_, asked)| asked.is_some());
    for ((statement, _), (ratio, note)) in weighed.zip(ratios) {
        statement.log10_lr = Some(ratio);
        statement.log10_lr_cap = Some(log10_lr_cap(statement.controls.len()));
        statement.notes.extend(note.map(str::to_owned));
    }
}

/// Returns what to say of controls that share no prompt with a model of the pair.
pub(crate) fn not_compared(count: usize) -> Option<String> {
    (count > 0).then(|| {
        format!("{count} more controls do not count: they answered no prompt of one of the models")
    })
}

/// Controls that are named in a note.
const NAMED: usize = 8;

/// Returns which controls are as close to `of` as `model` is: a reader may know them for relatives.
/// Nothing where none is, or more than are worth a name.
pub(crate) fn as_close_as<'a>(
    model: &str,
    of: &str,
    controls: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let names: Vec<&str> = controls.take(NAMED + 1).collect();
    let is_few = (1..=NAMED).contains(&names.len());
    is_few.then(|| format!("as close to {of} as {model} is: {}", names.join(", ")))
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
    if !can_reach(controls, alpha) {
        return Finding::ControlSetInsufficient(format!(
            "{controls} control models; with fewer than {} no p-value reaches {}",
            controls_needed(alpha),
            wording::percent(alpha)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(p: f64, controls: usize) -> Statement {
        let pair = ("s".to_owned(), "t".to_owned());
        Statement {
            p: Some(p),
            p_adjusted: Some(p),
            prompts: 64,
            controls: (0..controls).map(|n| format!("c{n}")).collect(),
            ..unmeasured(Detector::Kin, &pair, Finding::NotSupported)
        }
    }

    #[test]
    fn what_so_many_controls_cannot_support_they_cannot_deny() {
        let closest = |controls: usize, alpha: f64| {
            finding(&measured(1.0 / (controls + 1) as f64, controls), alpha)
        };
        assert_eq!(closest(19, 0.05), Finding::Supported);
        assert_eq!(closest(9, 0.1), Finding::Supported);
        assert_eq!(closest(99, 0.01), Finding::Supported);
        for (controls, alpha) in [(18, 0.05), (50, 0.01), (98, 0.01), (8, 0.1)] {
            assert!(
                matches!(closest(controls, alpha), Finding::ControlSetInsufficient(_)),
                "{controls} controls at {alpha}"
            );
        }
        assert_eq!(finding(&measured(0.5, 50), 0.05), Finding::NotSupported);
    }

    #[test]
    fn rates_of_few_families_are_never_certain() {
        let of = |flags: &[(usize, usize, f64)]| {
            let values: Vec<_> = flags.iter().map(|(a, b, flag)| ([*a, *b], *flag)).collect();
            mean_over_families(&values, 1).unwrap()
        };
        let none: Vec<_> = (0..10)
            .flat_map(|a| (a + 1..10).map(move |b| (a, b, 0.0)))
            .collect();
        let rate = of(&none);
        // Ten families without an event: 1 - 0.025^(1/10).
        assert!(rate.value == 0.0 && rate.low == 0.0, "{rate:?}");
        assert!((rate.high - 0.3085).abs() < 1e-3, "{rate:?}");
        let all: Vec<_> = none.iter().map(|(a, b, _)| (*a, *b, 1.0)).collect();
        let rate = of(&all);
        assert!(
            (rate.low - 0.6915).abs() < 1e-3 && rate.high >= 1.0,
            "{rate:?}"
        );
        // One family is in all that was flagged: it decides the rate, whichever place it has.
        for odd in [0, 9] {
            let flags: Vec<_> = none
                .iter()
                .map(|(a, b, _)| (*a, *b, f64::from(u8::from(*a == odd || *b == odd))))
                .collect();
            let rate = of(&flags);
            assert!((rate.value - 0.2).abs() < 1e-9, "{rate:?}");
            assert!(rate.low == 0.0 && rate.high > 0.35, "{rate:?}");
        }
    }
}
