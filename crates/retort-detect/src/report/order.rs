//! In which order models stand in a heat map: like beside like.

/// Returns an order of `count` things in which similar ones are neighbours: the leaves of average
/// linkage clustering. What is absent counts as the least similar; ties go to the lower number.
pub(super) fn similar_first(
    count: usize,
    similarity: impl Fn(usize, usize) -> Option<f64>,
) -> Vec<usize> {
    let mut table = vec![f64::NEG_INFINITY; count * count];
    let mut least = f64::INFINITY;
    for row in 0..count {
        for column in 0..count {
            if let Some(value) = similarity(row, column).filter(|v| row != column && v.is_finite())
            {
                table[row * count + column] = value;
                least = least.min(value);
            }
        }
    }
    for value in &mut table {
        if !value.is_finite() {
            *value = if least.is_finite() { least } else { 0.0 };
        }
    }
    let mut clusters: Vec<Vec<usize>> = (0..count).map(|one| vec![one]).collect();
    let mut alive: Vec<usize> = (0..count).collect();
    while alive.len() > 1 {
        let (one, other) = closest(&alive, &table, count);
        let (a, b) = (clusters[one].len() as f64, clusters[other].len() as f64);
        for &third in &alive {
            let mean = |x: usize, y: usize| (table[x] * a + table[y] * b) / (a + b);
            let row = mean(one * count + third, other * count + third);
            table[one * count + third] = row;
            table[third * count + one] = row;
        }
        let joined = std::mem::take(&mut clusters[other]);
        clusters[one].extend(joined);
        alive.retain(|cluster| *cluster != other);
    }
    alive
        .first()
        .map(|last| std::mem::take(&mut clusters[*last]))
        .unwrap_or_default()
}

/// Returns the two most similar clusters.
fn closest(alive: &[usize], table: &[f64], count: usize) -> (usize, usize) {
    let mut best = (f64::NEG_INFINITY, 0, 0);
    for (at, &one) in alive.iter().enumerate() {
        for &other in alive.iter().skip(at + 1) {
            let value = table[one * count + other].midpoint(table[other * count + one]);
            if value > best.0 {
                best = (value, one, other);
            }
        }
    }
    if best.0 == f64::NEG_INFINITY {
        return (alive[0], alive[1]);
    }
    (best.1, best.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_stands_beside_like() {
        let group = |n: usize| n % 2;
        let order = similar_first(6, |a, b| Some(if group(a) == group(b) { 0.9 } else { 0.1 }));
        let groups: Vec<usize> = order.iter().map(|n| group(*n)).collect();
        assert_eq!(groups, [0, 0, 0, 1, 1, 1]);
        assert_eq!(similar_first(0, |_, _| None), Vec::<usize>::new());
        assert_eq!(similar_first(3, |_, _| None).len(), 3);
        assert_eq!(similar_first(3, |_, _| Some(f64::NAN)).len(), 3);
    }
}
