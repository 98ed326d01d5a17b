//! One attempt: encode, exchange, decode, store. The slot is held until the record is fsynced.

use std::sync::Arc;
use std::time::Duration;

use retort_client::{
    BodySink, Ending, Exchange, Flow, Head, HttpClient, HttpRequest, SecretHeader, redact,
};
use retort_dataset::Writer;
use retort_pace::Settlement;
use retort_types::record::{Asked, AttemptRecord, HttpFacts, Timing};
use retort_types::{
    Digest, Disposition, Endpoint, Message, Outcome, Params, PromptInput, Reply, Sample, Timestamp,
    WireProtocol,
};
use retort_wire::{AnswerHead, Ask, BodyEnd, Decoded, Decoder};
use tokio::time::Instant;

use super::scrub::scrub;
use crate::record::{RecordMaker, asked, not_sent};

/// A model that can be asked: its catalog rows and its secret.
#[derive(Debug, Clone)]
pub struct Target {
    /// The catalog's rows, resolved.
    pub endpoint: Endpoint,
    /// What authorises requests, if anything.
    pub secret: Option<Arc<SecretHeader>>,
}

/// What every attempt of a worker needs.
#[derive(Debug, Clone)]
pub(crate) struct Attempter {
    pub(crate) client: HttpClient,
    pub(crate) writer: Writer,
    pub(crate) maker: RecordMaker,
    pub(crate) allowance: Allowance,
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
    /// Makes one attempt and returns once its record is fsynced.
    pub(crate) async fn attempt(&self, target: &Target, turn: &Turn) -> Ended {
        let (mut record, mut settlement) = match prepare(target, turn) {
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
        self.store(record).await;
        ended
    }

    /// Stores that a sample ended without being asked.
    pub(crate) async fn not_asked(&self, sample: &Sample, target: &Target, reason: String) {
        self.store(self.maker.not_asked(sample, &target.endpoint, reason))
            .await;
    }

    /// Stores that this program failed on an answer: the sample ends, its neighbours go on.
    pub(crate) async fn fault(&self, turn: &Turn, target: &Target) {
        let mut record = self.failed(turn, target, Outcome::Undecodable);
        record.final_outcome = Some(Outcome::GaveUp);
        record.reason = Some("the worker failed on this answer".to_owned());
        self.store(record).await;
    }

    fn failed(&self, turn: &Turn, target: &Target, outcome: Outcome) -> AttemptRecord {
        let asked = not_sent(&target.endpoint, &turn.sample);
        let record = self.maker.record(&turn.sample, outcome, asked);
        AttemptRecord {
            attempt_no: turn.attempt_no,
            delivery_count: turn.delivery_count,
            ..record
        }
    }

    async fn store(&self, record: AttemptRecord) {
        if let Err(error) = self.writer.append(Box::new(record)).await {
            // Appending waits out full disks; it fails only when the writer itself is gone.
            tracing::error!(error = %error, "a record could not be stored");
        }
    }

    async fn ask(
        &self,
        target: &Target,
        turn: &Turn,
        request: HttpRequest,
        asked: Asked,
    ) -> (AttemptRecord, Settlement) {
        let due_at = before(self.maker.clock.now(), turn.due.elapsed());
        let endpoint = &target.endpoint;
        let mut sink = DecoderSink {
            protocol: asked.wire_protocol,
            endpoint,
            streamed: asked.streamed,
            decoder: None,
        };
        let exchange = self.client.exchange(&request, &mut sink).await;
        let decoded = decoded(&exchange, sink.decoder);
        let settlement = settlement(&decoded, endpoint);
        let http = http_facts(&exchange, &request, decoded.provider_request_id);
        let timing = timing(&exchange, turn, due_at, decoded.ttft);
        let record = self.maker.record(&turn.sample, decoded.outcome, asked);
        let mut record = AttemptRecord {
            attempt_no: turn.attempt_no,
            delivery_count: turn.delivery_count,
            reason: failure(&exchange.end),
            stream_end: exchange.head.as_ref().and(decoded.stream_end),
            late_fault: decoded.late_fault,
            error: decoded.error,
            retry_after_ms: decoded
                .limits
                .retry_after
                .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            cost_usd: settlement.cost_usd,
            price_as_of: settlement
                .cost_usd
                .and(endpoint.price.as_ref())
                .map(|price| price.as_of.clone()),
            reply: kept(decoded.reply, &turn.sample),
            http,
            timing,
            ..record
        };
        if exchange.secret_echoed
            && let Some(secret) = &target.secret
        {
            scrub(&mut record, secret);
        }
        (record, settlement)
    }
}

/// What is put to a model.
struct Put<'a> {
    input: &'a PromptInput,
    system: Option<&'a str>,
    params: &'a Params,
    sample_id: Option<String>,
}

fn prepare(target: &Target, turn: &Turn) -> Result<(HttpRequest, Asked), String> {
    let sample = &turn.sample;
    let sample_id = target
        .endpoint
        .sample_id_header
        .as_ref()
        .map(|_| sample.sample_id.to_string());
    let put = Put {
        input: &sample.input,
        system: sample.system.as_deref(),
        params: &sample.params,
        sample_id,
    };
    let (request, protocol, request_params) = request(target, &put)?;
    Ok((
        request,
        asked(&target.endpoint, sample, protocol, request_params),
    ))
}

/// Returns the request, the protocol it speaks and its parameters as JSON.
fn request(target: &Target, put: &Put<'_>) -> Result<(HttpRequest, WireProtocol, String), String> {
    let endpoint = &target.endpoint;
    let mode = put.input.mode();
    let unaskable = || {
        format!(
            "{} cannot ask a prompt of mode {}",
            endpoint.wire,
            mode.as_str()
        )
    };
    let protocol = endpoint.wire.for_mode(mode).ok_or_else(unaskable)?;
    let url = endpoint.url(mode).ok_or_else(unaskable)?;
    let encoded = retort_wire::encode(&Ask {
        protocol,
        request_model: &endpoint.request_model,
        input: put.input,
        system: put.system,
        params: put.params,
        options: &endpoint.options,
    })
    .map_err(|error| error.to_string())?;
    let mut headers = encoded.headers;
    headers.extend(
        endpoint
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    if let (Some(name), Some(id)) = (&endpoint.sample_id_header, &put.sample_id) {
        headers.push((name.clone(), id.clone()));
    }
    let request = HttpRequest {
        url,
        headers,
        secret: target.secret.clone(),
        body: encoded.body,
    };
    Ok((request, protocol, encoded.request_params))
}

/// Feeds a body to its decoder as it arrives.
struct DecoderSink<'a> {
    protocol: WireProtocol,
    endpoint: &'a Endpoint,
    streamed: bool,
    decoder: Option<Decoder>,
}

impl BodySink for DecoderSink<'_> {
    fn head(&mut self, head: &Head) {
        let answer = AnswerHead {
            status: head.status,
            headers: &head.headers,
            received_at: head.received_at,
        };
        self.decoder = Some(Decoder::new(
            self.protocol,
            &self.endpoint.options,
            self.streamed,
            &answer,
        ));
    }

    fn chunk(&mut self, expanded: &[u8], since_sent: Duration) -> Flow {
        match &mut self.decoder {
            Some(decoder) => {
                decoder.push(expanded, since_sent);
                if decoder.is_done() {
                    Flow::Done
                } else {
                    Flow::Continue
                }
            }
            None => Flow::Continue,
        }
    }
}

fn decoded(exchange: &Exchange, decoder: Option<Decoder>) -> Decoded {
    let Some(decoder) = decoder else {
        return Decoded {
            outcome: without_answer(&exchange.end),
            ..Decoded::default()
        };
    };
    let cause = failure(&exchange.end).unwrap_or_default();
    match &exchange.end {
        Ending::Complete | Ending::StoppedAfterEnd => decoder.finish(BodyEnd::Complete),
        Ending::TooLarge(_) => decoder.finish(BodyEnd::TooLarge),
        Ending::TimedOut(_) => {
            let mut decoded = decoder.finish(BodyEnd::Broken(cause));
            if decoded.outcome == Outcome::Cut {
                decoded.outcome = Outcome::Timeout;
            }
            decoded
        }
        Ending::BadEncoding(_) => {
            let mut decoded = decoder.finish(BodyEnd::Broken(cause));
            if decoded.outcome == Outcome::Cut {
                decoded.outcome = Outcome::Undecodable;
            }
            decoded
        }
        Ending::ConnectFailed(_) | Ending::Broken(_) | Ending::Refused(_) => {
            decoder.finish(BodyEnd::Broken(cause))
        }
    }
}

/// Returns how an attempt ended to which no answer began.
fn without_answer(end: &Ending) -> Outcome {
    match end {
        Ending::ConnectFailed(_) => Outcome::ConnectFailed,
        Ending::TimedOut(_) => Outcome::Timeout,
        Ending::Refused(_) => Outcome::InvalidRequest,
        Ending::TooLarge(_) | Ending::BadEncoding(_) => Outcome::Undecodable,
        Ending::Broken(_) | Ending::Complete | Ending::StoppedAfterEnd => Outcome::Cut,
    }
}

/// Returns what failed in the transport, in our words.
fn failure(end: &Ending) -> Option<String> {
    match end {
        Ending::Complete | Ending::StoppedAfterEnd => None,
        Ending::ConnectFailed(_)
        | Ending::TimedOut(_)
        | Ending::Broken(_)
        | Ending::TooLarge(_)
        | Ending::BadEncoding(_)
        | Ending::Refused(_) => Some(end.to_string()),
    }
}

fn settlement(decoded: &Decoded, endpoint: &Endpoint) -> Settlement {
    let usage = decoded.reply.usage;
    let mut output = usage.output_tokens.map(u64::from);
    if endpoint.options.reasoning_excluded == Some(true) {
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

fn http_facts(
    exchange: &Exchange,
    request: &HttpRequest,
    provider_request_id: Option<String>,
) -> HttpFacts {
    let head = exchange.head.as_ref();
    HttpFacts {
        status: head.map(|head| head.status),
        version: head.map(|head| head.version.to_owned()),
        headers: head
            .map(|head| retort_wire::kept_headers(&head.headers))
            .unwrap_or_default(),
        provider_request_id,
        request_sha256: Some(Digest::of(&request.body).to_string()),
        response_sha256: head.map(|_| Digest::of(&exchange.body).to_string()),
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

/// What came of asking a model once, outside any campaign.
#[derive(Debug)]
pub struct Tried {
    /// How it ended.
    pub outcome: Outcome,
    /// The status, if an answer began.
    pub status: Option<u16>,
    /// From sent to the last byte.
    pub elapsed: Duration,
    /// The provider's error code and message, or what failed in the transport.
    pub detail: Option<String>,
}

/// Asks a model one short question once and stores nothing: for checking keys and addresses.
///
/// # Errors
/// When the question cannot be put to this model.
pub async fn try_once(
    client: &HttpClient,
    target: &Target,
    question: &str,
    params: &Params,
) -> Result<Tried, String> {
    let endpoint = &target.endpoint;
    let message = Message {
        role: "user".to_owned(),
        content: question.to_owned(),
    };
    let chat = PromptInput::Messages(vec![message]);
    let input = match endpoint.wire.for_mode(chat.mode()) {
        Some(_) => chat,
        None => PromptInput::Text(question.to_owned()),
    };
    let (request, protocol, _) = request(
        target,
        &Put {
            input: &input,
            system: None,
            params,
            sample_id: None,
        },
    )?;
    let mut sink = DecoderSink {
        protocol,
        endpoint,
        streamed: params.streamed(),
        decoder: None,
    };
    let exchange = client.exchange(&request, &mut sink).await;
    let decoded = decoded(&exchange, sink.decoder);
    let told = decoded.error.map(|error| {
        let parts: Vec<String> = [error.code.or(error.kind), error.message]
            .into_iter()
            .flatten()
            .collect();
        let text = parts.join(": ");
        target
            .secret
            .as_ref()
            .map_or(text.clone(), |secret| redact(&text, &[secret.secret()]))
    });
    Ok(Tried {
        outcome: decoded.outcome,
        status: exchange.head.as_ref().map(|head| head.status),
        elapsed: exchange.elapsed,
        detail: told
            .filter(|text| !text.is_empty())
            .or_else(|| failure(&exchange.end)),
    })
}
