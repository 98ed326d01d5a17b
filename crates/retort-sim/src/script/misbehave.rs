//! The script of each fault.

use std::time::Duration;

use bytes::Bytes;

use super::{Answer, Content, End, Script, Step, bomb, write};
use crate::api::error::ApiError;
use crate::api::framing::{Event, Framing};
use crate::api::{self, Shape};
use crate::fault::{FaultKind, FaultSpec};
use crate::http;

/// How long silence lasts unless set: longer than a patient client waits for a plain answer.
const HANG: Duration = Duration::from_mins(2);

/// How long a dripped answer takes unless set.
const DRIP: Duration = Duration::from_secs(10);

/// Pieces of a dripped answer.
const DRIPS: u32 = 20;

/// How much longer a lying body is announced than it is.
const LIE_BYTES: usize = 1_000;

/// Depth of nested JSON: far beyond what recursive parsers bear.
const DEPTH: usize = 100_000;

/// Size of one piece of anything endless.
const PIECE_BYTES: usize = 64 * 1024;

/// Returns whether a fault of this kind needs the good answer that it spoils.
pub(crate) const fn needs_answer(kind: FaultKind) -> bool {
    match kind {
        FaultKind::HangMidBody
        | FaultKind::SlowDrip
        | FaultKind::Cut
        | FaultKind::ErrorInStream
        | FaultKind::LyingContentLength
        | FaultKind::InvalidUtf8
        | FaultKind::DuplicateDone
        | FaultKind::LateJunk
        | FaultKind::LateCut => true,
        FaultKind::Status
        | FaultKind::Hang
        | FaultKind::Reset
        | FaultKind::Garbage
        | FaultKind::WrongType
        | FaultKind::JsonWrongShape
        | FaultKind::ErrorIn200
        | FaultKind::GzipBomb
        | FaultKind::BadGzip
        | FaultKind::EndlessBody
        | FaultKind::EndlessHeaders
        | FaultKind::EndlessSseLine
        | FaultKind::Empty200
        | FaultKind::HugeNumbers
        | FaultKind::DeepJson
        | FaultKind::UnaskedRedirect => false,
    }
}

/// Returns the script of `spec` for a request that would have got `answer`.
pub(crate) fn fault(spec: &FaultSpec, answer: &Answer) -> Script {
    match spec.kind {
        FaultKind::Status => status(spec, answer),
        FaultKind::Hang => broken(vec![Step::Pause(lasts(spec, HANG))], 0),
        FaultKind::HangMidBody => {
            let half = half(answer.framed());
            broken(vec![write(half), Step::Pause(lasts(spec, HANG))], 200)
        }
        FaultKind::SlowDrip => drip(spec, answer),
        FaultKind::Cut => broken(vec![write(half(answer.framed()))], 200),
        FaultKind::Reset => Script {
            end: End::Reset,
            ..broken(Vec::new(), 0)
        },
        FaultKind::Garbage => {
            let noise: &[u8] =
                b"\x15\x03\x01\x00\x02\x02\x50 not hypertext at all \xff\xfe\r\n\r\n";
            broken(vec![write(noise)], 0)
        }
        FaultKind::WrongType => {
            let page = b"<!doctype html><html><body><h1>Please log in</h1></body></html>";
            complete(answer, "text/html; charset=utf-8", page)
        }
        FaultKind::JsonWrongShape => json(answer, WRONG_SHAPE),
        FaultKind::ErrorIn200 => error_in_200(spec, answer),
        FaultKind::ErrorInStream => error_in_stream(spec, answer),
        FaultKind::GzipBomb => packed(answer, &bomb::bomb()),
        FaultKind::BadGzip => packed(
            answer,
            b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff{\"id\":1}",
        ),
        FaultKind::EndlessBody => {
            let mut begin = answer.chunked_head("application/json");
            http::chunk(&mut begin, b"{\"choices\":[{\"message\":{\"content\":\"");
            endless(begin, chunk_of(b"and so on "))
        }
        FaultKind::EndlessHeaders => {
            let begin = http::head(200, "application/json", &answer.headers);
            endless(
                begin,
                Bytes::from(b"x-padding: abcdefghijklmnopqrstuvwxyz\r\n".repeat(1_500)),
            )
        }
        FaultKind::EndlessSseLine => {
            let framing = usual_framing(answer.shape);
            let mut begin = answer.chunked_head(framing.content_type());
            http::chunk(&mut begin, &framing.endless());
            endless(begin, chunk_of(b"and so on "))
        }
        FaultKind::LyingContentLength => lie(answer),
        FaultKind::Empty200 => complete(answer, "application/json", b""),
        FaultKind::InvalidUtf8 => invalid_utf8(answer),
        FaultKind::HugeNumbers => json(answer, api::huge_numbers(answer.shape)),
        FaultKind::DeepJson => {
            let (open, close) = ("[".repeat(DEPTH), "]".repeat(DEPTH));
            json(answer, format!("{{\"choices\":{open}{close}}}").as_bytes())
        }
        FaultKind::DuplicateDone => duplicate_done(answer),
        FaultKind::LateJunk => late_junk(answer),
        FaultKind::LateCut => late_cut(answer),
        FaultKind::UnaskedRedirect => redirect(spec, answer),
    }
}

/// Every protocol's fields, each of another type.
const WRONG_SHAPE: &[u8] = br#"{"choices":"none","output":"none","content":5,"candidates":"none","message":5,"response":[],"usage":[1,2],"usageMetadata":[1],"id":{}}"#;

/// Returns the framing of streams that say nothing of it.
const fn usual_framing(shape: Shape) -> Framing {
    match shape {
        Shape::Chat | Shape::Completion | Shape::Responses | Shape::Messages | Shape::Cohere => {
            Framing::Sse
        }
        Shape::Gemini => Framing::SseCrlf,
        Shape::Converse => Framing::EventStream,
        Shape::OllamaChat | Shape::OllamaGenerate => Framing::Lines,
    }
}

fn lasts(spec: &FaultSpec, usual: Duration) -> Duration {
    spec.lasts.map_or(usual, |lasts| lasts.0)
}

fn half(mut bytes: Vec<u8>) -> Vec<u8> {
    let head = find(&bytes, b"\r\n\r\n").map_or(0, |at| at + 4);
    bytes.truncate(head + (bytes.len() - head) / 2);
    bytes
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

/// A script that ends without a usable answer and closes.
fn broken(steps: Vec<Step>, status: u16) -> Script {
    Script {
        steps,
        end: End::Close,
        served: false,
        status,
    }
}

/// A whole answer that is no use.
fn complete(answer: &Answer, content_type: &str, body: &[u8]) -> Script {
    let head = http::head(200, content_type, &answer.headers);
    whole(answer, head, body, 200)
}

fn json(answer: &Answer, body: &[u8]) -> Script {
    complete(answer, "application/json", body)
}

fn whole(answer: &Answer, head: Vec<u8>, body: &[u8], status: u16) -> Script {
    Script {
        steps: vec![write(http::whole(head, body, answer.keep_alive))],
        end: if answer.keep_alive {
            End::KeepAlive
        } else {
            End::Close
        },
        served: false,
        status,
    }
}

fn packed(answer: &Answer, body: &[u8]) -> Script {
    let mut head = http::head(200, "application/json", &answer.headers);
    http::line(&mut head, "content-encoding", "gzip");
    whole(answer, head, body, 200)
}

fn endless(begin: Vec<u8>, piece: Bytes) -> Script {
    broken(vec![write(begin), Step::Endless(piece)], 200)
}

fn chunk_of(text: &[u8]) -> Bytes {
    let mut chunk = Vec::with_capacity(PIECE_BYTES + 16);
    http::chunk(&mut chunk, &text.repeat(PIECE_BYTES / text.len()));
    chunk.into()
}

fn status(spec: &FaultSpec, answer: &Answer) -> Script {
    let status = spec.status.unwrap_or(500);
    let mut headers = answer.headers.clone();
    if let Some(seconds) = spec.retry_after_seconds {
        headers.push(("retry-after", seconds.to_string()));
    }
    // Gateways in front of the API answer 502 themselves, as a web page.
    if status == 502 && spec.code.is_none() && spec.message.is_none() {
        let head = http::head(status, "text/html", &headers);
        let page = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>";
        return whole(answer, head, page, status);
    }
    let error = ApiError::of_status(status, spec.code.as_deref(), spec.message.as_deref());
    let reply = error.reply(answer.shape.dialect());
    headers.extend(reply.headers);
    let head = http::head(reply.status, "application/json", &headers);
    whole(answer, head, &reply.body, reply.status)
}

fn in_band(spec: &FaultSpec) -> ApiError {
    let message = spec
        .message
        .as_deref()
        .unwrap_or("The upstream provider failed.");
    ApiError::of_status(500, spec.code.as_deref(), Some(message))
}

fn error_in_200(spec: &FaultSpec, answer: &Answer) -> Script {
    json(answer, &api::in_band(answer.shape, &in_band(spec)))
}

fn error_in_stream(spec: &FaultSpec, answer: &Answer) -> Script {
    let Content::Stream { framing, events } = &answer.content else {
        return error_in_200(spec, answer);
    };
    let mut sent = events[..events.len() / 2].to_vec();
    sent.extend(api::in_stream(answer.shape, &in_band(spec), sent.len()));
    Script {
        served: false,
        ..stream(answer, *framing, sent).script(Duration::ZERO)
    }
}

/// Returns `answer` with other events.
fn stream(answer: &Answer, framing: Framing, events: Vec<Event>) -> Answer {
    Answer {
        content: Content::Stream { framing, events },
        ..answer.clone()
    }
}

fn drip(spec: &FaultSpec, answer: &Answer) -> Script {
    let framed = Bytes::from(answer.framed());
    let piece = framed.len().div_ceil(DRIPS as usize).max(1);
    let pause = lasts(spec, DRIP) / DRIPS;
    let mut steps = Vec::new();
    let mut at = 0;
    while at < framed.len() {
        let end = (at + piece).min(framed.len());
        steps.push(Step::Pause(pause));
        steps.push(Step::Write(framed.slice(at..end)));
        at = end;
    }
    Script {
        steps,
        ..answer.script(Duration::ZERO)
    }
}

/// Returns the body without the chunks that it is sent in.
fn body(answer: &Answer) -> Vec<u8> {
    match &answer.content {
        Content::Plain { body, .. } => body.clone(),
        Content::Stream { framing, events } => {
            let numbered = events.iter().enumerate();
            let mut body: Vec<u8> = numbered
                .flat_map(|(number, event)| framing.frame(event, number == 0))
                .collect();
            body.extend_from_slice(framing.tail());
            body
        }
    }
}

fn content_type(answer: &Answer) -> &'static str {
    match answer.content {
        Content::Plain { .. } => "application/json",
        Content::Stream { framing, .. } => framing.content_type(),
    }
}

fn lie(answer: &Answer) -> Script {
    let mut sent = body(answer);
    let length = sent.len() + LIE_BYTES;
    // Half of a stream, because a stream says itself when it is complete.
    if matches!(answer.content, Content::Stream { .. }) {
        sent.truncate(sent.len() / 2);
    }
    let mut out = http::head(200, content_type(answer), &answer.headers);
    http::line(&mut out, "content-length", &length.to_string());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&sent);
    broken(vec![write(out)], 200)
}

fn invalid_utf8(answer: &Answer) -> Script {
    let mut spoiled = answer.clone();
    match &mut spoiled.content {
        Content::Plain { body, .. } => {
            spoil(body);
        }
        // The last one: streams begin with an empty content. It is framed afterwards, so that
        // checksums are right.
        Content::Stream { events, .. } => {
            events.iter_mut().rev().any(|event| spoil(&mut event.data));
        }
    }
    complete(answer, content_type(answer), &body(&spoiled))
}

/// Puts bytes that are not UTF-8 into a text of a document; false when it has none.
fn spoil(document: &mut Vec<u8>) -> bool {
    for field in [
        b"\"content\":\"".as_slice(),
        b"\"text\":\"",
        b"\"refusal\":\"",
        b"\"response\":\"",
    ] {
        let places = document
            .windows(field.len())
            .rposition(|window| window == field);
        if let Some(at) = places {
            let at = at + field.len();
            document.splice(at..at, *b"caf\xe9 \xff\xfe ");
            return true;
        }
    }
    false
}

/// Says the last events again that hold no tokens, so that nobody gets text twice.
fn duplicate_done(answer: &Answer) -> Script {
    let Content::Stream { framing, events } = &answer.content else {
        return late_junk(answer);
    };
    let end = events.iter().rev().take_while(|event| event.tokens == 0);
    let end: Vec<_> = end.take(3).cloned().collect();
    let again = events.iter().cloned().chain(end.into_iter().rev());
    stream(answer, *framing, again.collect()).script(Duration::ZERO)
}

fn late_junk(answer: &Answer) -> Script {
    let mut out = answer.framed();
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n???\0\0\0junk");
    Script {
        steps: vec![write(out)],
        end: End::Close,
        ..answer.script(Duration::ZERO)
    }
}

fn late_cut(answer: &Answer) -> Script {
    if matches!(answer.content, Content::Plain { .. }) {
        return late_junk(answer);
    }
    let mut out = answer.chunked_head(content_type(answer));
    http::chunk(&mut out, &body(answer));
    Script {
        steps: vec![write(out)],
        end: End::Close,
        ..answer.script(Duration::ZERO)
    }
}

fn redirect(spec: &FaultSpec, answer: &Answer) -> Script {
    let mut headers = answer.headers.clone();
    let location = spec.location.as_deref().unwrap_or("/redirected");
    headers.push(("location", location.to_owned()));
    whole(answer, http::head(307, "", &headers), b"", 307)
}
