//! The words of a family tree, by number.

use std::collections::HashMap;

/// The end of a text.
pub(super) const END: u32 = 0;

/// What stands before the first word of a text.
pub(super) const BEGIN: u32 = 1;

/// A word that occurs in no text of the tree; wider than any number of a word.
pub(super) const UNKNOWN: u32 = (1 << 24) - 1;

/// The words of a family tree, by number. All models of a tree share it.
#[derive(Debug)]
pub(super) struct Vocabulary {
    words: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Vocabulary {
    /// Returns one that holds the marks of beginning and end.
    pub(super) fn new() -> Self {
        Self {
            words: vec![String::new(), String::new()],
            numbers: HashMap::new(),
        }
    }

    /// Returns the numbers of words, new ones where needed.
    pub(super) fn intern(&mut self, text: &[String]) -> Vec<u32> {
        text.iter().map(|word| self.number_for(word)).collect()
    }

    fn number_for(&mut self, word: &str) -> u32 {
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let number = u32::try_from(self.words.len()).map_or(UNKNOWN, |number| number.min(UNKNOWN));
        if number < UNKNOWN {
            self.words.push(word.to_owned());
            self.numbers.insert(word.to_owned(), number);
        }
        number
    }

    /// Returns the number of a word, or [`UNKNOWN`].
    pub(super) fn number(&self, word: &str) -> u32 {
        self.numbers.get(word).copied().unwrap_or(UNKNOWN)
    }

    /// Returns the word of a number; nothing for marks.
    pub(super) fn word(&self, number: u32) -> &str {
        self.words.get(number as usize).map_or("", String::as_str)
    }

    /// Returns how many words and marks there are.
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }
}
