//! Makes attempt records: who, when and how, without the reply itself.

use std::sync::Arc;

use rand::TryRng as _;
use rand::rngs::SysRng;
use retort_types::digest::canonical_json;
use retort_types::record::{Asked, AttemptRecord, HttpFacts, Timing};
use retort_types::{Endpoint, Outcome, Reply, Sample, WallClock, WireProtocol};
use uuid::Uuid;

/// The software named in every row.
pub const SOFTWARE: &str = concat!("retort/", env!("CARGO_PKG_VERSION"));

/// Makes records in the name of one worker.
#[derive(Debug, Clone)]
pub(crate) struct RecordMaker {
    pub(crate) clock: Arc<dyn WallClock>,
    pub(crate) worker_id: String,
}

impl RecordMaker {
    /// Returns a record of an attempt that ended now with `outcome`, with nothing decoded.
    pub(crate) fn record(&self, sample: &Sample, outcome: Outcome, asked: Asked) -> AttemptRecord {
        AttemptRecord {
            sample: sample.clone(),
            attempt_id: fresh_id(&*self.clock).to_string(),
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
            worker_id: self.worker_id.clone(),
            delivery_count: 0,
            software_version: SOFTWARE.to_owned(),
            exchange: None,
        }
    }

    /// Returns the record of a sample that ended without being asked.
    pub(crate) fn not_asked(
        &self,
        sample: &Sample,
        endpoint: &Endpoint,
        reason: String,
    ) -> AttemptRecord {
        let mut record = self.record(sample, Outcome::NotAsked, not_sent(endpoint, sample));
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
    let millis = u64::try_from(clock.now().as_micros() / 1_000).unwrap_or(0);
    let random = clock.chance().unwrap_or_else(|| {
        let mut random = [0_u8; 10];
        SysRng
            .try_fill_bytes(&mut random)
            .expect("every system Rust runs on has a source of random bytes");
        random
    });
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}
