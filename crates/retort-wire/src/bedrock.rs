//! `bedrock-converse`: Amazon Bedrock's Converse, whole or as a stream of binary frames.
//!
//! Answers tell neither model nor id; who answered is known from the request and its headers only.

mod answer;
mod request;

pub(crate) use answer::Assembler;
pub(crate) use request::encode;
