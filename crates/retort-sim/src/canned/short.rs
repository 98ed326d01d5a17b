//! Questions that want one word or one number, and the answers they may get.

use std::borrow::Cow;

use crate::mix::{key, mix};
use crate::words;

/// Most numbers that a range offers; wider ranges offer evenly spread ones.
const NUMBERS_MAX: u64 = 1_000;

/// A question of few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// A number from the first to the second, both included.
    Number(u64, u64),
    /// One of these.
    Words(&'static [&'static str]),
}

impl Question {
    /// Returns the answers it may get; at least two.
    pub(crate) fn options(&self) -> Vec<Cow<'static, str>> {
        match self {
            Self::Words(words) => words.iter().map(|word| Cow::Borrowed(*word)).collect(),
            Self::Number(low, high) => {
                let step = ((high - low) / NUMBERS_MAX).max(1);
                let numbers = (0..NUMBERS_MAX).map_while(|i| low.checked_add(i * step));
                numbers
                    .take_while(|number| number <= high)
                    .map(|number| Cow::Owned(number.to_string()))
                    .collect()
            }
        }
    }

    /// Returns a number that tells kinds of questions apart.
    pub(crate) fn key(&self) -> u64 {
        match self {
            Self::Number(low, high) => mix(*low, *high),
            Self::Words(words) => words.first().map_or(0, |word| key(word)),
        }
    }
}

const YES_NO: [&str; 2] = ["Yes", "No"];
const TRUE_FALSE: [&str; 2] = ["True", "False"];
const COIN: [&str; 2] = ["Heads", "Tails"];

/// Either-or questions, by the words that give them away.
const EITHER: [(&str, &[&str]); 5] = [
    ("yes or no", &YES_NO),
    ("true or false", &TRUE_FALSE),
    ("heads or tails", &COIN),
    ("flip a coin", &COIN),
    ("toss a coin", &COIN),
];

/// Words of a prompt that ask for one word only.
const ONE_WORD: [&str; 14] = [
    "one word",
    "single word",
    "one-word",
    "just the",
    "only the",
    "just one",
    "only one",
    "un mot",
    "ein wort",
    "einem wort",
    "una palabra",
    "一个词",
    "一个字",
    "nothing else",
];

/// Words of a prompt that ask for a number.
const NUMBER: [&str; 6] = ["number", "integer", "digit", "zahl", "número", "数字"];

/// Topics of one-word questions.
const TOPICS: [(&str, &[&str]); 10] = [
    ("colo", &words::COLOURS),
    ("farbe", &words::COLOURS),
    ("颜色", &words::COLOURS),
    ("animal", &words::ANIMALS),
    ("tier", &words::ANIMALS),
    ("city", &words::CITIES),
    ("fruit", &words::FRUITS),
    ("name", &words::NAMES),
    ("weekday", &words::DAYS),
    ("day of the week", &words::DAYS),
];

/// Words that ask to pick something.
const PICK: [&str; 10] = [
    "pick", "choose", "random", "think of", "between", "name a", "nenne", "elige", "say a", "选",
];

/// Returns the question of few words that `prompt` is, if it is one.
pub(crate) fn question(prompt: &str) -> Option<Question> {
    // Longer prompts set a scene; none of the short kinds needs as much.
    if prompt.len() > 400 {
        return None;
    }
    let prompt = prompt.to_lowercase();
    let has = |texts: &[&str]| texts.iter().any(|text| prompt.contains(text));
    for (text, options) in EITHER {
        if prompt.contains(text) {
            return Some(Question::Words(options));
        }
    }
    let (picks, one_word) = (has(&PICK), has(&ONE_WORD));
    if has(&NUMBER) && (picks || one_word) {
        let (low, high) = range(&prompt);
        return Some(Question::Number(low, high));
    }
    let brief = picks && prompt.len() < 80;
    if !one_word && !brief {
        return None;
    }
    let topic = TOPICS.iter().find(|(text, _)| prompt.contains(text));
    match topic {
        Some((_, options)) => Some(Question::Words(options)),
        None if one_word => Some(Question::Words(&words::SINGLE)),
        None => None,
    }
}

/// Returns the first two numbers of the prompt when they make a range, else 1 to 100.
fn range(prompt: &str) -> (u64, u64) {
    let mut numbers = prompt
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse::<u64>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(low), Some(high)) if low < high => (low, high),
        _ => (1, 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_recognised() {
        for (prompt, expected) in [
            (
                "Pick a random number between 1 and 10.",
                Some(Question::Number(1, 10)),
            ),
            (
                "Choose a number. Answer with digits only.",
                Some(Question::Number(1, 100)),
            ),
            ("Flip a coin: heads or tails?", Some(Question::Words(&COIN))),
            (
                "Name a colour. Answer in one word.",
                Some(Question::Words(&words::COLOURS)),
            ),
            (
                "Say something in one word.",
                Some(Question::Words(&words::SINGLE)),
            ),
            ("Write a poem about the sea.", None),
            ("Explain how numbers work.", None),
        ] {
            assert_eq!(question(prompt), expected, "{prompt}");
        }
    }

    #[test]
    fn wide_ranges_stay_bounded() {
        assert_eq!(Question::Number(1, 3).options(), ["1", "2", "3"]);
        let wide = Question::Number(0, u64::MAX).options();
        assert!(wide.len() <= 1_000 && wide.len() > 900, "{}", wide.len());
        assert!(Question::Number(u64::MAX - 1, u64::MAX).options().len() == 2);
    }
}
