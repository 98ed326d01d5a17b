//! From the end of an exchange to what it said: once while it is made, and again, at any later time,
//! from its stored bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use retort_client::{Ending, expand};
use retort_dataset::exchange::{Stored, StoredAnswer};
use retort_types::catalog::WireOptions;
use retort_types::record::Asked;
use retort_types::{Outcome, WireProtocol};
use retort_wire::{AnswerHead, BodyEnd, Decoded, Decoder};
use serde::{Deserialize, Serialize};

/// Most bytes that a stored body may expand to: above what any client setting keeps by default.
const EXPANDED_MAX_BYTES: usize = 256 << 20;

/// Bytes that are handed to a decoder at once. A stream is left at its end, as it was when it was
/// received; what followed within the same chunk then is not part of the answer either.
const PIECE_BYTES: usize = 4 << 10;

/// What of an answer's reading is not in its bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reading {
    /// The wire protocol that was spoken.
    pub(crate) protocol: WireProtocol,
    /// Whether a streamed answer was asked for.
    pub(crate) streamed: bool,
    /// The dialect of the provider.
    #[serde(default, skip_serializing_if = "WireOptions::is_empty")]
    pub(crate) options: WireOptions,
}

impl Reading {
    /// Returns how an answer is read that was asked for so: what shapes requests only is left out.
    pub(crate) fn of(asked: &Asked, options: &WireOptions) -> Self {
        Self {
            protocol: asked.wire_protocol,
            streamed: asked.streamed,
            options: WireOptions {
                max_tokens_field: None,
                seed_field: None,
                drop_params: BTreeSet::new(),
                extra_body: BTreeMap::new(),
                ..options.clone()
            },
        }
    }
}

/// How an exchange ended, as far as decoding cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    kind: EndKind,
    /// In our words; empty when nothing failed.
    cause: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndKind {
    Whole,
    TooLarge,
    TimedOut,
    BadEncoding,
    NotSent,
    NoConnection,
    Broken,
}

/// What [`Ending`] is told as, up to the cause.
const TOLD: [(&str, EndKind); 6] = [
    ("too large:", EndKind::TooLarge),
    ("timed out:", EndKind::TimedOut),
    ("bad content encoding:", EndKind::BadEncoding),
    ("not sent:", EndKind::NotSent),
    ("no connection:", EndKind::NoConnection),
    ("broken:", EndKind::Broken),
];

impl End {
    pub(crate) fn of(end: &Ending) -> Self {
        let kind = match end {
            Ending::Complete | Ending::StoppedAfterEnd => EndKind::Whole,
            Ending::TooLarge(_) => EndKind::TooLarge,
            Ending::TimedOut(_) => EndKind::TimedOut,
            Ending::BadEncoding(_) => EndKind::BadEncoding,
            Ending::Refused(_) => EndKind::NotSent,
            Ending::ConnectFailed(_) => EndKind::NoConnection,
            Ending::Broken(_) => EndKind::Broken,
        };
        let cause = match kind {
            EndKind::Whole => String::new(),
            EndKind::TooLarge
            | EndKind::TimedOut
            | EndKind::BadEncoding
            | EndKind::NotSent
            | EndKind::NoConnection
            | EndKind::Broken => end.to_string(),
        };
        Self { kind, cause }
    }

    /// Returns the end that was told as `text`.
    fn told(text: &str) -> Option<Self> {
        if text == "complete" || text.starts_with("complete,") {
            let (kind, cause) = (EndKind::Whole, String::new());
            return Some(Self { kind, cause });
        }
        let told = TOLD.iter().find(|(begin, _)| text.starts_with(begin));
        told.map(|(_, kind)| Self {
            kind: *kind,
            cause: text.to_owned(),
        })
    }
}

/// Returns what an exchange said that ended so; without a decoder no answer began.
pub(crate) fn conclude(end: &End, decoder: Option<Decoder>) -> Decoded {
    let Some(decoder) = decoder else {
        return Decoded {
            outcome: without_answer(end.kind),
            ..Decoded::default()
        };
    };
    let (body_end, instead_of_cut) = match end.kind {
        EndKind::Whole => (BodyEnd::Complete, None),
        EndKind::TooLarge => (BodyEnd::TooLarge, None),
        EndKind::TimedOut => (BodyEnd::Broken(end.cause.clone()), Some(Outcome::Timeout)),
        EndKind::BadEncoding => (
            BodyEnd::Broken(end.cause.clone()),
            Some(Outcome::Undecodable),
        ),
        EndKind::NotSent | EndKind::NoConnection | EndKind::Broken => {
            (BodyEnd::Broken(end.cause.clone()), None)
        }
    };
    let mut decoded = decoder.finish(body_end);
    if decoded.outcome == Outcome::Cut {
        decoded.outcome = instead_of_cut.unwrap_or(Outcome::Cut);
    }
    decoded
}

/// Returns how an attempt ended to which no answer began.
const fn without_answer(end: EndKind) -> Outcome {
    match end {
        EndKind::NoConnection => Outcome::ConnectFailed,
        EndKind::TimedOut => Outcome::Timeout,
        EndKind::NotSent => Outcome::InvalidRequest,
        EndKind::TooLarge | EndKind::BadEncoding => Outcome::Undecodable,
        EndKind::Broken | EndKind::Whole => Outcome::Cut,
    }
}

/// Decodes a stored exchange as it was decoded when it was made.
///
/// # Errors
/// What the exchange lacks, in our words.
pub(crate) fn again(stored: &Stored) -> Result<Decoded, String> {
    let end = End::told(&stored.ending).ok_or("it does not say how it ended")?;
    let Some(answer) = &stored.answer else {
        return Ok(conclude(&end, None));
    };
    let reading: Reading = serde_json::from_str(&stored.decoder)
        .map_err(|_| "it does not say how it is read".to_owned())?;
    Ok(conclude(&end, Some(fed(answer, &reading))))
}

/// The body of an answer as it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The body with its content encoding undone, as far as that goes.
    pub body: Vec<u8>,
    /// Why it is not whole, if it is not.
    pub fault: Option<&'static str>,
}

/// Returns the body of a stored answer with its content encoding undone.
pub fn shown(answer: &StoredAnswer) -> Shown {
    let (body, fault) = expand(&headers(answer), &answer.body, EXPANDED_MAX_BYTES);
    Shown { body, fault }
}

fn fed(answer: &StoredAnswer, reading: &Reading) -> Decoder {
    let headers = headers(answer);
    let head = AnswerHead {
        status: answer.status,
        headers: &headers,
        received_at: answer.received_at,
    };
    let mut decoder = Decoder::new(reading.protocol, &reading.options, reading.streamed, &head);
    let (body, _) = expand(&headers, &answer.body, EXPANDED_MAX_BYTES);
    for piece in body.chunks(PIECE_BYTES) {
        decoder.push(piece, Duration::ZERO);
        if decoder.is_done() {
            break;
        }
    }
    decoder
}

pub(crate) fn headers(answer: &StoredAnswer) -> HeaderMap {
    let pairs = answer.headers.iter().filter_map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(value).ok()?))
    });
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, value);
    }
    headers
}

#[cfg(test)]
mod tests {
    use retort_client::{Phase, Which};

    use super::*;

    #[test]
    fn every_end_is_read_back_from_its_words() {
        for end in [
            Ending::Complete,
            Ending::StoppedAfterEnd,
            Ending::Refused("x"),
            Ending::ConnectFailed("x"),
            Ending::TimedOut(Phase::Idle),
            Ending::Broken("x"),
            Ending::TooLarge(Which::Body),
            Ending::BadEncoding("x"),
        ] {
            assert_eq!(End::told(&end.to_string()), Some(End::of(&end)), "{end}");
        }
        assert_eq!(End::told("otherwise"), None);
    }
}
