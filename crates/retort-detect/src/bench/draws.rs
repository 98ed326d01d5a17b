//! How often unrelated pairs are flagged, over many draws of control models.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::FalsePositives;
use crate::analysis::Interval;
use crate::evidence::{below, percentiles};

/// A pair, whether it is related, and its controls; never of the families of its models.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    pub(super) pair: (usize, usize),
    pub(super) is_related: bool,
    pub(super) controls: Vec<usize>,
}

/// What is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draws {
    pub(super) detector: &'static str,
    pub(super) rule: &'static str,
    pub(super) controls: usize,
    pub(super) count: usize,
    pub(super) models: usize,
    pub(super) seed: u64,
}

/// Shares of unrelated and of related pairs that one draw flags.
type Shares = (Option<f64>, Option<f64>);

/// Whether a pair is flagged beside these controls.
type Rule<'a> = dyn Fn((usize, usize), &[usize]) -> bool + Sync + 'a;

/// Returns the rates over the draws. In each, the models are put in a random order, and a pair's
/// controls are the first of its own in that order.
pub(super) fn rates(of: Draws, trials: &[Trial], is_flagged: &Rule<'_>) -> FalsePositives {
    let enough: Vec<&Trial> = trials
        .iter()
        .filter(|trial| trial.controls.len() >= of.controls)
        .collect();
    let found: Vec<Shares> = (0..of.count)
        .into_par_iter()
        .map(|draw| {
            let place = order(of.models, of.seed.wrapping_add(draw as u64));
            let (mut flagged, mut asked) = ([0.0, 0.0], [0.0, 0.0]);
            for trial in &enough {
                let mut controls = trial.controls.clone();
                controls.sort_unstable_by_key(|control| place[*control]);
                controls.truncate(of.controls);
                let class = usize::from(trial.is_related);
                asked[class] += 1.0;
                flagged[class] += f64::from(u8::from(is_flagged(trial.pair, &controls)));
            }
            let rate = |class: usize| (asked[class] > 0.0).then(|| flagged[class] / asked[class]);
            (rate(0), rate(1))
        })
        .collect();
    let related = enough.iter().filter(|trial| trial.is_related).count();
    FalsePositives {
        detector: of.detector,
        controls: Some(of.controls),
        rule: of.rule,
        pairs: enough.len() - related,
        rate: summary(found.iter().filter_map(|(rate, _)| *rate).collect()),
        related,
        power: summary(found.iter().filter_map(|(_, power)| *power).collect()),
    }
}

fn summary(mut rates: Vec<f64>) -> Option<Interval> {
    if rates.is_empty() {
        return None;
    }
    let value = rates.iter().sum::<f64>() / rates.len() as f64;
    let (low, high) = percentiles(&mut rates);
    Some(Interval { value, low, high })
}

/// Returns by model its place in a random order (Fisher and Yates).
fn order(models: usize, seed: u64) -> Vec<usize> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..models).collect();
    for at in (1..models).rev() {
        order.swap(at, below(&mut random, at + 1));
    }
    order
}
