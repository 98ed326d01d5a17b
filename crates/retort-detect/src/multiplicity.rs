//! p-values of several questions asked at once.

/// Returns p-values adjusted so that the chance of any false positive stays at the level (Holm
/// 1979), in the order given.
pub(crate) fn holm(p: &[f64]) -> Vec<f64> {
    let mut adjusted = vec![1.0; p.len()];
    let mut most = 0.0_f64;
    for (rank, at) in ascending(p).into_iter().enumerate() {
        most = most.max((p.len() - rank) as f64 * p[at]).min(1.0);
        adjusted[at] = most;
    }
    adjusted
}

/// Returns p-values adjusted so that the expected share of false positives among what is found
/// stays at the level (Benjamini and Hochberg 1995), in the order given.
pub(crate) fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let mut adjusted = vec![1.0; p.len()];
    let mut least = 1.0_f64;
    for (rank, at) in ascending(p).into_iter().enumerate().rev() {
        least = least.min(p.len() as f64 / (rank + 1) as f64 * p[at]);
        adjusted[at] = least;
    }
    adjusted
}

fn ascending(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]).then(a.cmp(b)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjusted_values_are_the_textbooks() {
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        let p = [0.01, 0.04, 0.03, 0.005];
        assert!(
            close(&holm(&p), &[0.03, 0.06, 0.06, 0.02]),
            "{:?}",
            holm(&p)
        );
        assert!(close(&benjamini_hochberg(&p), &[0.02, 0.04, 0.04, 0.02]));
        assert!(close(&holm(&[0.9, 0.8]), &[1.0, 1.0]));
        assert_eq!(holm(&[]), Vec::<f64>::new());
    }
}
