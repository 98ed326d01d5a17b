//! Replies of many models to the same prompts.

mod load;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use retort_types::{Mode, Outcome};

pub use load::{CorpusError, Selection};

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

impl Prompt {
    /// Returns `suite/id`, with the arm behind it unless that is the only one there was.
    pub fn label(&self) -> String {
        if self.arm.is_empty() {
            format!("{}/{}", self.suite, self.id)
        } else {
            format!("{}/{} ({})", self.suite, self.id, self.arm)
        }
    }
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
    /// The text of the answer; the provider's words when it refused; empty when there is none.
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

impl Reply {
    /// Returns whether there is a text to compare.
    pub fn is_readable(&self) -> bool {
        self.outcome == Outcome::Answered && self.text.chars().any(|c| !c.is_whitespace())
    }
}

/// A reply before its place in a corpus is known.
#[derive(Debug, Clone, PartialEq)]
pub struct RawReply {
    /// Name of the model.
    pub model: String,
    /// The prompt.
    pub prompt: Prompt,
    /// Round, then sample within it: what orders the draws of a cell.
    pub order: (u32, u32),
    /// How the sample ended.
    pub outcome: Outcome,
    /// As [`Reply::text`].
    pub text: String,
    /// As [`Reply::reasoning`].
    pub reasoning: Option<String>,
    /// As [`Reply::input_tokens`].
    pub input_tokens: Option<u64>,
    /// As [`Reply::output_tokens`].
    pub output_tokens: Option<u64>,
    /// As [`Reply::row`]; made of model, prompt and draw when empty.
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

/// A model that cannot be compared, or must not set a scale, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unfit {
    /// The model.
    pub model: String,
    /// What was seen, ready to print.
    pub reason: String,
}

/// Fewest distinct texts per readable reply: below, a model repeats one text whatever it is asked.
const DISTINCT_SHARE_MIN: f64 = 0.05;

/// Replies from which on a repeated text is a habit and not a small sample.
const REPEATS_COUNT_FROM: usize = 8;

/// Share of readable replies below which a model is left out.
const READABLE_SHARE_MIN: f64 = 0.5;

impl Corpus {
    /// Returns the corpus of these replies, in canonical order.
    pub fn from_replies(mut raw: Vec<RawReply>) -> Self {
        raw.sort_by(|a, b| {
            (&a.model, &a.prompt, a.order, &a.row, &a.text)
                .cmp(&(&b.model, &b.prompt, b.order, &b.row, &b.text))
        });
        let models: BTreeSet<&str> = raw.iter().map(|reply| reply.model.as_str()).collect();
        let models: Vec<String> = models.into_iter().map(str::to_owned).collect();
        let prompts: BTreeSet<&Prompt> = raw.iter().map(|reply| &reply.prompt).collect();
        let prompts: Vec<Prompt> = prompts.into_iter().cloned().collect();
        let mut replies: Vec<Reply> = Vec::with_capacity(raw.len());
        for reply in raw {
            let model = models.binary_search(&reply.model).unwrap_or_default();
            let prompt = prompts.binary_search(&reply.prompt).unwrap_or_default();
            let draw = match replies.last() {
                Some(last) if (last.model, last.prompt) == (model, prompt) => last.draw + 1,
                Some(_) | None => 0,
            };
            let row = if reply.row.is_empty() {
                format!("{}/{}/{draw}", reply.model, reply.prompt.label())
            } else {
                reply.row
            };
            replies.push(Reply {
                model,
                prompt,
                draw,
                outcome: reply.outcome,
                text: reply.text,
                reasoning: reply.reasoning,
                input_tokens: reply.input_tokens,
                output_tokens: reply.output_tokens,
                row,
            });
        }
        Self {
            models,
            prompts,
            replies,
        }
    }

    /// Returns the corpus without these models.
    #[must_use]
    pub fn without(&self, models: &BTreeSet<String>) -> Self {
        self.only(|name| !models.contains(name), |_| true)
    }

    /// Returns the part of the corpus with these models and prompts. Draws keep their numbers.
    #[must_use]
    pub fn only(&self, model: impl Fn(&str) -> bool, prompt: impl Fn(&Prompt) -> bool) -> Self {
        let kept: Vec<&Reply> = self
            .replies
            .iter()
            .filter(|reply| model(&self.models[reply.model]) && prompt(&self.prompts[reply.prompt]))
            .collect();
        let place = |of: &mut dyn Iterator<Item = usize>| -> BTreeMap<usize, usize> {
            let set: BTreeSet<usize> = of.collect();
            set.into_iter()
                .enumerate()
                .map(|(to, from)| (from, to))
                .collect()
        };
        let models = place(&mut kept.iter().map(|reply| reply.model));
        let prompts = place(&mut kept.iter().map(|reply| reply.prompt));
        let replies = kept.iter().map(|reply| Reply {
            model: models.get(&reply.model).copied().unwrap_or_default(),
            prompt: prompts.get(&reply.prompt).copied().unwrap_or_default(),
            ..(*reply).clone()
        });
        Self {
            replies: replies.collect(),
            models: models.keys().map(|&at| self.models[at].clone()).collect(),
            prompts: prompts.keys().map(|&at| self.prompts[at].clone()).collect(),
        }
    }

    /// Returns the models whose replies cannot be compared or would spoil a scale: most of them
    /// empty, or one text whatever was asked.
    pub fn unfit(&self) -> Vec<Unfit> {
        let mut unfit = Vec::new();
        for (model, name) in self.models.iter().enumerate() {
            let all: Vec<&Reply> = self.replies_of(model).iter().collect();
            let readable: Vec<&Reply> = all.iter().filter(|r| r.is_readable()).copied().collect();
            let share = readable.len() as f64 / all.len().max(1) as f64;
            let reason = if share < READABLE_SHARE_MIN {
                Some(format!(
                    "{} of {} replies have a text",
                    readable.len(),
                    all.len()
                ))
            } else {
                let prompts: BTreeSet<usize> = readable.iter().map(|reply| reply.prompt).collect();
                let texts: BTreeSet<&str> = readable.iter().map(|r| r.text.as_str()).collect();
                let few = texts.len() as f64 <= DISTINCT_SHARE_MIN * prompts.len() as f64;
                let constant = prompts.len() >= REPEATS_COUNT_FROM && (few || texts.len() == 1);
                constant.then(|| format!("{} texts answer {} prompts", texts.len(), prompts.len()))
            };
            if let Some(reason) = reason {
                let model = name.clone();
                unfit.push(Unfit { model, reason });
            }
        }
        unfit
    }

    /// Returns the replies of the model with this index, by prompt and draw.
    pub fn replies_of(&self, model: usize) -> &[Reply] {
        let from = self.replies.partition_point(|reply| reply.model < model);
        let to = self.replies.partition_point(|reply| reply.model <= model);
        self.replies.get(from..to).unwrap_or_default()
    }

    /// Returns the replies of a model to a prompt, by draw.
    pub fn cell(&self, model: usize, prompt: usize) -> &[Reply] {
        let of = self.replies_of(model);
        let from = of.partition_point(|reply| reply.prompt < prompt);
        let to = of.partition_point(|reply| reply.prompt <= prompt);
        of.get(from..to).unwrap_or_default()
    }

    /// Returns the index of a model.
    pub fn model(&self, name: &str) -> Option<usize> {
        self.models
            .binary_search_by(|known| known.as_str().cmp(name))
            .ok()
    }
}

#[cfg(test)]
mod tests;
