//! Servers that answer each connection with a script.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A server; it stops when dropped.
pub(super) struct Server {
    pub(super) url: String,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves every connection with `script`. Its errors are the client's leaving.
    pub(super) async fn start<F, Fut>(script: F) -> Self
    where
        F: Fn(Peer) -> Fut + Send + 'static,
        Fut: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tasks.spawn(script(Peer { stream }));
            }
        });
        Self {
            url: format!("http://{address}/v1/chat"),
            connections,
            task,
        }
    }

    /// Sends `answer` to each request and closes.
    pub(super) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::start(move |mut peer| {
            let answer = Arc::clone(&answer);
            async move {
                peer.request().await?;
                peer.send(&answer).await
            }
        })
        .await
    }

    /// Sends `answer` to each request and then nothing, without closing.
    pub(super) async fn hanging_after(answer: &'static str) -> Self {
        Self::start(move |mut peer| async move {
            peer.request().await?;
            peer.send(answer.as_bytes()).await?;
            peer.wait_for_leave().await
        })
        .await
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection, seen from the server.
pub(super) struct Peer {
    pub(super) stream: TcpStream,
}

impl Peer {
    /// Reads one request: head and body.
    pub(super) async fn request(&mut self) -> io::Result<String> {
        let mut bytes = Vec::new();
        loop {
            if self.stream.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let text = String::from_utf8_lossy(&bytes);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(": ")?;
                    (name == "content-length").then(|| value.parse::<usize>().ok())?
                });
                if body.len() >= length.unwrap_or(0) {
                    return Ok(text.into_owned());
                }
            }
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Sends one chunk of a chunked body.
    pub(super) async fn send_chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
        framed.extend_from_slice(bytes);
        framed.extend_from_slice(b"\r\n");
        self.send(&framed).await
    }

    /// Sends `bytes` until the client leaves.
    pub(super) async fn send_forever(&mut self, bytes: &[u8]) -> io::Result<()> {
        loop {
            self.send(bytes).await?;
        }
    }

    /// Returns once the client has closed the connection.
    pub(super) async fn wait_for_leave(&mut self) -> io::Result<()> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await.map(|_| ())
    }
}

/// Frames `body` as a whole answer with further header lines.
pub(super) fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\n{headers}content-length: {length}\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The head of a chunked answer.
pub(super) const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
