//! What is done to a client, step by step: good answers and every fault as data.
//!
//! Making a script needs no socket; [`play`] runs one.

mod bomb;
mod misbehave;

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::announce::Headers;
use crate::api::Shape;
use crate::api::framing::{Event, Framing};
use crate::http;
use crate::peer::{Gone, Peer};

pub(crate) use misbehave::{fault, needs_answer};

/// Most bytes of anything endless: eight times the largest answer a client should take.
const ENDLESS_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Longest time of anything endless.
const ENDLESS_TIME: Duration = Duration::from_secs(30);

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Write(Bytes),
    Pause(Duration),
    /// Writes the bytes again and again, up to the bounds of endless things.
    Endless(Bytes),
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    KeepAlive,
    Close,
    Reset,
}

/// Steps and what they amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
    pub(crate) end: End,
    /// Whether the client gets a complete and usable answer.
    pub(crate) served: bool,
    /// Status of the answer; 0 when there is none.
    pub(crate) status: u16,
}

/// A good answer, before it is framed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// What was asked, which says how errors look.
    pub(crate) shape: Shape,
    pub(crate) headers: Headers,
    pub(crate) content: Content,
    pub(crate) keep_alive: bool,
}

/// The content of a good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Plain {
        body: Vec<u8>,
        gzip: bool,
    },
    Stream {
        framing: Framing,
        events: Vec<Event>,
    },
}

impl Answer {
    /// Returns the script that gives this answer, with `per_token` between the tokens of a stream.
    pub(crate) fn script(&self, per_token: Duration) -> Script {
        let end = if self.keep_alive {
            End::KeepAlive
        } else {
            End::Close
        };
        let steps = match &self.content {
            Content::Stream { framing, events } if !per_token.is_zero() => {
                self.paced(*framing, events, per_token)
            }
            Content::Stream { .. } | Content::Plain { .. } => vec![write(self.framed())],
        };
        Script {
            steps,
            end,
            served: true,
            status: 200,
        }
    }

    fn paced(&self, framing: Framing, events: &[Event], per_token: Duration) -> Vec<Step> {
        let mut steps = vec![write(self.stream_head(framing))];
        for (number, event) in events.iter().enumerate() {
            if event.tokens > 0 {
                steps.push(Step::Pause(per_token * event.tokens));
            }
            let framed = framing.frame(event, number == 0);
            let mut chunk = Vec::with_capacity(framed.len() + 8);
            http::chunk(&mut chunk, &framed);
            steps.push(write(chunk));
        }
        let mut end = Vec::new();
        http::chunk(&mut end, framing.tail());
        end.extend_from_slice(http::LAST_CHUNK);
        steps.push(write(end));
        steps
    }

    /// Returns head and body as they go over the wire.
    fn framed(&self) -> Vec<u8> {
        match &self.content {
            Content::Plain { body, gzip: false } => {
                let head = http::head(200, "application/json", &self.headers);
                http::whole(head, body, self.keep_alive)
            }
            Content::Plain { body, gzip: true } => {
                let mut head = http::head(200, "application/json", &self.headers);
                http::line(&mut head, "content-encoding", "gzip");
                http::whole(head, &bomb::gzip(body), self.keep_alive)
            }
            Content::Stream { framing, events } => {
                let mut out = self.stream_head(*framing);
                for (number, event) in events.iter().enumerate() {
                    http::chunk(&mut out, &framing.frame(event, number == 0));
                }
                http::chunk(&mut out, framing.tail());
                out.extend_from_slice(http::LAST_CHUNK);
                out
            }
        }
    }

    fn stream_head(&self, framing: Framing) -> Vec<u8> {
        self.chunked_head(framing.content_type())
    }

    /// Returns a whole head that announces chunks.
    fn chunked_head(&self, content_type: &str) -> Vec<u8> {
        let mut head = http::head(200, content_type, &self.headers);
        http::line(&mut head, "transfer-encoding", "chunked");
        if !self.keep_alive {
            http::line(&mut head, "connection", "close");
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

fn write(bytes: impl Into<Bytes>) -> Step {
    Step::Write(bytes.into())
}

/// Runs the steps of a script; the caller ends the connection.
pub(crate) async fn play(peer: &mut Peer, steps: &[Step]) -> Result<(), Gone> {
    for step in steps {
        match step {
            Step::Write(bytes) => {
                peer.check()?;
                peer.write(bytes).await?;
            }
            Step::Pause(duration) => peer.pause(*duration).await?,
            Step::Endless(bytes) => {
                let until = Instant::now() + ENDLESS_TIME;
                let mut written = 0;
                while written < ENDLESS_MAX_BYTES && Instant::now() < until {
                    peer.write(bytes).await?;
                    written += bytes.len().max(1);
                }
            }
        }
    }
    Ok(())
}
