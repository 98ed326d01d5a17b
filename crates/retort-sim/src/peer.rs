//! One client's connection: bounded reads, writes with patience, and noticing that it is gone.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// How long a connection may rest between requests, and a request may take to arrive. Longer than
/// the idle time of common client pools (90 s), so that they close first.
const READ_PATIENCE: Duration = Duration::from_mins(2);

/// How long a client may leave what it asked for unread.
const WRITE_PATIENCE: Duration = Duration::from_mins(1);

/// Room asked for per read: a request of usual size arrives in one.
const READ_ROOM: usize = 8 * 1024;

/// Most bytes taken from a client that speaks while it should listen.
const EARLY_MAX_BYTES: usize = 64 * 1024;

/// How long and how much an unread request is drained before closing, so that the answer is not
/// lost to a reset.
const DRAIN_TIME: Duration = Duration::from_secs(1);
const DRAIN_MAX_BYTES: usize = 16 * 1024 * 1024;

/// The client closed, failed or lost our patience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// A connection with what was read and not yet used.
#[derive(Debug)]
pub(crate) struct Peer {
    stream: TcpStream,
    pub(crate) buffer: BytesMut,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> Self {
        // Answers are written whole; waiting to fill a packet would only add latency.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no-delay could not be set");
        }
        Self {
            stream,
            buffer: BytesMut::with_capacity(READ_ROOM),
        }
    }

    /// Reads more into the buffer.
    pub(crate) async fn fill(&mut self) -> Result<(), Gone> {
        self.buffer.reserve(READ_ROOM);
        let read = self.stream.read_buf(&mut self.buffer);
        match timeout(READ_PATIENCE, read).await {
            Ok(Ok(count)) if count > 0 => Ok(()),
            Ok(_) | Err(_) => Err(Gone),
        }
    }

    /// Writes all of `bytes`.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        match timeout(WRITE_PATIENCE, self.stream.write_all(bytes)).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(Gone),
        }
    }

    /// Waits until something can be written.
    pub(crate) async fn writable(&self) -> Result<(), Gone> {
        match timeout(WRITE_PATIENCE, self.stream.writable()).await {
            Ok(ready) => Ok(ready?),
            Err(_) => Err(Gone),
        }
    }

    /// Writes what can be written at once and returns how much it was.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> Result<usize, Gone> {
        match self.stream.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            written => Ok(written?),
        }
    }

    /// Waits, and notices when the client goes meanwhile.
    pub(crate) async fn pause(&mut self, duration: Duration) -> Result<(), Gone> {
        // The timer counts in milliseconds, so even nothing would take one.
        if duration.is_zero() {
            return self.check();
        }
        let until = Instant::now() + duration;
        loop {
            if self.buffer.len() >= EARLY_MAX_BYTES {
                tokio::time::sleep_until(until).await;
                return Ok(());
            }
            self.buffer.reserve(READ_ROOM);
            match timeout_at(until, self.stream.read_buf(&mut self.buffer)).await {
                Err(_) => return Ok(()),
                Ok(Ok(count)) if count > 0 => {}
                Ok(_) => return Err(Gone),
            }
        }
    }

    /// Checks that the client still listens.
    pub(crate) fn check(&mut self) -> Result<(), Gone> {
        if self.buffer.len() >= EARLY_MAX_BYTES {
            return Ok(());
        }
        self.buffer.reserve(READ_ROOM);
        match self.stream.try_read_buf(&mut self.buffer) {
            Ok(0) => Err(Gone),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(_) => Err(Gone),
        }
    }

    /// Closes after everything written has been offered to the client.
    pub(crate) async fn close(mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let until = Instant::now() + DRAIN_TIME;
        let mut drained = 0;
        while drained < DRAIN_MAX_BYTES {
            self.buffer.clear();
            self.buffer.reserve(READ_ROOM);
            match timeout_at(until, self.stream.read_buf(&mut self.buffer)).await {
                Ok(Ok(count)) if count > 0 => drained += count,
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        if let Err(error) = self.stream.set_zero_linger() {
            tracing::debug!(%error, "linger could not be set");
        }
    }
}
