//! Exchanges with servers on this machine that behave well, badly or not at all.

mod bodies;
mod deadlines;
mod environment;
mod faults;
mod late;
mod requests;
mod secrets;
mod server;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use retort_types::{HumanDuration, Timestamp, WallClock};

use crate::{
    BodySink, ClientSettings, Exchange, Flow, Head, HttpClient, HttpRequest, Secret, SecretHeader,
};

/// A key that nothing but the request may hold.
const KEY: &str = "sk-canary-0123456789abcdef";

#[derive(Debug)]
struct FixedClock;

impl WallClock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_790_000_000_000_000)
    }
}

const fn ms(count: u64) -> HumanDuration {
    HumanDuration(Duration::from_millis(count))
}

fn client(settings: ClientSettings) -> HttpClient {
    HttpClient::new(settings, "retort/test", Arc::new(FixedClock)).expect("test settings work")
}

fn plain_client() -> HttpClient {
    client(ClientSettings::default())
}

fn request(url: &str) -> HttpRequest {
    HttpRequest {
        url: url.to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        secret: None,
        body: Bytes::from_static(b"{\"prompt\":\"hello\"}"),
    }
}

fn with_key(url: &str) -> HttpRequest {
    let header = SecretHeader::new("authorization", "Bearer ", Secret::new(KEY.to_owned()));
    HttpRequest {
        secret: Some(Arc::new(header.expect("the key is printable").into())),
        ..request(url)
    }
}

/// Lets the tasks of this thread go on: one of them gives a used connection back.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Keeps what it is given.
#[derive(Default)]
struct Collect {
    head: Option<Head>,
    text: Vec<u8>,
    pieces: usize,
    /// Once the text ends so, the answer is complete.
    end: Option<&'static [u8]>,
}

impl Collect {
    fn until(end: &'static [u8]) -> Self {
        Self {
            end: Some(end),
            ..Self::default()
        }
    }
}

impl BodySink for Collect {
    fn head(&mut self, head: &Head) {
        assert!(self.head.is_none(), "a head comes once");
        self.head = Some(head.clone());
    }

    fn chunk(&mut self, expanded: &[u8], _since_sent: Duration) -> Flow {
        assert!(self.head.is_some(), "a head comes before chunks");
        self.text.extend_from_slice(expanded);
        self.pieces += 1;
        match self.end {
            Some(end) if self.text.ends_with(end) => Flow::Done,
            Some(_) | None => Flow::Continue,
        }
    }
}

/// Asks `url` and returns the exchange and the text that was given out.
async fn ask(client: &HttpClient, url: &str) -> (Exchange, Vec<u8>) {
    let mut sink = Collect::default();
    let exchange = client.exchange(&request(url), &mut sink).await;
    (exchange, sink.text)
}
