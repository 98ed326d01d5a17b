//! Counts per reply, and how they go together between models over the prompts.

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::BLOCKS;
use crate::layout::COUNTS;
use crate::pairs::{self, Similarities};

/// The counts of a text, and tokens per character.
const PROFILES: [&str; COUNTS + 1] = [
    "characters",
    "line breaks",
    "bullets",
    "numbered lines",
    "commas",
    "quotes",
    TOKENS_PER_CHARACTER,
];

/// Name of the profile that tells of the tokenizer rather than of the text.
pub(super) const TOKENS_PER_CHARACTER: &str = "tokens per character";

/// Prompts that both models must have answered before a correlation says something.
const PROMPTS_MIN: usize = 4;

/// Counts by profile, model and prompt; NaN where there is none.
#[derive(Debug, Clone)]
pub(super) struct Counts {
    models: usize,
    prompts: usize,
    values: Vec<f32>,
}

impl PartialEq for Counts {
    fn eq(&self, other: &Self) -> bool {
        let bits = |counts: &Self| -> Vec<u32> {
            counts.values.iter().map(|value| value.to_bits()).collect()
        };
        (self.models, self.prompts) == (other.models, other.prompts) && bits(self) == bits(other)
    }
}

impl Counts {
    pub(super) fn new(models: usize, prompts: usize) -> Self {
        Self {
            models,
            prompts,
            values: vec![f32::NAN; PROFILES.len() * models * prompts],
        }
    }

    fn at(&self, profile: usize, model: usize, prompt: usize) -> usize {
        (profile * self.models + model) * self.prompts + prompt
    }

    pub(super) fn set(
        &mut self,
        model: usize,
        prompt: usize,
        counts: &[f32; COUNTS],
        usage: Option<(f32, f32)>,
    ) {
        let slope = usage.map(|(chars, tokens)| ((tokens + 1.0) / (chars + 1.0)).ln());
        let all = counts.iter().copied().chain(slope);
        for (profile, value) in all.enumerate() {
            let at = self.at(profile, model, prompt);
            self.values[at] = value;
        }
    }

    pub(super) fn log_length(&self, model: usize) -> Option<f64> {
        let from = self.at(0, model, 0);
        let row = self.values.get(from..from + self.prompts)?;
        let known: Vec<f64> = row
            .iter()
            .filter(|v| v.is_finite())
            .map(|v| f64::from(*v))
            .collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    }

    pub(super) fn correlations(
        &self,
        in_pool: &[bool],
        takes: &(dyn Fn(usize) -> bool + Sync),
    ) -> Vec<(&'static str, Similarities)> {
        let prompts: Vec<usize> = (0..self.prompts)
            .filter(|prompt| takes(prompt % BLOCKS))
            .collect();
        let all: Vec<Option<Similarities>> = (0..PROFILES.len())
            .into_par_iter()
            .map(|profile| self.correlation(profile, &prompts, in_pool))
            .collect();
        let named = PROFILES.iter().zip(all);
        named
            .filter_map(|(name, found)| Some((*name, found?)))
            .collect()
    }

    fn correlation(
        &self,
        profile: usize,
        prompts: &[usize],
        in_pool: &[bool],
    ) -> Option<Similarities> {
        let rows = self.residuals(profile, prompts, in_pool);
        let mut values = vec![f64::NAN; pairs::count(self.models)];
        for i in 0..self.models {
            for j in i + 1..self.models {
                if let Some(value) = pearson(&rows[i], &rows[j]) {
                    values[pairs::place(self.models, i, j)] = value;
                }
            }
        }
        let measured = values.iter().any(|value| value.is_finite());
        measured.then(|| Similarities::of(self.models, values))
    }

    /// Returns by model the counts without the prompt's mean over the pool.
    fn residuals(&self, profile: usize, prompts: &[usize], in_pool: &[bool]) -> Vec<Vec<f32>> {
        let value = |model: usize, prompt: usize| self.values[self.at(profile, model, prompt)];
        let means: Vec<f32> = prompts
            .iter()
            .map(|prompt| {
                let pool = (0..self.models).filter(|model| in_pool[*model]);
                let known = pool
                    .map(|model| value(model, *prompt))
                    .filter(|v| v.is_finite());
                let (sum, count) = known.fold((0.0_f64, 0_u32), |(sum, count), value| {
                    (sum + f64::from(value), count + 1)
                });
                pairs::narrow(sum / f64::from(count))
            })
            .collect();
        let row = |model: usize| {
            prompts
                .iter()
                .zip(&means)
                .map(|(prompt, mean)| value(model, *prompt) - mean)
                .collect()
        };
        (0..self.models).map(row).collect()
    }
}

/// Returns the correlation over the prompts that both have; nothing when too few or constant.
fn pearson(one: &[f32], other: &[f32]) -> Option<f64> {
    let (mut n, mut sx, mut sy, mut sxx, mut syy, mut sxy) = (0_u32, 0.0, 0.0, 0.0, 0.0, 0.0_f64);
    for (x, y) in one.iter().zip(other) {
        if x.is_finite() && y.is_finite() {
            let (x, y) = (f64::from(*x), f64::from(*y));
            n += 1;
            sx += x;
            sy += y;
            sxx += x * x;
            syy += y * y;
            sxy += x * y;
        }
    }
    if (n as usize) < PROMPTS_MIN {
        return None;
    }
    let n = f64::from(n);
    let (vx, vy) = (sxx - sx * sx / n, syy - sy * sy / n);
    let scale = (vx * vy).sqrt();
    (scale > 1e-9 * n).then(|| (sxy - sx * sy / n) / scale)
}
