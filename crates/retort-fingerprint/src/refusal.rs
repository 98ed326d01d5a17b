//! Whether a text declines what was asked, by the words such texts begin with.

use crate::tokens::read_text;

/// Characters in which a refusal shows.
const READ_CHARS: usize = 240;

/// What refusals say. English only: elsewhere only the provider's own refusals count.
const PHRASES: [&str; 18] = [
    "i'm sorry, but",
    "i am sorry, but",
    "i apologize, but",
    "sorry, i can",
    "i cannot",
    "i can't",
    "i can not",
    "i won't",
    "i will not",
    "i'm unable",
    "i am unable",
    "i'm not able",
    "i am not able",
    "not comfortable",
    "unable to assist",
    "unable to help",
    "unable to provide",
    "against my",
];

/// Returns whether a text declines.
pub(crate) fn is_refusal(text: &str) -> bool {
    let lower = read_text(text, READ_CHARS).replace('\u{2019}', "'");
    PHRASES.iter().any(|phrase| lower.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_recognised() {
        for (text, expected) in [
            ("I\u{2019}m sorry, but I can\u{2019}t help with that.", true),
            ("As an AI, I cannot give legal advice.", true),
            ("Here is how to do it.", false),
            ("", false),
        ] {
            assert_eq!(is_refusal(text), expected, "{text}");
        }
    }
}
