//! The OpenAI-compatible surface: requests in, answers, streams and errors out.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod error;
mod logprobs;
pub(crate) mod stream;
