//! Receiving a body: deadlines, caps, decoding and marks.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use crate::coding::{Expander, Fault};
use crate::secret::{Echo, EchoWatch};
use crate::times::{Lag, Times};
use crate::{
    BodySink, ChunkMark, ClientSettings, Ending, Flow, Head, MAX_CHUNK_MARKS, Phase, Which, fault,
};

/// Encoded bytes that are expanded at once. Between steps other exchanges get their turn: a step of
/// deflate gives at most a megabyte, which takes about a millisecond.
const STEP_BYTES: usize = 1024;

/// Expanded bytes after which other exchanges get their turn.
const YIELD_BYTES: usize = 256 * 1024;

/// What was received.
pub(crate) struct Received {
    pub(crate) head: Option<Head>,
    pub(crate) chunks: Vec<ChunkMark>,
    pub(crate) chunk_count: u32,
    pub(crate) body: Bytes,
    pub(crate) secret_echoed: bool,
    pub(crate) last_byte: Option<Duration>,
    pub(crate) lag: Duration,
    pub(crate) end: Ending,
}

impl Received {
    pub(crate) const fn without_head(end: Ending) -> Self {
        Self {
            head: None,
            chunks: Vec::new(),
            chunk_count: 0,
            body: Bytes::new(),
            secret_echoed: false,
            last_byte: None,
            lag: Duration::ZERO,
            end,
        }
    }

    pub(crate) const fn refused(cause: &'static str) -> Self {
        Self::without_head(Ending::Refused(cause))
    }
}

/// What an exchange counts by.
pub(crate) struct Counted<'a> {
    /// When it was begun; deadlines count from here.
    pub(crate) begun: Instant,
    /// When its request went to the network.
    pub(crate) sent: Instant,
    /// When bytes went over its connection, unless others share it.
    pub(crate) times: Option<Arc<Times>>,
    /// How late bytes are seen that have arrived.
    pub(crate) lag: &'a Lag,
}

/// Receives one body.
pub(crate) struct Receiver<'a> {
    settings: &'a ClientSettings,
    counted: Counted<'a>,
    head: Head,
    sink: &'a mut dyn BodySink,
    /// The expander, or why there is none any more.
    expander: Result<Expander, Fault>,
    echo: Option<Echo<'a>>,
    /// Looks for the secret in what is received.
    received: Option<EchoWatch<'a>>,
    /// Looks for it in what that expands to, unless both are the same.
    expanded: Option<EchoWatch<'a>>,
    body: BytesMut,
    chunks: Vec<ChunkMark>,
    chunk_count: u32,
    /// When the last byte was read: of the head at first.
    last_at: Instant,
    /// How late that was, as measured last.
    lag: Duration,
    /// When the sink had all it needs.
    done_at: Option<Instant>,
}

impl<'a> Receiver<'a> {
    pub(crate) fn new(
        settings: &'a ClientSettings,
        counted: Counted<'a>,
        head: Head,
        sink: &'a mut dyn BodySink,
        echo: Option<Echo<'a>>,
    ) -> Self {
        let expander = Expander::of(&head.headers, settings.max_expanded_bytes);
        let is_encoded = expander.as_ref().is_ok_and(|e| !e.is_identity());
        Self {
            settings,
            last_at: counted.sent + head.since_sent,
            lag: counted.lag.last(),
            counted,
            head,
            sink,
            expander,
            received: echo.clone().map(EchoWatch::new),
            expanded: echo.clone().filter(|_| is_encoded).map(EchoWatch::new),
            echo,
            body: BytesMut::new(),
            chunks: Vec::new(),
            chunk_count: 0,
            done_at: None,
        }
    }

    pub(crate) async fn receive(mut self, mut body: Incoming) -> Received {
        let end = self.run(&mut body).await;
        let end = match self.expander {
            // The first fault counts: bytes were received after it only to be kept.
            Err(fault) => ending(fault),
            Ok(_) => end,
        };
        let in_expanded = self.expanded.is_some_and(|watch| watch.seen());
        let in_received = self.received.is_some_and(|watch| watch.seen());
        let body = match self.echo {
            // Within an encoded body the secret cannot be replaced.
            _ if in_expanded => Bytes::new(),
            Some(echo) if in_received => echo.redact(&self.body),
            Some(_) | None => self.body.freeze(),
        };
        Received {
            head: Some(self.head),
            chunks: self.chunks,
            chunk_count: self.chunk_count,
            body,
            secret_echoed: in_received || in_expanded,
            last_byte: Some(self.last_at.duration_since(self.counted.sent)),
            lag: self.lag,
            end,
        }
    }

    async fn run(&mut self, body: &mut Incoming) -> Ending {
        loop {
            let (deadline, late) = self.deadline();
            let frame = match timeout_at(deadline, body.frame()).await {
                Err(_) => return late,
                Ok(None) => return self.complete(),
                Ok(Some(Err(error))) => return fault::within_body(&error),
                Ok(Some(Ok(frame))) => frame,
            };
            // Trailers are no part of an answer, and empty chunks do not count as signs of life.
            let chunk = frame.into_data().unwrap_or_default();
            if !chunk.is_empty()
                && let Err(end) = self.take(&chunk).await
            {
                return end;
            }
        }
    }

    /// Returns until when to wait, and how the exchange ends then.
    fn deadline(&self) -> (Instant, Ending) {
        let total = self.counted.begun + self.settings.total_timeout.0;
        if let Some(done_at) = self.done_at {
            let late = done_at + self.settings.late_end_timeout.0;
            return (late.min(total), Ending::StoppedAfterEnd);
        }
        let idle = self.last_at + self.settings.idle_timeout.0;
        if idle < total {
            (idle, Ending::TimedOut(Phase::Idle))
        } else {
            (total, Ending::TimedOut(Phase::Total))
        }
    }

    fn complete(&mut self) -> Ending {
        if let Ok(expander) = &self.expander
            && let Err(fault) = expander.finish()
        {
            return ending(fault);
        }
        Ending::Complete
    }

    async fn take(&mut self, chunk: &Bytes) -> Result<(), Ending> {
        let now = Instant::now();
        let times = self.counted.times.as_ref();
        self.last_at = times.map_or(now, |times| times.read_at(self.last_at).min(now));
        self.lag = self.counted.lag.last();
        let since_sent = self.last_at.duration_since(self.counted.sent);
        self.chunk_count = self.chunk_count.saturating_add(1);
        if self.chunks.len() < MAX_CHUNK_MARKS {
            self.chunks.push(ChunkMark {
                since_sent,
                bytes: u32::try_from(chunk.len()).unwrap_or(u32::MAX),
            });
        }
        let room = self.settings.max_body_bytes - self.body.len();
        let kept = &chunk[..chunk.len().min(room)];
        self.body.extend_from_slice(kept);
        if let Some(watch) = &mut self.received {
            watch.push(kept);
        }
        self.expand(kept, since_sent).await?;
        if kept.len() < chunk.len() {
            return Err(Ending::TooLarge(Which::Body));
        }
        Ok(())
    }

    async fn expand(&mut self, received: &[u8], since_sent: Duration) -> Result<(), Ending> {
        let is_identity = self.expander.as_ref().is_ok_and(Expander::is_identity);
        let step = if is_identity {
            received.len()
        } else {
            STEP_BYTES
        };
        let mut since_yield = 0;
        for input in received.chunks(step.max(1)) {
            since_yield += self.step(input, since_sent)?;
            if since_yield > YIELD_BYTES && !is_identity {
                tokio::task::yield_now().await;
                since_yield = 0;
            }
        }
        Ok(())
    }

    /// Expands `input` and returns the number of bytes that it gave.
    fn step(&mut self, input: &[u8], since_sent: Duration) -> Result<usize, Ending> {
        let Ok(expander) = &mut self.expander else {
            return Ok(0);
        };
        let mut given = 0;
        let mut is_done = self.done_at.is_some();
        let pushed = expander.push(input, &mut |piece| {
            given += piece.len();
            if let Some(watch) = &mut self.expanded {
                watch.push(piece);
            }
            if !is_done {
                is_done = self.sink.chunk(piece, since_sent) == Flow::Done;
            }
        });
        if is_done && self.done_at.is_none() {
            self.done_at = Some(self.last_at);
        }
        match pushed {
            Ok(()) => Ok(given),
            Err(Fault::TooLarge) => Err(Ending::TooLarge(Which::Expanded)),
            Err(fault) => {
                self.expander = Err(fault);
                Ok(given)
            }
        }
    }
}

const fn ending(fault: Fault) -> Ending {
    match fault {
        Fault::TooLarge => Ending::TooLarge(Which::Expanded),
        Fault::Unknown | Fault::TooMany | Fault::Corrupt | Fault::Trailing | Fault::Truncated => {
            Ending::BadEncoding(fault.cause())
        }
    }
}
