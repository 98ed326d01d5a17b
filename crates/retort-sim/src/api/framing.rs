//! How the events of a stream are put into bytes.

use super::eventstream;

/// One event, before it is framed, with the number of tokens it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its name; empty where the protocol's events have none.
    pub(crate) name: &'static str,
    pub(crate) data: Vec<u8>,
    pub(crate) tokens: u32,
}

impl Event {
    pub(crate) fn new(name: &'static str, data: &serde_json::Value) -> Self {
        Self {
            name,
            data: data.to_string().into_bytes(),
            tokens: 0,
        }
    }

    /// The event that ends streams of the family of `OpenAI`.
    pub(crate) fn done() -> Self {
        Self {
            name: "",
            data: b"[DONE]".to_vec(),
            tokens: 0,
        }
    }

    /// Says how many tokens it holds.
    pub(crate) fn holding(mut self, tokens: usize) -> Self {
        self.tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        self
    }
}

/// How a stream is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Server-sent events with LF.
    Sse,
    /// Server-sent events with CRLF, as Google sends them.
    SseCrlf,
    /// One JSON array, member by member.
    Array,
    /// Amazon's binary event stream.
    EventStream,
    /// One JSON document per line.
    Lines,
}

impl Framing {
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Sse | Self::SseCrlf => "text/event-stream",
            Self::Array => "application/json",
            Self::EventStream => "application/vnd.amazon.eventstream",
            Self::Lines => "application/x-ndjson",
        }
    }

    /// Returns the bytes of one event; `first` says that it is the first of the stream.
    pub(crate) fn frame(self, event: &Event, first: bool) -> Vec<u8> {
        let data = event.data.as_slice();
        match self {
            Self::Sse if event.name.is_empty() => [b"data: ", data, b"\n\n"].concat(),
            Self::Sse => {
                let name = event.name.as_bytes();
                [b"event: ", name, b"\ndata: ", data, b"\n\n"].concat()
            }
            Self::SseCrlf => [b"data: ", data, b"\r\n\r\n"].concat(),
            Self::Array => [if first { b"[".as_slice() } else { b",\r\n" }, data].concat(),
            Self::EventStream => eventstream::message(event.name, data),
            Self::Lines => [data, b"\n"].concat(),
        }
    }

    /// Returns what follows the last event.
    pub(crate) const fn tail(self) -> &'static [u8] {
        match self {
            Self::Array => b"]",
            Self::Sse | Self::SseCrlf | Self::EventStream | Self::Lines => b"",
        }
    }

    /// Returns the begin of an event that is never going to end.
    pub(crate) fn endless(self) -> Vec<u8> {
        match self {
            Self::Sse | Self::SseCrlf => b"data: {\"choices\":[{\"delta\":{\"content\":\"".to_vec(),
            Self::Array => b"[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"".to_vec(),
            Self::EventStream => eventstream::endless(),
            Self::Lines => b"{\"model\":\"m\",\"message\":{\"content\":\"".to_vec(),
        }
    }
}
