//! `openai-responses`: a conversation to `POST /responses`, at OpenAI and those who took over its
//! protocol.

mod answer;
mod body;
mod request;

pub(crate) use answer::Assembler;
pub(crate) use request::encode;
