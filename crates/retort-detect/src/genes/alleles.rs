//! Counts of alleles: what each model's completions of each prefix begin with.

use std::collections::{BTreeMap, BTreeSet};

use retort_fingerprint::{Corpus, Prompt};
use retort_types::{Mode, Outcome};

/// The suite whose prompts are prefixes however they are put.
const SUITE: &str = "genes";

/// Most agreements that are kept, four bytes for each pair of models and gene: 512 MiB, a quarter of
/// the memory that an analysis may take. 1,000 models have 268 genes, 148 have 12,000.
const KEPT_MAX: usize = 1 << 27;

/// The completions of one model for one prefix.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    /// Completions.
    draws: u32,
    /// Count, and one reply by its index in the corpus, of each allele.
    counts: BTreeMap<String, (u32, usize)>,
}

/// The alleles of every model and gene.
#[derive(Debug)]
pub(crate) struct Alleles {
    /// Names of the models, sorted.
    pub(crate) models: Vec<String>,
    genes: usize,
    /// Genes beyond what memory allows.
    pub(crate) beyond: usize,
    /// By model, then gene.
    cells: Vec<Cell>,
    /// Fewest draws of a cell that counts.
    draws_min: u32,
}

/// An allele that two models share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) gene: usize,
    pub(crate) allele: String,
    /// How much more often both say it than the controls let expect.
    pub(crate) weight: f64,
    /// One reply of each.
    pub(crate) replies: [usize; 2],
}

impl Alleles {
    pub(crate) fn count(corpus: &Corpus, chars: usize) -> Self {
        let is_gene = |prompt: &Prompt| prompt.mode == Mode::Completion || prompt.suite == SUITE;
        let all = corpus
            .prompts
            .iter()
            .filter(|prompt| is_gene(prompt))
            .count();
        let genes = all.min(genes_max(corpus.models.len()));
        let mut next = 0..genes;
        let gene_of: Vec<Option<usize>> = corpus
            .prompts
            .iter()
            .map(|prompt| is_gene(prompt).then(|| next.next()).flatten())
            .collect();
        let mut cells = vec![Cell::default(); corpus.models.len() * genes];
        for (index, reply) in corpus.replies.iter().enumerate() {
            let gene = gene_of.get(reply.prompt).copied().flatten();
            let Some(gene) = gene.filter(|_| reply.model < corpus.models.len()) else {
                continue;
            };
            if reply.outcome != Outcome::Answered {
                continue;
            }
            let allele = reply.text.trim_start().chars().take(chars).collect();
            let cell = &mut cells[reply.model * genes + gene];
            cell.draws += 1;
            cell.counts.entry(allele).or_insert((0, index)).0 += 1;
        }
        let draws_min = draws_min(&cells);
        Self {
            models: corpus.models.clone(),
            genes,
            beyond: all - genes,
            cells,
            draws_min,
        }
    }

    pub(crate) fn genes(&self) -> usize {
        self.genes
    }

    pub(crate) fn is_unbiased(&self) -> bool {
        self.draws_min > 1
    }

    pub(crate) fn model(&self, name: &str) -> Option<usize> {
        self.models.iter().position(|model| model == name)
    }

    fn cell(&self, model: usize, gene: usize) -> Option<&Cell> {
        let cell = &self.cells[model * self.genes + gene];
        (cell.draws >= self.draws_min).then_some(cell)
    }

    /// Returns the number of genes that count for both.
    pub(crate) fn common(&self, one: usize, other: usize) -> usize {
        (0..self.genes)
            .filter(|gene| self.cell(one, *gene).is_some() && self.cell(other, *gene).is_some())
            .count()
    }

    /// Returns the chance that a draw of each model agrees, where both have the gene.
    pub(crate) fn agreement(&self, one: usize, other: usize, gene: usize) -> Option<f64> {
        let (one, other) = (self.cell(one, gene)?, self.cell(other, gene)?);
        let pairs: u64 = one
            .counts
            .iter()
            .filter_map(|(allele, (count, _))| {
                let (others, _) = other.counts.get(allele)?;
                Some(u64::from(*count) * u64::from(*others))
            })
            .sum();
        Some(pairs as f64 / (f64::from(one.draws) * f64::from(other.draws)))
    }

    /// Returns the chance that two draws of a model agree: over pairs of different draws, so that
    /// few draws do not look alike. With single draws, 1.
    pub(crate) fn homozygosity(&self, model: usize, gene: usize) -> Option<f64> {
        let cell = self.cell(model, gene)?;
        if !self.is_unbiased() {
            return Some(1.0);
        }
        let pairs: u64 = cell
            .counts
            .values()
            .map(|(count, _)| u64::from(*count) * u64::from(count - 1))
            .sum();
        Some(pairs as f64 / (f64::from(cell.draws) * f64::from(cell.draws - 1)))
    }

    /// Returns what two models share, weighed against `controls`.
    pub(crate) fn shared(
        &self,
        one: usize,
        other: usize,
        controls: &BTreeSet<usize>,
    ) -> Vec<Shared> {
        let mut all = Vec::new();
        for gene in 0..self.genes {
            let (Some(first), Some(second)) = (self.cell(one, gene), self.cell(other, gene)) else {
                continue;
            };
            for (allele, (count, reply)) in &first.counts {
                let Some((others, its)) = second.counts.get(allele) else {
                    continue;
                };
                let [p, q] = [
                    f64::from(*count) / f64::from(first.draws),
                    f64::from(*others) / f64::from(second.draws),
                ];
                let usual = self.usual(allele, gene, controls);
                all.push(Shared {
                    gene,
                    allele: allele.clone(),
                    weight: q * (p - usual),
                    replies: [*reply, *its],
                });
            }
        }
        all
    }

    /// Returns how often `controls` say the allele, on average.
    fn usual(&self, allele: &str, gene: usize, controls: &BTreeSet<usize>) -> f64 {
        let cells = controls.iter().filter_map(|model| self.cell(*model, gene));
        let shares: Vec<f64> = cells
            .map(|cell| {
                let count = cell.counts.get(allele).map_or(0, |(count, _)| *count);
                f64::from(count) / f64::from(cell.draws)
            })
            .collect();
        if shares.is_empty() {
            return 0.0;
        }
        shares.iter().sum::<f64>() / shares.len() as f64
    }
}

/// Returns how many genes are kept for this number of models.
fn genes_max(models: usize) -> usize {
    KEPT_MAX / (models * (models + 1) / 2).max(1)
}

/// Returns 2 where most cells that were asked have two draws, so that every model is treated alike,
/// else 1.
fn draws_min(cells: &[Cell]) -> u32 {
    let asked = cells.iter().filter(|cell| cell.draws > 0).count();
    let twice = cells.iter().filter(|cell| cell.draws > 1).count();
    if 2 * twice > asked { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_bounds_the_genes() {
        assert_eq!((genes_max(1_000), genes_max(148)), (268, 12_172));
        assert_eq!(genes_max(0), KEPT_MAX);
    }
}
