//! How strength of evidence is said: a pair of propositions, a likelihood ratio, and the verbal
//! scale of the ENFSI guideline for evaluative reporting (2015).
//!
//! A statement never says where a model comes from, nor how probable that is: it says how much more
//! probable the observations are under one proposition than under the other.

use crate::analysis::{Conclusion, Detector, Finding, Statement};

/// Two propositions that exclude each other. Evidence is always evaluated against both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Propositions {
    /// What is asked.
    pub first: String,
    /// What else may be so.
    pub second: String,
}

/// Returns what a detector asks about a suspect and a candidate.
pub fn propositions(detector: Detector, suspect: &str, candidate: &str) -> Propositions {
    let (first, second) = match detector {
        Detector::Kin => (
            format!(
                "`{suspect}` and `{candidate}` have something of their making in common: one derives from the other, both from one base, or one learned from outputs of the other or from a source of both"
            ),
            format!(
                "`{suspect}` has no more in common with `{candidate}` than the control models have"
            ),
        ),
        Detector::Genes => (
            format!(
                "`{suspect}` and `{candidate}` share pretraining: one derives from the other, or both from one base"
            ),
            format!(
                "the pretraining of `{suspect}` is no closer to that of `{candidate}` than the control models' is"
            ),
        ),
        Detector::Teacher => (
            format!(
                "`{suspect}` was trained on outputs of `{candidate}`, directly or through texts that it wrote"
            ),
            format!(
                "`{suspect}` was developed without outputs of `{candidate}`, as the control models were"
            ),
        ),
        Detector::Same => (
            format!(
                "`{suspect}` and `{candidate}` answer from one distribution: the same model now"
            ),
            format!("`{suspect}` and `{candidate}` answer from different distributions"),
        ),
    };
    Propositions { first, second }
}

/// Steps of the verbal scale: the likelihood ratio, as a base-10 logarithm, from which a step
/// holds. Below the first, a ratio supports neither proposition.
///
/// The guideline prints 1, 2-10, 10-100, 100-1,000, 1,000-10,000, 10,000-1,000,000 and more.
const SCALE: [(f64, &str); 6] = [
    (std::f64::consts::LOG10_2, "weak support"),
    (1.0, "moderate support"),
    (2.0, "moderately strong support"),
    (3.0, "strong support"),
    (4.0, "very strong support"),
    (6.0, "extremely strong support"),
];

/// How close to the cap a ratio counts as cut by it.
const CAP_TOLERANCE: f64 = 1e-9;

/// Returns the verbal equivalent of the magnitude of a base-10 logarithm of a likelihood ratio.
pub fn verbal(log10_lr: f64) -> &'static str {
    let magnitude = log10_lr.abs();
    SCALE
        .iter()
        .rev()
        .find(|(from, _)| magnitude >= *from)
        .map_or("no support for either", |(_, words)| words)
}

/// Returns a statement as it is printed: propositions, ratio, verbal equivalent and what that is
/// not; or why there is none.
pub fn statement(statement: &Statement) -> String {
    let pair = propositions(statement.detector, &statement.suspect, &statement.candidate);
    let question = format!("Either {}; or {}.", pair.first, pair.second);
    match &statement.finding {
        Finding::NotMeasured(why) => return format!("{question} Not measured: {why}."),
        Finding::ControlSetInsufficient(why) => {
            return format!("{question} The control set is insufficient: {why}.");
        }
        Finding::Underpowered(why) => return format!("{question} Underpowered: {why}."),
        Finding::Supported | Finding::NotSupported | Finding::Inconclusive(_) => {}
    }
    let text = format!("{question} {}", weight(statement));
    match &statement.finding {
        Finding::Inconclusive(why) => format!("{text} Inconclusive: {why}."),
        Finding::NotSupported => match against(statement) {
            Some(p) => format!("{text} They carry no finding: p = {p}, above the level."),
            None => text,
        },
        Finding::Supported
        | Finding::NotMeasured(_)
        | Finding::Underpowered(_)
        | Finding::ControlSetInsufficient(_) => text,
    }
}

/// Returns the p-value of a pair that is not supported although its ratio speaks for the first.
fn against(statement: &Statement) -> Option<String> {
    let speaks = statement.log10_lr.is_some_and(|value| value >= SCALE[0].0);
    let p = statement.p_adjusted.or(statement.p);
    p.filter(|_| speaks).map(probability)
}

/// Returns whether dates answer the question of a teacher: the suspect was published first, so that
/// no p-value is given.
pub(crate) fn is_excluded_by_dates(statement: &Statement) -> bool {
    statement.detector == Detector::Teacher
        && statement.finding == Finding::NotSupported
        && statement.p.is_none()
}

/// Returns why a pair that was compared has no likelihood ratio; nothing where it has one, or was
/// not compared.
pub fn no_ratio(statement: &Statement) -> Option<&'static str> {
    if statement.log10_lr.is_some() {
        return None;
    }
    if is_excluded_by_dates(statement) {
        return Some("published before the candidate");
    }
    statement.p?;
    Some(match statement.detector {
        Detector::Same => "tests sameness",
        Detector::Teacher => "no other vendor's candidate",
        Detector::Kin | Detector::Genes => "not calibrated",
    })
}

/// Returns what the likelihood ratio says, or the p-value where there is no ratio.
fn weight(statement: &Statement) -> String {
    let Some(log10_lr) = statement.log10_lr.filter(|value| value.is_finite()) else {
        return without_ratio(statement);
    };
    let which = if log10_lr < 0.0 { "second" } else { "first" };
    let other = if log10_lr < 0.0 { "first" } else { "second" };
    let words = verbal(log10_lr);
    if log10_lr.abs() < SCALE[0].0 {
        return "The observations are about as probable under the one as under the other: no support for either."
            .to_owned();
    }
    let capped = statement
        .log10_lr_cap
        .is_some_and(|cap| log10_lr.abs() >= cap - CAP_TOLERANCE);
    let times = times(log10_lr.abs());
    let amount = if capped {
        format!("at least {times} times, the most that these controls can show,")
    } else {
        format!("about {times} times")
    };
    format!(
        "The observations are {amount} more probable under the {which} than under the {other}: {words} for the {which}. This is not the probability that the {which} is true."
    )
}

fn without_ratio(statement: &Statement) -> String {
    if statement.detector == Detector::Same {
        return alike(statement);
    }
    if is_excluded_by_dates(statement) {
        return format!(
            "`{}` was published before `{}`, which excludes the first whatever the likeness.",
            statement.suspect, statement.candidate
        );
    }
    let Some(p) = statement.p_adjusted.or(statement.p).map(probability) else {
        return "No weight can be given.".to_owned();
    };
    match &statement.finding {
        Finding::Supported => format!(
            "The observations would be unusual under the second (p = {p}); how much more probable they are under the first was not calibrated."
        ),
        Finding::NotSupported => {
            format!("The observations are not unusual under the second (p = {p}).")
        }
        Finding::Inconclusive(_)
        | Finding::NotMeasured(_)
        | Finding::Underpowered(_)
        | Finding::ControlSetInsufficient(_) => {
            format!("p = {p} under the second; no likelihood ratio is given.")
        }
    }
}

/// Returns what a test of "the same" says: a small p speaks for a difference.
fn alike(statement: &Statement) -> String {
    let p = statement.p_adjusted.or(statement.p).map(probability);
    match (&statement.finding, p) {
        (Finding::Supported, Some(p)) => format!(
            "No difference was found (p = {p} if they are the same), and the share of foreign replies that was asked about would have been."
        ),
        (Finding::NotSupported, Some(p)) => {
            format!("They differ by more than chance makes (p = {p} if they were the same).")
        }
        (_, Some(p)) => format!("p = {p} if they are the same."),
        (_, None) => "No weight can be given.".to_owned(),
    }
}

/// Returns a ratio with two significant digits: `3.2`, `47`, `1200`.
pub fn times(log10_lr: f64) -> String {
    let ratio = 10_f64.powf(log10_lr.clamp(0.0, 12.0));
    if ratio < 10.0 {
        return format!("{ratio:.1}");
    }
    let step = 10_f64.powf(ratio.log10().floor() - 1.0);
    format!("{:.0}", (ratio / step).round() * step)
}

/// Returns a probability as it is printed: three decimals, more where they would be zeros.
pub fn probability(p: f64) -> String {
    if p >= 0.001 || p <= 0.0 {
        format!("{p:.3}")
    } else {
        format!("{p:.1e}")
    }
}

/// Returns a level in per cent, as it was set: `5 %`, `0.1 %`.
pub fn percent(level: f64) -> String {
    let percent = format!("{:.4}", level * 100.0);
    let short = percent.trim_end_matches('0').trim_end_matches('.');
    format!("{short} %")
}

/// Returns the name of a finding, as tables and files say it.
pub const fn finding(finding: &Finding) -> &'static str {
    match finding {
        Finding::Supported => "supported",
        Finding::NotSupported => "not_supported",
        Finding::Inconclusive(_) => "inconclusive",
        Finding::NotMeasured(_) => "not_measured",
        Finding::Underpowered(_) => "underpowered",
        Finding::ControlSetInsufficient(_) => "control_set_insufficient",
    }
}

/// Returns why a finding is no answer, if it is none.
pub fn reason(finding: &Finding) -> Option<&str> {
    match finding {
        Finding::Supported | Finding::NotSupported => None,
        Finding::Inconclusive(why)
        | Finding::NotMeasured(why)
        | Finding::Underpowered(why)
        | Finding::ControlSetInsufficient(why) => Some(why),
    }
}

/// Returns the name of a detector, as commands, files and tables say it.
pub const fn detector(detector: Detector) -> &'static str {
    match detector {
        Detector::Kin => "kin",
        Detector::Genes => "genes",
        Detector::Same => "same",
        Detector::Teacher => "teacher",
    }
}

/// Returns the name of a conclusion, as tables and files say it.
pub const fn conclusion_name(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::SameModel => "same_model",
        Conclusion::DerivationOrSharedBase => "derivation_or_shared_base",
        Conclusion::DistillationOrCommonSource => "distillation_or_common_source",
        Conclusion::RelationOfUnknownKind => "relation_of_unknown_kind",
        Conclusion::NotDistinguishable => "not_distinguishable",
        Conclusion::Undetermined => "undetermined",
    }
}

/// Returns what a conclusion says, in one sentence.
pub const fn conclusion(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::SameModel => "Not told apart: the same model under two names is supported.",
        Conclusion::DerivationOrSharedBase => {
            "Derivation or a shared base is supported; which of them cannot be told."
        }
        Conclusion::DistillationOrCommonSource => {
            "Training on outputs of the candidate, on texts it wrote, or on a common source is supported; which of them cannot be told."
        }
        Conclusion::RelationOfUnknownKind => {
            "A relation is supported; whether derivation, shared base or distillation cannot be told without raw completions."
        }
        Conclusion::NotDistinguishable => {
            "What was measured shows nothing beyond what models without a known relation show."
        }
        Conclusion::Undetermined => "No conclusion: something that is needed has no answer.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(log10_lr: Option<f64>, cap: Option<f64>, finding: Finding) -> String {
        statement(&Statement {
            suspect: "s".to_owned(),
            candidate: "t".to_owned(),
            detector: Detector::Teacher,
            statistic: Some(1.0),
            effect: None,
            p: Some(0.02),
            p_adjusted: Some(0.04),
            log10_lr,
            log10_lr_cap: cap,
            finding,
            prompts: 10,
            controls: Vec::new(),
            wording: String::new(),
            notes: Vec::new(),
            exhibits: Vec::new(),
        })
    }

    #[test]
    fn the_scale_is_the_guidelines() {
        let at = |ratio: f64| verbal(ratio.log10());
        assert_eq!(at(1.0), "no support for either");
        assert_eq!(at(1.9), "no support for either");
        assert_eq!(at(2.0), "weak support");
        assert_eq!(at(9.9), "weak support");
        assert_eq!(at(10.0), "moderate support");
        assert_eq!(at(100.0), "moderately strong support");
        assert_eq!(at(1e3), "strong support");
        assert_eq!(at(1e4), "very strong support");
        assert_eq!(at(1e6), "extremely strong support");
        assert_eq!(verbal(-1.5), "moderate support");
    }

    #[test]
    fn statements_name_both_propositions_and_no_probability() {
        let text = said(Some(1.3), Some(2.0), Finding::Supported);
        assert!(
            text.contains("about 20 times more probable under the first"),
            "{text}"
        );
        assert!(text.contains("moderate support for the first"), "{text}");
        assert!(text.contains("This is not the probability that the first is true"));
        let against = said(Some(-0.7), Some(2.0), Finding::NotSupported);
        assert!(
            against.contains("about 5.0 times more probable under the second than under the first"),
            "{against}"
        );
        let neither = said(Some(0.1), Some(2.0), Finding::NotSupported);
        assert!(neither.contains("no support for either"), "{neither}");
        let capped = said(Some(2.0), Some(2.0), Finding::Supported);
        assert!(
            capped.contains("at least 100 times, the most that these controls can show"),
            "{capped}"
        );
        for text in [text, against, neither, capped] {
            assert!(text.contains("`s`") && text.contains("`t`"));
            for word in ["proof", "proves", "verdict", "was distilled"] {
                assert!(!text.contains(word), "{text}");
            }
        }
    }

    #[test]
    fn what_was_not_measured_says_why() {
        let text = said(
            None,
            None,
            Finding::ControlSetInsufficient("2 controls, 19 are needed".to_owned()),
        );
        assert!(
            text.ends_with("The control set is insufficient: 2 controls, 19 are needed."),
            "{text}"
        );
        let text = said(None, None, Finding::Supported);
        assert!(text.contains("was not calibrated"), "{text}");
        let text = said(Some(f64::NAN), None, Finding::NotSupported);
        assert!(
            text.contains("not unusual under the second (p = 0.040)"),
            "{text}"
        );
    }

    #[test]
    fn words_and_findings_do_not_contradict() {
        let unclear = Finding::Inconclusive("over other prompts one might".to_owned());
        let text = said(None, None, unclear);
        assert!(!text.contains("not unusual"), "{text}");
        let text = said(Some(1.0), Some(2.0), Finding::NotSupported);
        assert!(
            text.contains("10 times more probable under the first"),
            "{text}"
        );
        assert!(text.contains("no finding: p = 0.040"), "{text}");
        assert_eq!(
            [0.05, 0.001, 0.1, 0.0125].map(percent),
            ["5 %", "0.1 %", "10 %", "1.25 %"]
        );
        let genes = Statement {
            detector: Detector::Genes,
            ..crate::example::statement("s", "t", Detector::Genes, 1.4)
        };
        let genes = Statement {
            log10_lr: None,
            ..genes
        };
        assert_eq!(no_ratio(&genes), Some("not calibrated"));
    }
}
