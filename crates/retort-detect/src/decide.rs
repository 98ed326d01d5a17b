//! The decision tree: from what the detectors found about a pair to what may be concluded of it.
//!
//! The tree is fixed and printed with every report. It reads findings and nothing else: no names,
//! no registry, no scores. What it cannot tell apart it says together.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::{Conclusion, Decision, Detector, Finding, Statement};
use crate::wording;

/// The tree as it is printed.
pub const TREE: &str = "\
1 Do both names answer from one distribution now? (same)
    yes  -> the same model under two names
2 Do raw completions share alleles beyond what the controls share? (genes)
    yes  -> derivation or shared base; which of them cannot be told
3 Are habits of answering closer than the controls'? (kin)
4 Does the suspect stand out from control students towards the candidate? (teacher)
    3 or 4 yes, 2 no        -> distillation, texts of the candidate, or a common source; which of
                               them cannot be told
    3 or 4 yes, 2 not known -> a relation of unknown kind: ask raw completions (suite genes)
    2, 3 and 4 no           -> not distinguishable from models without a known relation
    otherwise               -> undetermined: something that is needed has no answer
A question that was not asked is passed over; one that could not be answered is `not known`. In the
last line but one, 2 is also passed over where the snapshot holds no raw completions, 3 or 4 never.";

/// What a question was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    /// It was asked, and there is no answer.
    NotKnown,
    /// It was asked, and the snapshot has nothing to answer it from.
    NotMeasured,
    /// It was not asked.
    NotAsked,
}

impl Answer {
    const fn of(finding: &Finding) -> Self {
        match finding {
            Finding::Supported => Self::Yes,
            Finding::NotSupported => Self::No,
            Finding::NotMeasured(_) => Self::NotMeasured,
            Finding::Inconclusive(_)
            | Finding::Underpowered(_)
            | Finding::ControlSetInsufficient(_) => Self::NotKnown,
        }
    }
}

/// Returns the decision for every pair that something was said about, by suspect and candidate.
pub fn decide_all(statements: &[Statement]) -> Vec<Decision> {
    let pairs: BTreeSet<(&str, &str)> = statements
        .iter()
        .map(|statement| (statement.suspect.as_str(), statement.candidate.as_str()))
        .collect();
    let mut by_pair: BTreeMap<(&str, &str), Vec<&Statement>> = BTreeMap::new();
    for statement in statements {
        let pair = (statement.suspect.as_str(), statement.candidate.as_str());
        by_pair.entry(pair).or_default().push(statement);
    }
    pairs
        .into_iter()
        .map(|(suspect, candidate)| {
            let about = by_pair.get(&(suspect, candidate));
            decide(suspect, candidate, about.map_or(&[][..], Vec::as_slice))
        })
        .collect()
}

/// Returns the decision for one pair from the statements about it.
pub fn decide(suspect: &str, candidate: &str, statements: &[&Statement]) -> Decision {
    let mut path = Vec::new();
    let mut ask = |detector: Detector, question: &str| {
        let found = statements
            .iter()
            .find(|statement| statement.detector == detector);
        let answer = found.map_or(Answer::NotAsked, |found| Answer::of(&found.finding));
        path.push((question.to_owned(), told(answer, found.copied())));
        answer
    };
    let same = ask(
        Detector::Same,
        "Do both names answer from one distribution now? (same)",
    );
    let genes = ask(
        Detector::Genes,
        "Do raw completions share alleles beyond what the controls share? (genes)",
    );
    let kin = ask(
        Detector::Kin,
        "Are habits of answering closer than the controls'? (kin)",
    );
    let teacher = ask(
        Detector::Teacher,
        "Does the suspect stand out from control students towards the candidate? (teacher)",
    );
    Decision {
        suspect: suspect.to_owned(),
        candidate: candidate.to_owned(),
        conclusion: conclude(same, genes, [kin, teacher]),
        path,
    }
}

fn conclude(same: Answer, genes: Answer, habits: [Answer; 2]) -> Conclusion {
    if same == Answer::Yes {
        return Conclusion::SameModel;
    }
    if genes == Answer::Yes {
        return Conclusion::DerivationOrSharedBase;
    }
    if habits.contains(&Answer::Yes) {
        return match genes {
            Answer::No => Conclusion::DistillationOrCommonSource,
            Answer::Yes | Answer::NotKnown | Answer::NotMeasured | Answer::NotAsked => {
                Conclusion::RelationOfUnknownKind
            }
        };
    }
    // That two names are not one model says nothing about where either comes from.
    let asked: Vec<Answer> = habits
        .into_iter()
        .filter(|answer| *answer != Answer::NotAsked)
        .collect();
    let is_no = if asked.is_empty() {
        genes == Answer::No
    } else {
        genes != Answer::NotKnown && asked.iter().all(|answer| *answer == Answer::No)
    };
    if is_no {
        Conclusion::NotDistinguishable
    } else {
        Conclusion::Undetermined
    }
}

/// Returns an answer as it is printed: with its figures, or with the reason why there is none.
fn told(answer: Answer, statement: Option<&Statement>) -> String {
    let figures = || {
        let statement = statement?;
        let p = statement.p_adjusted.or(statement.p)?;
        let p = wording::probability(p);
        let ratio = match (statement.log10_lr, wording::no_ratio(statement)) {
            (Some(log10_lr), _) => format!(", log10 LR {log10_lr:.2}"),
            (None, Some(why)) if statement.detector == Detector::Genes => {
                format!(", log10 LR {why}")
            }
            (None, _) => String::new(),
        };
        Some(format!(" (p {p}{ratio})"))
    };
    match answer {
        Answer::Yes => format!("yes{}", figures().unwrap_or_default()),
        Answer::No if statement.is_some_and(wording::is_excluded_by_dates) => {
            "no: the suspect was published before the candidate".to_owned()
        }
        Answer::No => format!("no{}", figures().unwrap_or_default()),
        Answer::NotAsked => "not asked".to_owned(),
        Answer::NotKnown | Answer::NotMeasured => {
            let why = statement.and_then(|found| wording::reason(&found.finding));
            format!("not known: {}", why.unwrap_or("no reason is told"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Detector; 4] = [
        Detector::Same,
        Detector::Genes,
        Detector::Kin,
        Detector::Teacher,
    ];

    fn statement(detector: Detector, finding: Finding) -> Statement {
        Statement {
            suspect: "s".to_owned(),
            candidate: "t".to_owned(),
            detector,
            statistic: None,
            effect: None,
            p: None,
            p_adjusted: None,
            log10_lr: None,
            log10_lr_cap: None,
            finding,
            prompts: 0,
            controls: Vec::new(),
            wording: String::new(),
            notes: Vec::new(),
            exhibits: Vec::new(),
        }
    }

    /// Answers in the order same, genes, kin, teacher: `y`es, `n`o, not known `?`, nothing to read `0`, not
    /// asked `-`.
    #[track_caller]
    fn check(answers: &str, expected: Conclusion) {
        let statements: Vec<Statement> = ALL
            .into_iter()
            .zip(answers.chars())
            .filter_map(|(detector, answer)| {
                Some(statement(
                    detector,
                    match answer {
                        'y' => Finding::Supported,
                        'n' => Finding::NotSupported,
                        '?' => Finding::Underpowered("3 prompts".to_owned()),
                        '0' => Finding::NotMeasured("nothing to read".to_owned()),
                        _ => return None,
                    },
                ))
            })
            .collect();
        let decisions = decide_all(&statements);
        let found = decisions.first().map(|decision| decision.conclusion);
        assert_eq!(found, Some(expected), "{answers}");
    }

    #[test]
    fn the_tree_decides_as_it_is_printed() {
        check("y---", Conclusion::SameModel);
        check("ynnn", Conclusion::SameModel);
        check("nyyy", Conclusion::DerivationOrSharedBase);
        check("?ynn", Conclusion::DerivationOrSharedBase);
        check("nnyn", Conclusion::DistillationOrCommonSource);
        check("-nny", Conclusion::DistillationOrCommonSource);
        check("n?yn", Conclusion::RelationOfUnknownKind);
        check("--ny", Conclusion::RelationOfUnknownKind);
        check("nnnn", Conclusion::NotDistinguishable);
        check("--n-", Conclusion::NotDistinguishable);
        check("-n--", Conclusion::NotDistinguishable);
        check("n?nn", Conclusion::Undetermined);
        check("n0nn", Conclusion::NotDistinguishable);
        check("n0yn", Conclusion::RelationOfUnknownKind);
        check("nn0n", Conclusion::Undetermined);
        check("nnn?", Conclusion::Undetermined);
        check("nn??", Conclusion::Undetermined);
        check("n---", Conclusion::Undetermined);
        check("????", Conclusion::Undetermined);
    }

    #[test]
    fn the_path_tells_every_question_and_its_figures() {
        let mut kin = statement(Detector::Kin, Finding::NotSupported);
        kin.p = Some(0.25);
        kin.log10_lr = Some(-0.3);
        let teacher = statement(
            Detector::Teacher,
            Finding::ControlSetInsufficient("2 controls".to_owned()),
        );
        let decision = decide("s", "t", &[&kin, &teacher]);
        let answers: Vec<&str> = decision.path.iter().map(|(_, a)| a.as_str()).collect();
        assert_eq!(
            answers,
            [
                "not asked",
                "not asked",
                "no (p 0.250, log10 LR -0.30)",
                "not known: 2 controls"
            ]
        );
        // Every question stands in the printed tree.
        for (question, _) in &decision.path {
            assert!(TREE.contains(question.as_str()), "{question}");
        }
    }
}
