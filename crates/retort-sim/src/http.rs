//! HTTP/1.1 as far as a fleet needs it: requests with plain or chunked bodies, and answer heads.

use bytes::{Buf, Bytes};

use crate::announce::Headers;
use crate::peer::{Gone, Peer};

/// Longest head of a request; browsers and proxies stop at 8 to 16 KiB.
const HEAD_MAX_BYTES: usize = 32 * 1024;

/// Most headers of a request.
const HEADERS_MAX: usize = 64;

/// Longest body of a request: a context of a million tokens with room to spare.
const BODY_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Longest line that gives the size of a chunk.
const CHUNK_LINE_MAX_BYTES: usize = 256;

/// A request, with the headers that matter here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// As sent, without the query.
    pub(crate) path: String,
    /// As sent, without the question mark.
    pub(crate) query: String,
    /// All headers in order, names in lower case, values without white space around them.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) sample_id: Option<String>,
    pub(crate) accepts_gzip: bool,
    pub(crate) keep_alive: bool,
    pub(crate) body: Bytes,
}

impl Request {
    /// Returns the value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// Returns the credentials of the `authorization` header, without the word in front.
    pub(crate) fn bearer(&self) -> Option<&str> {
        let value = self.header("authorization")?;
        Some(value.split_once(' ').map_or(value, |(_, key)| key.trim()))
    }
}

/// Why there is no request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoRequest {
    /// The client is gone.
    Gone,
    /// It broke the protocol or a limit: the status and why.
    Bad(u16, &'static str),
}

impl From<Gone> for NoRequest {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// How a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

/// Reads the next request.
pub(crate) async fn read_request(peer: &mut Peer) -> Result<Request, NoRequest> {
    let (mut request, framing, expects) = loop {
        if let Some((request, framing, expects, used)) = parse_head(&peer.buffer)? {
            peer.buffer.advance(used);
            break (request, framing, expects);
        }
        if peer.buffer.len() > HEAD_MAX_BYTES {
            return Err(NoRequest::Bad(431, "the request's head is too long"));
        }
        peer.fill().await?;
    };
    if expects {
        peer.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    request.body = match framing {
        Framing::Length(length) => read_plain(peer, length).await?,
        Framing::Chunked => read_chunked(peer).await?,
    };
    Ok(request)
}

type Head = (Request, Framing, bool, usize);

/// Returns the head, how its body is framed, whether the client waits for `100 Continue`, and the
/// length; nothing while it is not complete.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, NoRequest> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let used = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(NoRequest::Bad(431, "too many headers"));
        }
        Err(_) => return Err(NoRequest::Bad(400, "not an HTTP/1.1 request")),
    };
    let target = parsed.path.unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: parsed.method.unwrap_or("").to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        keep_alive: parsed.version == Some(1),
        ..Request::default()
    };
    let (mut framing, mut expects) = (None, false);
    for header in parsed.headers.iter() {
        let value = String::from_utf8_lossy(header.value);
        let value = value.trim();
        let name = header.name.to_ascii_lowercase();
        match name.as_str() {
            "content-length" => {
                let length = value.parse::<usize>();
                let length = length.map_err(|_| NoRequest::Bad(400, "bad content-length"))?;
                if framing.is_some_and(|before| before != Framing::Length(length)) {
                    return Err(NoRequest::Bad(400, "two lengths of one body"));
                }
                framing = Some(Framing::Length(length));
            }
            "transfer-encoding" => {
                if framing.is_some() || !value.eq_ignore_ascii_case("chunked") {
                    return Err(NoRequest::Bad(400, "unknown transfer-encoding"));
                }
                framing = Some(Framing::Chunked);
            }
            crate::SAMPLE_ID_HEADER => request.sample_id = Some(value.to_owned()),
            "accept-encoding" => request.accepts_gzip = value.contains("gzip"),
            "connection" => request.keep_alive &= !value.eq_ignore_ascii_case("close"),
            "expect" => expects = value.eq_ignore_ascii_case("100-continue"),
            _ => {}
        }
        request.headers.push((name, value.to_owned()));
    }
    let framing = framing.unwrap_or(Framing::Length(0));
    Ok(Some((request, framing, expects, used)))
}

async fn read_plain(peer: &mut Peer, length: usize) -> Result<Bytes, NoRequest> {
    if length > BODY_MAX_BYTES {
        return Err(NoRequest::Bad(413, "the request's body is too long"));
    }
    while peer.buffer.len() < length {
        peer.fill().await?;
    }
    Ok(peer.buffer.split_to(length).freeze())
}

async fn read_chunked(peer: &mut Peer) -> Result<Bytes, NoRequest> {
    let mut body = Vec::new();
    loop {
        let size = loop {
            match httparse::parse_chunk_size(&peer.buffer) {
                Ok(httparse::Status::Complete((used, size))) => {
                    peer.buffer.advance(used);
                    break usize::try_from(size).unwrap_or(usize::MAX);
                }
                Ok(httparse::Status::Partial) if peer.buffer.len() <= CHUNK_LINE_MAX_BYTES => {
                    peer.fill().await?;
                }
                Ok(httparse::Status::Partial) | Err(_) => {
                    return Err(NoRequest::Bad(400, "bad chunk"));
                }
            }
        };
        if size > BODY_MAX_BYTES - body.len() {
            return Err(NoRequest::Bad(413, "the request's body is too long"));
        }
        // A last chunk of size 0 is followed by an empty line too; trailers are not supported.
        let chunk = read_plain(peer, size).await?;
        let end = read_plain(peer, 2).await?;
        if end.as_ref() != b"\r\n" {
            return Err(NoRequest::Bad(400, "bad chunk"));
        }
        if size == 0 {
            return Ok(body.into());
        }
        body.extend_from_slice(&chunk);
    }
}

/// Returns the usual words for a status.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

/// Returns the begin of an answer's head: status line, date and other headers, without the empty
/// line.
pub(crate) fn head(status: u16, content_type: &str, headers: &Headers) -> Vec<u8> {
    let mut head = Vec::with_capacity(512);
    head.extend_from_slice(format!("HTTP/1.1 {status} {}\r\n", reason(status)).as_bytes());
    if !content_type.is_empty() {
        line(&mut head, "content-type", content_type);
    }
    for (name, value) in headers {
        line(&mut head, name, value);
    }
    head
}

/// Adds a header line.
pub(crate) fn line(head: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        head.extend_from_slice(part.as_bytes());
    }
}

/// Returns a whole answer with its length.
pub(crate) fn whole(mut head: Vec<u8>, body: &[u8], keep_alive: bool) -> Vec<u8> {
    if !keep_alive {
        line(&mut head, "connection", "close");
    }
    line(&mut head, "content-length", &body.len().to_string());
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(body);
    head
}

/// Adds a chunk; an empty one would end the body and is left out.
pub(crate) fn chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    if !bytes.is_empty() {
        out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    }
}

/// The end of a chunked body.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let text = b"POST /p/a/v1/chat/completions?x=1 HTTP/1.1\r\nHost: h\r\n\
            Authorization: Bearer abc\r\nContent-Length: 12\r\n\
            X-Retort-Sample-Id: s1\r\nAccept-Encoding: br, gzip\r\n\r\nbody";
        let (request, framing, expects, used) = parse_head(text).unwrap().unwrap();
        assert_eq!(request.path, "/p/a/v1/chat/completions");
        assert_eq!(request.query, "x=1");
        assert_eq!(request.bearer(), Some("abc"));
        assert_eq!(request.header("host"), Some("h"));
        assert_eq!(request.sample_id.as_deref(), Some("s1"));
        assert!(request.accepts_gzip && request.keep_alive && !expects);
        assert_eq!((framing, used), (Framing::Length(12), text.len() - 4));
        assert_eq!(parse_head(&text[..40]), Ok(None));
    }

    #[test]
    fn broken_heads_are_refused() {
        let bad = |text: &str| match parse_head(text.as_bytes()) {
            Err(NoRequest::Bad(status, _)) => status,
            other => panic!("{other:?}"),
        };
        assert_eq!(bad("\0\0\0"), 400);
        assert_eq!(bad("GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), 400);
        let two = "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(bad(two), 400);
        let many = format!(
            "GET / HTTP/1.1\r\n{}\r\n",
            "a: b\r\n".repeat(HEADERS_MAX + 1)
        );
        assert_eq!(bad(&many), 431);
    }
}
