//! The key reaches the host and nothing else.

use std::io::{self, Write};
use std::sync::Mutex;

use flate2::Compression;
use flate2::write::GzEncoder;
use tracing::level_filters::LevelFilter;

use super::server::{Server, answer};
use super::*;
use crate::{Ending, SigningKey};

/// Keeps what is logged.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Logs everything of this thread here until the guard is dropped.
    pub(super) fn start(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no writer panics")).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock().expect("no writer panics");
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_prints_the_key_or_the_text() {
    let log = Log::default();
    let guard = log.start();
    let server = Server::answering(answer("x-echo: private-header\r\n", b"private-answer")).await;
    let client = plain_client();
    let request = HttpRequest {
        body: Bytes::from_static(b"private-prompt"),
        ..with_key(&server.url)
    };
    let mut sink = Collect::default();
    let exchange = client.exchange(&request, &mut sink).await;
    drop(guard);
    assert_eq!(exchange.end, Ending::Complete);
    let text = log.text();
    assert!(
        text.contains("TRACE") && text.contains("hyper_util"),
        "{text}"
    );
    let shown = format!("{text} {client:?} {request:?} {exchange:?} {:?}", sink.head);
    assert!(!shown.contains("canary"), "{shown}");
    assert!(!shown.contains("private"), "{shown}");
    assert!(exchange.told_headers().all(|(_, v)| !v.contains("canary")));
    assert!(!exchange.secret_echoed);
}

#[tokio::test]
async fn a_key_that_is_sent_back_is_not_kept() {
    let headers = format!("x-echo: you sent Bearer {KEY}\r\n");
    let text = format!("invalid key {KEY}!");
    let server = Server::answering(answer(&headers, text.as_bytes())).await;
    let mut sink = Collect::default();
    let exchange = plain_client()
        .exchange(&with_key(&server.url), &mut sink)
        .await;
    assert!(exchange.secret_echoed);
    assert_eq!(exchange.body, "invalid key [redacted]!");
    assert_eq!(exchange.head.unwrap().headers["x-echo"], "[redacted]");
    assert_eq!(sink.head.unwrap().headers["x-echo"], "[redacted]");
}

#[tokio::test]
async fn a_key_within_an_encoded_body_withholds_it() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    write!(encoder, "invalid key {KEY}!").unwrap();
    let body = encoder.finish().unwrap();
    let server = Server::answering(answer("content-encoding: gzip\r\n", &body)).await;
    let mut sink = Collect::default();
    let request = with_key(&server.url);
    let exchange = plain_client().exchange(&request, &mut sink).await;
    assert!(exchange.secret_echoed && exchange.body.is_empty());
    let told = String::from_utf8(sink.text).unwrap();
    let secret = request.secret.unwrap();
    assert_eq!(
        crate::redact(&told, &secret.secrets()),
        "invalid key [redacted]!"
    );
}

#[tokio::test]
async fn stand_ins_for_keys_do_not_change_answers() {
    let server = Server::answering(answer("", b"the set is EMPTY")).await;
    let header = SecretHeader::new("authorization", "Bearer ", Secret::new("EMPTY".to_owned()));
    let request = HttpRequest {
        secret: Some(Arc::new(header.unwrap().into())),
        ..request(&server.url)
    };
    let exchange = plain_client()
        .exchange(&request, &mut Collect::default())
        .await;
    assert_eq!(exchange.body, "the set is EMPTY");
    assert!(!exchange.secret_echoed);
}

fn signing(url: &str) -> HttpRequest {
    let secret = |text: &str| Secret::new(text.to_owned());
    let key = SigningKey::new(
        secret("AKIDEXAMPLE-canary"),
        secret("secret-key-canary-0123456789"),
        Some(secret("session-token-canary-0123")),
        ("eu-west-1", "bedrock"),
    );
    HttpRequest {
        secret: Some(Arc::new(key.unwrap().into())),
        ..request(url)
    }
}

#[tokio::test]
async fn a_signed_request_tells_no_key() {
    let log = Log::default();
    let guard = log.start();
    let text =
        "you sent session-token-canary-0123, and should have sent secret-key-canary-0123456789";
    let server = Server::answering(answer("", text.as_bytes())).await;
    let request = signing(&server.url);
    let mut sink = Collect::default();
    let exchange = plain_client().exchange(&request, &mut sink).await;
    drop(guard);
    assert!(exchange.secret_echoed);
    assert_eq!(
        exchange.body,
        "you sent [redacted], and should have sent [redacted]"
    );
    let told = |name: &str| {
        let mut headers = exchange.told_headers();
        headers
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.into_owned())
    };
    let told = |name: &str| told(name).unwrap();
    assert_eq!(told("authorization"), "AWS4-HMAC-SHA256 [redacted]");
    assert_eq!(told("x-amz-security-token"), "[redacted]");
    assert_eq!(told("x-amz-date"), "20260921T141320Z");
    let shown = format!("{} {request:?} {exchange:?}", log.text());
    assert!(!shown.contains("canary"), "{shown}");
    assert!(exchange.signature.is_some());
}

#[tokio::test]
async fn a_signature_that_is_sent_back_is_not_kept() {
    let server = Server::start(|mut peer| async move {
        let text = peer.request().await?;
        let sent = text.split("Signature=").nth(1).unwrap_or_default();
        let signature: String = sent.chars().take(64).collect();
        peer.send(&answer("", format!("bad {signature}!").as_bytes()))
            .await
    })
    .await;
    let request = signing(&server.url);
    let exchange = plain_client()
        .exchange(&request, &mut Collect::default())
        .await;
    assert_eq!(exchange.body, "bad [redacted]!");
}
