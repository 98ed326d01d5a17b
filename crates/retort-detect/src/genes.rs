//! `genes`: do two models continue the same prefixes with the same first characters?
//!
//! The statistic is that of `PhyloLM` (Yax, Oudeyer and Palminteri, ICLR 2025, arXiv:2404.04671):
//! prefixes are genes, the first four characters of a completion are alleles, and the similarity of
//! two models is Nei's (1972): shared homozygosity over the geometric mean of their own. Here the
//! homozygosities are unbiased for few draws, the null is other models (never other prompts), and
//! trees carry bootstrap support.

use std::collections::BTreeSet;

use retort_fingerprint::Corpus;
use serde::Serialize;

use crate::analysis::{Detector, Exhibit, Matrix, Statement, Tree};
use crate::tree::{self, Bootstrap};

mod alleles;
mod similarity;
mod statement;

use alleles::Alleles;
use similarity::Similarities;

/// Most prompts that are shown of a pair.
const EXHIBITS: usize = 5;

/// Characters of a passage that an exhibit shows.
const EXHIBIT_CHARS: usize = 80;

/// Settings of the detector. Every one reaches a number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GenesSettings {
    /// Characters of an allele, leading white space stripped; 4 as in the source.
    pub allele_chars: usize,
    /// Level of a finding, above 0 and below 1.
    pub alpha: f64,
    /// Fewest prompts both must have answered: half of the suite's open half, below which support
    /// values of splits are mostly noise.
    pub prompts_min: usize,
    /// Replicates of the tree over resampled prompts.
    pub bootstrap: usize,
    /// Seeds the resampling.
    pub seed: u64,
}

impl Default for GenesSettings {
    fn default() -> Self {
        Self {
            allele_chars: 4,
            alpha: 0.05,
            prompts_min: 32,
            bootstrap: 200,
            seed: 0,
        }
    }
}

/// Allele counts of every model, and the similarities that follow from them.
#[derive(Debug)]
pub struct Genes {
    settings: GenesSettings,
    alleles: Alleles,
    similarities: Similarities,
}

impl Genes {
    /// Counts the alleles of the corpus: of prompts asked in mode `completion`, or of the suite
    /// `genes` in any mode. Only answered replies count; an empty answer is an allele of its own.
    pub fn measure(corpus: &Corpus, settings: GenesSettings) -> Self {
        let alleles = Alleles::count(corpus, settings.allele_chars);
        let similarities = Similarities::of(&alleles);
        Self {
            settings,
            alleles,
            similarities,
        }
    }

    /// Returns the number of prompts that are genes.
    pub fn prompts(&self) -> usize {
        self.alleles.genes()
    }

    /// Returns whether homozygosities are unbiased, which takes two draws of most prompts. With
    /// single draws the similarity is the share of prompts on which both agree.
    pub fn is_unbiased(&self) -> bool {
        self.alleles.is_unbiased()
    }

    /// Returns the Nei similarity of two models, 1 for the same distribution and 0 for nothing
    /// shared; beyond 1 by chance, as it is unbiased. Nothing where they share no prompt, or where
    /// one of them never says the same twice.
    pub fn similarity(&self, one: &str, other: &str) -> Option<f64> {
        let (one, other) = (self.alleles.model(one)?, self.alleles.model(other)?);
        self.similarities.whole(one, other)
    }

    /// Returns the score that [`Genes::statement`] compares: how much nearer `suspect` stands to
    /// `candidate` than to the controls. For calibration over pairs of known relation.
    pub fn score(&self, suspect: &str, candidate: &str, controls: &[String]) -> Option<f64> {
        let scores = statement::scores(self, suspect, candidate, controls)?;
        Some(scores.0)
    }

    /// Returns what the alleles say of a pair. `controls` are models unrelated to `candidate`;
    /// those without enough replies are left out and named.
    pub fn statement(&self, suspect: &str, candidate: &str, controls: &[String]) -> Statement {
        statement::of(self, suspect, candidate, controls)
    }

    /// Returns the similarities of all models.
    pub fn matrix(&self) -> Matrix {
        let count = self.alleles.models.len();
        let cell = |index: usize| {
            let (one, other) = (index / count, index % count);
            let value = self.similarities.whole(one, other);
            value.filter(|_| one != other)
        };
        Matrix {
            detector: Detector::Genes,
            models: self.alleles.models.clone(),
            values: (0..count * count).map(cell).collect(),
        }
    }

    /// Returns the neighbour-joining tree of the models, at distance minus the logarithm of
    /// similarity, with bootstrap support over prompts. Models without enough replies are not in
    /// it. Nothing for fewer than three models.
    pub fn tree(&self) -> Option<Tree> {
        let members = self.members_of_tree();
        let names: Vec<String> = members
            .iter()
            .map(|model| self.alleles.models[*model].clone())
            .collect();
        let distances = |weights: &[u32]| self.similarities.distances(&members, weights);
        let bootstrap = Bootstrap {
            units: self.alleles.genes(),
            replicates: self.settings.bootstrap,
            seed: self.settings.seed,
        };
        let newick = tree::newick(&names, &distances, bootstrap)?;
        Some(Tree {
            detector: Detector::Genes,
            newick,
        })
    }

    /// Returns the largest set of models found in which each can be compared with each: the one
    /// with most gaps goes first, of equals the last by name.
    fn members_of_tree(&self) -> Vec<usize> {
        let mut members: Vec<usize> = (0..self.alleles.models.len()).collect();
        loop {
            let gaps = |one: &usize| {
                let is_gap = |other: &&usize| {
                    *other != one
                        && (self.similarities.whole(*one, **other).is_none()
                            || self.alleles.common(*one, **other) < self.settings.prompts_min)
                };
                members.iter().filter(is_gap).count()
            };
            let worst = members.iter().map(|model| (gaps(model), *model)).max();
            match worst {
                Some((gaps, model)) if gaps > 0 => members.retain(|member| *member != model),
                _ => return members,
            }
        }
    }

    /// Returns the prompts whose shared allele sets the pair apart from the controls the most, a
    /// few, with one reply of each. `corpus` is the one that was measured.
    pub fn exhibits(
        &self,
        corpus: &Corpus,
        suspect: &str,
        candidate: &str,
        controls: &[String],
    ) -> Vec<Exhibit> {
        let find = |name: &str| self.alleles.model(name);
        let (Some(one), Some(other)) = (find(suspect), find(candidate)) else {
            return Vec::new();
        };
        let controls: BTreeSet<usize> = controls.iter().filter_map(|name| find(name)).collect();
        let mut shared = self.alleles.shared(one, other, &controls);
        shared.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.gene.cmp(&b.gene)));
        let exhibit = |shared: alleles::Shared| {
            let replies = shared.replies.map(|index| corpus.replies.get(index));
            let [Some(one), Some(other)] = replies else {
                return None;
            };
            let prompt = corpus.prompts.get(one.prompt)?;
            let passage = |text: &str| text.chars().take(EXHIBIT_CHARS).collect();
            Some(Exhibit {
                prompt: format!("{}/{}", prompt.suite, prompt.id),
                rows: [one.row.clone(), other.row.clone()],
                texts: [passage(&one.text), passage(&other.text)],
                shared: vec![shared.allele],
                weight: shared.weight,
            })
        };
        shared
            .into_iter()
            .filter(|shared| shared.weight > 0.0)
            .take(EXHIBITS)
            .filter_map(exhibit)
            .collect()
    }
}

#[cfg(test)]
mod tests;
