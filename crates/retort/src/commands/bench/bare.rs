//! The yardstick: a loop that asks, reads the text of the answer and forgets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::measure::Waits;
use crate::cli::Bare;
use crate::failure::Failure;
use crate::output;

/// What is read of an answer.
#[derive(Debug, Deserialize)]
struct Answer {
    choices: Vec<Choice>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Debug, Deserialize)]
struct Message {
    content: String,
}

/// What the tasks of the loop share.
struct Loop {
    client: reqwest::Client,
    url: String,
    logprobs: u32,
    gap: Duration,
    left: AtomicU32,
    /// When the next request may start.
    next: Mutex<Instant>,
}

/// Asks as often as told, prints how late requests started, and waits to be let go: the CPU of a
/// process can only be read while it lives.
pub(crate) async fn run(args: &Bare) -> Result<u8, Failure> {
    let shared = Arc::new(Loop {
        client: client(args)?,
        url: args.url.clone(),
        logprobs: args.logprobs,
        gap: Duration::from_secs(1) / args.rate.max(1),
        left: AtomicU32::new(args.requests),
        next: Mutex::new(Instant::now()),
    });
    let mut tasks = JoinSet::new();
    for _ in 0..args.in_flight {
        tasks.spawn(ask_on(Arc::clone(&shared)));
    }
    let mut waits = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        waits.append(&mut ended??);
    }
    output::json(&Waits::of(waits))?;
    // Nothing else is left to do on this thread.
    std::io::read_to_string(std::io::stdin())?;
    Ok(0)
}

/// The same HTTP settings as the crawl's.
fn client(args: &Bare) -> Result<reqwest::Client, Failure> {
    let settings = retort_client::ClientSettings::default();
    let roots = match &args.ca_file {
        Some(path) => reqwest::Certificate::from_pem_bundle(&std::fs::read(path)?)?,
        None => Vec::new(),
    };
    Ok(reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .tcp_nodelay(true)
        .http1_only()
        .tls_certs_only(roots)
        .connect_timeout(settings.connect_timeout.0)
        .timeout(settings.total_timeout.0)
        .pool_idle_timeout(settings.pool_idle_timeout.0)
        .pool_max_idle_per_host(usize::try_from(args.in_flight).unwrap_or(usize::MAX))
        .build()?)
}

/// Asks until nothing is left; returns how late each request started, in milliseconds.
async fn ask_on(shared: Arc<Loop>) -> Result<Vec<f64>, Failure> {
    let mut waits = Vec::new();
    loop {
        let before = shared
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        let Ok(number) = before else {
            return Ok(waits);
        };
        let due = {
            let mut next = shared.next.lock().await;
            let due = (*next).max(Instant::now());
            *next = due + shared.gap;
            due
        };
        sleep_until(due).await;
        waits.push(due.elapsed().as_secs_f64() * 1e3);
        ask(&shared, number).await?;
    }
}

async fn ask(shared: &Loop, number: u32) -> Result<(), Failure> {
    let mut body = json!({
        "model": "m",
        "messages": [{ "role": "user", "content": super::world::prompt(number) }],
        "max_tokens": super::world::MAX_TOKENS,
    });
    if shared.logprobs > 0 {
        body["logprobs"] = json!(true);
        body["top_logprobs"] = json!(shared.logprobs);
    }
    let request = shared
        .client
        .post(&shared.url)
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&body)?);
    let answer = request.send().await?.error_for_status()?.bytes().await?;
    let answer: Answer = serde_json::from_slice(&answer)?;
    let text = answer
        .choices
        .first()
        .map(|choice| choice.message.content.len());
    match text {
        Some(length) if length > 0 => Ok(()),
        Some(_) | None => Err(Failure::new("an answer without a text")),
    }
}
