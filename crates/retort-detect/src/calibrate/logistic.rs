//! Likelihood ratios from one score, by logistic regression that weighs both classes alike.

use std::collections::{BTreeMap, BTreeSet};

/// Newton steps; the fit is concave and converges in a few.
const STEPS: usize = 50;

/// Weight of the prior on the slope, in units of the score's spread: keeps a score that separates
/// perfectly from claiming infinite evidence.
const RIDGE: f64 = 1.0;

/// Score beyond which more says no more: so far from all controls nothing tells 6 spreads from 20, and
/// a line drawn through such distances would be flat where the classes meet.
pub const SCORE_MAX: f64 = 6.0;

/// A score of a pair of known relation.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The score; higher speaks for a relation.
    pub score: f64,
    /// Whether the pair is related.
    pub is_related: bool,
    /// Families the pair's models belong to.
    pub groups: BTreeSet<usize>,
}

impl Scored {
    /// Returns the score as it counts.
    fn seen(&self) -> f64 {
        self.score.min(SCORE_MAX)
    }
}

/// Natural logarithm of the likelihood ratio as a line: intercept + slope × score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Logistic {
    /// At score 0.
    pub intercept: f64,
    /// Per unit of the score; never negative.
    pub slope: f64,
}

impl Logistic {
    /// Fits scores of both classes; nothing when a class has fewer than two.
    pub fn fit(scored: &[&Scored]) -> Option<Self> {
        let related = scored.iter().filter(|scored| scored.is_related).count();
        let unrelated = scored.len() - related;
        if related < 2 || unrelated < 2 {
            return None;
        }
        let each = related.min(unrelated) as f64;
        let weight = |scored: &Scored| {
            each / if scored.is_related {
                related as f64
            } else {
                unrelated as f64
            }
        };
        let mean = scored.iter().map(|s| weight(s) * s.seen()).sum::<f64>() / (2.0 * each);
        let square = |s: &&Scored| weight(s) * (s.seen() - mean).powi(2);
        let sd = (scored.iter().map(square).sum::<f64>() / (2.0 * each)).sqrt();
        if sd < 1e-12 {
            return Some(Self {
                intercept: 0.0,
                slope: 0.0,
            });
        }
        let standardised: Vec<(f64, f64, f64)> = scored
            .iter()
            .map(|one| {
                (
                    (one.seen() - mean) / sd,
                    f64::from(u8::from(one.is_related)),
                    weight(one),
                )
            })
            .collect();
        let (at_mean, per_sd) = newton(&standardised);
        let slope = (per_sd / sd).max(0.0);
        Some(Self {
            intercept: at_mean - slope * mean,
            slope,
        })
    }

    /// Returns log10 of the likelihood ratio, whatever the controls support.
    pub fn log10_lr(self, score: f64) -> f64 {
        (self.intercept + self.slope * score.min(SCORE_MAX)) / std::f64::consts::LN_10
    }
}

/// Returns intercept and slope for scores, classes (0 or 1) and weights.
fn newton(points: &[(f64, f64, f64)]) -> (f64, f64) {
    let (mut intercept, mut slope) = (0.0_f64, 0.0_f64);
    for _ in 0..STEPS {
        let mut gradient = [0.0, -RIDGE * slope];
        let mut curvature = [1e-9, 0.0, RIDGE];
        for (score, class, weight) in points {
            let chance = 1.0 / (1.0 + (-(intercept + slope * score)).exp());
            gradient[0] += weight * (class - chance);
            gradient[1] += weight * (class - chance) * score;
            let bend = weight * chance * (1.0 - chance);
            curvature[0] += bend;
            curvature[1] += bend * score;
            curvature[2] += bend * score * score;
        }
        let determinant = curvature[0] * curvature[2] - curvature[1] * curvature[1];
        let steps = [
            (curvature[2] * gradient[0] - curvature[1] * gradient[1]) / determinant,
            (curvature[0] * gradient[1] - curvature[1] * gradient[0]) / determinant,
        ];
        // A step is bounded, so that a start far off cannot overshoot.
        intercept += steps[0].clamp(-2.0, 2.0);
        slope += steps[1].clamp(-2.0, 2.0);
        if steps[0].abs() + steps[1].abs() < 1e-9 {
            break;
        }
    }
    (intercept, slope)
}

/// Returns for every score the log10 likelihood ratio by a fit on the scores that share none of its
/// groups; absent where too few remain.
pub fn leave_groups_out(scored: &[Scored]) -> Vec<Option<f64>> {
    let mut fits: BTreeMap<&BTreeSet<usize>, Option<Logistic>> = BTreeMap::new();
    let all = scored.iter();
    all.map(|one| {
        let fit = fits
            .entry(&one.groups)
            .or_insert_with(|| Logistic::fit(&sharing_none(scored, &one.groups)));
        fit.map(|fit| fit.log10_lr(one.score))
    })
    .collect()
}

/// Returns the scores that share none of these groups.
pub(super) fn sharing_none<'a>(scored: &'a [Scored], groups: &BTreeSet<usize>) -> Vec<&'a Scored> {
    let others = scored.iter();
    others
        .filter(|other| other.groups.is_disjoint(groups))
        .collect()
}
