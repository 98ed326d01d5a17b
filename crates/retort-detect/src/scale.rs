//! Similarities of several families on one scale.

use retort_fingerprint::{Fingerprints, Similarities};

use crate::calibrate::mean_sd;

/// Returns the matrix in standard deviations of the pool's pairs from their mean; nothing when all
/// pairs are alike.
pub(crate) fn standardised(
    matrix: &Similarities,
    fingerprints: &Fingerprints,
) -> Option<Similarities> {
    let (mean, sd) = mean_sd(&matrix.values(|model| fingerprints.is_in_pool(model)))?;
    if sd < 1e-9 {
        return None;
    }
    Some(map(matrix, |value| (value - mean) / sd))
}

fn map(matrix: &Similarities, change: impl Fn(f64) -> f64) -> Similarities {
    let mut changed = Similarities::absent(matrix.models());
    for i in 0..matrix.models() {
        for j in i + 1..matrix.models() {
            if let Some(value) = matrix.get(i, j) {
                changed.set(i, j, change(value));
            }
        }
    }
    changed
}

/// Returns the weighted mean of the matrices, pair by pair over those that have the pair.
pub(crate) fn mean(matrices: &[(f64, Similarities)], models: usize) -> Similarities {
    let mut fused = Similarities::absent(models);
    for i in 0..models {
        for j in i + 1..models {
            let known = matrices
                .iter()
                .filter_map(|(weight, m)| Some((*weight, m.get(i, j)?)));
            let (sum, weights) = known.fold((0.0, 0.0), |(sum, weights), (weight, value)| {
                (sum + weight * value, weights + weight)
            });
            if weights > 0.0 {
                fused.set(i, j, sum / weights);
            }
        }
    }
    fused
}
