//! `retort plan`: what a campaign would do, without asking anyone.

use std::collections::BTreeMap;

use retort_plan::{Estimate, Plan};
use retort_types::Catalog;
use serde::Serialize;

use super::Context;
use super::detect::note_registered;
use crate::cli::PlanArgs;
use crate::failure::Failure;
use crate::files::{self, Loaded};
use crate::output::{self, Table, count, dollars, line, note, seconds};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Figures<'a> {
    campaign: &'a str,
    plan_hash: String,
    samples: u64,
    blocks: u32,
    rounds: u32,
    estimate: &'a Estimate,
}

/// Shows a plan.
pub(crate) fn plan(context: &Context, args: &PlanArgs) -> Result<u8, Failure> {
    let loaded = files::load(
        &args.campaign,
        &context.loaded.config,
        args.sim.as_deref(),
        &context.clock,
    )?;
    let Loaded {
        plan,
        catalog,
        resolved,
        fleet,
    } = loaded;
    // Its models are in the catalog now; nobody asks them.
    let _unasked = fleet;
    let estimate = plan.estimate(&resolved.domains);
    if args.json {
        output::json(&Figures {
            campaign: plan.campaign().id.as_str(),
            plan_hash: plan.hash().to_string(),
            samples: plan.len(),
            blocks: plan.block_count(),
            rounds: plan.campaign().rounds(),
            estimate: &estimate,
        })?;
        return Ok(0);
    }
    line(&format!("campaign  {}", plan.campaign().id));
    line(&format!("purpose   {}", plan.campaign().purpose));
    line(&format!("plan      {}", plan.hash()));
    line(&format!(
        "samples   {} = {} blocks × {} models{}",
        count(plan.len()),
        count(u64::from(plan.block_count())),
        plan.model_count(),
        if plan.campaign().rounds() > 1 {
            format!(" ({} rounds)", plan.campaign().rounds())
        } else {
            String::new()
        }
    ));
    line("");
    line(&tables(&estimate));
    line("");
    line(&format!("estimated: {}", estimate.rules));
    print_terms(&plan, &catalog);
    note_registered(plan.campaign());
    Ok(0)
}

fn tables(estimate: &Estimate) -> String {
    let mut models = Table::new(
        "llrrrr",
        &[
            "model",
            "domain",
            "samples",
            "tokens in",
            "tokens out",
            "cost",
        ],
    );
    for model in &estimate.models {
        models.row(vec![
            model.model.to_string(),
            model.domain.to_string(),
            count(model.samples),
            count(model.input_tokens),
            count(model.output_tokens),
            cost(model.cost_usd_low, model.cost_usd_high),
        ]);
    }
    models.row(vec![
        "total".to_owned(),
        String::new(),
        count(estimate.samples),
        count(estimate.input_tokens),
        count(estimate.output_tokens),
        cost(estimate.cost_usd_low, estimate.cost_usd_high),
    ]);
    let mut domains = Table::new("lrrl", &["domain", "samples", "time", "bound by"]);
    for domain in &estimate.domains {
        let time = domain
            .seconds
            .map_or_else(|| "as fast as it answers".to_owned(), duration);
        domains.row(vec![
            domain.domain.to_string(),
            count(domain.samples),
            time,
            domain.bound_by.clone(),
        ]);
    }
    let mut lines = vec![format!(
        "{models}\n\n{domains}\n\ntime, at best: {}",
        duration(estimate.seconds)
    )];
    for over in &estimate.beyond_budget {
        lines.push(format!("beyond the budget: {over}"));
    }
    if !estimate.unpriced.is_empty() {
        lines.push(format!(
            "without a price: {} models",
            estimate.unpriced.len()
        ));
    }
    lines.join("\n")
}

fn duration(total: f64) -> String {
    let total = std::time::Duration::try_from_secs_f64(total.ceil());
    total.map_or_else(|_| "for ever".to_owned(), |total| seconds(total.as_secs()))
}

fn cost(low: Option<f64>, high: Option<f64>) -> String {
    match (low, high) {
        (Some(low), Some(high)) if (high - low).abs() < 5e-5 => dollars(high),
        (Some(low), Some(high)) => format!("{} to {}", dollars(low), dollars(high)),
        (None, _) | (_, None) => "no price".to_owned(),
    }
}

/// Shows whose terms a campaign's requests fall under, before any money is spent.
pub(super) fn print_terms(plan: &Plan, catalog: &Catalog) {
    let mut shown = BTreeMap::new();
    for model in &plan.document().models {
        if let Some(terms) = catalog
            .providers
            .get(&model.provider)
            .and_then(|provider| provider.terms.as_ref())
        {
            shown.insert(model.provider.clone(), terms.clone());
        }
    }
    for (provider, terms) in shown {
        let remark = terms
            .note
            .map(|remark| format!(" ({remark})"))
            .unwrap_or_default();
        note(&format!("terms of {provider}: {}{remark}", terms.url));
    }
}
