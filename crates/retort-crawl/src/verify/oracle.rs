//! What rows should say, by the plan and the decoders.

use std::sync::Arc;

use retort_dataset::ModelRow;
use retort_dataset::audit::{Comparable, Oracle};
use retort_dataset::exchange::Stored;
use retort_dataset::writer::make_finite;
use retort_plan::Plan;
use retort_types::record::{Asked, AttemptRecord, HttpFacts, Timing};
use retort_types::{Digest, Outcome, Prompt, Reply};

use crate::decoding;
use crate::worker::attempt::TOO_LARGE;

/// Where the body of an answer was replaced or withheld, in the words of the records.
const WITHHELD: &str = "response body, withheld";
const REDACTED_BODY: &str = "response body";

/// A plan as what rows are compared with.
#[derive(Debug)]
pub(super) struct PlanOracle {
    plan: Plan,
}

impl PlanOracle {
    pub(super) const fn new(plan: Plan) -> Self {
        Self { plan }
    }
}

impl Oracle for PlanOracle {
    fn total(&self) -> u64 {
        self.plan.len()
    }

    fn planned(&self, index: u64) -> Option<AttemptRecord> {
        let sample = self.plan.sample(index)?;
        let model = self.plan.model_number(&sample.model)?;
        let model = self.plan.document().models.get(model)?;
        let mode = sample.input.mode();
        let asked = Asked {
            provider: model.provider.clone(),
            account: model.account.clone(),
            request_model: model.request_model.clone(),
            endpoint_host: model.host.clone(),
            wire_protocol: model.wire.for_mode(mode).unwrap_or(model.wire),
            streamed: sample.params.streamed(),
            request_params: String::new(),
        };
        Some(AttemptRecord {
            sample: Arc::new(sample),
            attempt_id: String::new(),
            attempt_no: 0,
            outcome: Outcome::NotAsked,
            final_outcome: None,
            reason: None,
            asked: Arc::new(asked),
            timing: Timing::default(),
            http: HttpFacts::default(),
            reply: Reply::default(),
            stream_end: None,
            late_fault: None,
            error: None,
            retry_after_ms: None,
            cost_usd: None,
            price_as_of: None,
            worker_id: "".into(),
            delivery_count: 0,
            software_version: "".into(),
            exchange: None,
        })
    }

    fn decode(&self, stored: &Stored, record: &mut AttemptRecord) -> Result<Comparable, String> {
        if stored.redacted.iter().any(|place| place == WITHHELD) {
            return Ok(Comparable::Not(
                "exchanges whose body was withheld for a secret",
            ));
        }
        if record.reason.as_deref() == Some(TOO_LARGE) {
            return Ok(Comparable::Not("replies too large for a row"));
        }
        if stored.ending.starts_with("too large:") {
            return Ok(Comparable::Not("answers that exceeded a cap"));
        }
        let decoded = decoding::again(stored)?;
        let answer = stored.answer.as_ref();
        record.outcome = decoded.outcome;
        record.stream_end = answer.and(decoded.stream_end);
        record.retry_after_ms = decoded
            .limits
            .retry_after
            .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        record.error = decoded.error;
        record.reply = decoded.reply;
        if !record.sample.store.logprobs {
            record.reply.tokens.clear();
        }
        record.http = HttpFacts {
            status: answer.map(|answer| answer.status),
            version: None,
            headers: answer
                .map(|answer| retort_wire::kept_headers(&decoding::headers(answer)))
                .unwrap_or_default(),
            provider_request_id: decoded.provider_request_id,
            request_sha256: stored
                .request
                .as_ref()
                .map(|request| Digest::of(&request.body).to_string()),
            response_sha256: answer.map(|answer| Digest::of(&answer.body).to_string()),
            response_bytes: answer.map(|answer| answer.body.len() as u64),
        };
        make_finite(record);
        if stored.redacted.iter().any(|place| place == REDACTED_BODY) {
            record.reply.tokens.clear();
            return Ok(Comparable::WithoutTokens);
        }
        Ok(Comparable::Whole)
    }

    fn prompts(&self) -> &[Prompt] {
        &self.plan.document().prompts
    }

    fn models(&self) -> Vec<ModelRow> {
        super::model_rows(&self.plan)
    }
}
