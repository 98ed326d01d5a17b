//! How alike the models' replies to one prompt are, family by family.
//!
//! Features of all models are sorted together, so that each feature's models stand side by side:
//! the cost grows with the pairs that share something, not with all pairs times all features.

use crate::document::{Document, MODEL_BITS};
use crate::family::{Family, Weighting};
use crate::pairs::{Pairs, narrow, place};

/// Most models that share a phrase that is rare: one of so many, and at least.
const RARE_ONE_OF: usize = 25;
const RARE_MODELS: usize = 6;

/// Leading bits of a hash by which features are distributed before they are sorted.
const BUCKET_BITS: u32 = 12;

/// Most models that can be compared: their number shares a word with a feature's hash.
pub(crate) const MODELS_MAX: usize = 1 << MODEL_BITS;

/// Returns the cosine similarities of a family; nothing when it says nothing here: fewer than two
/// models have it, or all show the same single feature.
pub(crate) fn similarities(documents: &[Option<Document>], family: Family) -> Option<Pairs> {
    let features: Vec<Option<&[(u64, f32)]>> = documents
        .iter()
        .map(|document| document.as_ref()?.features[family.at()].as_deref())
        .collect();
    let present = features.iter().flatten().count();
    if present < 2 {
        return None;
    }
    let sorted = sorted(&features);
    let mask = (1_u64 << MODEL_BITS) - 1;
    let mut dots = Pairs::zeros(documents.len());
    let mut norms = vec![0.0_f32; documents.len()];
    let rare_max = RARE_MODELS.max(present / RARE_ONE_OF);
    let mut distinct = 0_usize;
    let mut members: Vec<(usize, f32)> = Vec::with_capacity(present);
    for run in sorted.chunk_by(|a, b| a & !mask == b & !mask) {
        distinct += 1;
        let idf = match family.weighting() {
            Weighting::Flat => 1.0,
            Weighting::Idf => inverse_frequency(present, run.len()),
        };
        members.clear();
        for packed in run {
            let model = usize::try_from(packed & mask).unwrap_or_default();
            let weight = idf * weight_of(features[model], packed & !mask);
            norms[model] += weight * weight;
            members.push((model, weight));
        }
        if family != Family::Rare || members.len() <= rare_max {
            add(&mut dots, &members);
        }
    }
    if distinct < 2 {
        return None;
    }
    let has = |model: usize| features[model].is_some();
    dots.map_in_place(|i, j, dot| {
        let scale = (norms[i] * norms[j]).sqrt();
        match (has(i) && has(j), scale > 0.0) {
            (false, _) => f32::NAN,
            (true, true) => dot / scale,
            (true, false) => 0.0,
        }
    });
    Some(dots)
}

/// Returns ln((M + 1) / (df + 0.5)).
fn inverse_frequency(models: usize, with: usize) -> f32 {
    ((models as f32 + 1.0) / (with as f32 + 0.5)).ln()
}

fn sorted(features: &[Option<&[(u64, f32)]>]) -> Vec<u64> {
    let all = features
        .iter()
        .flatten()
        .map(|features| features.len())
        .sum();
    let mut packed = Vec::with_capacity(all);
    for (model, features) in features.iter().enumerate() {
        packed.extend(
            features
                .iter()
                .copied()
                .flatten()
                .map(|(hash, _)| hash | model as u64),
        );
    }
    // Hashes are spread evenly: one pass by their first bits leaves short runs to sort.
    let bucket = |packed: u64| usize::try_from(packed >> (64 - BUCKET_BITS)).unwrap_or_default();
    let mut ends = vec![0_usize; 1 << BUCKET_BITS];
    for value in &packed {
        ends[bucket(*value)] += 1;
    }
    let mut end = 0;
    for count in &mut ends {
        end += *count;
        *count = end;
    }
    let mut sorted = vec![0; packed.len()];
    for value in packed.iter().rev() {
        let end = &mut ends[bucket(*value)];
        *end -= 1;
        sorted[*end] = *value;
    }
    for run in sorted.chunk_by_mut(|a, b| bucket(*a) == bucket(*b)) {
        run.sort_unstable();
    }
    sorted
}

fn weight_of(features: Option<&[(u64, f32)]>, hash: u64) -> f32 {
    let features = features.unwrap_or_default();
    let at = features.binary_search_by_key(&hash, |(hash, _)| *hash);
    at.ok()
        .and_then(|at| features.get(at))
        .map_or(0.0, |(_, weight)| *weight)
}

fn add(dots: &mut Pairs, members: &[(usize, f32)]) {
    for (at, (i, weight)) in members.iter().enumerate() {
        let row = dots.row_mut(*i);
        for (j, other) in members.iter().skip(at + 1) {
            // Members are sorted, so j > i, and row i begins at i + 1.
            if let Some(dot) = row.get_mut(j - i - 1) {
                *dot += weight * other;
            }
        }
    }
}

/// Centres similarities twice over the models of the pool: what a model shares with everybody, and
/// how much everybody shares here, are taken out. Nothing with fewer than three models.
pub(crate) fn centred(raw: &Pairs, in_pool: &[bool]) -> Option<Pairs> {
    let models = in_pool.len();
    let (mut sums, mut counts) = (vec![0.0_f64; models], vec![0_u32; models]);
    for i in 0..models {
        for j in i + 1..models {
            let value = raw.values[place(models, i, j)];
            if value.is_nan() {
                continue;
            }
            for (one, other) in [(i, j), (j, i)] {
                if in_pool[other] {
                    sums[one] += f64::from(value);
                    counts[one] += 1;
                }
            }
        }
    }
    let means: Vec<f64> = sums
        .iter()
        .zip(&counts)
        .map(|(sum, count)| sum / f64::from((*count).max(1)))
        .collect();
    let pool = (0..models).filter(|model| in_pool[*model] && counts[*model] > 0);
    let pool: Vec<f64> = pool.map(|model| means[model]).collect();
    if pool.len() < 3 {
        return None;
    }
    let mean = pool.iter().sum::<f64>() / pool.len() as f64;
    let mut centred = raw.clone();
    centred.map_in_place(|i, j, value| narrow(f64::from(value) - means[i] - means[j] + mean));
    Some(centred)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(features: &[&[u64]]) -> Vec<Option<Document>> {
        let document = |features: &&[u64]| {
            let mut document = Document::default();
            let shifted = features.iter().map(|hash| (hash << MODEL_BITS, 1.0));
            document.features[Family::Words.at()] = Some(shifted.collect());
            Some(document)
        };
        features.iter().map(document).collect()
    }

    #[test]
    fn cosines_are_those_of_weighted_vectors() {
        let mut documents = documents(&[&[1, 2, 3], &[2, 3, 4], &[9]]);
        documents.push(None);
        let found = similarities(&documents, Family::Words).unwrap();
        let (shared, own) = (inverse_frequency(3, 2), inverse_frequency(3, 1));
        let expected = 2.0 * shared * shared / (2.0 * shared * shared + own * own);
        assert!((found.values[place(4, 0, 1)] - expected).abs() < 1e-6);
        assert!(found.values[place(4, 0, 2)].abs() < 1e-9);
        assert!(found.values[place(4, 2, 3)].is_nan());
        assert!(similarities(&documents, Family::Letters).is_none());
    }

    #[test]
    fn what_all_share_says_nothing() {
        assert!(similarities(&documents(&[&[7], &[7], &[7]]), Family::Words).is_none());
    }

    #[test]
    fn centring_takes_main_effects_out() {
        let models = 6;
        let mut raw = Pairs::zeros(models);
        let own = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6_f32];
        raw.map_in_place(|i, j, _| own[i] + own[j]);
        let centred = centred(&raw, &[true; 6]).unwrap();
        let spread = |pairs: &Pairs| {
            let most = pairs.values.iter().copied().fold(f32::MIN, f32::max);
            most - pairs.values.iter().copied().fold(f32::MAX, f32::min)
        };
        assert!(spread(&centred) < spread(&raw) * 0.5);
    }
}
