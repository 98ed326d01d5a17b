//! The family of OpenAI's chat and raw completions, as many providers speak it.
//!
//! Requests differ per protocol (`chat`, `completions`). Answers share one reader: providers mix
//! the two shapes, as when a raw completion carries log probabilities in the shape of a chat.

mod answer;
mod body;
pub(crate) mod chat;
pub(crate) mod completions;
mod logprobs;
mod message;
mod request;
mod speech;
mod tools;
mod usage;

pub(crate) use answer::Assembler;
pub(crate) use logprobs::{ALTERNATIVES_MAX, TOKENS_MAX, Tokens, TooMany, ranked};
#[cfg(test)]
pub(crate) use tools::TOOL_CALLS_MAX;
pub(crate) use tools::{Call, ToolCalls};
