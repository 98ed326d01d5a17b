//! How a campaign is doing, while it runs: bars on a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use retort_crawl::status::ModelStatus;
use retort_crawl::{State, Status};
use retort_types::{Outcome, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::output::{count, dollars, note, seconds};

/// Models that get a bar of their own; more would not fit a screen.
const BARS_MAX: usize = 16;

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows a campaign until its status is no longer told.
pub(crate) async fn show(mut statuses: watch::Receiver<Arc<Status>>) {
    if std::io::stderr().is_terminal() {
        bars(&mut statuses).await;
    } else {
        lines(&mut statuses).await;
    }
}

async fn bars(statuses: &mut watch::Receiver<Arc<Status>>) {
    let first = Arc::clone(&statuses.borrow_and_update());
    let screen = MultiProgress::new();
    let style = |template: &str| {
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
    };
    let total = screen.add(ProgressBar::new(first.planned));
    total.set_style(style("{prefix:>20.bold} [{bar:24}] {pos}/{len} {msg}"));
    total.set_prefix(first.campaign.to_string());
    let models: Vec<ProgressBar> = first
        .models
        .iter()
        .take(BARS_MAX)
        .map(|model| {
            let bar = screen.add(ProgressBar::new(model.planned));
            bar.set_style(style("{prefix:>20} [{bar:24}] {pos}/{len} {msg}"));
            bar.set_prefix(tail(model.model.as_str(), 20));
            bar
        })
        .collect();
    loop {
        let status = Arc::clone(&statuses.borrow_and_update());
        total.set_position(ended(&status));
        total.set_message(summary(&status));
        for (bar, model) in models.iter().zip(&status.models) {
            bar.set_position(model.tally.ended());
            bar.set_message(model_line(model, status.updated_at));
        }
        if statuses.changed().await.is_err() {
            break;
        }
    }
    for bar in models {
        bar.finish_and_clear();
    }
    total.finish_and_clear();
}

async fn lines(statuses: &mut watch::Receiver<Arc<Status>>) {
    let mut told: Option<(Instant, State)> = None;
    loop {
        let status = Arc::clone(&statuses.borrow_and_update());
        let due =
            told.is_none_or(|(at, state)| at.elapsed() >= LINE_EVERY || state != status.state);
        if due {
            note(&format!(
                "{} {}/{} {}",
                status.campaign,
                count(ended(&status)),
                count(status.planned),
                summary(&status)
            ));
            told = Some((Instant::now(), status.state));
        }
        if statuses.changed().await.is_err() {
            return;
        }
    }
}

/// Returns how many samples ended, those included whose rows wait for their segment.
fn ended(status: &Status) -> u64 {
    status.models.iter().map(|model| model.tally.ended()).sum()
}

/// Returns what a campaign is doing, in one line.
pub(crate) fn summary(status: &Status) -> String {
    let mut parts = vec![status.state.as_str().to_owned()];
    if let Some(reason) = &status.reason {
        parts.push(reason.clone());
    }
    if let Some(until) = status.until {
        parts.push(format!("until {}", clock_time(until)));
    }
    let answered: u64 = status
        .models
        .iter()
        .filter_map(|model| model.tally.outcomes.get(&Outcome::Answered))
        .sum();
    parts.push(format!("answered {}", count(answered)));
    if status.missing > 0 {
        parts.push(format!("missing {}", count(status.missing)));
    }
    let rate: f64 = status
        .models
        .iter()
        .map(|model| model.rate_per_minute)
        .sum();
    if rate > 0.0 {
        parts.push(format!("{rate:.0}/min"));
    }
    if status.cost_usd > 0.0 {
        parts.push(dollars(status.cost_usd));
    }
    if let Some(left) = status.seconds_left {
        parts.push(format!("{} left", seconds(left)));
    }
    if let Some(stalled) = status
        .writer
        .as_ref()
        .and_then(|writer| writer.stalled.as_ref())
    {
        parts.push(format!("starts rest: {}", stalled.reason));
    }
    parts.join(" · ")
}

/// Returns what a model is doing, in one line.
pub(crate) fn model_line(model: &ModelStatus, now: Timestamp) -> String {
    let tally = &model.tally;
    let answered = tally.outcomes.get(&Outcome::Answered).copied().unwrap_or(0);
    let mut parts = vec![format!(
        "asked {} · answered {}",
        count(tally.requests),
        count(answered)
    )];
    let refused = tally.outcomes.get(&Outcome::Refused).copied().unwrap_or(0);
    if refused > 0 {
        parts.push(format!("refused {}", count(refused)));
    }
    if model.rate_per_minute > 0.0 {
        parts.push(format!("{:.0}/min", model.rate_per_minute));
    }
    if tally.cost_usd > 0.0 {
        parts.push(dollars(tally.cost_usd));
    }
    if let Some(reason) = &model.parked {
        parts.push(format!("parked: {reason}"));
    } else if let Some(waiting) = &model.waiting {
        match waiting.until.filter(|until| *until > now) {
            Some(until) => parts.push(format!(
                "waiting until {} ({})",
                clock_time(until),
                waiting.reason
            )),
            None => parts.push(format!("waiting: {}", waiting.reason)),
        }
    }
    parts.join(" · ")
}

/// Returns the time of day in UTC.
pub(crate) fn clock_time(at: Timestamp) -> String {
    let text = at.to_string();
    let time: String = text.chars().skip(11).take(8).collect();
    format!("{time}Z")
}

fn tail(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let end: String = text.chars().skip(length - most + 1).collect();
    format!("…{end}")
}
