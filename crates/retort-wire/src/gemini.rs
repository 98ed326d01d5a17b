//! `gemini`: a conversation to `generateContent` of the Gemini API and of Vertex AI, which share
//! their bodies. Which model answers and whether it streams stands in the URL.

mod answer;
mod body;
mod logprobs;
mod request;

pub(crate) use answer::Assembler;
pub(crate) use request::encode;
