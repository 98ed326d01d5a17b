//! How well scores and likelihood ratios tell related pairs from unrelated ones.

/// Returns the chance that a related pair scores higher than an unrelated one, ties counting half;
/// nothing when a class is empty.
pub fn auc(related: &[f64], unrelated: &[f64]) -> Option<f64> {
    if related.is_empty() || unrelated.is_empty() {
        return None;
    }
    let mut sorted = unrelated.to_vec();
    sorted.sort_by(f64::total_cmp);
    let wins: f64 = related
        .iter()
        .map(|value| {
            let below = sorted.partition_point(|other| other < value);
            let up_to = sorted.partition_point(|other| other <= value);
            (below + up_to) as f64 / 2.0
        })
        .sum();
    Some(wins / (related.len() * unrelated.len()) as f64)
}

/// Returns the share of related pairs above the score that at most `rate` of the unrelated exceed.
pub fn true_positive_rate(related: &[f64], unrelated: &[f64], rate: f64) -> Option<f64> {
    if related.is_empty() || unrelated.is_empty() {
        return None;
    }
    let mut sorted = unrelated.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let is_allowed = |above: usize| above as f64 <= rate * sorted.len() as f64;
    let allowed = (0..sorted.len())
        .take_while(|above| is_allowed(above + 1))
        .count();
    let threshold = sorted.get(allowed).copied().unwrap_or(f64::NEG_INFINITY);
    let found = related.iter().filter(|value| **value > threshold).count();
    Some(found as f64 / related.len() as f64)
}

/// Returns the cost of log10 likelihood ratios (Brümmer and du Preez 2006): 0 is perfect, 1 says
/// nothing. Nothing when a class is empty.
pub fn cllr(related: &[f64], unrelated: &[f64]) -> Option<f64> {
    if related.is_empty() || unrelated.is_empty() {
        return None;
    }
    // log2(1 + 10^-x) without overflow.
    let cost = |x: f64| {
        let natural = x * std::f64::consts::LN_10;
        let cost = if natural > 0.0 {
            (-natural).exp().ln_1p()
        } else {
            natural.exp().ln_1p() - natural
        };
        cost / std::f64::consts::LN_2
    };
    let mean = |values: &[f64], sign: f64| {
        values.iter().map(|value| cost(sign * value)).sum::<f64>() / values.len() as f64
    };
    Some(f64::midpoint(mean(related, 1.0), mean(unrelated, -1.0)))
}

/// Returns [`cllr`] after the best monotone recalibration (pool adjacent violators): what remains is
/// lack of discrimination, not of calibration.
pub fn cllr_min(related: &[f64], unrelated: &[f64]) -> Option<f64> {
    if related.is_empty() || unrelated.is_empty() {
        return None;
    }
    let (n, m) = (related.len() as f64, unrelated.len() as f64);
    let mut cost = 0.0;
    for block in pool_adjacent_violators(related, unrelated) {
        let ratio = (block.related / n) / (block.unrelated / m);
        if block.related > 0.0 {
            cost += block.related / n * (1.0 / ratio).ln_1p();
        }
        if block.unrelated > 0.0 {
            cost += block.unrelated / m * ratio.ln_1p();
        }
    }
    Some(cost / (2.0 * std::f64::consts::LN_2))
}

/// Scores that share one recalibrated value: how many of each class.
#[derive(Debug, Clone, Copy)]
struct Block {
    related: f64,
    unrelated: f64,
}

impl Block {
    fn share(self) -> f64 {
        self.related / (self.related + self.unrelated)
    }
}

/// Returns blocks of rising shares of related pairs.
fn pool_adjacent_violators(related: &[f64], unrelated: &[f64]) -> Vec<Block> {
    let mut all: Vec<(f64, bool)> = related.iter().map(|value| (*value, true)).collect();
    all.extend(unrelated.iter().map(|value| (*value, false)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut blocks: Vec<Block> = Vec::new();
    for same in all.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let hits = same.iter().filter(|(_, is_related)| *is_related).count() as f64;
        let mut block = Block {
            related: hits,
            unrelated: same.len() as f64 - hits,
        };
        while let Some(last) = blocks.last().copied() {
            if last.share() < block.share() {
                break;
            }
            blocks.pop();
            block.related += last.related;
            block.unrelated += last.unrelated;
        }
        blocks.push(block);
    }
    blocks
}

/// Returns the rate at which misses and false alarms are equally frequent, by linear interpolation.
pub fn equal_error_rate(related: &[f64], unrelated: &[f64]) -> Option<f64> {
    if related.is_empty() || unrelated.is_empty() {
        return None;
    }
    let mut thresholds: Vec<f64> = related.iter().chain(unrelated).copied().collect();
    thresholds.sort_by(f64::total_cmp);
    thresholds.dedup();
    let sorted = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted
    };
    let (related, unrelated) = (sorted(related), sorted(unrelated));
    let up_to = |sorted: &[f64], threshold: f64| {
        sorted.partition_point(|value| *value <= threshold) as f64 / sorted.len() as f64
    };
    let (mut miss_before, mut alarm_before) = (0.0, 1.0);
    for threshold in thresholds {
        let miss = up_to(&related, threshold);
        let alarm = 1.0 - up_to(&unrelated, threshold);
        if miss >= alarm {
            let (was, now): (f64, f64) = (alarm_before - miss_before, miss - alarm);
            let part = if was + now > 0.0 {
                was / (was + now)
            } else {
                0.0
            };
            return Some(miss_before + part * (miss - miss_before));
        }
        (miss_before, alarm_before) = (miss, alarm);
    }
    Some(miss_before)
}
