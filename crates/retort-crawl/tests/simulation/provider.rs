//! A provider below the HTTP client: what it answers follows from the seed, the sample and how often
//! that was asked, and not from who asks when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderMap;
use retort_client::{BodySink, Ending, Exchange, Exchanger, Head, HttpRequest, Phase};
use retort_types::{SampleId, Timestamp, WallClock};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::chance::Chance;
use crate::journal::{Clock, Journal};

/// Header that carries the sample's id.
pub(crate) const SAMPLE_HEADER: &str = "x-sample-id";

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answer,
    TurnAway,
    Fail,
    Unreachable,
    TimeOut,
    Cut,
}

impl Fate {
    /// Returns what goes wrong, unless nothing does.
    const fn kind(self) -> Option<&'static str> {
        match self {
            Self::Answer => None,
            Self::TurnAway => Some("request turned away"),
            Self::Fail => Some("request failed"),
            Self::Unreachable => Some("request without connection"),
            Self::TimeOut => Some("request timed out"),
            Self::Cut => Some("answer cut"),
        }
    }
}

/// Every provider of a world.
#[derive(Debug)]
pub(crate) struct Providers {
    seed: u64,
    /// Of a hundred requests, how many go wrong.
    pub(crate) trouble: u64,
    journal: Arc<Journal>,
    clock: Arc<Clock>,
    asked: Mutex<BTreeMap<SampleId, u32>>,
    out_until: Mutex<Option<Instant>>,
}

impl Providers {
    pub(crate) fn new(seed: u64, trouble: u64, journal: Arc<Journal>, clock: Arc<Clock>) -> Self {
        Self {
            seed,
            trouble,
            journal,
            clock,
            asked: Mutex::default(),
            out_until: Mutex::new(None),
        }
    }

    /// Fails every request for a while.
    pub(crate) fn fail_for(&self, time: Duration) {
        let mut until = self
            .out_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *until = Some(Instant::now() + time);
    }

    fn is_out(&self) -> bool {
        let until = self
            .out_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn fate(&self, sample: SampleId) -> (Fate, Chance) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let count = asked.entry(sample).or_default();
        *count += 1;
        let mut chance = Chance::of(self.seed, &format!("{sample} {count}"));
        if self.is_out() {
            return (Fate::Fail, chance);
        }
        if !chance.percent(self.trouble) {
            return (Fate::Answer, chance);
        }
        let fates = [
            Fate::TurnAway,
            Fate::Fail,
            Fate::Unreachable,
            Fate::TimeOut,
            Fate::Cut,
        ];
        let number = usize::try_from(chance.below(5)).unwrap();
        (fates[number], chance)
    }
}

/// The way of one life of a process to its providers.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) providers: Arc<Providers>,
    pub(crate) by: String,
}

#[async_trait]
impl Exchanger for Line {
    async fn exchange(&self, request: &HttpRequest, sink: &mut dyn BodySink) -> Exchange {
        let own = &*self.providers;
        let id = request
            .headers
            .iter()
            .find(|(name, _)| name == SAMPLE_HEADER);
        let sample: SampleId = id.unwrap().1.parse().unwrap();
        let domain = request.url.split('/').nth(3).unwrap();
        let number = own.journal.request(domain, sample, &self.by);
        let (fate, mut chance) = own.fate(sample);
        if let Some(kind) = fate.kind() {
            own.journal.mishap(kind);
        }
        let mut exchange = begun(own.clock.now());
        let start = Instant::now();
        let slow = chance.percent(5);
        sleep(if slow {
            chance.millis(3_000, 9_000)
        } else {
            chance.millis(20, 900)
        })
        .await;
        if fate == Fate::TimeOut {
            sleep(chance.millis(5_000, 15_000)).await;
        }
        exchange.elapsed = start.elapsed();
        exchange.finished_at = own.clock.now();
        match fate {
            Fate::Unreachable => exchange.end = Ending::ConnectFailed("refused"),
            Fate::TimeOut => exchange.end = Ending::TimedOut(Phase::FirstByte),
            Fate::Answer | Fate::TurnAway | Fate::Fail | Fate::Cut => {
                answer(&mut exchange, sink, fate, sample);
            }
        }
        own.journal
            .answered(number, fate == Fate::Answer, &format!("{fate:?}"));
        exchange
    }
}

fn begun(now: Timestamp) -> Exchange {
    Exchange {
        sent_at: now,
        finished_at: now,
        elapsed: Duration::ZERO,
        lag: Duration::ZERO,
        head: None,
        chunks: Vec::new(),
        chunk_count: 0,
        body: bytes::Bytes::new(),
        secret_echoed: false,
        signature: None,
        end: Ending::Complete,
        request_headers: HeaderMap::from_iter([(
            http::header::ACCEPT,
            http::HeaderValue::from_static("*/*"),
        )]),
    }
}

fn answer(exchange: &mut Exchange, sink: &mut dyn BodySink, fate: Fate, sample: SampleId) {
    let mut headers = HeaderMap::new();
    let (status, body) = match fate {
        Fate::TurnAway => {
            headers.insert("retry-after", http::HeaderValue::from_static("1"));
            (
                429,
                json!({ "error": { "message": "slow down", "code": "rate_limit_exceeded" } }),
            )
        }
        Fate::Answer | Fate::Cut => {
            let text = format!("answer to {sample}");
            let message = json!({ "role": "assistant", "content": text });
            let choices = json!([{ "index": 0, "message": message, "finish_reason": "stop" }]);
            let usage = json!({ "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 });
            (
                200,
                json!({ "id": "a", "model": "m", "choices": choices, "usage": usage }),
            )
        }
        Fate::Fail | Fate::Unreachable | Fate::TimeOut => {
            (500, json!({ "error": { "message": "out of order" } }))
        }
    };
    headers.insert(
        "content-type",
        http::HeaderValue::from_static("application/json"),
    );
    let head = Head {
        status,
        version: "HTTP/1.1",
        headers,
        received_at: exchange.sent_at.after(exchange.elapsed),
        since_sent: exchange.elapsed,
    };
    sink.head(&head);
    let mut body = body.to_string().into_bytes();
    if fate == Fate::Cut {
        body.truncate(body.len() / 2);
        exchange.end = Ending::Broken("connection closed");
    }
    sink.chunk(&body, exchange.elapsed);
    exchange.head = Some(head);
    exchange.chunk_count = 1;
    exchange.body = body.into();
}
