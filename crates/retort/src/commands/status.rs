//! `retort status`: how campaigns are doing, from anywhere that sees the store.

use std::time::Duration;

use retort_crawl::{State, Status, status};
use retort_pace::{DomainStatus, LimitSource};
use retort_types::{CampaignId, WallClock};

use super::Context;
use super::run::STATUS_FRESH;
use crate::cli::StatusArgs;
use crate::failure::Failure;
use crate::files;
use crate::output::{self, Table, count, dollars, line};
use crate::progress::{clock_time, model_line, summary};

/// How often `--watch` looks.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Shows one campaign or all of them.
pub(crate) async fn status(context: &Context, args: &StatusArgs) -> Result<u8, Failure> {
    let store = files::store(context)?;
    let Some(campaign) = &args.campaign else {
        return all(context, args.json).await;
    };
    loop {
        let status = read(&store, campaign).await?;
        if args.json {
            output::json(&status)?;
        } else {
            line(&describe(&status, &*context.clock));
        }
        if !args.watch || status.state == State::Sealed {
            return Ok(0);
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

async fn read(store: &retort_dataset::Store, campaign: &CampaignId) -> Result<Status, Failure> {
    super::dataset::require_campaign(store, campaign).await?;
    status::read(store, campaign).await?.ok_or_else(|| {
        Failure::new(format!(
            "campaign `{campaign}` was submitted and has not been started"
        ))
        .hint("start it with `retort run`, or start a `retort coordinator` if it is a fleet's")
    })
}

async fn all(context: &Context, json: bool) -> Result<u8, Failure> {
    let store = files::store(context)?;
    let mut statuses = Vec::new();
    for campaign in super::dataset::campaigns(&store).await? {
        if let Some(status) = status::read(&store, &campaign).await? {
            statuses.push(status);
        }
    }
    if json {
        output::json(&statuses)?;
        return Ok(0);
    }
    if statuses.is_empty() {
        line(&format!("no campaigns in {}", context.loaded.config.store));
        return Ok(0);
    }
    let mut table = Table::new(
        "llrrrrr",
        &[
            "campaign", "state", "planned", "done", "missing", "requests", "cost",
        ],
    );
    for status in &statuses {
        table.row(vec![
            status.campaign.to_string(),
            present_state(status, &*context.clock),
            count(status.planned),
            count(status.done),
            count(status.missing),
            count(status.requests),
            dollars(status.cost_usd),
        ]);
    }
    line(&table.to_string());
    Ok(0)
}

/// Returns the state, and whether the process that told it still tells.
fn present_state(status: &Status, clock: &dyn WallClock) -> String {
    let running = match status.state {
        State::Sealed | State::Interrupted => false,
        State::Asking | State::Waiting | State::Paused | State::ClosingOut | State::Sealing => true,
    };
    let silent = clock.now().since(status.updated_at);
    if running && silent > STATUS_FRESH {
        return format!(
            "not running (last seen {} ago)",
            output::seconds(silent.as_secs())
        );
    }
    status.state.as_str().to_owned()
}

/// Returns the limits in force that do not stand in the catalog.
fn found_limits(pace: &DomainStatus) -> Option<String> {
    let of_lanes = pace
        .lanes
        .iter()
        .filter_map(|lane| Some((lane.model.as_str(), lane.limit?)));
    let whole = pace.limit.map(|limit| ("", limit));
    let mut parts: Vec<String> = whole
        .into_iter()
        .chain(of_lanes)
        .filter_map(|(model, limit)| {
            let how = match limit.source {
                LimitSource::Configured => return None,
                LimitSource::Learned => "found by refusals",
                LimitSource::Announced => "announced",
                LimitSource::Growing => "growing until something is refused",
            };
            let of = if model.is_empty() { "" } else { " of " };
            Some(format!(
                "{:.0} requests/min{of}{model} ({how})",
                limit.requests_per_minute
            ))
        })
        .collect();
    if let Some(tokens) = pace.announced_tokens_per_minute {
        parts.push(format!("{} tokens/min (announced)", count(tokens)));
    }
    if let Some(at_once) = pace.learned_concurrency {
        parts.push(format!("{at_once} at the same time (found by refusals)"));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn describe(status: &Status, clock: &dyn WallClock) -> String {
    let head = format!(
        "{}  {}  {}/{}  {}",
        status.campaign,
        present_state(status, clock),
        count(status.done),
        count(status.planned),
        summary(status)
    );
    let mut table = Table::new("lrrl", &["model", "planned", "ended", ""]);
    for model in &status.models {
        table.row(vec![
            model.model.to_string(),
            count(model.planned),
            count(model.tally.ended()),
            model_line(model, status.updated_at),
        ]);
    }
    let mut lines = vec![head, table.to_string()];
    for domain in &status.domains {
        if let Some(waiting) = &domain.waiting_for {
            lines.push(format!("domain {}: {waiting}", domain.domain));
        }
        if let Some(found) = domain.pace.as_ref().and_then(found_limits) {
            lines.push(format!("domain {}: {found}", domain.domain));
        }
        if let Some(blocked) = domain.pace.as_ref().and_then(|pace| pace.blocked.as_ref()) {
            lines.push(format!(
                "domain {}: until {} ({})",
                domain.domain,
                clock_time(blocked.until),
                blocked.reason
            ));
        }
    }
    if let Some(snapshot) = &status.snapshot {
        lines.push(format!("snapshot {snapshot}"));
    }
    lines.join("\n")
}
