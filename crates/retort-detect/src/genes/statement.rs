//! What the alleles say of a pair, against what controls show.

use std::collections::BTreeSet;

use super::Genes;
use crate::analysis::{Detector, Finding, Interval, Statement};
use crate::calibrate::{can_reach, conformal_p, controls_needed};

/// A control whose score lies this many robust standard deviations above the others' median is
/// named: it may be related to the candidate itself. One in 30,000 of a normal distribution.
const OUTLIER: f64 = 4.0;

/// Two-sided 95 % point of Student's t with as many degrees of freedom as parts less one, 15.
const T_95: f64 = 2.131;

/// The pair as positions, and the controls that can be compared.
struct Asked {
    suspect: usize,
    candidate: usize,
    controls: Vec<usize>,
    left_out: Vec<String>,
}

impl Asked {
    fn new(genes: &Genes, names: [&str; 2], controls: &[String]) -> Option<Self> {
        let alleles = &genes.alleles;
        let [suspect, candidate] = names.map(|name| alleles.model(name));
        let (suspect, candidate) = (suspect?, candidate?);
        let mut fit = BTreeSet::new();
        let mut left_out = BTreeSet::new();
        for name in controls {
            match alleles.model(name) {
                Some(model) if model == suspect || model == candidate => {}
                Some(model)
                    if alleles.common(model, candidate) >= genes.settings.prompts_min
                        && genes.similarities.whole(model, candidate).is_some() =>
                {
                    fit.insert(model);
                }
                _ => {
                    left_out.insert(name.clone());
                }
            }
        }
        Some(Self {
            suspect,
            candidate,
            controls: fit.into_iter().collect(),
            left_out: left_out.into_iter().collect(),
        })
    }

    /// Returns the scores of the suspect and of each control, by one matrix of similarities: how
    /// much nearer it stands to the candidate than to the others. All are treated alike, so under
    /// the null each order of them is as likely.
    fn scores(&self, genes: &Genes, matrix: usize) -> Option<(f64, Vec<f64>)> {
        let alike: Vec<usize> = std::iter::once(self.suspect)
            .chain(self.controls.iter().copied())
            .collect();
        let at = |one: usize, other: usize| genes.similarities.at(matrix, one, other);
        let score = |model: &usize| {
            let own = at(*model, self.candidate)?;
            let others = alike.iter().filter(|other| *other != model);
            let near: Vec<f64> = others.filter_map(|other| at(*model, *other)).collect();
            (!near.is_empty()).then(|| own - near.iter().sum::<f64>() / near.len() as f64)
        };
        let suspect = score(&self.suspect)?;
        let controls: Option<Vec<f64>> = self.controls.iter().map(score).collect();
        Some((suspect, controls?))
    }
}

/// Returns the score of a pair, and those of the controls.
pub(crate) fn scores(
    genes: &Genes,
    suspect: &str,
    candidate: &str,
    controls: &[String],
) -> Option<(f64, Vec<f64>)> {
    Asked::new(genes, [suspect, candidate], controls)?.scores(genes, 0)
}

/// Returns the statement about a pair.
pub(crate) fn of(genes: &Genes, suspect: &str, candidate: &str, controls: &[String]) -> Statement {
    let mut statement = Statement {
        suspect: suspect.to_owned(),
        candidate: candidate.to_owned(),
        detector: Detector::Genes,
        statistic: genes.similarity(suspect, candidate),
        effect: None,
        p: None,
        p_adjusted: None,
        log10_lr: None,
        log10_lr_cap: None,
        finding: Finding::NotSupported,
        prompts: 0,
        controls: Vec::new(),
        wording: wording(suspect, candidate),
        notes: Vec::new(),
        exhibits: Vec::new(),
    };
    statement.finding = fill(genes, &mut statement, controls);
    statement
}

/// Fills in the numbers and returns the finding.
fn fill(genes: &Genes, statement: &mut Statement, controls: &[String]) -> Finding {
    let settings = &genes.settings;
    let names = [statement.suspect.as_str(), statement.candidate.as_str()];
    if names[0] == names[1] {
        return Finding::NotMeasured("a model is not compared with itself".to_owned());
    }
    if genes.prompts() == 0 {
        let reason =
            "no text to be continued was asked: neither mode `completion` nor suite `genes`";
        return Finding::NotMeasured(reason.to_owned());
    }
    if let Some(name) = names
        .iter()
        .find(|name| genes.alleles.model(name).is_none())
    {
        return Finding::NotMeasured(format!("no replies of `{name}`"));
    }
    let Some(asked) = Asked::new(genes, names, controls) else {
        return Finding::NotMeasured("no replies of one of them".to_owned());
    };
    statement.prompts = genes.alleles.common(asked.suspect, asked.candidate);
    statement.controls = asked
        .controls
        .iter()
        .map(|model| genes.alleles.models[*model].clone())
        .collect();
    statement.notes = notes(genes, &asked);
    if statement.prompts == 0 {
        return Finding::NotMeasured("no prompt that both answered".to_owned());
    }
    if statement.statistic.is_none() {
        let reason = "one of them never began two replies to a prompt alike";
        return Finding::NotMeasured(reason.to_owned());
    }
    if statement.prompts < settings.prompts_min {
        let (have, need) = (statement.prompts, settings.prompts_min);
        return Finding::Underpowered(format!("{have} prompts that both answered; {need} needed"));
    }
    let scores = asked.scores(genes, 0);
    let Some((own, others)) = scores.filter(|(_, others)| !others.is_empty()) else {
        return Finding::ControlSetInsufficient("no control can be compared".to_owned());
    };
    let p = conformal_p(own, &others);
    statement.p = Some(p);
    statement.effect = effect(genes, &asked, own, &others);
    statement.notes.extend(outliers(genes, &asked, &others));
    if !can_reach(others.len(), settings.alpha) {
        return Finding::ControlSetInsufficient(format!(
            "{} controls allow no p below {:.3}; {} needed for {}",
            others.len(),
            1.0 / (others.len() + 1) as f64,
            controls_needed(settings.alpha),
            settings.alpha
        ));
    }
    if p > settings.alpha {
        return Finding::NotSupported;
    }
    match statement.effect {
        Some(effect) if effect.low <= 0.0 => Finding::Inconclusive(
            "no control stands as near, but over other prompts one might".to_owned(),
        ),
        _ => Finding::Supported,
    }
}

/// Returns mean and standard deviation; nothing for fewer than two values or none that differ.
fn moments(values: &[f64]) -> Option<(f64, f64)> {
    if values.len() < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (squares / (values.len() - 1) as f64).sqrt();
    // Scores are differences of numbers near 1: below this they differ by rounding only.
    (deviation > 1e-9).then_some((mean, deviation))
}

/// Returns the distance from the controls' mean in their standard deviations, with an interval from
/// leaving out parts of the prompts.
fn effect(genes: &Genes, asked: &Asked, own: f64, others: &[f64]) -> Option<Interval> {
    let (mean, deviation) = moments(others)?;
    let value = (own - mean) / deviation;
    let parts = genes.similarities.parts();
    let mut left: Vec<f64> = Vec::with_capacity(parts);
    for matrix in 1..=parts {
        let (own, others) = asked.scores(genes, matrix)?;
        let mean = others.iter().sum::<f64>() / others.len() as f64;
        left.push((own - mean) / deviation);
    }
    if left.len() < 2 {
        return None;
    }
    let count = left.len() as f64;
    let mean = left.iter().sum::<f64>() / count;
    let squares: f64 = left.iter().map(|value| (value - mean).powi(2)).sum();
    let error = ((count - 1.0) / count * squares).sqrt();
    Some(Interval {
        value,
        low: value - T_95 * error,
        high: value + T_95 * error,
    })
}

fn notes(genes: &Genes, asked: &Asked) -> Vec<String> {
    let mut notes = Vec::new();
    if !genes.is_unbiased() {
        notes.push(
            "single draws: the statistic is the share of prompts on which both agree, which varied \
             answers lower"
                .to_owned(),
        );
    }
    if genes.alleles.beyond > 0 {
        let (kept, beyond) = (genes.prompts(), genes.alleles.beyond);
        notes.push(format!(
            "only the first {kept} prompts were compared; {beyond} more are beyond memory"
        ));
    }
    if !asked.left_out.is_empty() {
        let names = asked.left_out.join(", ");
        notes.push(format!("controls without enough replies: {names}"));
    }
    notes.push(
        "near alleles speak for shared weights or shared training text; a shared base and a common \
         ancestor look alike"
            .to_owned(),
    );
    notes
}

/// Names controls that stand far above the others.
fn outliers(genes: &Genes, asked: &Asked, scores: &[f64]) -> Option<String> {
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let middle = median(&mut scores.to_vec());
    let mut apart: Vec<f64> = scores.iter().map(|score| (score - middle).abs()).collect();
    // The factor makes the median of absolute deviations a standard deviation of normal values.
    let deviation = 1.4826 * median(&mut apart);
    if deviation <= 1e-9 {
        return None;
    }
    let names: Vec<&str> = asked
        .controls
        .iter()
        .zip(scores)
        .filter(|(_, score)| (**score - middle) / deviation > OUTLIER)
        .map(|(model, _)| genes.alleles.models[*model].as_str())
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "controls that stand as near to the candidate as relatives would: {}",
            names.join(", ")
        )
    })
}

fn wording(suspect: &str, candidate: &str) -> String {
    format!(
        "H1: `{suspect}` and `{candidate}` share weights or an ancestor. H2: `{suspect}` stands to \
         `{candidate}` as the controls do."
    )
}
