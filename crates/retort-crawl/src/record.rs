//! Makes attempt records: who, when and how, without the reply itself.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use rand::TryRng as _;
use rand::rngs::SysRng;
use retort_types::digest::canonical_json;
use retort_types::record::{Asked, AttemptRecord, HttpFacts, Timing};
use retort_types::{Endpoint, Outcome, Reply, Sample, WallClock, WireProtocol};
use uuid::Uuid;

/// The software named in every row.
pub const SOFTWARE: &str = concat!("retort/", env!("CARGO_PKG_VERSION"));

/// Random bytes for the names of attempts. They come from the system many at a time: each time is a
/// call of the kernel.
#[derive(Debug, Default)]
pub(crate) struct Entropy(Mutex<Vec<[u8; RANDOM_BYTES]>>);

/// Random bytes of a name.
const RANDOM_BYTES: usize = 10;

/// Names that random bytes are fetched for at once.
const NAMES_AT_ONCE: usize = 256;

impl Entropy {
    fn next(&self) -> [u8; RANDOM_BYTES] {
        let mut ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ready.pop().unwrap_or_else(|| {
            let mut bytes = [0; RANDOM_BYTES * NAMES_AT_ONCE];
            fill(&mut bytes);
            let (names, _) = bytes.as_chunks();
            ready.extend_from_slice(names);
            ready.pop().unwrap_or_default()
        })
    }
}

fn fill(bytes: &mut [u8]) {
    SysRng
        .try_fill_bytes(bytes)
        .expect("every system Rust runs on has a source of random bytes");
}

/// Makes records in the name of one worker.
#[derive(Debug, Clone)]
pub(crate) struct RecordMaker {
    pub(crate) clock: Arc<dyn WallClock>,
    pub(crate) worker_id: Arc<str>,
    pub(crate) entropy: Arc<Entropy>,
}

impl RecordMaker {
    /// Returns a record of an attempt that ended now with `outcome`, with nothing decoded.
    pub(crate) fn record(
        &self,
        sample: &Arc<Sample>,
        outcome: Outcome,
        asked: Arc<Asked>,
    ) -> Box<AttemptRecord> {
        Box::new(AttemptRecord {
            sample: Arc::clone(sample),
            attempt_id: named(&*self.clock, self.entropy.next()).to_string(),
            attempt_no: 0,
            outcome,
            final_outcome: None,
            reason: None,
            asked,
            timing: Timing {
                finished_at: self.clock.now(),
                ..Timing::default()
            },
            http: HttpFacts::default(),
            reply: Reply::default(),
            stream_end: None,
            late_fault: None,
            error: None,
            retry_after_ms: None,
            cost_usd: None,
            price_as_of: None,
            worker_id: Arc::clone(&self.worker_id),
            delivery_count: 0,
            software_version: Cow::Borrowed(SOFTWARE),
            exchange: None,
        })
    }

    /// Returns the record of a sample that ended without being asked.
    pub(crate) fn not_asked(
        &self,
        sample: &Arc<Sample>,
        endpoint: &Endpoint,
        reason: String,
    ) -> Box<AttemptRecord> {
        let asked = Arc::new(not_sent(endpoint, sample));
        let mut record = self.record(sample, Outcome::NotAsked, asked);
        record.final_outcome = Some(Outcome::NotAsked);
        record.reason = Some(reason);
        record
    }
}

/// Returns who was asked with what; `request_params` as the wire protocol encoded them.
pub(crate) fn asked(
    endpoint: &Endpoint,
    sample: &Sample,
    protocol: WireProtocol,
    request_params: String,
) -> Asked {
    Asked {
        provider: endpoint.provider.clone(),
        account: endpoint.account.clone(),
        request_model: endpoint.request_model.clone(),
        endpoint_host: endpoint.host().to_owned(),
        wire_protocol: protocol,
        streamed: sample.params.streamed(),
        request_params,
    }
}

/// Returns who would have been asked, for a request that was not sent.
pub(crate) fn not_sent(endpoint: &Endpoint, sample: &Sample) -> Asked {
    let protocol = endpoint
        .wire
        .for_mode(sample.input.mode())
        .unwrap_or(endpoint.wire);
    let params = canonical_json(&sample.params).unwrap_or_default();
    asked(endpoint, sample, protocol, params)
}

/// Returns a fresh name for something that is written once, in order of time.
pub(crate) fn fresh_id(clock: &dyn WallClock) -> Uuid {
    let mut random = [0; RANDOM_BYTES];
    fill(&mut random);
    named(clock, random)
}

fn named(clock: &dyn WallClock, random: [u8; RANDOM_BYTES]) -> Uuid {
    let random = clock.chance().unwrap_or(random);
    let millis = u64::try_from(clock.now().as_micros() / 1_000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}
