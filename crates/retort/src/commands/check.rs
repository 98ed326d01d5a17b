//! `retort check`: configuration, keys and addresses, and one cheap request per model.

mod announced;
mod curl;

use std::sync::Arc;
use std::time::Duration;

use retort_client::HttpClient;
use retort_crawl::worker::{Trial, Tried, try_once};
use retort_crawl::{SOFTWARE, Target};
use retort_plan::{PlanDocument, Resolved};
use retort_types::{Endpoint, Mode, Outcome, Params};
use serde::Serialize;

use super::Context;
use super::run::check_addresses;
use crate::cli::Check;
use crate::failure::{FAILED, Failure};
use crate::files::{self, Loaded};
use crate::output::{self, Table, line};
use crate::secrets;
use announced::Compared;

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
    hint: Option<String>,
    /// What the model is sent, by arm and mode.
    requests: Vec<Shown>,
    /// What the answer's headers say about limits.
    limits: Vec<Compared>,
    warnings: Vec<String>,
}

/// What a model is sent under one arm in one mode, or why it cannot be.
#[derive(Debug, Serialize)]
struct Shown {
    arm: String,
    mode: Mode,
    curl: Option<String>,
    error: Option<String>,
    hint: Option<&'static str>,
}

/// One setting under which a campaign asks.
#[derive(Debug)]
struct Setting {
    arm: String,
    mode: Mode,
    system: Option<String>,
    params: Params,
}

/// What the models are asked.
const QUESTION: &str = "Reply with the word: ready";

/// Most tokens of the answer to the cheap question. Fewer are refused by some providers.
const CHEAP_TOKENS: u32 = 16;

/// Pause between two models' requests: a check is no load.
const PAUSE: Duration = Duration::from_millis(200);

/// Checks a campaign.
pub(crate) async fn check(context: &Context, args: &Check) -> Result<u8, Failure> {
    let config = &context.loaded.config;
    let loaded = files::load(&args.campaign, config, None, &context.clock)?;
    let client = HttpClient::new(config.client.clone(), SOFTWARE, Arc::clone(&context.clock))?;
    check_addresses(&client, &loaded.resolved)?;
    files::store(context)?;
    let settings = settings(loaded.plan.document());
    let mut results = Vec::new();
    for endpoint in &loaded.resolved.endpoints {
        let mut checked = begun(endpoint, &settings);
        match secrets::target(endpoint) {
            Ok(target) if !args.offline => {
                ask(&client, &target, &settings, &loaded, &mut checked).await;
                tokio::time::sleep(PAUSE).await;
            }
            Ok(_) => {}
            Err(failure) => {
                checked.key = "missing";
                let (detail, hint) = failure.parts();
                checked.hint = hint.map(str::to_owned);
                checked.detail = Some(detail);
            }
        }
        results.push(checked);
    }
    if args.json {
        output::json(&results)?;
    } else {
        line(&table(&results, args.offline));
        for checked in &results {
            line("");
            line(&particulars(checked));
        }
    }
    let failed = results
        .iter()
        .any(|checked| is_failed(checked, args.offline));
    Ok(if failed { FAILED } else { 0 })
}

/// Returns the settings under which a campaign asks: each arm in each mode of its suites.
fn settings(plan: &PlanDocument) -> Vec<Setting> {
    let has = |mode: Mode| plan.suites.iter().any(|suite| suite.mode == mode);
    let modes = [Mode::Chat, Mode::Completion]
        .into_iter()
        .filter(|m| has(*m));
    modes
        .flat_map(|mode| {
            plan.arms.iter().map(move |arm| Setting {
                arm: arm.name.to_string(),
                mode,
                system: arm.system.as_deref().map(str::to_owned),
                params: Params::clone(&arm.params),
            })
        })
        .collect()
}

fn begun(endpoint: &Endpoint, settings: &[Setting]) -> Checked {
    Checked {
        model: endpoint.name.to_string(),
        provider: endpoint.provider.to_string(),
        host: endpoint.host().to_owned(),
        key: if endpoint.auth.is_some() {
            "present"
        } else {
            "none needed"
        },
        outcome: None,
        status: None,
        latency_ms: None,
        detail: None,
        hint: None,
        requests: settings.iter().map(|s| shown(endpoint, s)).collect(),
        limits: Vec::new(),
        warnings: Vec::new(),
    }
}

fn trial<'a>(setting: &'a Setting, params: &'a Params) -> Trial<'a> {
    Trial {
        text: QUESTION,
        mode: setting.mode,
        system: setting.system.as_deref(),
        params,
    }
}

fn shown(endpoint: &Endpoint, setting: &Setting) -> Shown {
    let request = trial(setting, &setting.params).request(endpoint);
    let (curl, error, hint) = match request {
        Ok(request) => {
            let command = curl::command(&request, endpoint.auth.as_ref());
            (Some(command), None, None)
        }
        Err(unaskable) => (None, Some(unaskable.message), unaskable.hint),
    };
    Shown {
        arm: setting.arm.clone(),
        mode: setting.mode,
        curl,
        error,
        hint,
    }
}

/// Asks a model once, under the first setting that it can be asked under.
async fn ask(
    client: &HttpClient,
    target: &Target,
    settings: &[Setting],
    loaded: &Loaded,
    checked: &mut Checked,
) {
    let mut askable = settings.iter().zip(&checked.requests);
    let Some((setting, _)) = askable.find(|(_, shown)| shown.curl.is_some()) else {
        checked.detail = Some("it can be asked under no arm".to_owned());
        return;
    };
    let allowed = setting.params.max_tokens.unwrap_or(CHEAP_TOKENS);
    let cheap = Params {
        max_tokens: Some(allowed.min(CHEAP_TOKENS)),
        ..setting.params.clone()
    };
    match try_once(client, target, &trial(setting, &cheap)).await {
        Ok(tried) => note(checked, tried, &loaded.resolved),
        Err(reason) => checked.detail = Some(reason),
    }
}

fn note(checked: &mut Checked, tried: Tried, resolved: &Resolved) {
    let lane = resolved.domains.iter().find_map(|domain| {
        let mut lanes = domain.lanes.iter();
        let lane = lanes.find(|lane| lane.model.as_str() == checked.model)?;
        Some((domain, lane))
    });
    if let Some((domain, lane)) = lane {
        checked.limits = announced::compare(&tried.limits, domain, lane);
        checked.warnings = checked
            .limits
            .iter()
            .filter_map(Compared::warning)
            .collect();
    }
    checked.outcome = Some(tried.outcome);
    checked.status = tried.status;
    checked.latency_ms = Some(tried.elapsed.as_secs_f64() * 1_000.0);
    checked.detail = tried.detail;
}

/// Returns whether a model cannot be asked as the campaign wants.
fn is_failed(checked: &Checked, offline: bool) -> bool {
    let unanswered = !offline && checked.outcome.is_none_or(Outcome::is_missing);
    unanswered || checked.key == "missing" || checked.requests.iter().any(|r| r.curl.is_none())
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

/// Returns what a model is sent and what its provider announces.
fn particulars(checked: &Checked) -> String {
    let mut lines = Vec::new();
    for request in &checked.requests {
        let mode = request.mode.as_str();
        lines.push(format!("# {}, arm {}, {mode}", checked.model, request.arm));
        if let Some(curl) = &request.curl {
            lines.push(curl.clone());
        }
        if let Some(error) = &request.error {
            lines.push(format!("error: {error}"));
        }
        if let Some(hint) = request.hint {
            lines.push(format!("hint: {hint}"));
        }
    }
    lines.extend(checked.hint.iter().map(|hint| format!("hint: {hint}")));
    lines.extend(checked.limits.iter().map(Compared::sentence));
    let warnings = checked.warnings.iter();
    lines.extend(warnings.map(|warning| format!("warning: {warning}")));
    lines.join("\n")
}
