//! One attempt: encode, exchange, decode, store. The slot is held until the record is fsynced.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use retort_broker::Fence;
use retort_client::{Exchange, Exchanger, HttpRequest, Secret};
use retort_dataset::exchange::Archiver;
use retort_dataset::{SpoolError, Writer};
use retort_pace::Settlement;
use retort_types::record::{Asked, AttemptRecord, HttpFacts, KeptExchange, Timing};
use retort_types::{
    Digest, Disposition, Endpoint, ModelName, Outcome, Reply, Sample, Timestamp, WireProtocol,
};
use retort_wire::Decoded;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use super::ask::{DecoderSink, Put, Target, decoded, failure, request, secrets};
use super::keep::Kept;
use super::scrub::{holds, scrub};
use super::spans;
use crate::decoding::Reading;
use crate::record::{RecordMaker, asked, not_sent};

/// What every attempt of a worker needs.
#[derive(Debug, Clone)]
pub(crate) struct Attempter {
    pub(crate) client: Arc<dyn Exchanger>,
    pub(crate) writer: Writer,
    pub(crate) maker: RecordMaker,
    pub(crate) allowance: Allowance,
    /// Makes the records of exchanges; shared, as it is large.
    pub(crate) archiver: Arc<Mutex<Archiver>>,
    pub(crate) asked: Arc<LastAsked>,
    /// Why replies can no longer be stored, once they cannot.
    pub(crate) broken: watch::Sender<Option<String>>,
}

/// How often a sample may be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    /// Attempts that failed.
    pub(crate) attempts: u32,
    /// Attempts in all, those turned away with 429 included.
    pub(crate) turned_away: u32,
}

/// The attempt about to be made.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    /// What is asked.
    pub(crate) sample: Arc<Sample>,
    /// This attempt's number, from 1.
    pub(crate) attempt_no: u32,
    /// Attempts counted before this one.
    pub(crate) counted: u32,
    /// How often the broker had delivered the sample before.
    pub(crate) delivery_count: u32,
    /// When the pace allowed it.
    pub(crate) due: Instant,
    /// Tells whether the domain is still this worker's.
    pub(crate) fence: Fence,
}

/// How an attempt went, after its record is safe.
#[derive(Debug)]
pub(crate) struct Ended {
    /// How the attempt ended.
    pub(crate) outcome: Outcome,
    /// How the sample ended, if it did.
    pub(crate) final_outcome: Option<Outcome>,
    /// What the pace learns from it.
    pub(crate) settlement: Settlement,
}

/// Returns how a sample ends when an attempt ended with `outcome`, or nothing when it goes on.
pub(crate) fn conclude(outcome: Outcome, turn: &Turn, allowance: Allowance) -> Option<Outcome> {
    match outcome.disposition() {
        Disposition::Finish | Disposition::FinishAndParkLane | Disposition::FinishAndParkDomain => {
            Some(outcome)
        }
        Disposition::RetryCounted if turn.counted + 1 >= allowance.attempts => {
            Some(Outcome::GaveUp)
        }
        Disposition::RetryFree if turn.attempt_no >= allowance.turned_away => Some(Outcome::GaveUp),
        Disposition::RetryCounted | Disposition::RetryFree => None,
    }
}

impl Attempter {
    /// Makes one attempt and returns once its record is fsynced; nothing when it was not made,
    /// because the domain may be another worker's by now.
    pub(crate) async fn attempt(&self, target: &Target, turn: &Turn) -> Option<Ended> {
        if !turn.fence.is_live() {
            return None;
        }
        let span = spans::attempt(target, turn);
        let made = self.make(target, turn, &span);
        Some(made.instrument(span.clone()).await)
    }

    async fn make(&self, target: &Target, turn: &Turn, span: &Span) -> Ended {
        let (mut record, mut settlement) = match self.prepare(target, turn) {
            Ok((request, asked)) => self.ask(target, turn, request, asked).await,
            Err(reason) => {
                let mut record = self.failed(turn, target, Outcome::InvalidRequest);
                record.reason = Some(reason);
                (record, Settlement::of(Outcome::InvalidRequest))
            }
        };
        record.final_outcome = conclude(record.outcome, turn, self.allowance);
        if record.final_outcome == Some(Outcome::GaveUp) {
            record.reason = Some(format!(
                "{} after {} attempts",
                record.outcome, turn.attempt_no
            ));
        }
        settlement.outcome = record.outcome;
        let ended = Ended {
            outcome: record.outcome,
            final_outcome: record.final_outcome,
            settlement,
        };
        spans::ended(span, &record);
        self.store(record).await;
        ended
    }

    /// Stores that a sample ended without being asked.
    pub(crate) async fn not_asked(
        &self,
        sample: &Arc<Sample>,
        target: &Target,
        (attempts, reason): (u32, String),
    ) {
        let mut record = self.maker.not_asked(sample, &target.endpoint, reason);
        // Attempts were made, and the row says how many; this is not one of them.
        record.attempt_no = attempts;
        self.store(record).await;
    }

    /// Stores that this program failed on an answer: the sample ends, its neighbours go on.
    pub(crate) async fn fault(&self, turn: &Turn, target: &Target) {
        let mut record = self.failed(turn, target, Outcome::Undecodable);
        record.final_outcome = Some(Outcome::GaveUp);
        record.reason = Some("the worker failed on this answer".to_owned());
        self.store(record).await;
    }

    fn failed(&self, turn: &Turn, target: &Target, outcome: Outcome) -> Box<AttemptRecord> {
        let asked = Arc::new(not_sent(&target.endpoint, &turn.sample));
        self.record(turn, outcome, asked)
    }

    fn record(&self, turn: &Turn, outcome: Outcome, asked: Arc<Asked>) -> Box<AttemptRecord> {
        let mut record = self.maker.record(&turn.sample, outcome, asked);
        record.attempt_no = turn.attempt_no;
        record.delivery_count = turn.delivery_count;
        record
    }

    /// Returns once a record is safe. Full disks and failing stores are waited out.
    async fn store(&self, record: Box<AttemptRecord>) {
        let spare = (weight(&record) > LARGE_BYTES).then(|| Box::new(stripped(&record)));
        let stored = match (self.writer.append(record).await, spare) {
            (Err(SpoolError::TooLarge { .. }), Some(spare)) => self.writer.append(spare).await,
            (other, _) => other,
        };
        if let Err(error) = stored {
            // The writer is gone: going on would throw paid replies away.
            tracing::error!(error = %error, "a record could not be stored");
            self.broken.send_replace(Some(error.to_string()));
        }
    }

    fn prepare(&self, target: &Target, turn: &Turn) -> Result<(HttpRequest, Arc<Asked>), String> {
        let (endpoint, sample) = (&target.endpoint, &turn.sample);
        let header = endpoint.sample_id_header.as_ref();
        let put = Put {
            input: &sample.input,
            system: sample.system.as_deref(),
            params: &sample.params,
            sample_id: header.map(|_| sample.sample_id.to_string()),
        };
        let (request, protocol, request_params) = request(target, &put)?;
        let asked = self.asked.of(endpoint, sample, (protocol, request_params));
        Ok((request, asked))
    }

    async fn ask(
        &self,
        target: &Target,
        turn: &Turn,
        request: HttpRequest,
        asked: Arc<Asked>,
    ) -> (Box<AttemptRecord>, Settlement) {
        let due_at = before(self.maker.clock.now(), turn.due.elapsed());
        let endpoint = &target.endpoint;
        let keeps = turn.sample.store.exchanges;
        let reading = keeps.then(|| Reading::of(&asked, &endpoint.options));
        let mut sink = DecoderSink {
            protocol: asked.wire_protocol,
            endpoint,
            streamed: asked.streamed,
            decoder: None,
        };
        let exchange = self.client.exchange(&request, &mut sink).await;
        let decoded = decoded(&exchange.end, sink.decoder);
        let settlement = settlement(&decoded, endpoint);
        let digests = Digests::of(&exchange, &request);
        let http = http_facts(&exchange, &digests, decoded.provider_request_id);
        let timing = timing(&exchange, turn, due_at, decoded.ttft);
        let mut record = self.record(turn, decoded.outcome, asked);
        record.reason = failure(&exchange.end);
        record.stream_end = exchange.head.as_ref().and(decoded.stream_end);
        record.late_fault = decoded.late_fault;
        record.error = decoded.error;
        record.retry_after_ms = decoded
            .limits
            .retry_after
            .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        record.cost_usd = settlement.cost_usd;
        record.price_as_of = settlement
            .cost_usd
            .and(endpoint.price.as_ref())
            .map(|price| price.as_of.clone());
        record.reply = kept(decoded.reply, &turn.sample);
        record.http = http;
        record.timing = timing;
        let sent = secrets(target.secret.as_deref(), &exchange);
        let is_echoed = exchange.secret_echoed || holds(&record, &sent);
        let echoed: Vec<Secret> = sent.into_iter().filter(|_| is_echoed).cloned().collect();
        if let Some(reading) = reading {
            let kept = Kept {
                request,
                exchange,
                reading,
                digests,
                is_echoed,
            };
            record = kept.put_into(record, &self.archiver).await;
        }
        if is_echoed {
            scrub(&mut record, &echoed.iter().collect::<Vec<_>>());
        }
        (record, settlement)
    }
}

/// Replies from this size on may be too large for the spool.
const LARGE_BYTES: usize = 8 << 20;

fn weight(record: &AttemptRecord) -> usize {
    let reply = &record.reply;
    let texts = [
        &reply.text,
        &reply.reasoning_text,
        &reply.refusal_text,
        &reply.tool_calls,
        &reply.usage_raw,
    ];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    // A token with its alternatives is some tens of bytes each.
    let exchange = record.exchange.as_ref().and_then(KeptExchange::records);
    texts
        + exchange.map_or(0, Bytes::len)
        + reply
            .tokens
            .iter()
            .map(|token| 64 * (1 + token.top.len()))
            .sum::<usize>()
}

/// Why a reply is not in its row although its exchange may be kept.
pub(crate) const TOO_LARGE: &str = "the reply is too large to be stored";

/// Returns what is kept of a record that is too large to be stored.
fn stripped(record: &AttemptRecord) -> AttemptRecord {
    AttemptRecord {
        outcome: Outcome::Undecodable,
        final_outcome: record.final_outcome.map(|_| Outcome::GaveUp),
        reason: Some(TOO_LARGE.to_owned()),
        reply: Reply::default(),
        error: None,
        timing: Timing {
            itl_ms: Vec::new(),
            ..record.timing.clone()
        },
        exchange: record.exchange.clone().filter(is_small),
        ..record.clone()
    }
}

/// Most bytes of an exchange that is kept of a record too large to be stored: the bodies of both
/// sides are capped well below, and a spool frame takes twice as many.
const EXCHANGE_MAX_BYTES: usize = 128 << 20;

fn is_small(exchange: &KeptExchange) -> bool {
    let records = exchange.records();
    records.is_none_or(|records| records.len() <= EXCHANGE_MAX_BYTES)
}

/// What was asked last of each model: attempt after attempt it is the same, and rows that share it
/// need not copy it.
#[derive(Debug, Default)]
pub(crate) struct LastAsked(Mutex<BTreeMap<ModelName, Arc<Asked>>>);

impl LastAsked {
    /// Returns who is asked with `request_params` for `sample`.
    fn of(
        &self,
        endpoint: &Endpoint,
        sample: &Sample,
        (protocol, request_params): (WireProtocol, String),
    ) -> Arc<Asked> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = last.get(&sample.model).filter(|asked| {
            asked.request_params == request_params
                && asked.wire_protocol == protocol
                && asked.streamed == sample.params.streamed()
        });
        if let Some(same) = same {
            return Arc::clone(same);
        }
        let asked = Arc::new(asked(endpoint, sample, protocol, request_params));
        last.insert(sample.model.clone(), Arc::clone(&asked));
        asked
    }
}

fn settlement(decoded: &Decoded, endpoint: &Endpoint) -> Settlement {
    let usage = decoded.reply.usage;
    let mut output = usage.output_tokens.map(u64::from);
    let habit = endpoint.wire.excludes_reasoning();
    if endpoint.options.reasoning_excluded.unwrap_or(habit) {
        output = output.map(|tokens| tokens + u64::from(usage.reasoning_tokens.unwrap_or(0)));
    }
    let cost_usd = endpoint.price.as_ref().and_then(|price| {
        let input = u64::from(usage.input_tokens?);
        Some(price.cost_usd(input, output.unwrap_or(0)))
    });
    Settlement {
        outcome: decoded.outcome,
        limits: decoded.limits.clone(),
        input_tokens: usage.input_tokens.map(u64::from),
        output_tokens: output,
        cost_usd,
    }
}

fn kept(mut reply: Reply, sample: &Sample) -> Reply {
    if !sample.store.logprobs {
        reply.tokens.clear();
    }
    reply
}

/// SHA-256 of what was sent and of what was received, taken once for the row and the records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digests {
    pub(super) request: Option<Digest>,
    pub(super) answer: Option<Digest>,
}

impl Digests {
    fn of(exchange: &Exchange, request: &HttpRequest) -> Self {
        // Without headers nothing was sent.
        let is_sent = !exchange.request_headers.is_empty();
        let head = exchange.head.as_ref();
        Self {
            request: is_sent.then(|| Digest::of(&request.body)),
            answer: head.map(|_| Digest::of(&exchange.body)),
        }
    }
}

fn http_facts(
    exchange: &Exchange,
    digests: &Digests,
    provider_request_id: Option<String>,
) -> HttpFacts {
    let head = exchange.head.as_ref();
    HttpFacts {
        status: head.map(|head| head.status),
        version: head.map(|head| head.version.into()),
        headers: head
            .map(|head| retort_wire::kept_headers(&head.headers))
            .unwrap_or_default(),
        provider_request_id,
        request_sha256: digests.request.map(|digest| digest.to_string()),
        response_sha256: digests.answer.map(|digest| digest.to_string()),
        response_bytes: head.map(|_| exchange.body.len() as u64),
    }
}

fn timing(exchange: &Exchange, turn: &Turn, due_at: Timestamp, ttft: Option<Duration>) -> Timing {
    let head = exchange.head.as_ref();
    let itl_ms = if turn.sample.store.stream_timings {
        exchange
            .chunks
            .windows(2)
            .map(|pair| gap_ms(pair[0].since_sent, pair[1].since_sent))
            .collect()
    } else {
        Vec::new()
    };
    Timing {
        due_at: Some(due_at),
        sent_at: Some(exchange.sent_at),
        first_byte_at: head.map(|head| exchange.sent_at.after(head.since_sent)),
        finished_at: exchange.finished_at,
        client_queue_ms: Some(millis(exchange.sent_at.since(due_at))),
        ttfb_ms: head.map(|head| millis(head.since_sent)),
        ttft_ms: ttft.map(millis),
        latency_ms: Some(millis(exchange.elapsed)),
        client_lag_ms: head.map(|_| millis(exchange.lag)),
        chunk_count: head.map(|_| exchange.chunk_count),
        itl_ms,
    }
}

fn gap_ms(earlier: Duration, later: Duration) -> f32 {
    later.saturating_sub(earlier).as_secs_f32() * 1_000.0
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn before(at: Timestamp, duration: Duration) -> Timestamp {
    Timestamp::from_micros(
        at.as_micros()
            .saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)),
    )
}

#[cfg(test)]
mod tests {
    use retort_plan::{Plan, parse_campaign, parse_catalog};

    use super::*;

    #[derive(Debug)]
    struct Always;

    impl retort_broker::Live for Always {
        fn is_live(&self) -> bool {
            true
        }
    }

    fn turn(attempt_no: u32, counted: u32) -> Turn {
        let catalog = "providers: { p: { wire: openai-chat, base_url: \"http://127.0.0.1:1\" } }\n\
                       accounts: { p: { provider: p } }\nmodels: { m: { account: p, model: m } }";
        let campaign =
            "id: t\npurpose: p\nmodels: [m]\nsuites: [{ inline: { name: s, prompts: [one] } }]";
        let campaign = parse_campaign(campaign, "test").unwrap();
        let plan = Plan::build(campaign, &parse_catalog(catalog, "test").unwrap()).unwrap();
        let sample = Arc::new(plan.sample(0).unwrap());
        Turn {
            sample,
            attempt_no,
            counted,
            delivery_count: 0,
            due: Instant::now(),
            fence: Fence::new(Arc::new(Always)),
        }
    }

    #[test]
    fn only_failures_use_up_the_allowance() {
        let allowance = Allowance {
            attempts: 3,
            turned_away: 10,
        };
        let check = |outcome, attempt_no, counted, expected| {
            assert_eq!(
                conclude(outcome, &turn(attempt_no, counted), allowance),
                expected,
                "{outcome}"
            );
        };
        check(Outcome::Answered, 1, 0, Some(Outcome::Answered));
        check(Outcome::Unauthorized, 1, 0, Some(Outcome::Unauthorized));
        check(Outcome::Timeout, 2, 1, None);
        check(Outcome::Timeout, 3, 2, Some(Outcome::GaveUp));
        // Turned away eight times, failed never.
        check(Outcome::RateLimited, 9, 0, None);
        check(Outcome::Timeout, 9, 0, None);
        check(Outcome::RateLimited, 10, 0, Some(Outcome::GaveUp));
    }

    #[test]
    fn every_outcome_of_an_attempt_is_concluded() {
        let allowance = Allowance {
            attempts: 1,
            turned_away: 1,
        };
        for outcome in Outcome::ALL {
            let ended = conclude(*outcome, &turn(1, 0), allowance);
            assert!(
                ended.is_some_and(Outcome::is_terminal),
                "{outcome} goes on for ever"
            );
        }
    }
}
