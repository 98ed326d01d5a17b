//! Nei similarities of all pairs: of all genes, and with parts of them left out.

use rayon::prelude::*;

use super::alleles::Alleles;

/// Parts of the genes that are left out in turn for an interval: a delete-group jackknife, at the
/// cost of 16 matrices.
pub(crate) const PARTS_MAX: usize = 16;

/// Similarities of all pairs.
#[derive(Debug)]
pub(crate) struct Similarities {
    models: usize,
    genes: usize,
    /// Agreement by pair (of the lower triangle), then gene; NaN where one has not the gene.
    agreements: Vec<f32>,
    /// Homozygosity by model, then gene; NaN where it has not the gene.
    own: Vec<f32>,
    /// Square matrices: all genes, then with each part left out. NaN where not measured.
    matrices: Vec<Vec<f64>>,
}

/// Sums over the genes of a pair.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    agreement: f64,
    own: [f64; 2],
}

impl Sums {
    fn similarity(self) -> Option<f64> {
        let [one, other] = self.own;
        (one > 0.0 && other > 0.0).then(|| self.agreement / (one * other).sqrt())
    }
}

fn pair_index(one: usize, other: usize) -> usize {
    let (low, high) = (one.min(other), one.max(other));
    high * (high + 1) / 2 + low
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "shares between 0 and 1 keep seven digits, more than any count of draws has"
)]
fn kept(share: Option<f64>) -> f32 {
    share.map_or(f32::NAN, |share| share as f32)
}

impl Similarities {
    pub(crate) fn of(alleles: &Alleles) -> Self {
        let (models, genes) = (alleles.models.len(), alleles.genes());
        let agreements = (0..models)
            .into_par_iter()
            .flat_map_iter(|high| {
                (0..=high).flat_map(move |low| {
                    (0..genes).map(move |gene| kept(alleles.agreement(high, low, gene)))
                })
            })
            .collect();
        let own = (0..models * genes)
            .map(|cell| kept(alleles.homozygosity(cell / genes, cell % genes)))
            .collect();
        let mut all = Self {
            models,
            genes,
            agreements,
            own,
            matrices: Vec::new(),
        };
        let parts = genes.min(PARTS_MAX);
        let left_out = std::iter::once(None).chain((0..parts).map(Some));
        all.matrices = left_out
            .map(|part| {
                let weigh = |gene: usize| u32::from(part != Some(gene % PARTS_MAX));
                let weights: Vec<u32> = (0..genes).map(weigh).collect();
                all.matrix(&weights)
            })
            .collect();
        all
    }

    fn matrix(&self, weights: &[u32]) -> Vec<f64> {
        (0..self.models * self.models)
            .into_par_iter()
            .map(|cell| {
                let (one, other) = (cell / self.models, cell % self.models);
                let similarity = self.sums(one, other, weights).similarity();
                similarity.unwrap_or(f64::NAN)
            })
            .collect()
    }

    fn sums(&self, one: usize, other: usize, weights: &[u32]) -> Sums {
        let row = |all: &'_ [f32], index: usize| -> std::ops::Range<usize> {
            debug_assert!(all.len() >= (index + 1) * self.genes);
            index * self.genes..(index + 1) * self.genes
        };
        let agreements = &self.agreements[row(&self.agreements, pair_index(one, other))];
        let first = &self.own[row(&self.own, one)];
        let second = &self.own[row(&self.own, other)];
        let mut sums = Sums::default();
        for (gene, weight) in weights.iter().enumerate() {
            if agreements[gene].is_nan() {
                continue;
            }
            let weight = f64::from(*weight);
            sums.agreement += weight * f64::from(agreements[gene]);
            sums.own[0] += weight * f64::from(first[gene]);
            sums.own[1] += weight * f64::from(second[gene]);
        }
        sums
    }

    /// Returns the number of parts that can be left out.
    pub(crate) fn parts(&self) -> usize {
        self.matrices.len() - 1
    }

    /// Returns the similarity over all genes.
    pub(crate) fn whole(&self, one: usize, other: usize) -> Option<f64> {
        self.at(0, one, other)
    }

    /// Returns the similarity in a matrix: 0 for all genes, `n` without part `n` - 1.
    pub(crate) fn at(&self, matrix: usize, one: usize, other: usize) -> Option<f64> {
        let value = self.matrices[matrix][one * self.models + other];
        value.is_finite().then_some(value)
    }

    /// Returns the distances of `members` under the weights of genes, row by row: minus the
    /// logarithm of similarity, which is kept between 1 and half of one gene in all.
    pub(crate) fn distances(&self, members: &[usize], weights: &[u32]) -> Option<Vec<f64>> {
        let least = 0.5 / self.genes.max(1) as f64;
        let mut distances = Vec::with_capacity(members.len() * members.len());
        for one in members {
            for other in members {
                let similarity = if one == other {
                    1.0
                } else {
                    self.sums(*one, *other, weights).similarity()?
                };
                distances.push(-similarity.clamp(least, 1.0).ln());
            }
        }
        Some(distances)
    }
}
