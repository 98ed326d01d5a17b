//! TLS and HTTP/2, against a server with a certificate of its own.
//!
//! `tls/ca.pem` is a root made for these tests and `tls/server.pem` its only certificate, for
//! `localhost` and `127.0.0.1`, both valid until 2120. The root's key was thrown away.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread::JoinHandle;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::secrets::Log;
use super::*;
use crate::Ending;

type Stream = StreamOwned<ServerConnection, TcpStream>;

/// Serves one connection on a thread; the script says how.
fn serve(
    protocol: &str,
    script: impl FnOnce(&mut Stream) -> io::Result<()> + Send + 'static,
) -> (String, JoinHandle<io::Result<()>>) {
    let chain = CertificateDer::from_pem_slice(include_bytes!("tls/server.pem"));
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server-key.pem"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the defaults are safe")
        .with_no_client_auth()
        .with_single_cert(
            vec![chain.expect("the file is a certificate")],
            key.expect("the file is a key"),
        )
        .expect("the key fits the certificate");
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("https://{}/v1", listener.local_addr().expect("bound"));
    let thread = std::thread::spawn(move || {
        let (socket, _) = listener.accept()?;
        let connection = ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
        script(&mut StreamOwned::new(connection, socket))
    });
    (url, thread)
}

fn trusting(http2: bool) -> HttpClient {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/tls");
    client(ClientSettings {
        ca_file: Some(folder.join("ca.pem")),
        http2,
        ..ClientSettings::default()
    })
}

fn answer_http1(stream: &mut Stream) -> io::Result<()> {
    let mut seen = Vec::new();
    while !seen.ends_with(b"{\"prompt\":\"hello\"}") {
        let mut buffer = [0; 1024];
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        seen.extend_from_slice(&buffer[..read]);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")?;
    stream.flush()
}

#[tokio::test]
async fn a_private_root_is_trusted_when_it_is_named() {
    let (url, thread) = serve("http/1.1", answer_http1);
    let (exchange, text) = ask(&trusting(false), &url).await;
    assert_eq!((exchange.end, text), (Ending::Complete, b"{}".to_vec()));
    assert_eq!(exchange.head.unwrap().version, "HTTP/1.1");
    thread.join().unwrap().unwrap();
}

#[tokio::test]
async fn an_unknown_root_is_not_trusted() {
    let (url, thread) = serve("http/1.1", answer_http1);
    let (exchange, _) = ask(&plain_client(), &url).await;
    assert_eq!(exchange.end, Ending::ConnectFailed("tls certificate"));
    assert!(thread.join().unwrap().is_err(), "nothing was sent");
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const END: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("short frames");
    let mut bytes = vec![0, 0, length, kind, flags, 0, 0, 0, stream];
    bytes.extend_from_slice(payload);
    bytes
}

/// Reads an HTTP/2 request (RFC 9113) up to its end and sends `frames`.
fn answer_http2(stream: &mut Stream, frames: &[Vec<u8>]) -> io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface)?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    stream.flush()?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload)?;
        match (head[3], head[4]) {
            (SETTINGS, 0) => stream.write_all(&frame(SETTINGS, ACK, 0, &[]))?,
            (DATA | HEADERS, flags) if flags & END != 0 => break,
            _ => {}
        }
    }
    for frame in frames {
        stream.write_all(frame)?;
    }
    stream.flush()
}

/// `:status: 200`, the eighth entry of the static table (RFC 7541).
const STATUS_200: &[u8] = &[0x88];

#[tokio::test]
async fn http2_is_spoken_when_it_is_on_and_prints_no_key() {
    let log = Log::default();
    let guard = log.start();
    let (url, thread) = serve("h2", |stream| {
        let head = frame(HEADERS, END_HEADERS, 1, STATUS_200);
        answer_http2(stream, &[head, frame(DATA, END, 1, b"private-answer")])
    });
    let request = HttpRequest {
        body: Bytes::from_static(b"private-prompt"),
        ..with_key(&url)
    };
    let mut sink = Collect::default();
    let exchange = trusting(true).exchange(&request, &mut sink).await;
    drop(guard);
    thread.join().unwrap().unwrap();
    assert_eq!(exchange.end, Ending::Complete);
    assert_eq!(exchange.head.unwrap().version, "HTTP/2");
    assert_eq!(sink.text, b"private-answer");
    let text = log.text();
    assert!(text.contains("h2::") && text.contains("Headers"), "{text}");
    assert!(
        !text.contains("canary") && !text.contains("private"),
        "{text}"
    );
}

#[tokio::test]
async fn http2_is_not_offered_when_it_is_off() {
    let (url, thread) = serve("h2", |stream| answer_http2(stream, &[]));
    let (exchange, _) = ask(&trusting(false), &url).await;
    assert_eq!(exchange.end, Ending::ConnectFailed("tls"));
    assert!(thread.join().unwrap().is_err());
}

#[tokio::test]
async fn streams_refused_in_http2_are_not_asked_again() {
    const REFUSED_STREAM: &[u8] = &[0, 0, 0, 7];
    let (url, thread) = serve("h2", |stream| {
        answer_http2(stream, &[frame(RST_STREAM, 0, 1, REFUSED_STREAM)])?;
        // Whatever else the client sends until it leaves must not be a second request.
        let mut rest = Vec::new();
        stream
            .sock
            .set_read_timeout(Some(Duration::from_millis(500)))?;
        let mut buffer = [0; 1024];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            rest.extend_from_slice(&buffer[..read]);
        }
        let mut frames = &rest[..];
        while let [_, _, length, kind, ..] = *frames {
            assert_ne!(kind, HEADERS, "the request came again");
            frames = &frames[9 + usize::from(length)..];
        }
        Ok(())
    });
    let (exchange, _) = ask(&trusting(true), &url).await;
    assert_eq!(exchange.end, Ending::Broken("reset"));
    thread.join().unwrap().unwrap();
}
