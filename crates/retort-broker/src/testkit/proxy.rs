//! A TCP proxy that does to a connection what networks do.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Bytes moved at a time.
const BUFFER_BYTES: usize = 16 * 1024;

/// Bytes moved at a time over a slow connection.
const SLOW_BYTES: usize = 1024;

/// Wait after them: 32 KiB per second.
const SLOW_EVERY: Duration = Duration::from_micros(31_250);

/// What the proxy does to every connection, old and new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Passes everything on.
    Pass,
    /// Ends connections, also new ones.
    Cut,
    /// Keeps connections open and passes nothing on, not even their end: half-open. What was sent
    /// meanwhile arrives once the mode is `Pass` again.
    Blackhole,
    /// Ends connections on the side of the target, and keeps them open and silent on the side of the
    /// client, which hears of it once the mode is another one. New ones wait for that, too.
    Orphan,
    /// Passes on, from a broker, its heartbeats alone: connections stand, and nothing is answered. What
    /// was held back is lost.
    Mute,
    /// Passes on 32 KiB per second in each direction.
    Slow,
    /// Passes on one byte per second in each direction.
    Throttle,
}

impl Mode {
    /// Returns how many bytes pass at a time, and how long each of these takes.
    const fn pace(self) -> (usize, Duration) {
        match self {
            Self::Slow => (SLOW_BYTES, SLOW_EVERY),
            Self::Throttle => (1, Duration::from_secs(1)),
            Self::Pass | Self::Cut | Self::Blackhole | Self::Orphan | Self::Mute => {
                (BUFFER_BYTES, Duration::ZERO)
            }
        }
    }
}

/// A proxy on the loopback interface, which ends when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicUsize,
    passed: AtomicU64,
}

impl FaultProxy {
    /// Starts a proxy before `target`, on a free port, in the mode [`Mode::Pass`].
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mode = watch::Sender::new(Mode::Pass);
        let counts = Arc::<Counts>::default();
        let task = tokio::spawn(accept(
            listener,
            target,
            mode.subscribe(),
            Arc::clone(&counts),
        ));
        Ok(Self {
            address,
            mode,
            counts,
            task,
        })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what it does from now on.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Ends every connection and passes on new ones.
    pub async fn cut_once(&self) {
        self.set(Mode::Cut);
        // The tasks of the connections have to see it.
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.set(Mode::Pass);
    }

    /// Returns how many connections were made to it.
    pub fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::Relaxed)
    }

    /// Returns how many bytes it passed on, in both directions together.
    pub fn passed_bytes(&self) -> u64 {
        self.counts.passed.load(Ordering::Relaxed)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    mode: watch::Receiver<Mode>,
    counts: Arc<Counts>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        counts.accepted.fetch_add(1, Ordering::Relaxed);
        connections.spawn(connect(client, target, mode.clone(), Arc::clone(&counts)));
        while connections.try_join_next().is_some() {}
    }
}

/// Serves one connection; when either direction ends, so does the other.
async fn connect(
    mut client: TcpStream,
    target: SocketAddr,
    mut mode: watch::Receiver<Mode>,
    counts: Arc<Counts>,
) {
    if !passing(&mut mode).await {
        return;
    }
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    let mut watched = mode.clone();
    let (client_reads, client_writes) = client.split();
    let (server_reads, server_writes) = server.split();
    tokio::select! {
        _ = pass(client_reads, server_writes, mode.clone(), None, &counts.passed) => return,
        _ = pass(server_reads, client_writes, mode.clone(), Some(Frames::default()), &counts.passed) => return,
        () = becomes(&mut watched, |mode| mode == Mode::Orphan) => {}
    }
    drop(server);
    becomes(&mut mode, |mode| mode != Mode::Orphan).await;
}

/// Waits for a mode, or for the end of the proxy.
async fn becomes(mode: &mut watch::Receiver<Mode>, wanted: impl Fn(Mode) -> bool) {
    drop(mode.wait_for(|mode| wanted(*mode)).await);
}

/// Waits until bytes may pass; false when the connection ends instead.
async fn passing(mode: &mut watch::Receiver<Mode>) -> bool {
    let decided = mode.wait_for(|mode| !matches!(mode, Mode::Blackhole | Mode::Orphan));
    let decided = decided.await;
    decided.is_ok_and(|mode| *mode != Mode::Cut)
}

/// Where a broker's stream of frames is: a type of one byte, a channel of two, a size of four, so many
/// bytes, and one that ends it (AMQP 0-9-1, section 4.2.3).
#[derive(Debug, Default)]
struct Frames {
    /// Bytes of this frame that are through.
    at: u64,
    size: u64,
    kept: bool,
}

impl Frames {
    const HEARTBEAT: u8 = 8;

    /// Takes the next byte; returns whether its frame is passed on.
    fn keep(&mut self, byte: u8, mute: bool) -> bool {
        match self.at {
            0 => {
                self.size = 0;
                self.kept = !mute || byte == Self::HEARTBEAT;
            }
            3..=6 => self.size = self.size << 8 | u64::from(byte),
            _ => {}
        }
        self.at += 1;
        if self.at == self.size + 8 {
            self.at = 0;
        }
        self.kept
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mode: watch::Receiver<Mode>,
    mut frames: Option<Frames>,
    passed: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut kept = Vec::with_capacity(BUFFER_BYTES);
    while passing(&mut mode).await {
        let (room, takes) = mode.borrow_and_update().pace();
        let read = tokio::select! {
            read = from.read(&mut buffer[..room]) => read?,
            changed = mode.changed() => match changed {
                Ok(()) => continue,
                Err(_) => break,
            },
        };
        // It may have become dark between reading and writing: then these bytes wait, too.
        if read == 0 || !passing(&mut mode).await {
            break;
        }
        let mute = *mode.borrow() == Mode::Mute;
        let keeps = |byte: &u8| match &mut frames {
            Some(frames) => frames.keep(*byte, mute),
            None => true,
        };
        kept.clear();
        kept.extend(buffer[..read].iter().copied().filter(keeps));
        to.write_all(&kept).await?;
        passed.fetch_add(kept.len() as u64, Ordering::Relaxed);
        if !takes.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(takes) => {}
                _ = mode.changed() => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);
    const QUIET: Duration = Duration::from_millis(300);

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut reads, mut writes) = stream.split();
                    drop(tokio::io::copy(&mut reads, &mut writes).await);
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn each_mode_does_what_it_says() {
        let proxy = FaultProxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        let mut byte = [0; 1];
        stream.write_all(b"a").await.unwrap();
        timeout(SOON, stream.read_exact(&mut byte))
            .await
            .unwrap()
            .unwrap();
        proxy.set(Mode::Blackhole);
        stream.write_all(b"b").await.unwrap();
        assert!(timeout(QUIET, stream.read(&mut byte)).await.is_err());
        proxy.set(Mode::Pass);
        timeout(SOON, stream.read_exact(&mut byte))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(byte, *b"b");
        proxy.set(Mode::Throttle);
        stream.write_all(b"cd").await.unwrap();
        timeout(SOON, stream.read_exact(&mut byte))
            .await
            .unwrap()
            .unwrap();
        assert!(timeout(QUIET, stream.read(&mut byte)).await.is_err());
        proxy.set(Mode::Cut);
        let ended = timeout(SOON, stream.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "the connection outlives a cut");
        assert_eq!(proxy.accepted(), 1);
        // Three went there and back, the fourth perhaps.
        assert!((6..=8).contains(&proxy.passed_bytes()));
    }

    #[test]
    fn a_mute_broker_is_heard_to_live() {
        let beat = [8, 0, 0, 0, 0, 0, 0, 206];
        let word = [1, 0, 1, 0, 0, 0, 3, b'a', b'b', b'c', 206];
        let mut frames = Frames::default();
        let mut through = |bytes: &[u8], mute| {
            let kept = bytes.iter().filter(|byte| frames.keep(**byte, mute));
            kept.copied().collect::<Vec<u8>>()
        };
        assert_eq!(through(&word, false), word);
        // What has begun is ended.
        assert_eq!(through(&word[..4], false), word[..4]);
        assert_eq!(through(&word[4..], true), word[4..]);
        assert_eq!(through(&[word.as_slice(), &beat].concat(), true), beat);
        assert!(through(&word[..9], true).is_empty());
        assert_eq!(through(&[&word[9..], &beat].concat(), false), beat);
    }

    #[tokio::test]
    async fn an_orphan_hears_nothing_until_the_way_is_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let target = listener.local_addr().unwrap();
        let proxy = FaultProxy::start(target).await.unwrap();
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        let (mut server, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
        proxy.set(Mode::Orphan);
        let ended = timeout(SOON, server.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "the target does not hear of it");
        client.write_all(b"a").await.unwrap();
        let mut byte = [0; 1];
        assert!(timeout(QUIET, client.read(&mut byte)).await.is_err());
        proxy.set(Mode::Pass);
        let ended = timeout(SOON, client.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "the client never hears of it");
    }

    #[tokio::test]
    async fn a_slow_connection_takes_its_time() {
        const BYTES: usize = 8 * SLOW_BYTES;
        let proxy = FaultProxy::start(echo().await).await.unwrap();
        proxy.set(Mode::Slow);
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        let begun = std::time::Instant::now();
        stream.write_all(&[1; BYTES]).await.unwrap();
        let mut back = vec![0; BYTES];
        timeout(SOON, stream.read_exact(&mut back))
            .await
            .unwrap()
            .unwrap();
        // The last piece needs no wait after it.
        let least = SLOW_EVERY * 7;
        assert!(begun.elapsed() >= least, "{:?}", begun.elapsed());
    }
}
