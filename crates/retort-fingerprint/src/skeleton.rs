//! The skeleton of a style: function words and marks stay, content words become their kind.
//!
//! What remains tells how sentences are built and hardly what they are about.

/// Words that carry grammar: closed classes of English. Other languages keep marks and layout.
const FUNCTION_WORDS: [&str; 164] = [
    "a",
    "about",
    "above",
    "after",
    "again",
    "all",
    "also",
    "although",
    "always",
    "am",
    "an",
    "and",
    "another",
    "any",
    "are",
    "around",
    "as",
    "at",
    "be",
    "because",
    "been",
    "before",
    "being",
    "below",
    "between",
    "both",
    "but",
    "by",
    "can",
    "can't",
    "could",
    "did",
    "do",
    "does",
    "doesn't",
    "don't",
    "down",
    "during",
    "each",
    "either",
    "else",
    "even",
    "ever",
    "every",
    "few",
    "first",
    "for",
    "from",
    "further",
    "had",
    "has",
    "have",
    "having",
    "he",
    "her",
    "here",
    "hers",
    "him",
    "his",
    "how",
    "however",
    "i",
    "i'm",
    "if",
    "in",
    "instead",
    "into",
    "is",
    "isn't",
    "it",
    "it's",
    "its",
    "just",
    "last",
    "least",
    "less",
    "let",
    "like",
    "many",
    "may",
    "me",
    "might",
    "more",
    "most",
    "much",
    "must",
    "my",
    "neither",
    "never",
    "next",
    "no",
    "nor",
    "not",
    "now",
    "of",
    "off",
    "often",
    "on",
    "once",
    "one",
    "only",
    "or",
    "other",
    "our",
    "out",
    "over",
    "own",
    "per",
    "perhaps",
    "quite",
    "rather",
    "same",
    "second",
    "shall",
    "she",
    "should",
    "since",
    "so",
    "some",
    "still",
    "such",
    "than",
    "that",
    "the",
    "their",
    "them",
    "then",
    "there",
    "therefore",
    "these",
    "they",
    "this",
    "those",
    "though",
    "through",
    "thus",
    "to",
    "too",
    "two",
    "under",
    "until",
    "up",
    "us",
    "very",
    "was",
    "we",
    "were",
    "what",
    "when",
    "where",
    "whether",
    "which",
    "while",
    "who",
    "why",
    "will",
    "with",
    "within",
    "without",
    "would",
    "yet",
    "you",
    "you're",
    "your",
];

/// Endings that tell the kind of a content word, the longest that must be tried first.
const ENDINGS: [(&str, &str); 5] = [
    ("ing", "<Xing>"),
    ("ed", "<Xed>"),
    ("ly", "<Xly>"),
    ("tion", "<Xtion>"),
    ("s", "<Xs>"),
];

/// Characters a word must have beyond its ending.
const STEM_CHARS_MIN: usize = 3;

/// Returns what stands for a word, which is in lower case, in the skeleton.
pub(crate) fn place(word: &str) -> &str {
    if FUNCTION_WORDS.binary_search(&word).is_ok() {
        return word;
    }
    if word.starts_with(|c: char| c.is_numeric()) {
        return "<0>";
    }
    for (ending, kind) in ENDINGS {
        if let Some(stem) = word.strip_suffix(ending)
            && stem.chars().nth(STEM_CHARS_MIN - 1).is_some()
        {
            return kind;
        }
    }
    "<X>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        assert!(FUNCTION_WORDS.is_sorted());
    }

    #[test]
    fn words_have_their_place() {
        for (word, expected) in [
            ("the", "the"),
            ("would", "would"),
            ("running", "<Xing>"),
            ("ring", "<X>"),
            ("nation", "<X>"),
            ("station", "<Xtion>"),
            ("dogs", "<Xs>"),
            ("2024", "<0>"),
            ("löwe", "<X>"),
        ] {
            assert_eq!(place(word), expected, "{word}");
        }
    }
}
