//! Passages that carry the evidence of a pair, side by side.
//!
//! Exhibits illustrate; the statistic does not rest on single passages. A phrase that everybody
//! writes weighs little: weights fall with the number of models that use it.

use rayon::iter::{IntoParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};
use retort_fingerprint::phrases::{shared_phrases, shared_runs};
use retort_fingerprint::{Corpus, Reply};

use crate::analysis::Exhibit;

/// Characters shown before and after the beginning of the weightiest phrase.
const BEFORE_CHARS: usize = 120;
const AFTER_CHARS: usize = 480;

/// Most phrases named per exhibit.
const PHRASES_MAX: usize = 5;

/// Prompts with most in common that are weighed, per exhibit asked for: weighing one reads the
/// replies of all models.
const WEIGHED: usize = 4;

/// Returns the prompts whose replies of the two models share the rarest phrases, the weightiest
/// first, at most `most`. Nothing when a model is not there.
pub fn exhibits(corpus: &Corpus, suspect: &str, candidate: &str, most: usize) -> Vec<Exhibit> {
    let Some(pair) = corpus.model(suspect).zip(corpus.model(candidate)) else {
        return Vec::new();
    };
    let mut common: Vec<(usize, usize)> = (0..corpus.prompts.len())
        .into_par_iter()
        .map(|prompt| (shared_runs(corpus, prompt, pair), prompt))
        .filter(|(shared, _)| *shared > 0)
        .collect();
    common.sort_by_key(|(shared, prompt)| (std::cmp::Reverse(*shared), *prompt));
    common.truncate(most.saturating_mul(WEIGHED));
    let mut found: Vec<Exhibit> = common
        .par_iter()
        .filter_map(|(_, prompt)| exhibit(corpus, *prompt, pair))
        .collect();
    found.sort_by(|a, b| {
        b.weight
            .total_cmp(&a.weight)
            .then_with(|| a.prompt.cmp(&b.prompt))
    });
    found.truncate(most);
    found
}

fn exhibit(corpus: &Corpus, prompt: usize, pair: (usize, usize)) -> Option<Exhibit> {
    let phrases = shared_phrases(corpus, prompt, pair);
    let first = phrases.first()?;
    let readable = |model: usize| -> Option<&Reply> {
        corpus
            .cell(model, prompt)
            .iter()
            .find(|reply| reply.is_readable())
    };
    let (one, other) = (readable(pair.0)?, readable(pair.1)?);
    Some(Exhibit {
        prompt: corpus.prompts.get(prompt)?.label(),
        rows: [one.row.clone(), other.row.clone()],
        texts: [
            passage(&one.text, first.at[0]),
            passage(&other.text, first.at[1]),
        ],
        weight: phrases.iter().map(|phrase| phrase.weight).sum(),
        shared: phrases
            .into_iter()
            .take(PHRASES_MAX)
            .map(|phrase| phrase.text)
            .collect(),
    })
}

/// Returns the text around a place, with `…` where something is left out.
fn passage(text: &str, at: usize) -> String {
    let (before, after) = text.split_at_checked(at).unwrap_or(("", text));
    let skipped = before.chars().count().saturating_sub(BEFORE_CHARS);
    let mut passage = String::new();
    if skipped > 0 {
        passage.push('…');
    }
    passage.extend(before.chars().skip(skipped));
    passage.extend(after.chars().take(AFTER_CHARS));
    if after.chars().nth(AFTER_CHARS).is_some() {
        passage.push('…');
    }
    passage
}

#[cfg(test)]
mod tests {
    use retort_fingerprint::{Prompt, RawReply};
    use retort_types::{Mode, Outcome};

    use super::*;

    fn corpus(texts: &[(&str, usize, &str)]) -> Corpus {
        let reply = |(model, prompt, text): &(&str, usize, &str)| RawReply {
            model: (*model).to_owned(),
            prompt: Prompt {
                suite: "s".to_owned(),
                id: prompt.to_string(),
                arm: String::new(),
                mode: Mode::Chat,
            },
            order: (0, 0),
            outcome: Outcome::Answered,
            text: (*text).to_owned(),
            reasoning: None,
            input_tokens: None,
            output_tokens: None,
            row: String::new(),
        };
        Corpus::from_replies(texts.iter().map(reply).collect())
    }

    #[test]
    fn rare_shared_phrases_come_first() {
        let corpus = corpus(&[
            ("a", 0, "Ünder the pale moon we sang, quietly and long."),
            ("b", 0, "Yes: ünder the PALE moon we sang."),
            ("c", 0, "Nothing in common with the others here."),
            ("a", 1, "As an assistant I am here to help"),
            ("b", 1, "As an assistant I am here to help"),
            ("c", 1, "As an assistant I am here to help"),
        ]);
        let found = exhibits(&corpus, "a", "b", 5);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].prompt, "s/0");
        assert_eq!(found[0].shared, ["Ünder the pale moon we sang"]);
        assert_eq!(found[0].rows, ["a/s/0/0", "b/s/0/0"]);
        assert!(found[0].weight > 0.0 && found[0].texts[1].contains("PALE"));
        assert!(exhibits(&corpus, "a", "nobody", 5).is_empty());
        assert_eq!(exhibits(&corpus, "a", "b", 1).len(), 1);
    }

    #[test]
    fn passages_are_cut_between_characters() {
        let text = format!("{} here {}", "ä".repeat(300), "ö".repeat(900));
        let at = text.find("here").unwrap();
        let cut = passage(&text, at);
        assert!(cut.starts_with('…') && cut.ends_with('…') && cut.contains("here"));
        assert_eq!(passage("short", 99), "short");
    }
}
