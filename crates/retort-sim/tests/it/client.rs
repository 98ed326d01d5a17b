//! A tiny HTTP client over a plain socket, which hides nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use retort_sim::{Fleet, FleetSpec, ModelSpec, ProviderSpec};
use retort_types::{Timestamp, WallClock};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing in these tests takes as long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A clock that stands still at 2026-09-21T14:13:20Z.
#[derive(Debug)]
pub(crate) struct Still;

impl WallClock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_790_000_000_000_000)
    }
}

pub(crate) fn clock() -> Arc<dyn WallClock> {
    Arc::new(Still)
}

/// An answer as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub(crate) fn text(&self) -> String {
        let content = &self.json()["choices"][0]["message"]["content"];
        content.as_str().expect("the answer has a text").to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value)
    }

    /// The events of a stream, `[DONE]` included.
    pub(crate) fn events(&self) -> Vec<String> {
        let text = String::from_utf8(self.body.clone()).expect("the stream is UTF-8");
        let events = text.split("\n\n").filter(|event| !event.is_empty());
        let data = events.map(|e| e.strip_prefix("data: ").expect("an event has data"));
        data.map(str::to_owned).collect()
    }
}

/// A connection that may carry several requests.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address)
            .await
            .expect("the fleet listens");
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the fleet reads");
    }

    /// Reads more; false at the end or after a reset.
    async fn fill(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.buffer);
        let read = timeout(PATIENCE, read).await.expect("the fleet goes on");
        read.is_ok_and(|count| count > 0)
    }

    /// Reads to the end of the connection; also tells whether it was a reset.
    pub(crate) async fn rest(mut self) -> (Vec<u8>, bool) {
        loop {
            let read = self.stream.read_buf(&mut self.buffer);
            match timeout(PATIENCE, read).await.expect("the fleet goes on") {
                Ok(0) => return (self.buffer, false),
                Ok(_) => {}
                Err(_) => return (self.buffer, true),
            }
        }
    }

    /// Reads at least this much, and leaves.
    pub(crate) async fn take(mut self, bytes: usize) -> Vec<u8> {
        while self.buffer.len() < bytes && self.fill().await {}
        self.buffer
    }

    /// Reads one answer; nothing when it does not follow the protocol.
    pub(crate) async fn reply(&mut self) -> Option<Reply> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            if !self.fill().await {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut reply = Reply {
            status: head.split(' ').nth(1)?.parse().ok()?,
            head,
            body: Vec::new(),
        };
        if reply.header("transfer-encoding") == Some("chunked") {
            loop {
                let line = self.line().await?;
                let size = usize::from_str_radix(&line, 16).ok()?;
                reply.body.extend(self.exactly(size).await?);
                self.exactly(2).await?;
                if size == 0 {
                    return Some(reply);
                }
            }
        }
        let length = reply.header("content-length")?.parse().ok()?;
        reply.body = self.exactly(length).await?;
        Some(reply)
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).take(at).collect();
                return String::from_utf8(line).ok();
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    async fn exactly(&mut self, size: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < size {
            if !self.fill().await {
                return None;
            }
        }
        Some(self.buffer.drain(..size).collect())
    }

    pub(crate) async fn ask(&mut self, path: &str, headers: &str, body: &Value) -> Option<Reply> {
        self.send(&post(path, headers, body)).await;
        self.reply().await
    }
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

pub(crate) fn post(path: &str, headers: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

pub(crate) const CHAT: &str = "/p/alpha/v1/chat/completions";
pub(crate) const COMPLETIONS: &str = "/p/alpha/v1/completions";

/// The body of a chat request at temperature 0.
pub(crate) fn chat(prompt: &str) -> Value {
    serde_json::json!({
        "model": "m",
        "messages": [{"role": "user", "content": prompt}],
        "temperature": 0,
    })
}

/// Sets fields of a JSON object.
pub(crate) fn with(mut body: Value, fields: &Value) -> Value {
    for (key, value) in fields.as_object().expect("fields are an object") {
        body[key] = value.clone();
    }
    body
}

/// One provider, `alpha`, with one canned model, `m`.
pub(crate) fn alpha() -> ProviderSpec {
    ProviderSpec::new("alpha", vec![ModelSpec::canned("m")])
}

pub(crate) async fn fleet(provider: ProviderSpec) -> Fleet {
    let spec = FleetSpec::new(vec![provider]);
    Fleet::start(spec, clock())
        .await
        .expect("the description is sound")
}

/// Asks once on a connection of its own.
pub(crate) async fn ask(fleet: &Fleet, path: &str, body: &Value) -> Reply {
    let mut client = Client::connect(fleet.address()).await;
    client.ask(path, "", body).await.expect("a whole answer")
}

pub(crate) async fn get(fleet: &Fleet, path: &str) -> Reply {
    let mut client = Client::connect(fleet.address()).await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    client.send(request.as_bytes()).await;
    client.reply().await.expect("a whole answer")
}
