//! What is sent, and what is refused.

use std::sync::{Arc, Mutex};

use super::server::{Server, answer};
use super::*;
use crate::{ClientError, Ending};

/// Serves one request and returns it.
async fn seen(client: &HttpClient, request: HttpRequest) -> (String, Exchange) {
    let seen = Arc::new(Mutex::new(String::new()));
    let slot = Arc::clone(&seen);
    let server = Server::start(move |mut peer| {
        let slot = Arc::clone(&slot);
        async move {
            *slot.lock().unwrap() = peer.request().await?;
            peer.send(&answer("", b"{}")).await
        }
    })
    .await;
    let request = HttpRequest {
        url: server.url.clone(),
        ..request
    };
    let exchange = client.exchange(&request, &mut Collect::default()).await;
    let text = seen.lock().unwrap().clone();
    (text, exchange)
}

#[tokio::test]
async fn a_request_is_sent_as_it_is_told() {
    let settings = ClientSettings {
        contact: Some("mailto:lab@example.org".to_owned()),
        ..ClientSettings::default()
    };
    let (text, exchange) = seen(&client(settings), with_key("")).await;
    assert_eq!(exchange.end, Ending::Complete);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "{\"prompt\":\"hello\"}");
    assert!(head.starts_with("POST /v1/chat HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-length: 18"), "{head}");
    let expected = [
        ("accept", "*/*"),
        ("accept-encoding", "gzip"),
        ("content-type", "application/json"),
        ("user-agent", "retort/test (+mailto:lab@example.org)"),
        ("authorization", "Bearer [redacted]"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let told: Vec<(String, String)> = exchange
        .told_headers()
        .map(|(name, value)| (name.to_owned(), value.into_owned()))
        .collect();
    assert_eq!(told, expected);
    for (name, value) in expected {
        let value = value.replace("[redacted]", KEY);
        assert!(head.contains(&format!("\r\n{name}: {value}")), "{head}");
    }
    // Request line, the headers above, host and content-length.
    assert_eq!(head.lines().count(), 1 + 5 + 2, "{head}");
}

#[tokio::test]
async fn headers_of_a_request_replace_defaults_but_not_the_product_or_the_key() {
    let mut request = with_key("");
    for (name, value) in [
        ("Accept-Encoding", "identity"),
        ("accept", "text/event-stream"),
        ("x-twice", "1"),
        ("x-twice", "2"),
        ("user-agent", "Mozilla/5.0"),
        ("authorization", "Basic abc"),
    ] {
        request.headers.push((name.to_owned(), value.to_owned()));
    }
    let (text, exchange) = seen(&plain_client(), request).await;
    let told = |name: &str| {
        let mut found = exchange.told_headers().filter(|(n, _)| *n == name);
        (found.next().unwrap().1.into_owned(), found.count())
    };
    assert_eq!(told("accept-encoding"), ("identity".to_owned(), 0));
    assert_eq!(told("accept"), ("text/event-stream".to_owned(), 0));
    assert_eq!(told("x-twice"), ("2".to_owned(), 0));
    assert_eq!(told("user-agent"), ("retort/test".to_owned(), 0));
    assert_eq!(told("authorization"), ("Bearer [redacted]".to_owned(), 0));
    assert!(
        !text.contains("Mozilla") && !text.contains("Basic"),
        "{text}"
    );
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused() {
    let server = Server::answering(answer("", b"{}")).await;
    for (name, value, cause) in [
        ("bad name", "x", "bad header name"),
        ("x-new-line", "a\r\nb: c", "bad header value"),
        ("Content-Length", "1", "header frames the message"),
        ("host", "other", "header frames the message"),
        ("transfer-encoding", "chunked", "header frames the message"),
    ] {
        let mut request = request(&server.url);
        request.headers.push((name.to_owned(), value.to_owned()));
        let mut sink = Collect::default();
        let exchange = plain_client().exchange(&request, &mut sink).await;
        assert_eq!(exchange.end, Ending::Refused(cause));
        assert!(sink.head.is_none() && exchange.request_headers.is_empty());
    }
    for (url, cause) in [
        ("https://api.example.org/v1", "no contact is set"),
        ("http://10.0.0.1/v1", "no contact is set"),
        ("ftp://127.0.0.1/", "is neither http nor https"),
        ("not a url", "cannot be parsed"),
        (
            "http://user:canary@127.0.0.1/",
            "holds user info, which is no place for secrets",
        ),
    ] {
        let (exchange, _) = ask(&plain_client(), url).await;
        assert_eq!(exchange.end, Ending::Refused(cause), "{url}");
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn urls_are_checked_at_start_up() {
    let (anonymous, named) = (
        plain_client(),
        client(ClientSettings {
            contact: Some("https://example.org".to_owned()),
            ..ClientSettings::default()
        }),
    );
    for url in [
        "http://127.0.0.1:8080/v1",
        "http://localhost/",
        "http://[::1]:1/",
    ] {
        anonymous.check_url(url).unwrap();
    }
    named.check_url("https://api.example.org/v1").unwrap();
    let error = anonymous
        .check_url("https://api.example.org/v1")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "requests to `api.example.org` need a contact in the settings"
    );
    let error = named.check_url("https://u:canary@example.org").unwrap_err();
    assert!(matches!(error, ClientError::Url(_)));
    assert!(!format!("{error} {error:?}").contains("canary"));
}

#[test]
fn a_client_is_not_made_of_settings_that_cannot_work() {
    let make = |settings, product| HttpClient::new(settings, product, Arc::new(FixedClock));
    let folder = tempfile::tempdir().unwrap();
    let ca_file = |name: &str| ClientSettings {
        ca_file: Some(folder.path().join(name)),
        ..ClientSettings::default()
    };
    std::fs::write(folder.path().join("empty.pem"), "no certificate").unwrap();
    let missing = make(ca_file("missing.pem"), "x").unwrap_err();
    assert!(matches!(missing, ClientError::CaFile { .. }));
    let empty = make(ca_file("empty.pem"), "x").unwrap_err();
    assert!(matches!(empty, ClientError::BadCaFile(_)));
    let product = make(ClientSettings::default(), "bad\nproduct").unwrap_err();
    assert!(matches!(
        product,
        ClientError::Setting {
            name: "product",
            ..
        }
    ));
    let zero = ClientSettings {
        idle_timeout: ms(0),
        ..ClientSettings::default()
    };
    assert!(matches!(
        make(zero, "x").unwrap_err(),
        ClientError::Setting {
            name: "idle_timeout",
            ..
        }
    ));
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::start(|mut peer| async move {
        loop {
            peer.request().await?;
            peer.send(&answer("", b"{}")).await?;
        }
    })
    .await;
    let client = plain_client();
    for _ in 0..5 {
        let (exchange, text) = ask(&client, &server.url).await;
        assert_eq!((exchange.end, text), (Ending::Complete, b"{}".to_vec()));
        settle().await;
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn nothing_is_asked_twice() {
    let asked = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&asked);
    // The first request of a connection is answered; on the second it closes without a word.
    let server = Server::start(move |mut peer| {
        let counter = Arc::clone(&counter);
        async move {
            peer.request().await?;
            *counter.lock().unwrap() += 1;
            peer.send(&answer("", b"{}")).await?;
            peer.request().await?;
            *counter.lock().unwrap() += 1;
            Ok(())
        }
    })
    .await;
    let client = plain_client();
    let (first, _) = ask(&client, &server.url).await;
    settle().await;
    let (second, _) = ask(&client, &server.url).await;
    assert_eq!(first.end, Ending::Complete);
    assert_eq!(second.end, Ending::Broken("closed early"));
    assert_eq!((server.connections(), *asked.lock().unwrap()), (1, 2));
}

#[tokio::test]
async fn redirects_are_answers() {
    let target = Server::answering(answer("", b"{}")).await;
    let text = format!(
        "HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 5\r\n\r\nmoved",
        target.url
    );
    let server = Server::answering(text).await;
    let (exchange, body) = ask(&plain_client(), &server.url).await;
    let head = exchange.head.unwrap();
    assert_eq!((exchange.end, head.status), (Ending::Complete, 302));
    assert_eq!(head.headers["location"].as_bytes(), target.url.as_bytes());
    assert_eq!(body, b"moved");
    assert_eq!((server.connections(), target.connections()), (1, 0));
}
