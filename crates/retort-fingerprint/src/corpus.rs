//! Replies of many models to the same prompts.

use retort_types::{Mode, Outcome};

/// One prompt, as far as features need it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prompt {
    /// Its suite.
    pub suite: String,
    /// Its id within the suite.
    pub id: String,
    /// The arm it was asked in; part of what makes a prompt comparable.
    pub arm: String,
    /// How it was put.
    pub mode: Mode,
}

/// One final reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Index into [`Corpus::models`].
    pub model: usize,
    /// Index into [`Corpus::prompts`].
    pub prompt: usize,
    /// Which draw of this cell, over samples and rounds, from 0.
    pub draw: u32,
    /// How the sample ended; only [`Outcome::Answered`] has a text to compare.
    pub outcome: Outcome,
    /// The text of the answer; empty when there is none.
    pub text: String,
    /// The reasoning that was shown, where there was any.
    pub reasoning: Option<String>,
    /// Tokens of the prompt, as reported.
    pub input_tokens: Option<u64>,
    /// Tokens of the answer, as reported.
    pub output_tokens: Option<u64>,
    /// Which row of the dataset this is; exhibits link to it.
    pub row: String,
}

/// Replies of many models to the same prompts, in canonical order: models and prompts by name,
/// replies by model, prompt and draw, whatever the order of the input was.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Corpus {
    /// Names of the models, sorted.
    pub models: Vec<String>,
    /// The prompts, sorted.
    pub prompts: Vec<Prompt>,
    /// The replies, sorted by model, prompt and draw.
    pub replies: Vec<Reply>,
}
