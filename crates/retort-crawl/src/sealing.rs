//! Seals a campaign by its plan.

use retort_dataset::seal::{self, Origin, SealInput, Sealed};
use retort_dataset::{SealError, Store};
use retort_plan::Plan;
use retort_types::digest::canonical_json;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::verify::model_rows;

/// Makes a snapshot of a campaign that has a final row for every planned sample.
///
/// # Errors
/// When some have none yet, or the store fails.
pub async fn seal(store: &Store, plan: &Plan) -> Result<Sealed, SealError> {
    let document = plan.document();
    let text = canonical_json(document).expect("what was read from text always serializes");
    let input = SealInput {
        campaign: plan.campaign().clone(),
        plan_hash: plan.hash(),
        plan_document: text.into_bytes(),
        total: plan.len(),
        prompts: document.prompts.clone(),
        models: model_rows(plan),
        origin: Origin::Crawl,
    };
    let span = tracing::debug_span!(
        "seal",
        otel.status_code = Empty,
        retort.campaign.id = %input.campaign.id,
        retort.samples = input.total,
        retort.snapshot = Empty,
    );
    let sealed = seal::seal(store, &input, &|_| {}).instrument(span.clone());
    let sealed = sealed.await;
    match &sealed {
        Ok(sealed) => span.record("retort.snapshot", &sealed.path),
        Err(_) => span.record("otel.status_code", "ERROR"),
    };
    sealed
}
