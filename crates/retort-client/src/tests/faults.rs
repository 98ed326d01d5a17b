//! Connections that fail and servers that break the rules of HTTP.

use super::server::{CHUNKED, Server, answer};
use super::*;
use crate::{Ending, Which};

#[tokio::test]
async fn nobody_listens() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let (exchange, _) = ask(&plain_client(), &url).await;
    assert_eq!(exchange.end, Ending::ConnectFailed("refused"));
}

#[tokio::test]
async fn no_such_name() {
    let settings = ClientSettings {
        contact: Some("mailto:lab@example.org".to_owned()),
        ..ClientSettings::default()
    };
    // A label of more than 63 bytes is no name; no server is asked for it.
    let url = format!("http://{}.invalid/", "a".repeat(64));
    let (exchange, _) = ask(&client(settings), &url).await;
    assert_eq!(exchange.end, Ending::ConnectFailed("dns"));
}

#[tokio::test]
async fn no_tls_there() {
    let server = Server::start(|mut peer| async move {
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
        peer.wait_for_leave().await
    })
    .await;
    let url = server.url.replace("http:", "https:");
    let (exchange, _) = ask(&plain_client(), &url).await;
    assert_eq!(exchange.end, Ending::ConnectFailed("tls"));
}

#[tokio::test]
async fn broken_heads_and_bodies_are_told_apart() {
    for (sent, end) in [
        ("", Ending::Broken("closed early")),
        ("HTTP/1.1 200 OK\r\nx: ", Ending::Broken("closed early")),
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n", Ending::Broken("protocol")),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            Ending::Broken("protocol"),
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
            Ending::Broken("closed early"),
        ),
    ] {
        let server = Server::answering(sent).await;
        let (exchange, _) = ask(&plain_client(), &server.url).await;
        assert_eq!(exchange.end, end, "{sent}");
    }
    for (sent, end) in [
        ("4\r\nhalf\r\n", Ending::Broken("closed early")),
        ("4\r\nhalf\r\n9\r\nx", Ending::Broken("closed early")),
        ("4\r\nhalf\r\nzz\r\n", Ending::Broken("protocol")),
    ] {
        let server = Server::answering(format!("{CHUNKED}{sent}")).await;
        let (exchange, text) = ask(&plain_client(), &server.url).await;
        assert_eq!(exchange.end, end, "{sent}");
        assert!(text.starts_with(b"half") && text == exchange.body);
    }
}

/// Tells the server when the chunk is there.
struct Tell(Option<tokio::sync::oneshot::Sender<()>>);
impl BodySink for Tell {
    fn head(&mut self, _head: &Head) {}
    fn chunk(&mut self, _expanded: &[u8], _since_sent: Duration) -> Flow {
        let told = self.0.take().map(|sender| sender.send(()));
        assert_eq!(told, Some(Ok(())), "one chunk, and a server that waits");
        Flow::Continue
    }
}

#[tokio::test]
async fn a_reset_within_a_body_keeps_what_came_before() {
    let (given_tx, given) = tokio::sync::oneshot::channel::<()>();
    let given = Arc::new(tokio::sync::Mutex::new(Some(given)));
    let server = Server::start(move |mut peer| {
        let given = Arc::clone(&given);
        async move {
            peer.request().await?;
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
                .await?;
            // A reset discards what the other side has not read yet.
            if let Some(given) = given.lock().await.take() {
                given.await.map_err(std::io::Error::other)?;
            }
            peer.stream.set_zero_linger()
        }
    })
    .await;
    let mut sink = Tell(Some(given_tx));
    let exchange = plain_client()
        .exchange(&request(&server.url), &mut sink)
        .await;
    assert_eq!(exchange.end, Ending::Broken("reset"));
    assert_eq!(exchange.body, "half");
}

#[tokio::test]
async fn a_body_longer_than_told_is_cut_there() {
    let text = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfourHTTP/1.1 200 OK\r\n\r\nfive";
    let server = Server::start(move |mut peer| async move {
        loop {
            peer.request().await?;
            peer.send(text.as_bytes()).await?;
        }
    })
    .await;
    let client = plain_client();
    for _ in 0..2 {
        let (exchange, body) = ask(&client, &server.url).await;
        assert_eq!((exchange.end, body), (Ending::Complete, b"four".to_vec()));
        settle().await;
    }
    assert_eq!(
        server.connections(),
        2,
        "such a connection is not used again"
    );
}

#[tokio::test]
async fn heads_are_bounded() {
    let long = "x: ".to_owned() + &"y".repeat(70_000) + "\r\n";
    let many = "x: y\r\n".repeat(200);
    for headers in [long, many] {
        let server = Server::answering(answer(&headers, b"{}")).await;
        let mut sink = Collect::default();
        let exchange = plain_client()
            .exchange(&request(&server.url), &mut sink)
            .await;
        assert_eq!(exchange.end, Ending::TooLarge(Which::Head));
        assert!(sink.head.is_none() && exchange.head.is_none());
    }
    let endless = Server::start(|mut peer| async move {
        peer.request().await?;
        peer.send(b"HTTP/1.1 200 OK\r\nx: ").await?;
        peer.send_forever(&[b'y'; 10_000]).await
    })
    .await;
    let (exchange, _) = ask(&plain_client(), &endless.url).await;
    assert_eq!(exchange.end, Ending::TooLarge(Which::Head));
}

#[tokio::test]
async fn a_fault_after_the_end_is_still_told() {
    let text = "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\ndata: [DONE]";
    let server = Server::answering(text).await;
    let mut sink = Collect::until(b"[DONE]");
    let exchange = plain_client()
        .exchange(&request(&server.url), &mut sink)
        .await;
    assert_eq!(exchange.end, Ending::Broken("closed early"));
    assert_eq!(sink.text, b"data: [DONE]");
}

#[test]
fn endings_are_told_in_our_words() {
    use crate::Phase;
    for (end, text) in [
        (Ending::Complete, "complete"),
        (Ending::StoppedAfterEnd, "complete, connection left open"),
        (
            Ending::Refused("no contact is set"),
            "not sent: no contact is set",
        ),
        (Ending::ConnectFailed("refused"), "no connection: refused"),
        (Ending::TimedOut(Phase::Connect), "timed out: connecting"),
        (Ending::TimedOut(Phase::FirstByte), "timed out: first byte"),
        (Ending::TimedOut(Phase::Idle), "timed out: next chunk"),
        (Ending::TimedOut(Phase::Total), "timed out: whole exchange"),
        (Ending::Broken("reset"), "broken: reset"),
        (Ending::TooLarge(Which::Head), "too large: head"),
        (Ending::TooLarge(Which::Body), "too large: body"),
        (
            Ending::TooLarge(Which::Expanded),
            "too large: expanded body",
        ),
        (
            Ending::BadEncoding("corrupt"),
            "bad content encoding: corrupt",
        ),
    ] {
        assert_eq!(end.to_string(), text);
    }
}
