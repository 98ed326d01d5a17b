//! Known answers, and what must be uniform is.

use std::collections::BTreeSet;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
}

#[test]
fn adjusted_p_values_are_those_of_the_books() {
    let p = [0.01, 0.04, 0.03, 0.005];
    for (found, expected) in holm(&p).iter().zip([0.03, 0.06, 0.06, 0.02]) {
        close(*found, expected);
    }
    for (found, expected) in benjamini_hochberg(&p).iter().zip([0.02, 0.04, 0.04, 0.02]) {
        close(*found, expected);
    }
    assert!(holm(&[]).is_empty() && benjamini_hochberg(&[]).is_empty());
}

#[test]
fn conformal_p_values_are_uniform_without_an_effect() {
    // Kolmogorov and Smirnov at 0.1 % for 2,000 draws: 1.95 / sqrt(2000); the grid of 100 steps adds
    // at most 0.01.
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut found: Vec<f64> = (0..2_000)
        .map(|_| {
            let controls: Vec<f64> = (0..99).map(|_| random.random::<f64>()).collect();
            conformal_p(random.random::<f64>(), &controls)
        })
        .collect();
    found.sort_by(f64::total_cmp);
    let n = found.len() as f64;
    let distance = found
        .iter()
        .enumerate()
        .map(|(at, p)| (p - (at + 1) as f64 / n).abs());
    let distance = distance.fold(0.0, f64::max);
    assert!(distance < 1.95 / n.sqrt() + 0.01, "{distance}");
}

#[test]
fn rates_have_known_values() {
    close(auc(&[1.0, 2.0], &[0.0, 1.0]).unwrap(), 0.875);
    close(cllr(&[0.0], &[0.0]).unwrap(), 1.0);
    assert!(cllr(&[3.0], &[-3.0]).unwrap() < 0.002);
    assert!(cllr(&[-400.0], &[400.0]).unwrap().is_finite());
    close(cllr_min(&[1.0, 2.0], &[-1.0, 0.0]).unwrap(), 0.0);
    close(cllr_min(&[1.0, 1.0], &[1.0, 1.0]).unwrap(), 1.0);
    close(equal_error_rate(&[1.0, 2.0], &[-1.0, 0.0]).unwrap(), 0.0);
    close(equal_error_rate(&[0.0, 2.0], &[1.0, -1.0]).unwrap(), 0.5);
    close(
        true_positive_rate(&[1.0, 3.0], &[0.0, 2.0], 0.05).unwrap(),
        0.5,
    );
    assert_eq!(auc(&[], &[1.0]), None);
}

#[test]
fn a_standing_is_not_blown_up_by_a_chance_spread() {
    let narrow = [0.0, 0.001, -0.001];
    assert!(standing(0.5, &narrow, 0.5).unwrap() < 2.0);
    assert!(standing(0.5, &narrow, 0.0).unwrap() > 100.0);
    assert_eq!(standing(1.0, &[0.0], 1.0), None);
    assert_eq!(standing(1.0, &[0.0, 0.0], 0.0), None);
}

#[test]
fn likelihood_ratios_recover_two_normal_classes() {
    // N(2, 1) against N(0, 1): the natural logarithm of the ratio is 2 x - 2.
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut normal = || (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
    let scored: Vec<Scored> = (0..4_000)
        .map(|at| {
            let is_related = at % 4 == 0;
            let score = normal() + if is_related { 2.0 } else { 0.0 };
            Scored {
                score,
                is_related,
                groups: BTreeSet::from([at % 10]),
            }
        })
        .collect();
    let fit = Logistic::fit(&scored.iter().collect::<Vec<_>>()).unwrap();
    assert!(
        (fit.slope - 2.0).abs() < 0.2 && (fit.intercept + 2.0).abs() < 0.25,
        "{fit:?}"
    );
    let found = leave_groups_out(&scored);
    assert_eq!(found.iter().flatten().count(), scored.len());
    assert_eq!(Logistic::fit(&[]), None);
}

#[test]
fn a_ratio_never_exceeds_what_controls_support() {
    // None of 99 stands as high: within 1 / 100 and 100.
    close(within_support(5.0, 99, 0.01), 2.0);
    close(within_support(-5.0, 99, 0.01), -2.0);
    close(within_support(0.4, 99, 0.01), 0.4);
    // A quarter stands as high: at most 4, at least 1 / 100.
    close(within_support(5.0, 99, 0.25), 4.0_f64.log10());
    close(within_support(-5.0, 99, 0.25), -2.0);
    close(within_support(5.0, 99, 1.0), 0.0);
    close(within_support(5.0, 1_000_000, 1e-6), LOG10_LR_MAX);
    assert_eq!(
        within_support(5.0, 99, 1.0).to_bits(),
        0.0_f64.to_bits(),
        "no minus zero"
    );
}

#[test]
fn what_differs_by_rounding_is_a_tie() {
    let controls = vec![0.1 + 0.2; 19];
    close(conformal_p(0.3, &controls), 1.0);
    close(conformal_p(0.1 + 0.2 + 1e-15, &controls), 1.0);
    close(conformal_p(0.31, &controls), 0.05);
    assert!(can_reach(19, 0.05) && !can_reach(18, 0.05) && can_reach(99, 0.01));
    assert_eq!([0.05, 0.01, 0.1].map(controls_needed), [19, 99, 9]);
}

#[test]
fn contaminated_controls_are_found() {
    let mut pairs = Vec::new();
    for i in 0..12 {
        for j in i + 1..12 {
            let value = if i == 3 {
                9.0
            } else {
                f64::from(u8::try_from((i * 7 + j) % 5).unwrap()) / 10.0
            };
            pairs.push((i, j, value));
        }
    }
    let outliers = outlier_pairs(&pairs);
    assert_eq!(outliers.len(), 8, "{outliers:?}");
    assert_eq!(contaminated(12, &outliers, 0.5), BTreeSet::from([3]));
}
