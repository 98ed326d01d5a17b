//! `power`: what a question needs before it is paid for.
//!
//! Three questions compare a suspect with control models. Their power is that of a conformal test
//! between two normal distributions of equal spread (the suspect's score, and the controls'), whose
//! distance follows from an area under the ROC curve that was measured or simulated for a number of
//! prompts; each [`Curve`] says which. The exact binomial chance that few enough controls score as
//! high is added up over the suspect's score, so that few controls cost what they cost: the
//! smallest p of n controls is 1 / (n + 1).
//!
//! `same` compares draws of two endpoints; its power is a normal approximation to the permutation
//! test, with a constant that was fitted to the simulation of this crate's tests.

use serde::Serialize;
use statrs::distribution::{Binomial, ContinuousCDF as _, DiscreteCDF as _, Normal};

use crate::analysis::Detector;
use crate::genes::GenesSettings;

mod curves;

pub use curves::{Curve, curve};

/// Most control models that are looked for: the most models of a campaign.
const CONTROLS_MAX: u32 = 1_000;

/// Most draws of a prompt that are looked for.
const DRAWS_MAX: u32 = 10_000;

/// Standard errors that a share of 1 moves the statistic of `same` by, for one draw of one prompt:
/// fitted to simulated one-word choices, of which about half come from a model's favourites. Longer
/// replies differ more, so that this is on the safe side.
const SAME_SHIFT: f64 = 0.22;

/// Trapezoids over ten standard deviations: exact to more digits than the curves have.
const STEPS: u32 = 400;

/// What a campaign asks, as far as power depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Design {
    /// Prompts that the question reads.
    pub prompts: u32,
    /// Draws of each prompt.
    pub draws: u32,
    /// Control models.
    pub controls: u32,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Target {
    /// Chance of a false finding over all candidates, above 0 and below 1.
    pub alpha: f64,
    /// Chance of finding what is there, above 0 and below 1.
    pub power: f64,
    /// Candidates that are accused at once; `alpha` is shared among them, as the first step of
    /// Holm's procedure does.
    pub candidates: u32,
    /// For `same`: share of replies that come from elsewhere, above 0 and at most 1.
    pub share: f64,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            alpha: 0.05,
            power: 0.8,
            candidates: 1,
            share: 0.3,
        }
    }
}

impl Target {
    fn alpha_each(&self) -> f64 {
        self.alpha / f64::from(self.candidates.max(1))
    }
}

/// What a design can find, and what would be enough.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outlook {
    /// The question.
    pub question: Detector,
    /// The effect that the power is for.
    pub effect: String,
    /// The design that was asked about.
    pub design: Design,
    /// Chance that it finds the effect.
    pub power: f64,
    /// Smallest p-value that it can give; nothing where controls do not bound it.
    pub smallest_p: Option<f64>,
    /// Level of each candidate's test.
    pub alpha_each: f64,
    /// The cheapest design found that reaches the wanted power; nothing where none does.
    pub needed: Option<Design>,
    /// The most that any number of prompts and controls reaches, by the same figures.
    pub power_most: f64,
    /// Where the figures come from.
    pub source: String,
}

/// Returns what `design` can find. `others` is the number of models besides the controls, which
/// decides whether more prompts or more controls are cheaper.
pub fn outlook(question: Detector, design: Design, others: u32, target: &Target) -> Outlook {
    match question {
        Detector::Same => same(design, target),
        Detector::Kin | Detector::Genes | Detector::Teacher => {
            against_controls(question, design, others, target)
        }
    }
}

fn against_controls(question: Detector, design: Design, others: u32, target: &Target) -> Outlook {
    let alpha = target.alpha_each();
    let least = prompts_least(question);
    let at = |design: Design| {
        if design.prompts < least {
            return 0.0;
        }
        let distance = curve(question, design.draws).distance(design.prompts);
        conformal_power(distance, design.controls, alpha)
    };
    let choices = choices_of_draws(question, design.draws);
    let mut needed: Option<(u64, Design)> = None;
    let mut power_most = 0.0_f64;
    for draws in choices {
        for (prompts, _) in curve(question, draws).points {
            let with = |controls: u32| Design {
                prompts: *prompts,
                draws,
                controls,
            };
            power_most = power_most.max(at(with(CONTROLS_MAX)));
            let enough = fewest(controls_least(alpha), CONTROLS_MAX, |controls| {
                at(with(controls)) >= target.power
            });
            let Some(controls) = enough else {
                continue;
            };
            let models = u64::from(controls) + u64::from(others);
            let cost = u64::from(*prompts) * u64::from(draws) * models;
            if needed.is_none_or(|(least, _)| cost < least) {
                needed = Some((cost, with(controls)));
            }
        }
    }
    let curve = curve(question, design.draws);
    Outlook {
        question,
        effect: curve.effect.to_owned(),
        design,
        power: at(design),
        smallest_p: Some(1.0 / (f64::from(design.controls) + 1.0)),
        alpha_each: alpha,
        needed: needed.map(|(_, design)| design),
        power_most,
        source: curve.source.to_owned(),
    }
}

/// Returns the prompts below which the detector finds nothing, whatever it sees: `underpowered`.
fn prompts_least(question: Detector) -> u32 {
    let least = match question {
        Detector::Kin | Detector::Teacher => crate::evidence::PROMPTS_MIN,
        Detector::Genes => GenesSettings::default().prompts_min,
        Detector::Same => 1,
    };
    u32::try_from(least).unwrap_or(u32::MAX)
}

/// Returns the draws of a prompt that are looked at: those of the design, and for `genes`, whose
/// figures depend on them, those that figures are for.
fn choices_of_draws(question: Detector, planned: u32) -> Vec<u32> {
    match question {
        Detector::Genes => vec![planned.max(1), 4, 16],
        Detector::Kin | Detector::Same | Detector::Teacher => vec![planned.max(1)],
    }
}

fn same(design: Design, target: &Target) -> Outlook {
    let at = |draws: u32| same_power(design.prompts, draws, target);
    let draws = fewest(2, DRAWS_MAX, |draws| at(draws) >= target.power);
    Outlook {
        question: Detector::Same,
        effect: format!(
            "{:.0} % of replies from another model",
            100.0 * target.share
        ),
        design,
        power: at(design.draws),
        smallest_p: None,
        alpha_each: target.alpha_each(),
        needed: draws.map(|draws| Design { draws, ..design }),
        power_most: at(DRAWS_MAX),
        source: "normal approximation, fitted to simulated one-word choices".to_owned(),
    }
}

/// Returns the chance that the permutation test of `same` finds the share: 0 without two draws.
fn same_power(prompts: u32, draws: u32, target: &Target) -> f64 {
    if prompts == 0 || draws < 2 {
        return 0.0;
    }
    let shift = SAME_SHIFT * target.share.powi(2) * f64::from(draws) * f64::from(prompts).sqrt();
    let normal = Normal::standard();
    normal.cdf(shift - normal.inverse_cdf(1.0 - target.alpha_each()))
}

/// Returns the smallest number of controls with which p can reach `alpha`: 1 / (n + 1) ≤ alpha.
pub fn controls_least(alpha: f64) -> u32 {
    fewest(1, CONTROLS_MAX, |n| may_be_as_high(n, alpha) >= 1).unwrap_or(CONTROLS_MAX)
}

/// Returns how many of `controls` + 1 scores, the suspect's among them, may be as high as its own.
fn may_be_as_high(controls: u32, alpha: f64) -> u64 {
    // A hair above, so that 0.05 × 20 counts as 1 whatever its last digit.
    let share = alpha * (f64::from(controls) + 1.0) * (1.0 + 1e-12);
    (0..=u64::from(controls))
        .take_while(|rank| (rank + 1) as f64 <= share)
        .count() as u64
}

/// Returns the chance that the conformal p-value is at most `alpha`, for a suspect's score that is
/// normal around `distance` and controls around 0.
pub fn conformal_power(distance: f64, controls: u32, alpha: f64) -> f64 {
    let ranks = may_be_as_high(controls, alpha);
    let normal = Normal::standard();
    if ranks == 0 {
        return 0.0;
    }
    let width = 10.0 / f64::from(STEPS);
    (0..=STEPS)
        .map(|step| {
            let offset = -5.0 + width * f64::from(step);
            let above = normal.cdf(-(distance + offset));
            let chance = Binomial::new(above.clamp(0.0, 1.0), u64::from(controls))
                .map_or(0.0, |count| count.cdf(ranks - 1));
            let density = (-offset * offset / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
            width * density * chance
        })
        .sum::<f64>()
        .clamp(0.0, 1.0)
}

/// Returns the smallest number from `least` to `most` that is enough, where more is never less.
fn fewest(least: u32, most: u32, is_enough: impl Fn(u32) -> bool) -> Option<u32> {
    if least > most || !is_enough(most) {
        return None;
    }
    let (mut low, mut high) = (least, most);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_enough(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(high)
}

#[cfg(test)]
mod tests;
