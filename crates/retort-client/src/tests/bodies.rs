//! Bodies: exact bytes, marks, encodings and caps.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::mpsc;

use super::server::{CHUNKED, Server, answer};
use super::*;
use crate::{Ending, Which};

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(text).expect("a Vec takes everything");
    encoder.finish().expect("a Vec takes everything")
}

#[tokio::test]
async fn a_whole_answer_is_kept_with_its_times() {
    let server = Server::answering(answer("x-request-id: 7\r\n", b"{\"a\":\"\xff\"}")).await;
    let mut sink = Collect::default();
    let exchange = plain_client()
        .exchange(&request(&server.url), &mut sink)
        .await;
    assert_eq!(exchange.end, Ending::Complete);
    assert_eq!(exchange.body, &b"{\"a\":\"\xff\"}"[..]);
    assert_eq!(sink.text, exchange.body);
    let head = exchange.head.unwrap();
    assert_eq!((head.status, head.version), (200, "HTTP/1.1"));
    assert_eq!(head.headers["x-request-id"], "7");
    // The clock is read when the exchange begins; sending follows.
    assert!(exchange.sent_at >= FixedClock.now());
    assert_eq!(head.received_at, exchange.sent_at.after(head.since_sent));
    assert!(exchange.finished_at >= exchange.sent_at.after(exchange.elapsed));
    let mark = exchange.chunks[0];
    assert!(head.since_sent <= mark.since_sent && mark.since_sent <= exchange.elapsed);
    assert_eq!((exchange.chunk_count, mark.bytes), (1, 9));
}

#[tokio::test]
async fn errors_are_answers_with_bodies() {
    let text = "HTTP/1.0 429 Slow Down\r\nretry-after: 7\r\n\r\nslower";
    let server = Server::answering(text).await;
    let (exchange, body) = ask(&plain_client(), &server.url).await;
    let head = exchange.head.unwrap();
    assert_eq!((head.status, head.version), (429, "HTTP/1.0"));
    assert_eq!((exchange.end, body), (Ending::Complete, b"slower".to_vec()));
}

/// Tells when a piece arrives.
struct Signal(mpsc::Sender<Vec<u8>>);

impl BodySink for Signal {
    fn head(&mut self, _head: &Head) {}

    fn chunk(&mut self, expanded: &[u8], _since_sent: Duration) -> Flow {
        self.0
            .try_send(expanded.to_vec())
            .expect("the test takes each piece");
        Flow::Continue
    }
}

/// Serves events that are each sent only after the sink was given the one before.
async fn events_arrive_one_by_one(encoding: &'static str, parts: Vec<Vec<u8>>) {
    let (arrived_tx, mut arrived) = mpsc::channel::<Vec<u8>>(16);
    let (next_tx, next) = mpsc::channel::<()>(1);
    let next = Arc::new(tokio::sync::Mutex::new(next));
    let count = parts.len();
    let server = Server::start(move |mut peer| {
        let (parts, next) = (parts.clone(), Arc::clone(&next));
        async move {
            peer.request().await?;
            let head = CHUNKED.replace("\r\n\r\n", "\r\ncontent-encoding: ");
            peer.send(format!("{head}{encoding}\r\n\r\n").as_bytes())
                .await?;
            for part in parts {
                peer.send_chunk(&part).await?;
                next.lock().await.recv().await;
            }
            peer.send(b"0\r\n\r\n").await
        }
    })
    .await;
    let watch = tokio::spawn(async move {
        for i in 0..count {
            let event = arrived.recv().await.expect("the next event arrives");
            assert_eq!(event, format!("data: {i}\n\n").as_bytes());
            next_tx.send(()).await.expect("the server waits for it");
        }
    });
    let mut sink = Signal(arrived_tx);
    let exchange = plain_client()
        .exchange(&request(&server.url), &mut sink)
        .await;
    watch.await.expect("all events arrived in time");
    assert_eq!(exchange.end, Ending::Complete, "{encoding}");
    assert_eq!(exchange.chunk_count as usize, count, "{encoding}");
}

#[tokio::test]
async fn streams_expand_chunk_by_chunk() {
    let events: Vec<_> = (0..5).map(|i| format!("data: {i}\n\n")).collect();
    let plain = events.iter().map(|event| event.clone().into_bytes());
    events_arrive_one_by_one("identity", plain.collect()).await;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    let mut parts = Vec::new();
    for event in &events {
        encoder.write_all(event.as_bytes()).unwrap();
        encoder.flush().unwrap();
        parts.push(std::mem::take(encoder.get_mut()));
    }
    let end = encoder.finish().unwrap();
    parts.last_mut().unwrap().extend_from_slice(&end);
    events_arrive_one_by_one("gzip", parts).await;
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    let mut parts = Vec::new();
    for event in &events {
        encoder.write_all(event.as_bytes()).unwrap();
        encoder.flush().unwrap();
        parts.push(std::mem::take(encoder.get_mut()));
    }
    let end = encoder.finish().unwrap();
    parts.last_mut().unwrap().extend_from_slice(&end);
    events_arrive_one_by_one("zstd", parts).await;
}

#[tokio::test]
async fn encoded_bodies_are_kept_as_received() {
    let encoded = gzip(b"the text");
    let server = Server::answering(answer("content-encoding: gzip\r\n", &encoded)).await;
    let (exchange, text) = ask(&plain_client(), &server.url).await;
    assert_eq!(exchange.end, Ending::Complete);
    assert_eq!(exchange.body, encoded);
    assert_eq!(text, b"the text");
    assert_eq!(exchange.chunks[0].bytes as usize, encoded.len());
}

#[tokio::test]
async fn bad_encodings_are_told_and_their_bytes_kept() {
    let text = b"a text long enough that something of it comes out before the end is missed";
    let encoded = gzip(text);
    let cut = &encoded[..encoded.len() - 4];
    let mut corrupt = encoded.clone();
    *corrupt.last_mut().unwrap() ^= 1;
    for (name, body, given, cause) in [
        ("gzip", cut, &text[..], "ends too early"),
        ("gzip", &corrupt, text, "corrupt"),
        ("gzip", text, b"", "corrupt"),
        ("compress", text, b"", "unknown encoding"),
    ] {
        let encoding = format!("content-encoding: {name}\r\n");
        let server = Server::answering(answer(&encoding, body)).await;
        let (exchange, expanded) = ask(&plain_client(), &server.url).await;
        assert_eq!(exchange.end, Ending::BadEncoding(cause));
        assert_eq!(exchange.body, body);
        assert_eq!(expanded, given);
    }
}

#[tokio::test]
async fn bombs_and_endless_bodies_stop_at_their_caps() {
    let settings = || ClientSettings {
        max_body_bytes: 100_000,
        max_expanded_bytes: 200_000,
        ..ClientSettings::default()
    };
    let bomb = gzip(&vec![b'a'; 10_000_000]);
    let server = Server::answering(answer("content-encoding: gzip\r\n", &bomb)).await;
    let (exchange, text) = ask(&client(settings()), &server.url).await;
    assert_eq!(exchange.end, Ending::TooLarge(Which::Expanded));
    assert_eq!(text.len(), 200_000);
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9000000000000000000\r\n\r\n",
    ] {
        let server = Server::start(move |mut peer| async move {
            peer.request().await?;
            peer.send(head.as_bytes()).await?;
            peer.send_forever(&[b'a'; 10_000]).await
        })
        .await;
        let (exchange, text) = ask(&client(settings()), &server.url).await;
        assert_eq!(exchange.end, Ending::TooLarge(Which::Body));
        assert_eq!((exchange.body.len(), text.len()), (100_000, 100_000));
    }
    let exact = Server::answering(answer("", &b"a".repeat(100_000))).await;
    let (exchange, _) = ask(&client(settings()), &exact.url).await;
    assert_eq!(exchange.end, Ending::Complete, "the cap itself fits");
}

#[tokio::test]
async fn marks_are_bounded_and_chunks_counted() {
    const SENT: usize = crate::MAX_CHUNK_MARKS + 500;
    let server = Server::start(|mut peer| async move {
        peer.request().await?;
        peer.send(CHUNKED.as_bytes()).await?;
        peer.send(&b"1\r\nx\r\n".repeat(SENT)).await?;
        peer.send(b"0\r\n\r\n").await
    })
    .await;
    let (exchange, text) = ask(&plain_client(), &server.url).await;
    assert_eq!((exchange.end, text.len()), (Ending::Complete, SENT));
    assert_eq!(exchange.chunk_count as usize, SENT);
    assert_eq!(exchange.chunks.len(), crate::MAX_CHUNK_MARKS);
}

#[tokio::test]
async fn a_complete_answer_does_not_wait_for_its_connection() {
    let settings = || ClientSettings {
        late_end_timeout: ms(50),
        ..ClientSettings::default()
    };
    let hanging = Server::hanging_after("HTTP/1.1 200 OK\r\n\r\ndata: [DONE]").await;
    let mut sink = Collect::until(b"[DONE]");
    let exchange = client(settings())
        .exchange(&request(&hanging.url), &mut sink)
        .await;
    assert_eq!(exchange.end, Ending::StoppedAfterEnd);
    assert_eq!(exchange.elapsed, exchange.chunks[0].since_sent);
    assert!(exchange.finished_at >= exchange.sent_at.after(exchange.elapsed + ms(50).0));
    let closing = Server::answering("HTTP/1.1 200 OK\r\n\r\ndata: [DONE]").await;
    let mut sink = Collect::until(b"[DONE]");
    let exchange = plain_client()
        .exchange(&request(&closing.url), &mut sink)
        .await;
    assert_eq!(exchange.end, Ending::Complete);
}

#[tokio::test]
async fn bytes_after_the_end_are_kept_but_not_given_out() {
    let server = Server::start(|mut peer| async move {
        peer.request().await?;
        peer.send(CHUNKED.as_bytes()).await?;
        peer.send_chunk(b"[DONE]").await?;
        peer.send_chunk(b": late").await?;
        peer.send(b"0\r\n\r\n").await
    })
    .await;
    let mut sink = Collect::until(b"[DONE]");
    let exchange = plain_client()
        .exchange(&request(&server.url), &mut sink)
        .await;
    assert_eq!(exchange.end, Ending::Complete);
    assert_eq!(exchange.body, &b"[DONE]: late"[..]);
    assert_eq!(sink.text, b"[DONE]");
}
