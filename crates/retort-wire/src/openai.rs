//! The family of OpenAI's chat and raw completions, as many providers speak it.
//!
//! Requests differ per protocol (`chat`, `completions`). Answers share one reader: providers mix
//! the two shapes, as when a raw completion carries log probabilities in the shape of a chat.

mod answer;
mod body;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod logprobs;
mod message;
mod request;
mod speech;
mod tools;
mod usage;

pub(crate) use answer::Assembler;
