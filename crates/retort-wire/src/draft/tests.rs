//! Answers of the protocols with framings or events of their own, and what a draft keeps.

mod bedrock;
mod cohere;
mod ollama;
mod pieces;

use http::{HeaderMap, HeaderName, HeaderValue};
use retort_types::catalog::WireOptions;
use retort_types::reply::{FinishReason, StreamEnd, TokenSegment, Usage};
use retort_types::{Outcome, Timestamp, WireProtocol};
use serde_json::{Value, json};

use super::*;
use crate::openai::TOOL_CALLS_MAX;
use crate::{AnswerHead, BodyEnd, Decoded, Decoder};

/// An answer to be decoded.
#[derive(Debug, Clone)]
struct Answer {
    protocol: WireProtocol,
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    streamed: bool,
    body: Vec<u8>,
    end: BodyEnd,
}

impl Answer {
    fn new(protocol: WireProtocol, body: impl Into<Vec<u8>>) -> Self {
        Self {
            protocol,
            status: 200,
            headers: Vec::new(),
            streamed: false,
            body: body.into(),
            end: BodyEnd::Complete,
        }
    }

    fn broken(self) -> Self {
        Self {
            end: BodyEnd::Broken("connection reset".to_owned()),
            ..self
        }
    }

    fn with(self, status: u16, headers: &[(&'static str, &'static str)]) -> Self {
        Self {
            status,
            headers: headers.to_vec(),
            ..self
        }
    }

    fn decode(&self) -> Decoded {
        self.in_pieces(&[])
    }

    /// Decodes it cut as `cuts` say, over and over.
    fn in_pieces(&self, cuts: &[usize]) -> Decoded {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_static(value));
        }
        let head = AnswerHead {
            status: self.status,
            headers: &headers,
            received_at: Timestamp::from_micros(1_790_000_000_000_000),
        };
        let options = WireOptions::default();
        let mut decoder = Decoder::new(self.protocol, &options, self.streamed, &head);
        let mut rest = self.body.as_slice();
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let cut = cuts
                .next()
                .map_or(rest.len(), |cut| (*cut).clamp(1, rest.len()));
            let (piece, tail) = rest.split_at(cut);
            decoder.push(piece, Duration::from_millis(5));
            rest = tail;
        }
        decoder.finish(self.end.clone())
    }
}

/// Returns what a reply tells in words.
fn words(decoded: &Decoded) -> (Option<&str>, Option<&str>, Option<&str>) {
    let reply = &decoded.reply;
    (
        reply.text.as_deref(),
        reply.reasoning_text.as_deref(),
        reply.reasoning_source.as_deref(),
    )
}

#[test]
fn more_than_the_cap_is_no_answer() {
    let mut draft = Draft::new(Timestamp::from_micros(0));
    let long = "a".repeat(1 << 20);
    for _ in 0..=(TEXT_MAX_BYTES >> 20) {
        draft.said.add_text(&long);
    }
    draft.has_answer = true;
    draft.has_ended = true;
    let assembled = draft.finish_as_told();
    assert_eq!(assembled.fault, Some(Fault::TooLarge));
    assert!(assembled.reply.text.unwrap().len() <= TEXT_MAX_BYTES);
}

#[test]
fn tool_calls_are_kept_up_to_a_bound() {
    let mut draft = Draft::new(Timestamp::from_micros(0));
    let told = RawValue::from_string("{}".to_owned()).unwrap();
    for _ in 0..1_000 {
        draft.said.add_call(&Call {
            id: "id",
            name: "name",
            ..Call::default()
        });
        draft.said.add_call(&Call {
            arguments: "{}",
            ..Call::default()
        });
        draft.said.add_told_call(&told);
    }
    let calls = draft.finish_as_told().reply.tool_calls.unwrap();
    let calls: Vec<Value> = serde_json::from_str(&calls).unwrap();
    assert_eq!(calls.len(), TOOL_CALLS_MAX);
    assert_eq!(calls[1], json!({}));
}
