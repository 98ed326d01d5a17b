//! `retort check`: configuration, keys and addresses, and one cheap request per model.

use std::sync::Arc;
use std::time::Duration;

use retort_client::HttpClient;
use retort_crawl::worker::try_once;
use retort_crawl::{SOFTWARE, Target};
use retort_types::{Outcome, Params};
use serde::Serialize;

use super::Context;
use super::run::check_addresses;
use crate::cli::Check;
use crate::failure::{FAILED, Failure};
use crate::files;
use crate::output::{self, Table, line};
use crate::secrets;

/// One model's result.
#[derive(Debug, Serialize)]
struct Checked {
    model: String,
    provider: String,
    host: String,
    key: &'static str,
    outcome: Option<Outcome>,
    status: Option<u16>,
    latency_ms: Option<f64>,
    detail: Option<String>,
}

/// Tokens of the answer to the cheap question.
const CHEAP_TOKENS: u32 = 16;

/// Pause between two models' requests: a check is no load.
const PAUSE: Duration = Duration::from_millis(200);

/// Checks a campaign.
pub(crate) async fn check(context: &Context, args: &Check) -> Result<u8, Failure> {
    let config = &context.loaded.config;
    let loaded = files::load(&args.campaign, config, None, &context.clock)?;
    let targets = secrets::targets(&loaded.resolved.endpoints)?;
    let client = HttpClient::new(config.client.clone(), SOFTWARE, Arc::clone(&context.clock))?;
    check_addresses(&client, &loaded.resolved)?;
    files::store(context)?;
    let mut results = Vec::new();
    for model in &loaded.plan.campaign().models {
        let Some(target) = targets.get(model) else {
            continue;
        };
        let mut checked = Checked {
            model: model.to_string(),
            provider: target.endpoint.provider.to_string(),
            host: target.endpoint.host().to_owned(),
            key: if target.secret.is_some() {
                "present"
            } else {
                "none needed"
            },
            outcome: None,
            status: None,
            latency_ms: None,
            detail: None,
        };
        if !args.offline {
            ask(&client, target, &mut checked).await;
            tokio::time::sleep(PAUSE).await;
        }
        results.push(checked);
    }
    let failed = !args.offline
        && results
            .iter()
            .any(|checked| checked.outcome.is_none_or(Outcome::is_missing));
    if args.json {
        output::json(&results)?;
    } else {
        line(&table(&results, args.offline));
    }
    Ok(if failed { FAILED } else { 0 })
}

async fn ask(client: &HttpClient, target: &Target, checked: &mut Checked) {
    let params = Params {
        max_tokens: Some(CHEAP_TOKENS),
        ..Params::default()
    };
    match try_once(client, target, "Reply with the word: ready", &params).await {
        Ok(tried) => {
            checked.outcome = Some(tried.outcome);
            checked.status = tried.status;
            checked.latency_ms = Some(tried.elapsed.as_secs_f64() * 1_000.0);
            checked.detail = tried.detail;
        }
        Err(reason) => checked.detail = Some(reason),
    }
}

fn table(results: &[Checked], offline: bool) -> String {
    let mut table = Table::new(
        "lllllrl",
        &["model", "provider", "host", "key", "outcome", "latency", ""],
    );
    for checked in results {
        table.row(vec![
            checked.model.clone(),
            checked.provider.clone(),
            checked.host.clone(),
            checked.key.to_owned(),
            checked.outcome.map_or_else(
                || if offline { "not asked" } else { "not sent" }.to_owned(),
                |outcome| outcome.to_string(),
            ),
            checked
                .latency_ms
                .map_or_else(|| "-".to_owned(), |value| format!("{value:.0} ms")),
            checked.detail.clone().unwrap_or_default(),
        ]);
    }
    table.to_string()
}
