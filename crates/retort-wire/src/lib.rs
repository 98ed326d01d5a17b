//! Wire protocols of public model APIs: encode a request, decode an answer.
//!
//! Everything here is synchronous and touches no socket, clock or environment. Whatever a provider
//! sends becomes data: no sequence of bytes makes the decoder panic, and none makes it hold more
//! than a bounded amount of memory. A new provider is configuration ([`retort_types::catalog`]);
//! only a new protocol is a module here.

mod anthropic;
mod bedrock;
mod cohere;
mod decode;
mod draft;
mod encode;
mod errors;
mod finish;
mod frames;
mod gemini;
mod headers;
mod lenient;
mod limits;
mod ollama;
mod openai;
mod request;
mod responses;
mod sampling;
mod sse;
mod think_tag;
mod turns;
mod values;

pub use decode::{AnswerHead, BodyEnd, Decoded, Decoder};
pub use encode::{Ask, EncodeError, EncodedRequest, encode};
pub use headers::kept_headers;
