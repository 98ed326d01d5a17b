//! What all models of a corpus look like beside each other.

mod numbers;

use std::collections::BTreeSet;

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use crate::document::{Document, document, is_choice};
use crate::family::Family;
use crate::gram::{MODELS_MAX, centred, similarities};
use crate::layout::COUNTS;
use crate::pairs::{self, Pairs, Similarities};
use crate::{Corpus, Reply};

/// Blocks of prompts that the jackknife leaves out one by one: enough for an interval, few enough
/// to keep each block's sums.
pub const BLOCKS: usize = 16;

/// Prompts that are compared at once; their documents are in memory.
const PROMPTS_AT_ONCE: usize = 16;

/// Draws of a prompt from which on short answers make a distribution.
const CHOICE_DRAWS_MIN: usize = 4;

/// Prompts whose token counts must be known of both models before a usual offset means something.
const OFFSETS_MIN: usize = 8;

/// How fingerprints are compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Models that are compared but set no centre: pipelines of models, benchmark gamers.
    pub outside: BTreeSet<String>,
}

/// Which similarities are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Centring {
    /// As measured.
    Raw,
    /// Without what each model shares with everybody, prompt by prompt.
    Double,
}

/// The compared habits of the models of one corpus.
#[derive(Debug, Clone, PartialEq)]
pub struct Fingerprints {
    models: Vec<String>,
    in_pool: Vec<bool>,
    prompts: usize,
    families: Vec<Option<Sums>>,
    counts: numbers::Counts,
    /// By model and prompt.
    input_tokens: Vec<Option<u64>>,
}

/// Sums over the prompts of each block, pair by pair.
#[derive(Debug, Clone, PartialEq)]
struct Sums {
    raw: Vec<f32>,
    centred: Vec<f32>,
    prompts: Vec<u16>,
}

/// Counts of a cell, and its characters and tokens.
type CellCounts = ([f32; COUNTS], Option<(f32, f32)>);

/// Returns what each model answered to a prompt, as features.
pub(crate) type Documents<'a> = dyn Fn(usize) -> Vec<Option<Document>> + Sync + 'a;

/// One prompt, compared.
struct Compared {
    /// By family, as measured and centred.
    families: Vec<Option<(Pairs, Pairs)>>,
    counts: Vec<Option<CellCounts>>,
    input_tokens: Vec<Option<u64>>,
}

impl Fingerprints {
    /// Compares all models of a corpus; `progress` is told prompts done and in all.
    ///
    /// A prompt with several draws counts once: its features are means over the draws, of which no
    /// model has more than the median number. The result does not depend on the number of threads.
    /// Models beyond the 4,096th are left out.
    pub fn of(
        corpus: &Corpus,
        settings: &Settings,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Self {
        let documents = |prompt: usize| documents(corpus, prompt);
        Self::from_documents(
            &corpus.models,
            corpus.prompts.len(),
            settings,
            (&documents, progress),
        )
    }

    /// Compares models whose documents a function returns, prompt by prompt.
    pub(crate) fn from_documents(
        models: &[String],
        prompts: usize,
        settings: &Settings,
        (documents, progress): (&Documents<'_>, &(dyn Fn(usize, usize) + Sync)),
    ) -> Self {
        let models: Vec<String> = models.iter().take(MODELS_MAX).cloned().collect();
        let in_pool: Vec<bool> = models
            .iter()
            .map(|name| !settings.outside.contains(name))
            .collect();
        let mut all = Self {
            counts: numbers::Counts::new(models.len(), prompts),
            input_tokens: vec![None; models.len() * prompts],
            families: vec![None; Family::COUNT],
            models,
            in_pool,
            prompts,
        };
        for from in (0..prompts).step_by(PROMPTS_AT_ONCE) {
            let to = prompts.min(from + PROMPTS_AT_ONCE);
            let compared: Vec<Compared> = (from..to)
                .into_par_iter()
                .map(|prompt| compare(&documents(prompt), &all.in_pool))
                .collect();
            // Sums are made in the order of the prompts, whoever was faster.
            for (prompt, compared) in (from..to).zip(compared) {
                all.add(prompt, &compared);
            }
            progress(to, prompts);
        }
        all
    }

    fn add(&mut self, prompt: usize, compared: &Compared) {
        let pairs = pairs::count(self.models.len());
        let from = (prompt % BLOCKS) * pairs;
        for (sums, found) in self.families.iter_mut().zip(&compared.families) {
            let Some((raw, centred)) = found else {
                continue;
            };
            let sums = sums.get_or_insert_with(|| Sums {
                raw: vec![0.0; BLOCKS * pairs],
                centred: vec![0.0; BLOCKS * pairs],
                prompts: vec![0; BLOCKS * pairs],
            });
            for (at, (raw, centred)) in raw.values.iter().zip(&centred.values).enumerate() {
                if raw.is_finite() && centred.is_finite() {
                    sums.raw[from + at] += raw;
                    sums.centred[from + at] += centred;
                    sums.prompts[from + at] = sums.prompts[from + at].saturating_add(1);
                }
            }
        }
        for (model, counts) in compared.counts.iter().enumerate() {
            if let Some((counts, usage)) = counts {
                self.counts.set(model, prompt, counts, *usage);
            }
        }
        for (model, tokens) in compared.input_tokens.iter().enumerate() {
            self.input_tokens[model * self.prompts + prompt] = *tokens;
        }
    }

    /// Returns the names of the models, sorted.
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// Returns the index of a model.
    pub fn model(&self, name: &str) -> Option<usize> {
        self.models
            .binary_search_by(|known| known.as_str().cmp(name))
            .ok()
    }

    /// Returns whether a model sets centres and scales.
    pub fn is_in_pool(&self, model: usize) -> bool {
        self.in_pool.get(model).copied().unwrap_or(false)
    }

    /// Returns how many prompts there are.
    pub const fn prompts(&self) -> usize {
        self.prompts
    }

    /// Returns how many prompts both models answered.
    pub fn prompts_of(&self, i: usize, j: usize) -> usize {
        let of = |family: Family| self.prompts_in(family, i, j);
        of(Family::Words) + of(Family::Choices)
    }

    fn prompts_in(&self, family: Family, i: usize, j: usize) -> usize {
        let models = self.models.len();
        let Some(sums) = &self.families[family.at()] else {
            return 0;
        };
        if i == j || i.max(j) >= models {
            return 0;
        }
        let (pairs, place) = (
            pairs::count(models),
            pairs::place(models, i.min(j), i.max(j)),
        );
        (0..BLOCKS)
            .map(|block| usize::from(sums.prompts[block * pairs + place]))
            .sum()
    }

    /// Returns the families that were measured, in their fixed order.
    pub fn families(&self) -> Vec<Family> {
        let all = Family::ALL.into_iter();
        all.filter(|family| self.families[family.at()].is_some())
            .collect()
    }

    /// Returns the mean similarities of a family over the prompts of the blocks that are taken.
    pub fn similarities(
        &self,
        family: Family,
        centring: Centring,
        takes: &(dyn Fn(usize) -> bool + Sync),
    ) -> Option<Similarities> {
        let sums = self.families[family.at()].as_ref()?;
        let pairs = pairs::count(self.models.len());
        let of = match centring {
            Centring::Raw => &sums.raw,
            Centring::Double => &sums.centred,
        };
        let (mut totals, mut counts) = (vec![0.0_f64; pairs], vec![0_u32; pairs]);
        for block in (0..BLOCKS).filter(|block| takes(*block)) {
            let from = block * pairs;
            for at in 0..pairs {
                totals[at] += f64::from(of[from + at]);
                counts[at] += u32::from(sums.prompts[from + at]);
            }
        }
        for (total, count) in totals.iter_mut().zip(&counts) {
            // No prompt in common: 0 / 0 is what absent pairs are stored as.
            *total /= f64::from(*count);
        }
        Some(Similarities::of(self.models.len(), totals))
    }

    /// Returns, by name, correlations of counts (of characters, line breaks, bullets, numbered lines, commas,
    /// quotes, and tokens per character) over the prompts of the blocks that are taken, after
    /// the prompt's and the model's mean are taken out. A count that varies for nobody is left out.
    pub fn correlations(
        &self,
        takes: &(dyn Fn(usize) -> bool + Sync),
    ) -> Vec<(&'static str, Similarities)> {
        self.counts.correlations(&self.in_pool, takes)
    }

    /// Returns the mean of ln(1 + characters) of a model's replies; absent without one.
    pub fn log_length(&self, model: usize) -> Option<f64> {
        self.counts.log_length(model)
    }

    /// Returns for how much of the prompts two models report numbers of prompt tokens that differ
    /// by the usual offset: near 1 with the same tokenizer. Absent with fewer than eight prompts.
    pub fn tokenizer_match(&self, i: usize, j: usize) -> Option<f64> {
        let tokens = |model: usize, prompt: usize| {
            self.input_tokens
                .get(model * self.prompts + prompt)
                .copied()
                .flatten()
        };
        let mut offsets: Vec<i64> = (0..self.prompts)
            .filter_map(|prompt| {
                let (one, other) = (tokens(i, prompt)?, tokens(j, prompt)?);
                i64::try_from(one)
                    .ok()?
                    .checked_sub(i64::try_from(other).ok()?)
            })
            .collect();
        if offsets.len() < OFFSETS_MIN {
            return None;
        }
        offsets.sort_unstable();
        let usual = offsets[offsets.len() / 2];
        let same = offsets.iter().filter(|offset| **offset == usual).count();
        Some(same as f64 / offsets.len() as f64)
    }
}

fn compare(documents: &[Option<Document>], in_pool: &[bool]) -> Compared {
    let families = Family::ALL.map(|family| {
        let raw = similarities(documents, family)?;
        let centred = centred(&raw, in_pool).unwrap_or_else(|| raw.clone());
        Some((raw, centred))
    });
    let counts = documents.iter().map(|document| {
        let document = document.as_ref()?;
        Some((document.counts?, document.usage))
    });
    Compared {
        families: families.into(),
        counts: counts.collect(),
        input_tokens: documents.iter().map(|d| d.as_ref()?.input_tokens).collect(),
    }
}

/// Returns what each model answered to a prompt, as features.
pub(crate) fn documents(corpus: &Corpus, prompt: usize) -> Vec<Option<Document>> {
    let models = corpus.models.len().min(MODELS_MAX);
    let cells: Vec<&[Reply]> = (0..models)
        .map(|model| corpus.cell(model, prompt))
        .collect();
    let mut draws: Vec<usize> = cells
        .iter()
        .map(|cell| cell.len())
        .filter(|draws| *draws > 0)
        .collect();
    draws.sort_unstable();
    let usual = draws.get(draws.len() / 2).copied().unwrap_or(0);
    let is_choice = usual >= CHOICE_DRAWS_MIN && is_choice(cells.iter().copied().flatten());
    let of = |cell: &&[Reply]| {
        let draws: Vec<&Reply> = cell.iter().take(usual).collect();
        (!draws.is_empty()).then(|| document(&draws, is_choice))
    };
    cells.iter().map(of).collect()
}

#[cfg(test)]
mod tests;
