//! Waits that are too long. Servers here never go on, so that only our deadlines end an exchange.

use super::server::{CHUNKED, Server};
use super::*;
use crate::{Ending, Phase};

#[tokio::test]
async fn a_missing_head_is_not_waited_for() {
    let server = Server::hanging_after("").await;
    let settings = ClientSettings {
        first_byte_timeout: ms(80),
        ..ClientSettings::default()
    };
    let (exchange, _) = ask(&client(settings), &server.url).await;
    assert_eq!(exchange.end, Ending::TimedOut(Phase::FirstByte));
    assert!(exchange.head.is_none() && exchange.elapsed >= ms(80).0);
    let settings = ClientSettings {
        total_timeout: ms(80),
        ..ClientSettings::default()
    };
    let (exchange, _) = ask(&client(settings), &server.url).await;
    assert_eq!(exchange.end, Ending::TimedOut(Phase::Total));
}

#[tokio::test]
async fn half_a_head_is_no_head() {
    let server = Server::hanging_after("HTTP/1.1 200 OK\r\ncontent-le").await;
    let settings = ClientSettings {
        first_byte_timeout: ms(80),
        ..ClientSettings::default()
    };
    let (exchange, _) = ask(&client(settings), &server.url).await;
    assert_eq!(exchange.end, Ending::TimedOut(Phase::FirstByte));
}

#[tokio::test]
async fn interim_answers_do_not_put_the_deadline_off() {
    let server = Server::start(|mut peer| async move {
        peer.request().await?;
        loop {
            peer.send(b"HTTP/1.1 102 Processing\r\n\r\n").await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let settings = ClientSettings {
        first_byte_timeout: ms(200),
        ..ClientSettings::default()
    };
    let (exchange, _) = ask(&client(settings), &server.url).await;
    assert_eq!(exchange.end, Ending::TimedOut(Phase::FirstByte));
}

#[tokio::test]
async fn silence_within_a_body_ends_it() {
    let server = Server::hanging_after("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
    let settings = ClientSettings {
        idle_timeout: ms(80),
        ..ClientSettings::default()
    };
    let (exchange, text) = ask(&client(settings), &server.url).await;
    assert_eq!(exchange.end, Ending::TimedOut(Phase::Idle));
    assert_eq!((text, exchange.body), (b"half".to_vec(), "half".into()));
    assert_eq!(exchange.head.unwrap().status, 200);
}

#[tokio::test]
async fn a_slow_drip_ends_with_the_total() {
    let server = Server::start(|mut peer| async move {
        peer.request().await?;
        peer.send(CHUNKED.as_bytes()).await?;
        loop {
            peer.send_chunk(b"x").await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let settings = ClientSettings {
        idle_timeout: ms(20_000),
        total_timeout: ms(300),
        ..ClientSettings::default()
    };
    let (exchange, text) = ask(&client(settings), &server.url).await;
    assert_eq!(exchange.end, Ending::TimedOut(Phase::Total));
    assert_eq!(text, exchange.body);
}

#[tokio::test]
async fn a_handshake_that_hangs_is_part_of_connecting() {
    let server = Server::start(|mut peer| async move { peer.wait_for_leave().await }).await;
    let settings = ClientSettings {
        connect_timeout: ms(80),
        ..ClientSettings::default()
    };
    let url = server.url.replace("http:", "https:");
    let (exchange, _) = ask(&client(settings), &url).await;
    assert_eq!(exchange.end, Ending::TimedOut(Phase::Connect));
}
