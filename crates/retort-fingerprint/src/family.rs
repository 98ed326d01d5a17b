//! The families of habits that are compared.

use serde::{Deserialize, Serialize};

/// A family of features. Each gives one similarity per pair of models and prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Words and pairs of words.
    Words,
    /// Phrases of three to five words.
    Phrases,
    /// Phrases of five words that few models use.
    Rare,
    /// The first one to six words.
    Opening,
    /// Runs of one to three of the first 25 tokens.
    Beginning,
    /// Runs of one to three of the last 25 tokens.
    Close,
    /// Runs of three and four places of the skeleton.
    Skeleton,
    /// Four neighbouring characters.
    Letters,
    /// Runs of one to three kinds of lines.
    Layout,
    /// Which short answer is given when a question is asked repeatedly.
    Choices,
    /// What is refused, and in which words.
    Refusals,
    /// Idioms of reasoning that was shown.
    Traces,
    /// Scripts of the writing.
    Scripts,
}

/// How a feature that many models show is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weighting {
    /// By inverse document frequency among the models.
    Idf,
    /// As it is.
    Flat,
}

impl Family {
    /// Every family, in a fixed order.
    pub const ALL: [Self; 13] = [
        Self::Words,
        Self::Phrases,
        Self::Rare,
        Self::Opening,
        Self::Beginning,
        Self::Close,
        Self::Skeleton,
        Self::Letters,
        Self::Layout,
        Self::Choices,
        Self::Refusals,
        Self::Traces,
        Self::Scripts,
    ];

    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Returns the word used in tables and files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Phrases => "phrases",
            Self::Rare => "rare",
            Self::Opening => "opening",
            Self::Beginning => "beginning",
            Self::Close => "close",
            Self::Skeleton => "skeleton",
            Self::Letters => "letters",
            Self::Layout => "layout",
            Self::Choices => "choices",
            Self::Refusals => "refusals",
            Self::Traces => "traces",
            Self::Scripts => "scripts",
        }
    }

    /// Returns its place in [`Family::ALL`].
    pub(crate) const fn at(self) -> usize {
        self as usize
    }

    /// Returns what a feature counts for that a reply has so many times.
    pub(crate) fn count_weight(self, count: f32) -> f32 {
        match self {
            Self::Layout => 1.0 + count.ln(),
            Self::Scripts => count,
            Self::Words
            | Self::Phrases
            | Self::Rare
            | Self::Opening
            | Self::Beginning
            | Self::Close
            | Self::Skeleton
            | Self::Letters
            | Self::Choices
            | Self::Refusals
            | Self::Traces => 1.0,
        }
    }

    pub(crate) const fn weighting(self) -> Weighting {
        match self {
            Self::Choices | Self::Scripts => Weighting::Flat,
            Self::Words
            | Self::Phrases
            | Self::Rare
            | Self::Opening
            | Self::Beginning
            | Self::Close
            | Self::Skeleton
            | Self::Letters
            | Self::Layout
            | Self::Refusals
            | Self::Traces => Weighting::Idf,
        }
    }

    /// Returns of how many features a saved fingerprint keeps one. Which are kept follows from their
    /// hashes, so that all models keep the same.
    pub(crate) const fn kept_one_of(self) -> u64 {
        match self {
            Self::Words => 4,
            Self::Skeleton | Self::Letters | Self::Phrases => 16,
            Self::Rare => 8,
            Self::Beginning | Self::Close => 2,
            Self::Opening
            | Self::Layout
            | Self::Choices
            | Self::Refusals
            | Self::Traces
            | Self::Scripts => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_the_list() {
        for (at, family) in Family::ALL.into_iter().enumerate() {
            assert_eq!(family.at(), at);
        }
    }
}
