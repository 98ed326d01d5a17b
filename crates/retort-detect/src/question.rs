//! What is asked of a snapshot: who is in question, who may have made them, who they are compared with.

use crate::analysis::Cast;
use crate::load::Loaded;

/// What is asked of a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// Who plays which part. Without controls, every model that is neither suspect nor candidate
    /// may be one.
    pub cast: Cast,
    /// Every ordered pair of models instead of suspects against candidates.
    pub all_pairs: bool,
}

/// A question that cannot be asked of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// Nobody is in question.
    #[error("no {0} are named")]
    Nobody(&'static str),
    /// A model is compared with itself, and nothing else is asked.
    #[error("`{0}` is the only suspect and the only candidate")]
    Itself(String),
    /// A model is not in the snapshot.
    #[error("the snapshot has no model `{name}`")]
    Unknown {
        /// The model.
        name: String,
        /// Names that are in the snapshot.
        known: Vec<String>,
    },
}

/// Checks a question against a snapshot and fills in what it leaves open.
///
/// # Errors
/// When nobody is in question, a model only with itself, or a model is not in the snapshot.
pub fn complete(loaded: &Loaded, question: &Question) -> Result<Question, QuestionError> {
    let known: Vec<String> = loaded.coverage.iter().map(|c| c.model.clone()).collect();
    let mut cast = question.cast.clone();
    if !question.all_pairs {
        let parts = [
            ("suspects", &cast.suspects),
            ("candidates", &cast.candidates),
        ];
        if let Some((what, _)) = parts.iter().find(|(_, names)| names.is_empty()) {
            return Err(QuestionError::Nobody(what));
        }
    }
    for names in [&mut cast.suspects, &mut cast.candidates, &mut cast.controls] {
        names.sort();
        names.dedup();
        if let Some(name) = names.iter().find(|name| !known.contains(name)) {
            let name = name.clone();
            return Err(QuestionError::Unknown { name, known });
        }
    }
    if let ([suspect], [candidate]) = (cast.suspects.as_slice(), cast.candidates.as_slice())
        && suspect == candidate
        && !question.all_pairs
    {
        return Err(QuestionError::Itself(suspect.clone()));
    }
    if cast.controls.is_empty() {
        let plays = |name: &String| {
            !question.all_pairs && (cast.suspects.contains(name) || cast.candidates.contains(name))
        };
        cast.controls = known.iter().filter(|name| !plays(name)).cloned().collect();
    }
    Ok(Question { cast, ..*question })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Coverage;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn asked(
        suspects: &[&str],
        candidates: &[&str],
        controls: &[&str],
        all_pairs: bool,
    ) -> Result<Cast, QuestionError> {
        let coverage = ["a", "b", "c", "d"].map(|model| Coverage {
            model: model.to_owned(),
            role: None,
            planned: 1,
            outcomes: std::collections::BTreeMap::new(),
        });
        let loaded = Loaded {
            coverage: coverage.to_vec(),
            ..Loaded::default()
        };
        let cast = Cast {
            suspects: names(suspects),
            candidates: names(candidates),
            controls: names(controls),
        };
        complete(&loaded, &Question { cast, all_pairs }).map(|question| question.cast)
    }

    #[test]
    fn what_is_left_open_is_filled_in() {
        let cast = asked(&["b", "a", "b"], &["a"], &[], false).expect("complete");
        assert_eq!(cast.suspects, names(&["a", "b"]));
        assert_eq!(cast.controls, names(&["c", "d"]));
        let cast = asked(&["a"], &["b"], &["d"], false).expect("complete");
        assert_eq!(cast.controls, names(&["d"]));
        let cast = asked(&[], &[], &[], true).expect("complete");
        assert_eq!(cast.controls, names(&["a", "b", "c", "d"]));
    }

    #[test]
    fn nobody_and_strangers_are_refused() {
        assert_eq!(
            asked(&[], &["a"], &[], false),
            Err(QuestionError::Nobody("suspects"))
        );
        assert_eq!(
            asked(&["a"], &[], &[], false),
            Err(QuestionError::Nobody("candidates"))
        );
        assert_eq!(
            asked(&["a"], &["a", "a"], &[], false),
            Err(QuestionError::Itself("a".to_owned()))
        );
        let unknown = asked(&["a"], &["b"], &["x"], false);
        assert!(matches!(unknown, Err(QuestionError::Unknown { name, .. }) if name == "x"));
    }
}
