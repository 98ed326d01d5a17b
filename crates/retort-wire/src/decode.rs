//! From the bytes of an answer to an outcome and a reply. Each protocol's own reading is in its
//! module; how an answer ended and what follows from it is decided here.

mod framing;

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, header};
use retort_types::catalog::{ErrorOverride, WireOptions};
use retort_types::reply::{ProviderError, Reply, StreamEnd};
use retort_types::{AnnouncedLimits, Outcome, Timestamp, WireProtocol};

use crate::errors::{self, Found};
use crate::headers::request_id;
use crate::limits;
use crate::{anthropic, bedrock, cohere, gemini, ollama, openai, responses};
use framing::{Body, BodyKind, Framing};

/// What is known of an answer before its body.
#[derive(Debug, Clone, Copy)]
pub struct AnswerHead<'a> {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: &'a HeaderMap,
    /// When it arrived. Times in headers count from the `date` header where there is one.
    pub received_at: Timestamp,
}

/// How a body ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyEnd {
    /// The transport says that it is whole.
    Complete,
    /// It broke off; why, in our words.
    Broken(String),
    /// It was not read further because it exceeded a cap.
    TooLarge,
}

/// What an answer said.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// How the attempt ended.
    pub outcome: Outcome,
    /// What was answered, as far as it could be read.
    pub reply: Reply,
    /// How the body ended; absent when there was none.
    pub stream_end: Option<StreamEnd>,
    /// A fault after the protocol's end, which did not hurt the answer.
    pub late_fault: Option<String>,
    /// The provider's error, if it told one.
    pub error: Option<ProviderError>,
    /// What it said about its limits.
    pub limits: AnnouncedLimits,
    /// Time from sending to the first chunk with text or reasoning; streams only.
    pub ttft: Option<Duration>,
    /// The provider's id of the request, from the headers.
    pub provider_request_id: Option<String>,
}

/// Nothing was decoded.
impl Default for Decoded {
    fn default() -> Self {
        Self {
            outcome: Outcome::Undecodable,
            reply: Reply::default(),
            stream_end: None,
            late_fault: None,
            error: None,
            limits: AnnouncedLimits::default(),
            ttft: None,
            provider_request_id: None,
        }
    }
}

/// What keeps an answer from being used although it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A part does not follow the protocol, so that text may be missing.
    Unreadable,
    /// A part exceeded a cap.
    TooLarge,
}

/// What a protocol's module put together.
pub(crate) struct Assembled {
    pub(crate) reply: Reply,
    /// Whether there was an answer at all, be it empty.
    pub(crate) has_answer: bool,
    /// Whether the protocol's end was seen.
    pub(crate) has_ended: bool,
    /// How an answer that ended so and is whole counts.
    pub(crate) ended_as: Outcome,
    pub(crate) fault: Option<Fault>,
    /// An error instead of an answer, or in the middle of one.
    pub(crate) error: Option<Found>,
    /// An error that came after the end of the answer, or beside something that is no answer.
    pub(crate) late_error: Option<Found>,
    pub(crate) ttft: Option<Duration>,
}

/// Reads one answer. Owns all it needs and holds a bounded amount of memory.
pub struct Decoder {
    status: u16,
    protocol: WireProtocol,
    is_declared_stream: bool,
    framing: Framing,
    assembler: Box<dyn Assemble>,
    overrides: Vec<ErrorOverride>,
    limits: AnnouncedLimits,
    /// The provider's time when the answer was sent, or ours when it arrived.
    now: Timestamp,
    error_kind: Option<String>,
    provider_request_id: Option<String>,
    last_arrival: Duration,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text of an answer stays out of logs.
        f.debug_struct("Decoder")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Puts one answer together. Each protocol has its own; none panics on any input.
pub(crate) trait Assemble: Send + Sync {
    /// Reads a whole answer: a body that is no stream.
    fn whole(&mut self, text: &str);

    /// Reads one event of a stream by its name, empty when it has none, and its data. `since_sent`
    /// is the time from sending to the arrival of its last byte.
    fn event(&mut self, name: &str, data: &str, since_sent: Duration);

    /// Reads an event that the body broke off in: it counts only when it is whole.
    fn last_event(&mut self, name: &str, data: &str, since_sent: Duration);

    /// Returns whether the stream's own last word was seen.
    fn is_done(&self) -> bool;

    /// Returns what came together.
    fn finish(self: Box<Self>) -> Assembled;
}

fn assembler(protocol: WireProtocol, options: &WireOptions, now: Timestamp) -> Box<dyn Assemble> {
    match protocol {
        WireProtocol::OpenaiChat | WireProtocol::OpenaiCompletions => {
            Box::new(openai::Assembler::new(protocol, options, now))
        }
        WireProtocol::OpenaiResponses => Box::new(responses::Assembler::new(now)),
        WireProtocol::AnthropicMessages => Box::new(anthropic::Assembler::new(now)),
        WireProtocol::Gemini => Box::new(gemini::Assembler::new(now)),
        WireProtocol::BedrockConverse => Box::new(bedrock::Assembler::new(now)),
        WireProtocol::CohereV2 => Box::new(cohere::Assembler::new(now)),
        WireProtocol::Ollama => Box::new(ollama::Assembler::new(now)),
    }
}

impl Decoder {
    /// Returns a decoder for one answer. `streamed` says whether a streamed one was asked for;
    /// an answer of the other kind is read as well.
    pub fn new(
        protocol: WireProtocol,
        options: &WireOptions,
        streamed: bool,
        head: &AnswerHead<'_>,
    ) -> Self {
        let (limits, now) = limits::announced(head.headers, head.received_at);
        let content_type = head
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok());
        let error_kind = head
            .headers
            .get("x-amzn-errortype")
            .and_then(|v| v.to_str().ok());
        let framing = if is_success(head.status) {
            Framing::Unknown
        } else {
            Framing::of_error()
        };
        Self {
            status: head.status,
            protocol,
            is_declared_stream: content_type.map_or(streamed, framing::is_stream),
            framing,
            assembler: assembler(protocol, options, now),
            overrides: options.error_overrides.clone(),
            limits,
            now,
            error_kind: error_kind.map(str::to_owned),
            provider_request_id: request_id(head.headers),
            last_arrival: Duration::ZERO,
        }
    }

    /// Reads `bytes`, which are free of content coding and may be split anywhere. `since_sent` is
    /// the time from sending the request to their arrival.
    pub fn push(&mut self, bytes: &[u8], since_sent: Duration) {
        self.last_arrival = since_sent;
        let bytes = match self.framing {
            Framing::Unknown => framing::without_lead(bytes),
            Framing::Whole(_) | Framing::Events(_) | Framing::Frames(_) | Framing::Values(_) => {
                bytes
            }
        };
        let Some(first) = bytes.first() else {
            return;
        };
        if matches!(self.framing, Framing::Unknown) {
            self.framing = Framing::of(self.protocol, *first, self.is_declared_stream);
        }
        let assembler = &mut self.assembler;
        self.framing.push(bytes, &mut |name, data| {
            assembler.event(name, data, since_sent);
        });
    }

    /// Returns whether a stream's last word was seen, after which nothing more is worth waiting
    /// for. Usage may follow a finish reason, which alone is therefore not the last word here.
    pub fn is_done(&self) -> bool {
        self.assembler.is_done()
    }

    /// Returns what the answer said, given how its body ended.
    pub fn finish(self, end: BodyEnd) -> Decoded {
        let Self {
            status,
            framing,
            assembler,
            overrides,
            mut limits,
            ..
        } = self;
        let mut decoded = if is_success(status) {
            let (assembled, body) = framing.assembled(assembler, self.last_arrival);
            let end = if body.is_overflown {
                BodyEnd::TooLarge
            } else {
                end
            };
            match assembled.error {
                Some(_) => in_band_error(status, assembled, &overrides),
                None => answer(assembled, &body, end),
            }
        } else {
            let body = framing.into_whole();
            let mut found = errors::read(&String::from_utf8_lossy(&body), self.now);
            found.error.kind = found.error.kind.or(self.error_kind);
            let stream_end = match end {
                BodyEnd::Complete => (!body.is_empty()).then_some(StreamEnd::Complete),
                BodyEnd::Broken(_) | BodyEnd::TooLarge => Some(StreamEnd::Cut),
            };
            let outcome = errors::outcome(status, &found, &overrides);
            Decoded {
                outcome,
                stream_end,
                ..with_error(found)
            }
        };
        limits.retry_after = limits.retry_after.max(decoded.limits.retry_after);
        if decoded.outcome == Outcome::RateLimited && limits.retry_after.is_none() {
            limits.retry_after = limits::wait_until_reset(&limits.counts);
        }
        decoded.limits = limits;
        decoded.provider_request_id = self.provider_request_id;
        decoded
    }
}

const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

/// Returns the decoding of an error that came with a status of success.
fn in_band_error(status: u16, assembled: Assembled, overrides: &[ErrorOverride]) -> Decoded {
    let found = assembled.error.unwrap_or_default();
    Decoded {
        outcome: errors::outcome(status, &found, overrides),
        reply: assembled.reply,
        stream_end: Some(StreamEnd::Error),
        ttft: assembled.ttft,
        ..with_error(found)
    }
}

fn answer(assembled: Assembled, body: &Body, end: BodyEnd) -> Decoded {
    let Assembled {
        reply,
        has_answer,
        has_ended,
        fault,
        late_error,
        ttft,
        ..
    } = assembled;
    let is_usable = has_ended && has_answer && fault.is_none();
    let (outcome, stream_end) = if is_usable {
        let is_failure = matches!(
            assembled.ended_as,
            Outcome::ProviderError | Outcome::Overloaded | Outcome::Timeout
        );
        let stream_end = if is_failure {
            StreamEnd::Error
        } else {
            StreamEnd::Complete
        };
        (assembled.ended_as, Some(stream_end))
    } else if has_ended {
        (Outcome::Undecodable, Some(StreamEnd::Complete))
    } else {
        unfinished(fault, body.kind, &end)
    };
    let late_fault = match end {
        _ if !has_ended => None,
        BodyEnd::Broken(why) => Some(why),
        BodyEnd::TooLarge => Some("body too large".to_owned()),
        BodyEnd::Complete if is_usable && late_error.is_some() => {
            Some("error after the end".to_owned())
        }
        BodyEnd::Complete => body.defect.map(str::to_owned),
    };
    let told = late_error.map(with_error).unwrap_or_default();
    Decoded {
        outcome,
        reply,
        stream_end,
        late_fault,
        ttft,
        ..told
    }
}

/// Returns how an answer counts whose end was not seen: never as an answer.
fn unfinished(fault: Option<Fault>, kind: BodyKind, end: &BodyEnd) -> (Outcome, Option<StreamEnd>) {
    if *end == BodyEnd::TooLarge || fault == Some(Fault::TooLarge) {
        return (Outcome::Undecodable, Some(StreamEnd::Cut));
    }
    if matches!(end, BodyEnd::Broken(_)) {
        return (Outcome::Cut, Some(StreamEnd::Cut));
    }
    match kind {
        BodyKind::Empty => (Outcome::Undecodable, None),
        BodyKind::Whole => (Outcome::Undecodable, Some(StreamEnd::Complete)),
        BodyKind::Events if fault.is_some() => (Outcome::Undecodable, Some(StreamEnd::Cut)),
        BodyKind::Events => (Outcome::Cut, Some(StreamEnd::Cut)),
    }
}

/// Returns a decoding that holds only what an error tells.
fn with_error(found: Found) -> Decoded {
    Decoded {
        limits: AnnouncedLimits {
            retry_after: found.wait,
            counts: Vec::new(),
        },
        error: (found.error != ProviderError::default()).then_some(found.error),
        ..Decoded::default()
    }
}

#[cfg(test)]
mod tests;
