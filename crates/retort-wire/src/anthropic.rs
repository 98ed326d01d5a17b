//! `anthropic-messages`: a conversation to `POST /messages`, at Anthropic and those who took over
//! its protocol.

mod answer;
mod body;
mod request;

pub(crate) use answer::Assembler;
pub(crate) use request::encode;
