//! What the store tells of earlier runs: which samples are done and what was spent on them.

use retort_dataset::{Ledger, LedgerRow, rebuild};
use retort_types::Timestamp;

use super::CoordinatorParts;
use crate::CrawlError;
use crate::message::Tally;

/// What the store tells of earlier runs.
pub(super) struct Earlier {
    pub(super) ledger: Ledger,
    pub(super) tallies: Vec<Tally>,
    /// When the first reply was finished.
    pub(super) began: Option<Timestamp>,
}

/// Reads from the store which samples are done and what was spent on them.
pub(super) async fn earlier(parts: &CoordinatorParts) -> Result<Earlier, CrawlError> {
    let plan = &parts.plan;
    let mut tallies = vec![Tally::default(); plan.model_count()];
    let mut began: Option<Timestamp> = None;
    let (mut block, mut order) = (None, Vec::new());
    let models = (plan.model_count() as u64).max(1);
    let mut count = |row: &LedgerRow| {
        // Rows come in the order of the plan, so the order of a block is looked up once.
        if block != Some(plan.block_of(row.index)) {
            block = Some(plan.block_of(row.index));
            order = plan.models_of_block(plan.block_of(row.index));
        }
        let place = usize::try_from(row.index % models).unwrap_or(usize::MAX);
        let Some(tally) = order.get(place).and_then(|model| tallies.get_mut(*model)) else {
            return;
        };
        tally.requests += u64::from(row.attempts);
        tally.retries += u64::from(row.attempts).saturating_sub(1);
        tally.input_tokens += u64::from(row.input_tokens.unwrap_or(0));
        tally.output_tokens += u64::from(row.output_tokens.unwrap_or(0));
        tally.cost_usd += row.cost_usd.unwrap_or(0.0);
        *tally.outcomes.entry(row.outcome).or_default() += 1;
        if row.attempts > 0 {
            began = Some(began.map_or(row.finished_at, |began| began.min(row.finished_at)));
        }
    };
    let campaign = &plan.campaign().id;
    let mut ledger = rebuild(&parts.store, campaign, plan.hash(), plan.len(), &mut count).await?;
    if parts.retry_missing {
        let again = ledger.forget_missing();
        tracing::info!(
            samples = again,
            "samples without a measurement are asked again"
        );
        for tally in &mut tallies {
            tally.outcomes.retain(|outcome, _| !outcome.is_missing());
        }
    }
    Ok(Earlier {
        ledger,
        tallies,
        began,
    })
}
