//! In which order an analysis is shown: the strongest evidence first. Files keep the order of names.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::analysis::{Analysis, Conclusion, Decision, Detector, Statement};

/// The names of a pair: suspect, candidate.
type Names<'a> = (&'a str, &'a str);

/// How strong the evidence about a pair is.
#[derive(Debug, Clone, Copy)]
struct Strength {
    /// 0 with a relation, 1 undetermined, 2 not distinguishable.
    conclusion: u8,
    /// Largest log10 likelihood ratio.
    log10_lr: f64,
    /// Largest effect against controls, in standard deviations of theirs.
    effect: f64,
}

impl Strength {
    fn of(decision: &Decision, statements: &[&Statement]) -> Self {
        let largest = |figures: &mut dyn Iterator<Item = f64>| {
            figures
                .filter(|figure| figure.is_finite())
                .fold(f64::NEG_INFINITY, f64::max)
        };
        // Effects of `same` have another scale, and speak for a difference.
        let against_controls = || {
            let all = statements.iter();
            all.filter(|statement| statement.detector != Detector::Same)
        };
        Self {
            conclusion: match decision.conclusion {
                Conclusion::SameModel
                | Conclusion::DerivationOrSharedBase
                | Conclusion::DistillationOrCommonSource
                | Conclusion::RelationOfUnknownKind => 0,
                Conclusion::Undetermined => 1,
                Conclusion::NotDistinguishable => 2,
            },
            log10_lr: largest(&mut against_controls().filter_map(|s| s.log10_lr)),
            effect: largest(&mut against_controls().filter_map(|s| Some(s.effect?.value))),
        }
    }

    fn stronger_first(self, other: Self) -> Ordering {
        self.conclusion
            .cmp(&other.conclusion)
            .then(other.log10_lr.total_cmp(&self.log10_lr))
            .then(other.effect.total_cmp(&self.effect))
    }
}

/// Returns the decisions: supported relations first, then what is undetermined; among those by
/// likelihood ratio, effect and names. Both directions of a pair of equal strength stand together.
pub fn decisions(analysis: &Analysis) -> Vec<&Decision> {
    let about = about(analysis);
    let mut ranked: Vec<(Strength, &Decision)> = analysis
        .decisions
        .iter()
        .map(|decision| {
            let statements = about.get(&names(decision)).map_or(&[][..], Vec::as_slice);
            (Strength::of(decision, statements), decision)
        })
        .collect();
    let unordered = |decision: &Decision| {
        let (one, other) = (decision.suspect.clone(), decision.candidate.clone());
        if one <= other {
            (one, other)
        } else {
            (other, one)
        }
    };
    ranked.sort_by(|(one, a), (other, b)| {
        one.stronger_first(*other)
            .then_with(|| unordered(a).cmp(&unordered(b)))
            .then_with(|| names(a).cmp(&names(b)))
    });
    ranked.into_iter().map(|(_, decision)| decision).collect()
}

/// Returns the statements, pairs in the order of [`decisions`], those of a pair as the analysis has
/// them.
pub fn statements(analysis: &Analysis) -> Vec<&Statement> {
    let mut about = about(analysis);
    let mut ranked = Vec::with_capacity(analysis.statements.len());
    for decision in decisions(analysis) {
        ranked.extend(about.remove(&names(decision)).unwrap_or_default());
    }
    // Every pair that something is said about has a decision; what was made otherwise is not lost.
    ranked.extend(about.into_values().flatten());
    ranked
}

fn names(decision: &Decision) -> Names<'_> {
    (&decision.suspect, &decision.candidate)
}

fn about(analysis: &Analysis) -> BTreeMap<Names<'_>, Vec<&Statement>> {
    let mut about: BTreeMap<Names<'_>, Vec<&Statement>> = BTreeMap::new();
    for statement in &analysis.statements {
        let pair = (statement.suspect.as_str(), statement.candidate.as_str());
        about.entry(pair).or_default().push(statement);
    }
    about
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Interval;
    use crate::{decide, example};

    #[test]
    fn relations_come_first_then_ratios_then_effects() {
        let mut analysis = example::analysis(3);
        let kin = |suspect: &str, candidate: &str, ratio: f64, effect: f64| Statement {
            effect: Some(Interval {
                value: effect,
                low: effect - 1.0,
                high: effect + 1.0,
            }),
            ..example::statement(suspect, candidate, Detector::Kin, ratio)
        };
        analysis.statements = vec![
            kin("a", "b", -1.0, -1.0),
            kin("a", "c", 1.7, 4.0),
            kin("b", "a", -1.0, -1.0),
            kin("b", "c", 1.7, 6.0),
            kin("c", "a", 1.7, 4.0),
            kin("d", "e", f64::NAN, f64::NAN),
            kin("e", "f", 1.4, 9.0),
        ];
        analysis.decisions = decide::decide_all(&analysis.statements);
        let order: Vec<Names<'_>> = decisions(&analysis).into_iter().map(names).collect();
        let expected = [
            ("b", "c"),
            ("a", "c"),
            ("c", "a"),
            ("e", "f"),
            ("a", "b"),
            ("b", "a"),
            ("d", "e"),
        ];
        assert_eq!(order, expected);
        let shown = statements(&analysis).into_iter();
        let shown: Vec<Names<'_>> = shown
            .map(|s| (s.suspect.as_str(), s.candidate.as_str()))
            .collect();
        assert_eq!(shown, expected);
        analysis.decisions.clear();
        assert_eq!(statements(&analysis).len(), 7, "nothing is lost");
    }
}
