//! `cohere-v2`: Cohere's chat, whole or as server-sent events.

mod answer;
mod request;

pub(crate) use answer::Assembler;
pub(crate) use request::encode;
