//! `ollama`: Ollama's own chat and raw generation, whole or as lines of JSON.

mod answer;
mod request;

pub(crate) use answer::Assembler;
pub(crate) use request::encode;
